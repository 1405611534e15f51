//! What the clusters that run together share: streams, places through which threads synchronise, and the shadow of
//! global memory. Most memory is only read: reads are listed, and granules are kept for what has been written.

use std::collections::{HashMap, HashSet};

use super::clock::{PREREQUISITES, Stream};
use super::global::{Extent, note};
use super::knowledge::Knowledge;
use super::launches::Launches;
use super::shadow::{Access, Entry, Granule, Missing};
use super::stream::Key;
use super::{GRANULE, granules};
use crate::machine::{GlobalMemory, Site};

/// A place through which threads synchronise: what was passed on there at wide scopes, and inside each CTA.
#[derive(Default)]
pub(super) struct Location {
    pub wide: Knowledge,
    pub narrow: HashMap<(u32, u32), Knowledge>,
}

/// Shared memory of a CTA of a cluster, or global memory; and the address.
pub(super) type LocationName = (Option<(u32, u32)>, u64);

/// A cluster that has joined a gang.
pub(crate) struct Member {
    pub launch: usize,
    /// %ctaid of its CTAs.
    pub ids: Vec<[u32; 3]>,
    /// Its warps in the clocks start here.
    first_warp: u32,
    pub warps_per_cta: u32,
}

/// Shared by the checkers of clusters that run on one thread.
#[derive(Default)]
pub(crate) struct Gang {
    streams: HashMap<(u32, Key), Stream>,
    members: Vec<Member>,
    pub launches: Launches,
    /// Operations issued so far, by stream.
    issued: Vec<u32>,
    pub(super) locations: HashMap<LocationName, Location>,
    memory: HashMap<u64, Granule>,
    /// Allocations that have been written, by their start; and what has been read of each.
    written: HashSet<u64>,
    reads: HashMap<u64, Vec<(Extent, Entry)>>,
}

impl Gang {
    /// A gang of all clusters of so many launches.
    pub fn together(launches: usize) -> Self {
        Gang {
            launches: Launches::together(launches),
            ..Gang::default()
        }
    }

    /// A cluster joins; it gets its number among those who did, and that of its first warp.
    pub fn introduce(&mut self, launch: usize, ids: &[[u32; 3]], warps_per_cta: u32) -> (u32, u32) {
        let after = |m: &Member| m.first_warp + m.ids.len() as u32 * m.warps_per_cta;
        let first_warp = self.members.last().map_or(0, after);
        self.members.push(Member {
            launch,
            ids: ids.to_vec(),
            first_warp,
            warps_per_cta,
        });
        (self.members.len() as u32 - 1, first_warp)
    }

    /// The stream of completions; the one behind it counts what was issued.
    pub fn stream(&mut self, cluster: u32, key: Key) -> Stream {
        let next = PREREQUISITES + 2 + self.streams.len() as Stream * 2;
        *self.streams.entry((cluster, key)).or_insert(next)
    }

    /// The number of the next operation of a stream, from 1 on.
    pub fn next(&mut self, stream: Stream) -> u32 {
        let index = stream as usize;
        if self.issued.len() <= index {
            self.issued.resize(index + 1, 0);
        }
        self.issued[index] += 1;
        self.issued[index]
    }

    /// The number of the latest operation of a stream.
    pub fn last(&self, stream: Stream) -> u32 {
        self.issued.get(stream as usize).copied().unwrap_or(0)
    }

    /// The only member.
    pub fn take_member(&mut self) -> Option<Member> {
        self.members.pop()
    }

    /// The streams of a cluster.
    pub fn streams_of(&self, cluster: u32) -> impl Iterator<Item = Stream> + '_ {
        let own = self.streams.iter().filter(move |((c, _), _)| *c == cluster);
        own.map(|(_, stream)| *stream)
    }

    /// The member that a warp belongs to, and the warp's number in it.
    fn member(&self, warp: u32) -> Option<(&Member, u32)> {
        let after = self.members.partition_point(|m| m.first_warp <= warp);
        let member = self.members.get(after.checked_sub(1)?)?;
        Some((member, warp - member.first_warp))
    }

    /// The launch that an access belongs to.
    pub fn launch(&self, entry: &Entry) -> usize {
        self.member(entry.warp).map_or(0, |(m, _)| m.launch)
    }

    /// Writes by granule, allocations written, reads by allocation.
    #[allow(clippy::type_complexity)]
    pub fn take_accesses(
        &mut self,
    ) -> (
        Vec<(u64, Entry)>,
        HashSet<u64>,
        HashMap<u64, Vec<(Extent, Entry)>>,
    ) {
        let granules = std::mem::take(&mut self.memory);
        let mut writes: Vec<(u64, Entry)> = granules
            .iter()
            .flat_map(|(g, cell)| cell.writes().map(|e| (*g, *e)))
            .collect();
        writes.sort_by_key(|(granule, entry)| (*granule, entry.mask));
        (
            writes,
            std::mem::take(&mut self.written),
            std::mem::take(&mut self.reads),
        )
    }

    /// Where an access was issued.
    pub fn site(&self, entry: &Entry) -> Site {
        let found = self.member(entry.warp);
        let (cta, warp) = found.map_or_else(Default::default, |(m, warp)| m.place(warp));
        Site {
            line: entry.line,
            cta,
            warp,
            lane: Some(entry.lane),
        }
    }

    /// Checks and records an access. The error is what is missing, the earlier party, and an address.
    pub(super) fn access(
        &mut self,
        access: &Access<'_>,
        extent: Extent,
        memory: &GlobalMemory,
        early: bool,
    ) -> Result<(), (Missing, Entry, u64)> {
        let Some(base) = memory.base(extent.start()) else {
            return Ok(());
        };
        if early {
            self.launches.note_early(base, &extent, access.entry);
        }
        if access.entry.write && self.written.insert(base) {
            self.replay(base);
        }
        if self.written.contains(&base) {
            for (granule, mask) in extent
                .pieces()
                .into_iter()
                .flat_map(|(address, len)| granules(address, len))
            {
                let cell = self.memory.entry(granule).or_default();
                cell.access(access, mask).map_err(|(missing, earlier)| {
                    let byte = (mask & earlier.mask).trailing_zeros();
                    (
                        missing,
                        earlier,
                        granule * u64::from(GRANULE) + u64::from(byte),
                    )
                })?;
            }
        }
        if !access.entry.write {
            self.note_read(base, extent, access.entry);
        }
        Ok(())
    }

    fn note_read(&mut self, base: u64, extent: Extent, entry: Entry) {
        note(self.reads.entry(base).or_default(), extent, entry);
    }

    /// An allocation is written for the first time: what was read of it before now counts.
    fn replay(&mut self, base: u64) {
        for (extent, entry) in self.reads.get(&base).into_iter().flatten() {
            for (granule, mask) in extent
                .pieces()
                .into_iter()
                .flat_map(|(address, len)| granules(address, len))
            {
                self.memory
                    .entry(granule)
                    .or_default()
                    .note(Entry { mask, ..*entry });
            }
        }
    }
}

impl Member {
    /// %ctaid and warp in the CTA of one of its warps.
    pub fn place(&self, warp: u32) -> ([u32; 3], u32) {
        let cta = (warp / self.warps_per_cta) as usize;
        (
            self.ids.get(cta).copied().unwrap_or_default(),
            warp % self.warps_per_cta,
        )
    }
}
