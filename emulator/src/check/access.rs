//! Accesses of threads, and the shadow of shared and tensor memory.

use super::{Check, Conflict, GRANULE, Touch, granules};
use crate::check::knowledge::Thread;
use crate::check::shadow::{Access, DIRECT, Entry, Granule, Missing, Operation, Place};
use crate::check::stream::Key;
use crate::engine::tensor_memory::COLUMNS;
use crate::machine::{AccessKind, Agent, FaultKind, SharedAddress};

impl Check {
    pub(super) fn direct(&self, agent: Agent, kind: AccessKind) -> Entry {
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
        self.has_read_shared |= kind == AccessKind::Load;
        let entry = Entry {
            value,
            ..self.direct(agent, kind)
        };
        self.shared_entry(agent, at, len, entry)
    }

    /// The same with all that is known of the access.
    pub(super) fn shared_entry(
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

    pub(super) fn touch_bytes(
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
    pub(super) fn touch_all(
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
    pub(super) fn touch_cells(
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
    /// CTA of a pair. `pair` numbers the allocations that both CTAs make together.
    pub fn tensor_allocated(
        &mut self,
        agent: Agent,
        mask: u32,
        columns: std::ops::Range<u32>,
        pair: Option<u32>,
    ) -> Result<(), FaultKind> {
        if !self.on {
            return Ok(());
        }
        let rank = agent.rank;
        let (first, columns) = (columns.start, columns.end - columns.start);
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
        let mut entry = self.direct(agent, AccessKind::Allocation);
        if let Some(number) = pair.filter(|_| !self.strict) {
            (entry.stream, entry.time) = (self.stream(Key::Allocations(rank)), number);
        }
        let touch = Touch::Tensor {
            rank,
            lanes: u128::MAX,
            column: first,
            columns,
            write: true,
        };
        self.touch_all(&[touch], &thread, entry)
    }

    /// An allocation by a pair is complete: its warps know that both CTAs have their columns. The ISA does not say so,
    /// and the strict checks want it heard from the peer.
    pub fn pair_allocated(&mut self, rank: u32, warp: u32, mask: u32, number: u32) {
        if !self.on || self.strict {
            return;
        }
        let streams = [rank, rank ^ 1].map(|rank| self.stream(Key::Allocations(rank)));
        self.update(rank, warp, mask, |thread, _| {
            streams.iter().for_each(|s| thread.completed(*s, number));
        });
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

    pub(super) fn conflict(
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
            Missing::ReadEnd => FaultKind::UnfinishedRead(conflict),
            Missing::TensorWait => FaultKind::MissingTensorWait(conflict),
            Missing::TensorFence => FaultKind::MissingTensorFence(conflict),
        }
    }
}
