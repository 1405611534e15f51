//! Happens-before checking: finds what no schedule needs to show. Every access to shared, tensor and global memory, by
//! threads and by asynchronous operations, is compared with the earlier ones to the same bytes; if nothing orders the two
//! the launch stops and names both.
//!
//! The method is that of vector clocks (Flanagan and Freund, FastTrack, 2009) with the orders that the PTX ISA has in
//! addition: see [`knowledge`]. An asynchronous operation is checked and recorded when it is issued, with what its
//! thread knows at that moment; it counts as complete for whoever has observed its stream's progress.
//!
//! What it cannot see: lanes of one warp share what tcgen05.fence orders; scopes count only for accesses to memory, not
//! for mbarriers; relaxed atomics are taken to pass on what a fence before them released, whoever wrote in between.

mod barriers;
mod clock;
mod clusters;
mod footprint;
mod global;
mod initialised;
mod knowledge;
mod launches;
mod registers;
mod report;
mod shadow;
mod stream;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

pub use registers::Undefined;
pub use report::Conflict;

pub(crate) use barriers::Fence;
pub(crate) use clusters::{Summary, conflict};
pub(crate) use footprint::{Touch, warpgroup_footprint};
pub(crate) use global::{Extent, Gang, Sync};
pub(crate) use initialised::{Initialised, multiply};
pub(crate) use knowledge::Semantics;
pub(crate) use launches::dependency;
pub(crate) use registers::{Registers, require};
pub(crate) use stream::Ticket;

use crate::engine::tensor_memory::COLUMNS;
use crate::machine::{AccessKind, Agent, Checks, FaultKind, SharedAddress};
use barriers::{BarrierKnowledge, Meeting};
use clock::Stream;
use knowledge::{Actors, Thread};
use shadow::{Access, DIRECT, Entry, Granule, Missing, Operation, Place};

/// Bytes of a granule of shared and global memory.
pub(crate) const GRANULE: u32 = 16;

/// What a warp knows: lanes that know the same share it.
struct WarpKnowledge {
    time: u32,
    classes: Vec<(u32, Thread)>,
}

/// The checker of one cluster.
pub(crate) struct Check {
    pub on: bool,
    /// See [`Checks::Strict`].
    pub strict: bool,
    /// Number of the cluster in its gang, and of its first warp.
    cluster: u32,
    first_warp: u32,
    /// Number of its launch among those that may overlap.
    launch: usize,
    warps_per_cta: u32,
    warps: Vec<WarpKnowledge>,
    shared: Vec<Vec<Granule>>,
    tensor: Vec<Vec<Granule>>,
    barriers: HashMap<SharedAddress, BarrierKnowledge>,
    named: HashMap<(u32, u32), Meeting>,
    cluster_barrier: Meeting,
    gang: Rc<RefCell<Gang>>,
    /// The latest operation in each stream that concerns a CTA, by rank.
    outstanding: HashMap<(u32, Stream), Entry>,
    /// Commits of other CTAs that arrive in a CTA, by its rank.
    expected: HashMap<(u32, Stream), Entry>,
    /// By CTA.
    pub initialised: Vec<Initialised>,
}

impl Check {
    pub fn new(
        checks: Checks,
        gang: Rc<RefCell<Gang>>,
        launch: usize,
        ids: &[[u32; 3]],
        warps_per_cta: u32,
        shared: u32,
    ) -> Self {
        let on = checks != Checks::None;
        let (cluster, first_warp) = gang.borrow_mut().introduce(launch, ids, warps_per_cta);
        let warps = if on {
            ids.len() as u32 * warps_per_cta
        } else {
            0
        };
        let granules = if on {
            shared.div_ceil(GRANULE) as usize
        } else {
            0
        };
        let warp = |_| WarpKnowledge {
            time: 1,
            classes: vec![(u32::MAX, Thread::new(checks == Checks::Strict))],
        };
        Check {
            on,
            strict: checks == Checks::Strict,
            cluster,
            first_warp,
            launch,
            warps_per_cta,
            warps: (0..warps).map(warp).collect(),
            shared: vec![vec![Granule::default(); granules]; ids.len()],
            tensor: vec![Vec::new(); ids.len()],
            barriers: HashMap::new(),
            named: HashMap::new(),
            cluster_barrier: Meeting::default(),
            gang,
            outstanding: HashMap::new(),
            expected: HashMap::new(),
            initialised: ids
                .iter()
                .map(|_| Initialised::new(if on { shared } else { 0 }))
                .collect(),
        }
    }

    // ---- who knows what

    /// Index of a warp in this cluster.
    fn local(&self, rank: u32, warp: u32) -> usize {
        (rank * self.warps_per_cta + warp) as usize
    }

    /// The component of a warp in clocks, unique among the clusters that run together.
    fn component(&self, local: usize) -> u32 {
        self.first_warp + local as u32
    }

    fn actors(&self, rank: u32, warp: u32, mask: u32) -> Actors {
        let local = self.local(rank, warp);
        Actors {
            warp: self.component(local),
            mask,
            time: self.warps[local].time,
        }
    }

    /// What a lane knows.
    fn thread(&self, rank: u32, warp: u32, lane: u32) -> &Thread {
        let classes = &self.warps[self.local(rank, warp)].classes;
        let found = classes.iter().find(|(mask, _)| mask >> lane & 1 != 0);
        &found.unwrap_or(&classes[0]).1
    }

    /// What any of the lanes knows.
    fn together(&self, rank: u32, warp: u32, mask: u32) -> Thread {
        let classes = &self.warps[self.local(rank, warp)].classes;
        let mut members = classes
            .iter()
            .filter(|(lanes, _)| lanes & mask != 0)
            .map(|(_, t)| t);
        let mut all = members.next().cloned().unwrap_or_default();
        members.for_each(|t| all.meet(t));
        all
    }

    /// Changes what the lanes know; the others of their classes keep what they knew.
    fn update(
        &mut self,
        rank: u32,
        warp: u32,
        mask: u32,
        mut change: impl FnMut(&mut Thread, Actors),
    ) {
        let local = self.local(rank, warp);
        let component = self.component(local);
        let warp = &mut self.warps[local];
        for i in 0..warp.classes.len() {
            let (lanes, thread) = &mut warp.classes[i];
            let part = *lanes & mask;
            if part == 0 {
                continue;
            }
            let actors = Actors {
                warp: component,
                mask: part,
                time: warp.time,
            };
            if part == *lanes {
                change(thread, actors);
            } else {
                *lanes &= !part;
                let mut thread = thread.clone();
                change(&mut thread, actors);
                warp.classes.push((part, thread));
            }
        }
    }

    /// What follows is later than what has been passed on.
    fn tick(&mut self, rank: u32, warp: u32) {
        let local = self.local(rank, warp);
        self.warps[local].time += 1;
    }

    /// Lanes that have met know the same (bar.warp.sync, and the wider barriers).
    pub fn meet(&mut self, rank: u32, warp: u32, mask: u32) {
        if !self.on {
            return;
        }
        let actors = self.actors(rank, warp, mask);
        let all = self.together(rank, warp, mask).snapshot(actors);
        let local = self.local(rank, warp);
        let classes = &mut self.warps[local].classes;
        classes.iter_mut().for_each(|(lanes, _)| *lanes &= !mask);
        classes.retain(|(lanes, _)| *lanes != 0);
        classes.push((mask, all));
        self.tick(rank, warp);
    }

    // ---- accesses of threads

    fn direct(&self, agent: Agent, kind: AccessKind) -> Entry {
        let local = self.local(agent.rank, agent.warp);
        let (operation, write, strong) = match kind {
            AccessKind::Load | AccessKind::AsyncLoad => (Operation::Load, false, false),
            AccessKind::Store | AccessKind::AsyncStore => (Operation::Store, true, false),
            AccessKind::StrongLoad => (Operation::Load, false, true),
            AccessKind::StrongStore => (Operation::Store, true, true),
            AccessKind::Atomic => (Operation::Atomic, true, true),
            AccessKind::Allocation => (Operation::Allocation, true, false),
        };
        Entry {
            operation,
            write,
            strong,
            // Compilers reuse the place of the address for data of the asynchronous proxy, without a fence.
            asynchronous: kind == AccessKind::Allocation,
            stream: DIRECT,
            time: self.warps[local].time,
            warp: self.component(local),
            lanes: if kind == AccessKind::Allocation {
                u32::MAX
            } else {
                1 << agent.lane
            },
            lane: agent.lane,
            line: agent.line,
            value: 0,
            mask: 0,
        }
    }

    /// A thread reads or writes shared memory.
    pub fn shared_access(
        &mut self,
        agent: Agent,
        at: SharedAddress,
        len: u32,
        kind: AccessKind,
        value: u32,
    ) -> Result<(), FaultKind> {
        if !self.on || len == 0 {
            return Ok(());
        }
        let entry = Entry {
            value,
            ..self.direct(agent, kind)
        };
        self.shared_entry(agent, at, len, entry)
    }

    /// The same with all that is known of the access.
    fn shared_entry(
        &mut self,
        agent: Agent,
        at: SharedAddress,
        len: u32,
        entry: Entry,
    ) -> Result<(), FaultKind> {
        self.peer(agent, at.rank)?;
        let mut memory = std::mem::take(&mut self.shared);
        let access = Access {
            place: Place::Shared,
            thread: self.thread(agent.rank, agent.warp, agent.lane),
            entry,
        };
        let result = self.touch_bytes(&mut memory[at.rank as usize], &access, at, len);
        self.shared = memory;
        result
    }

    fn touch_bytes(
        &self,
        memory: &mut [Granule],
        access: &Access<'_>,
        at: SharedAddress,
        len: u32,
    ) -> Result<(), FaultKind> {
        for (granule, mask) in granules(at.offset.into(), len.into()) {
            let Some(cell) = memory.get_mut(granule as usize) else {
                continue;
            };
            cell.access(access, mask).map_err(|(missing, earlier)| {
                let byte = granule * u64::from(GRANULE)
                    + u64::from((mask & earlier.mask).trailing_zeros());
                self.conflict(access, missing, &earlier, at.rank, byte)
            })?;
        }
        Ok(())
    }

    /// The parts of an operation's footprint, one after the other.
    fn touch_all(
        &mut self,
        touches: &[Touch],
        thread: &Thread,
        entry: Entry,
    ) -> Result<(), FaultKind> {
        let (mut shared, mut tensor) = (
            std::mem::take(&mut self.shared),
            std::mem::take(&mut self.tensor),
        );
        let result = touches.iter().try_for_each(|touch| match *touch {
            Touch::Shared { at, len, write } => {
                let access = Access {
                    place: Place::Shared,
                    thread,
                    entry: Entry { write, ..entry },
                };
                self.touch_bytes(&mut shared[at.rank as usize], &access, at, len)
            }
            Touch::Tensor {
                rank,
                lanes,
                column,
                columns,
                write,
            } => {
                let access = Access {
                    place: Place::Tensor,
                    thread,
                    entry: Entry { write, ..entry },
                };
                self.touch_cells(
                    &mut tensor[rank as usize],
                    &access,
                    rank,
                    lanes,
                    column..column + columns,
                )
            }
        });
        (self.shared, self.tensor) = (shared, tensor);
        result
    }

    /// Four granules, one per 32 lanes, for each column.
    fn touch_cells(
        &self,
        memory: &mut Vec<Granule>,
        access: &Access<'_>,
        rank: u32,
        lanes: u128,
        columns: std::ops::Range<u32>,
    ) -> Result<(), FaultKind> {
        if memory.is_empty() {
            memory.resize(COLUMNS * 4, Granule::default());
        }
        for column in columns {
            for group in 0..4 {
                let mask = (lanes >> (32 * group)) as u32;
                let Some(cell) = memory
                    .get_mut((column * 4 + group) as usize)
                    .filter(|_| mask != 0)
                else {
                    continue;
                };
                cell.access(access, mask).map_err(|(missing, earlier)| {
                    let lane = group * 32 + (mask & earlier.mask).trailing_zeros();
                    self.conflict(
                        access,
                        missing,
                        &earlier,
                        rank,
                        (lane << 16 | column).into(),
                    )
                })?;
            }
        }
        Ok(())
    }

    /// Fresh columns of tensor memory have no past but their allocation, which comes before any use: also by the other
    /// CTA of a pair.
    pub fn tensor_allocated(
        &mut self,
        agent: Agent,
        mask: u32,
        first: u32,
        columns: u32,
    ) -> Result<(), FaultKind> {
        if !self.on {
            return Ok(());
        }
        let rank = agent.rank;
        self.initialised[rank as usize].forget_columns(first, columns);
        if let Some(memory) = self.tensor.get_mut(rank as usize) {
            let range = (first * 4) as usize..((first + columns) * 4) as usize;
            memory
                .get_mut(range)
                .into_iter()
                .flatten()
                .for_each(Granule::forget);
        }
        let thread = self.together(rank, agent.warp, mask);
        let entry = self.direct(agent, AccessKind::Allocation);
        let touch = Touch::Tensor {
            rank,
            lanes: u128::MAX,
            column: first,
            columns,
            write: true,
        };
        self.touch_all(&[touch], &thread, entry)
    }

    /// A warp gives columns back: nobody may use them any more.
    pub fn tensor_deallocated(
        &mut self,
        agent: Agent,
        mask: u32,
        first: u32,
        columns: u32,
    ) -> Result<(), FaultKind> {
        if !self.on {
            return Ok(());
        }
        let thread = self.together(agent.rank, agent.warp, mask);
        let entry = Entry {
            operation: Operation::Deallocation,
            lanes: mask,
            ..self.direct(agent, AccessKind::Store)
        };
        let touch = Touch::Tensor {
            rank: agent.rank,
            lanes: u128::MAX,
            column: first,
            columns,
            write: true,
        };
        self.touch_all(&[touch], &thread, entry)
    }

    fn conflict(
        &self,
        access: &Access<'_>,
        missing: Missing,
        earlier: &Entry,
        owner: u32,
        address: u64,
    ) -> FaultKind {
        let space = match access.place {
            Place::Shared => "shared",
            Place::Tensor => "tensor",
            Place::Global | Place::Map => "global",
        };
        let conflict = Box::new(Conflict {
            space,
            address,
            owner,
            operation: access.entry.operation.name(),
            other_operation: earlier.operation.name(),
            other: self.gang.borrow().site(earlier),
        });
        let launch = self.gang.borrow().launch(earlier);
        if launch != self.launch {
            return FaultKind::LaunchDependency { conflict, launch };
        }
        match missing {
            Missing::Order => FaultKind::Race(conflict),
            Missing::ProxyFence => FaultKind::MissingProxyFence(conflict),
            Missing::TensorWait => FaultKind::MissingTensorWait(conflict),
            Missing::TensorFence => FaultKind::MissingTensorFence(conflict),
        }
    }
}

/// A digest of bytes that are stored, never 0 (FNV-1a).
pub(crate) fn digest(bytes: &[u8]) -> u32 {
    bytes
        .iter()
        .fold(0x811C_9DC5u32, |hash, byte| {
            (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
        })
        .max(1)
}

/// The granules of a byte range, with the bytes touched in each.
pub(crate) fn granules(start: u64, len: u64) -> impl Iterator<Item = (u64, u32)> {
    let size = u64::from(GRANULE);
    (start / size..(start + len).div_ceil(size)).map(move |granule| {
        let from = start.max(granule * size) - granule * size;
        let to = (start + len).min((granule + 1) * size) - granule * size;
        (granule, ((1u32 << to) - 1) & !((1u32 << from) - 1))
    })
}
