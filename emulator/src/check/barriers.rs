//! Barriers and fences: how knowledge passes from thread to thread.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::Check;
use super::clock::Stream;
use super::knowledge::{Knowledge, Semantics, Thread};
use super::shadow::{Access, Entry, Missing, Operation, Place};
use crate::machine::{AccessKind, Agent, FaultKind, SharedAddress};

/// What arrives at a barrier, and what those who pass it learn. Later generations include the earlier ones.
#[derive(Default)]
pub(crate) struct Meeting {
    arriving: Knowledge,
    done: Knowledge,
}

impl Meeting {
    fn complete(&mut self) {
        self.done.join(&self.arriving);
    }
}

/// An mbarrier's knowledge.
#[derive(Default)]
pub(crate) struct BarrierKnowledge {
    init: Option<Entry>,
    pub arriving: Knowledge,
    done: Knowledge,
    /// Copies up to this number have arrived, and these beyond it.
    arrived: u32,
    early: BTreeSet<u32>,
    /// Who has waited: for each warp its lanes and the time of the last of them.
    waited: Vec<(u32, u32, u32)>,
}

impl BarrierKnowledge {
    fn note_wait(&mut self, wait: &Entry, lanes: u32) {
        match self.waited.iter_mut().find(|w| w.0 == wait.warp) {
            Some((_, mask, time)) => (*mask, *time) = (*mask | lanes, wait.time.max(*time)),
            None => self.waited.push((wait.warp, lanes, wait.time)),
        }
    }

    pub fn copy_arrived(&mut self, stream: Stream, number: u32, thread: &Thread) {
        self.early.insert(number);
        while self.early.remove(&(self.arrived + 1)) {
            self.arrived += 1;
        }
        self.arriving.join(&thread.now);
        Rc::make_mut(&mut self.arriving.order).raise_stream(stream, self.arrived);
        Rc::make_mut(&mut self.arriving.seen).raise_stream(stream, self.arrived);
    }
}

/// What the arrival of a completion passes on: what its thread knew when it was issued, and the completion of a stream
/// or, for a commit, of its tensor-core operations.
/// tcgen05.commit implies fence::before_thread_sync.
pub(super) fn completion(thread: &Thread, completes: Option<(Stream, u32)>) -> Knowledge {
    let mut copy = thread.clone();
    match completes {
        Some((stream, number)) => copy.completed(stream, number),
        None => copy.committed(),
    }
    copy.tensor_before();
    copy.now
}

/// The fences and what they order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fence {
    Acquire,
    Release,
    Both,
    /// fence.proxy.async for shared memory, global memory, or all.
    Proxy {
        shared: bool,
        global: bool,
    },
    BarrierInit,
    /// fence.proxy.tensormap
    Map,
    TensorBefore,
    TensorAfter,
}

impl Check {
    pub fn fence(&mut self, rank: u32, warp: u32, mask: u32, fence: Fence) {
        if !self.on {
            return;
        }
        if matches!(fence, Fence::Both | Fence::Release | Fence::Proxy { .. }) {
            self.wait_for_reads(rank, warp, mask);
        }
        self.update(rank, warp, mask, |thread, actors| match fence {
            Fence::Acquire => thread.acquire_fence(),
            Fence::Release => thread.release_fence(actors),
            Fence::Both => {
                thread.acquire_fence();
                thread.release_fence(actors);
            }
            Fence::Proxy { shared, global } => {
                if shared {
                    thread.shared_proxy_fence(actors);
                }
                if global {
                    thread.global_proxy_fence(actors);
                }
            }
            Fence::BarrierInit => thread.barrier_fence(actors),
            Fence::Map => thread.map_fence(actors),
            Fence::TensorBefore => thread.tensor_before(),
            Fence::TensorAfter => thread.tensor_after(),
        });
        self.tick(rank, warp);
    }

    /// What the lanes pass on together.
    pub(super) fn release(
        &mut self,
        rank: u32,
        warp: u32,
        mask: u32,
        semantics: Semantics,
    ) -> Knowledge {
        self.note_ended(rank, warp, mask);
        let mut all = Knowledge::default();
        self.update(rank, warp, mask, |thread, actors| {
            all.join(&thread.release(actors, semantics))
        });
        self.tick(rank, warp);
        all
    }

    // ---- named barriers and the cluster barrier

    pub fn named_arrive(&mut self, rank: u32, warp: u32, mask: u32, id: u32) {
        if self.on {
            self.wait_for_reads(rank, warp, mask);
            let knowledge = self.release(rank, warp, mask, Semantics::Strong);
            self.named
                .entry((rank, id))
                .or_default()
                .arriving
                .join(&knowledge);
        }
    }

    pub fn named_completed(&mut self, rank: u32, id: u32) {
        if self.on {
            self.named.entry((rank, id)).or_default().complete();
        }
    }

    pub fn named_passed(&mut self, rank: u32, warp: u32, mask: u32, id: u32) {
        if self.on {
            let done = self.named.entry((rank, id)).or_default().done.clone();
            self.update(rank, warp, mask, |thread, _| {
                thread.acquire(&done, Semantics::Strong)
            });
            self.meet(rank, warp, mask);
        }
    }

    pub fn cluster_arrive(&mut self, rank: u32, warp: u32, mask: u32, semantics: Semantics) {
        if self.on {
            self.wait_for_reads(rank, warp, mask);
            let knowledge = self.release(rank, warp, mask, semantics);
            self.cluster_barrier.arriving.join(&knowledge);
        }
    }

    pub fn cluster_completed(&mut self) {
        self.cluster_barrier.complete();
    }

    pub fn cluster_passed(&mut self, rank: u32, warp: u32, mask: u32, semantics: Semantics) {
        if self.on {
            let done = self.cluster_barrier.done.clone();
            self.update(rank, warp, mask, |thread, _| {
                thread.acquire(&done, semantics)
            });
        }
    }

    // ---- mbarriers

    pub fn barrier_init(&mut self, agent: Agent, at: SharedAddress) -> Result<(), FaultKind> {
        if !self.on {
            return Ok(());
        }
        let entry = Entry {
            operation: Operation::BarrierInit,
            ..self.direct(agent, AccessKind::Store)
        };
        self.shared_entry(agent, at, 8, entry)?;
        // The stream of copies to this place goes on counting.
        let arrived = self.barriers.remove(&at).map_or(0, |b| b.arrived);
        self.barriers.insert(
            at,
            BarrierKnowledge {
                init: Some(entry),
                arrived,
                ..BarrierKnowledge::default()
            },
        );
        Ok(())
    }

    /// A thread arrives at a barrier, expects bytes there or waits: it must know that the barrier exists.
    pub fn barrier_use(&mut self, agent: Agent, at: SharedAddress) -> Result<(), FaultKind> {
        let Some(init) = self
            .barriers
            .get(&at)
            .and_then(|b| b.init)
            .filter(|_| self.on)
        else {
            return Ok(());
        };
        let entry = self.direct(agent, AccessKind::Atomic);
        let others = if entry.warp == init.warp {
            init.lanes & !entry.lanes
        } else {
            init.lanes
        };
        let thread = self.thread(agent.rank, agent.warp, agent.lane);
        let knows = |clock: &super::clock::Clock| clock.covers(init.warp, others, init.time);
        if knows(&thread.now.order) || knows(&thread.now.barriers) {
            return Ok(());
        }
        let access = Access {
            place: Place::Shared,
            thread,
            entry,
        };
        let fault = self.conflict(&access, Missing::Order, &init, at.rank, at.offset.into());
        Err(match fault {
            FaultKind::Race(conflict) if knows(&thread.now.seen) => {
                FaultKind::MissingMbarrierFence(conflict)
            }
            other => other,
        })
    }

    /// Whether a thread knows of every wait that has passed a barrier.
    pub fn knows_of_waits(&self, agent: Agent, at: SharedAddress) -> bool {
        let Some(barrier) = self.barriers.get(&at).filter(|_| self.on) else {
            return true;
        };
        let own = self.direct(agent, AccessKind::Load);
        let order = &self.thread(agent.rank, agent.warp, agent.lane).now.order;
        barrier.waited.iter().all(|(warp, lanes, time)| {
            let others = if *warp == own.warp {
                lanes & !own.lanes
            } else {
                *lanes
            };
            order.covers(*warp, others, *time)
        })
    }

    /// An asynchronous operation will signal a barrier: strictly, its initialisation must have been published by
    /// fence.mbarrier_init, even to the thread that initialised it.
    pub(super) fn barrier_signalled(
        &self,
        agent: Agent,
        at: SharedAddress,
    ) -> Result<(), FaultKind> {
        let thread = self.thread(agent.rank, agent.warp, agent.lane);
        let Some(init) = self
            .barriers
            .get(&at)
            .and_then(|b| b.init)
            .filter(|_| thread.strict)
        else {
            return Ok(());
        };
        if thread.now.barriers.covers(init.warp, init.lanes, init.time) {
            return Ok(());
        }
        let access = Access {
            place: Place::Shared,
            thread,
            entry: self.direct(agent, AccessKind::AsyncStore),
        };
        match self.conflict(&access, Missing::Order, &init, at.rank, at.offset.into()) {
            FaultKind::Race(conflict) => Err(FaultKind::MissingMbarrierFence(conflict)),
            other => Err(other),
        }
    }

    pub fn barrier_arrive(&mut self, agent: Agent, at: SharedAddress, semantics: Semantics) {
        if self.on {
            let knowledge = self.release(agent.rank, agent.warp, 1 << agent.lane, semantics);
            self.barriers
                .entry(at)
                .or_default()
                .arriving
                .join(&knowledge);
        }
    }

    /// A phase has completed: waiters learn what has arrived.
    pub fn barrier_completed(&mut self, at: SharedAddress) {
        if let Some(barrier) = self.barriers.get_mut(&at) {
            barrier.done.join(&barrier.arriving);
        }
    }

    /// Lanes have seen a phase complete.
    pub fn barrier_passed(
        &mut self,
        rank: u32,
        warp: u32,
        mask: u32,
        at: SharedAddress,
        semantics: Semantics,
    ) {
        if !self.on {
            return;
        }
        let agent = Agent {
            rank,
            warp,
            lane: mask.trailing_zeros() & 31,
            line: 0,
        };
        let wait = self.direct(agent, AccessKind::Load);
        if let Some(barrier) = self.barriers.get_mut(&at) {
            barrier.note_wait(&wait, mask);
            let done = barrier.done.clone();
            self.update(rank, warp, mask, |thread, _| {
                thread.acquire(&done, semantics)
            });
        }
    }
}
