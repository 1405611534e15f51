//! What the clusters that run together share: streams, places through which threads synchronise, and the shadow of
//! global memory. Most memory is only read: reads are listed, and granules are kept for what has been written.

use std::collections::{HashMap, HashSet};

use super::clock::{PREREQUISITES, Stream};
use super::knowledge::{Knowledge, Semantics, Thread};
use super::launches::Launches;
use super::shadow::{Access, Entry, Granule, Missing, Place};
use super::stream::Key;
use super::{Check, GRANULE, granules};
use crate::TensorMap;
use crate::engine::tma::Direction;
use crate::machine::{
    AccessKind, Agent, BoxMode, FaultKind, GlobalMemory, Site, Work, box_copy, masked_runs,
};

/// Part of global memory.
#[derive(Clone, Debug)]
pub(crate) enum Extent {
    /// Address and length.
    Bytes(u64, u64),
    /// Address, length, and which bytes of each 16.
    Masked(u64, u32, u16),
    /// What a tensor copy touches.
    Box {
        map: Box<TensorMap>,
        coordinates: [i32; 5],
        count: usize,
        mode: BoxMode,
    },
}

impl Extent {
    fn of(work: &Work) -> Option<Extent> {
        match work {
            Work::TensorLoad {
                map,
                coordinates,
                count,
                mode,
                ..
            }
            | Work::TensorStore {
                map,
                coordinates,
                count,
                mode,
                ..
            } => Some(Extent::Box {
                map: map.clone(),
                coordinates: *coordinates,
                count: *count,
                mode: *mode,
            }),
            Work::BulkLoad { src, bytes, .. } => Some(Extent::Bytes(*src, (*bytes).into())),
            Work::BulkStore {
                dst, bytes, mask, ..
            } => Some(Extent::Masked(*dst, *bytes, *mask)),
            Work::Small { src, valid, .. } if *valid > 0 => {
                Some(Extent::Bytes(*src, (*valid).into()))
            }
            _ => None,
        }
    }

    fn start(&self) -> u64 {
        match self {
            Extent::Bytes(address, _) | Extent::Masked(address, ..) => *address,
            Extent::Box { map, .. } => map.address,
        }
    }

    /// Address and length of the pieces that exist.
    pub fn pieces(&self) -> Vec<(u64, u64)> {
        match self {
            Extent::Bytes(address, len) => vec![(*address, *len)],
            Extent::Masked(address, len, mask) => masked_runs(*len, *mask)
                .into_iter()
                .map(|(offset, len)| (*address + u64::from(offset), len.into()))
                .collect(),
            Extent::Box {
                map,
                coordinates,
                count,
                mode,
            } => {
                // Where the box lies in shared memory does not matter here.
                let copy = box_copy(
                    map,
                    &coordinates[..*count],
                    *mode,
                    0,
                    1 << 24,
                    Direction::Load,
                );
                let pieces = copy.iter().flat_map(|c| c.pieces());
                pieces
                    .filter_map(|p| Some((p.global?, p.len.into())))
                    .collect()
            }
        }
    }
}

/// A strong access as synchronisation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sync {
    pub semantics: Semantics,
    /// Its scope is more than the CTA.
    pub wide: bool,
}

/// A place through which threads synchronise: what was passed on there at wide scopes, and inside each CTA.
#[derive(Default)]
struct Location {
    wide: Knowledge,
    narrow: HashMap<(u32, u32), Knowledge>,
}

/// Shared memory of a CTA of a cluster, or global memory; and the address.
type LocationName = (Option<(u32, u32)>, u64);

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
    locations: HashMap<LocationName, Location>,
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
    fn access(
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

/// Adds an access to a list. Those to neighbouring bytes by one thread are one.
pub(super) fn note(list: &mut Vec<(Extent, Entry)>, extent: Extent, entry: Entry) {
    if let (Some((Extent::Bytes(start, len), last)), Extent::Bytes(address, more)) =
        (list.last_mut(), &extent)
        && *start + *len == *address
        && (last.warp, last.lanes, last.line, last.time, last.write)
            == (entry.warp, entry.lanes, entry.line, entry.time, entry.write)
    {
        *len += more;
        return;
    }
    list.push((extent, entry));
}

impl Check {
    /// A thread reads or writes global memory.
    pub fn global_access(
        &mut self,
        agent: Agent,
        extent: Extent,
        memory: &GlobalMemory,
        kind: AccessKind,
        value: u32,
    ) -> Result<(), FaultKind> {
        if !self.on {
            return Ok(());
        }
        let thread = self.thread(agent.rank, agent.warp, agent.lane);
        let access = Access {
            place: Place::Global,
            thread,
            entry: Entry {
                value: self.of_launch(value),
                ..self.direct(agent, kind)
            },
        };
        self.in_gang(&access, extent, memory)
    }

    fn in_gang(
        &self,
        access: &Access<'_>,
        extent: Extent,
        memory: &GlobalMemory,
    ) -> Result<(), FaultKind> {
        let early = self.is_early(access.thread);
        let result = (self.gang.borrow_mut()).access(access, extent, memory, early);
        result.map_err(|(missing, earlier, address)| {
            self.conflict(access, missing, &earlier, 0, address)
        })
    }

    /// The global side of an asynchronous copy.
    pub(super) fn global_operation(
        &mut self,
        thread: &Thread,
        entry: Entry,
        work: &Work,
        memory: &GlobalMemory,
    ) -> Result<(), FaultKind> {
        let Some(extent) = Extent::of(work) else {
            return Ok(());
        };
        self.in_gang(
            &Access {
                place: Place::Global,
                thread,
                entry,
            },
            extent,
            memory,
        )
    }

    /// A tensor map is used: what was written to it must have been acquired by a fence of its proxy.
    pub fn map_access(
        &mut self,
        agent: Agent,
        extent: Extent,
        memory: &GlobalMemory,
    ) -> Result<(), FaultKind> {
        if !self.on {
            return Ok(());
        }
        let thread = self.thread(agent.rank, agent.warp, agent.lane);
        let access = Access {
            place: Place::Map,
            thread,
            entry: self.direct(agent, AccessKind::Load),
        };
        self.in_gang(&access, extent, memory)
    }

    // ---- synchronisation through memory

    fn location(&self, place: (Option<u32>, u64)) -> LocationName {
        (place.0.map(|rank| (self.cluster, rank)), place.1)
    }

    /// A strong load or atomic has observed a place.
    pub fn take_over(&mut self, agent: Agent, place: (Option<u32>, u64), sync: Sync) {
        if !self.on {
            return;
        }
        let mut observed = Knowledge::default();
        if let Some(location) = self.gang.borrow().locations.get(&self.location(place)) {
            if sync.wide {
                observed.join(&location.wide);
            }
            if let Some(narrow) = location.narrow.get(&(self.cluster, agent.rank)) {
                observed.join(narrow);
            }
        }
        self.update(agent.rank, agent.warp, 1 << agent.lane, |thread, _| {
            thread.acquire(&observed, sync.semantics)
        });
    }

    /// A strong store or atomic passes on what the thread knows.
    pub fn pass_on(&mut self, agent: Agent, place: (Option<u32>, u64), sync: Sync) {
        if !self.on {
            return;
        }
        let knowledge = self.release(agent.rank, agent.warp, 1 << agent.lane, sync.semantics);
        let mut gang = self.gang.borrow_mut();
        let location = gang.locations.entry(self.location(place)).or_default();
        if sync.wide {
            location.wide.join(&knowledge);
        }
        location
            .narrow
            .entry((self.cluster, agent.rank))
            .or_default()
            .join(&knowledge);
    }
}
