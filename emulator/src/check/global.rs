//! Accesses to global memory, by threads and by asynchronous operations, and synchronisation through it.

use super::Check;
use super::gang::LocationName;
use super::knowledge::{Knowledge, Semantics, Thread};
use super::shadow::{Access, Entry, Place};
use crate::TensorMap;
use crate::engine::tma::Direction;
use crate::machine::{
    AccessKind, Agent, BoxMode, FaultKind, GlobalMemory, Work, box_copy, masked_runs,
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

    pub(super) fn start(&self) -> u64 {
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
