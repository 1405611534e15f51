//! Asynchronous operations: in which stream each one counts, and what it passes on when it is complete.

use std::collections::HashMap;
use std::rc::Rc;

use super::clock::{Clock, Stream};
use super::footprint::{
    Touch, copy_footprint, multiply_footprint, tensor_copy_footprint, transfer_footprint,
};
use super::knowledge::Thread;
use super::shadow::{Entry, Operation};
use super::{Check, barriers};
use crate::engine::tensor_memory::Access;
use crate::machine::{AccessKind, Agent, FaultKind, GlobalMemory, SharedAddress, Work};

/// What operations complete together, or in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    /// MMA, cp and shift of a thread: complete for who has observed a commit.
    TensorCore(u32),
    /// tcgen05.ld of a warp, until wait::ld.
    Load(u32),
    /// tcgen05.st of a warp, until wait::st.
    Store(u32),
    /// Bulk groups of a thread: their sources are read.
    BulkRead(u32),
    /// Bulk groups of a thread: their destinations are written.
    BulkWrite(u32),
    /// cp.async groups of a thread.
    Small(u32),
    /// Copies that complete on an mbarrier, in the order of their issue.
    Barrier(SharedAddress),
    /// wgmma groups of a warp.
    Warpgroup(u32),
    /// Commits of a thread, in order.
    Commits(u32),
    /// Allocations of tensor memory by a CTA together with its peer.
    Allocations(u32),
}

/// What an operation in flight has to remember.
#[derive(Debug)]
pub(crate) struct Ticket {
    /// What its thread knew.
    pub thread: Rc<Thread>,
    /// The barriers it will signal, with its number in the stream of each.
    pub signals: Vec<(SharedAddress, u32)>,
    /// The groups of cp.async that are complete when it happens.
    pub completes: Option<(Stream, u32)>,
    /// Its place among the commits of its thread.
    arrival: Option<(Stream, u32)>,
    /// Its place among the tensor-core operations of its thread.
    tensor: Option<(Stream, u32)>,
}

impl Ticket {
    /// True if tcgen05.fence orders this tensor-core operation behind one of another thread.
    pub fn follows(&self, earlier: &Ticket) -> bool {
        earlier
            .tensor
            .is_some_and(|(stream, number)| self.thread.tensor_after.stream(stream + 1) >= number)
    }
}

impl Check {
    pub(super) fn stream(&self, key: Key) -> Stream {
        self.gang.borrow_mut().stream(self.cluster, key)
    }

    /// The next number of a stream.
    fn next(&self, stream: Stream) -> u32 {
        self.gang.borrow_mut().next(stream)
    }

    pub(super) fn last(&self, stream: Stream) -> u32 {
        self.gang.borrow().last(stream)
    }

    /// A thread issues an operation: it is checked, recorded, and gets its ticket.
    pub fn issue(
        &mut self,
        agent: Agent,
        work: &Work,
        group: u32,
        memory: &GlobalMemory,
    ) -> Result<Option<Ticket>, FaultKind> {
        if !self.on {
            return Ok(None);
        }
        let actors = self.actors(agent.rank, agent.warp, 1 << agent.lane);
        let thread = Rc::new(
            self.thread(agent.rank, agent.warp, agent.lane)
                .snapshot(actors),
        );
        self.tick(agent.rank, agent.warp);
        for at in work.signals() {
            self.peer(agent, at.rank)?;
            self.barrier_signalled(agent, at)?;
        }
        let mut ticket = Ticket {
            thread,
            signals: Vec::new(),
            completes: None,
            arrival: None,
            tensor: None,
        };
        match work {
            Work::TensorLoad { .. }
            | Work::BulkLoad { .. }
            | Work::BulkShared { .. }
            | Work::Cancel { .. }
            | Work::Deposit(_) => self.issue_load(agent, work, &mut ticket, memory)?,
            Work::TensorStore { .. } | Work::BulkStore { .. } => {
                self.issue_store(agent, work, group, &ticket, memory)?
            }
            Work::Small { .. } => {
                let stream = self.stream(Key::Small(agent.thread()));
                let entry = self.operation(agent, Operation::Copy(work.name()), stream, group + 1);
                let entry = Entry {
                    asynchronous: false,
                    value: self.stored_alike(agent, &entry, work),
                    ..entry
                };
                self.touch_all(&copy_footprint(work), &ticket.thread, entry)?;
                self.global_operation(&ticket.thread, entry, work, memory)?;
            }
            Work::SmallArrive { .. } => {
                ticket.completes = Some((self.stream(Key::Small(agent.thread())), group + 1));
            }
            Work::Multiply(_) | Work::TensorCopy { .. } => {
                self.issue_tensor(agent, work, &mut ticket)?
            }
            Work::Commit { .. } => self.issue_commit(agent, work, &mut ticket),
        }
        Ok(Some(ticket))
    }

    pub(super) fn operation(
        &self,
        agent: Agent,
        operation: Operation,
        stream: Stream,
        time: u32,
    ) -> Entry {
        let direct = self.direct(agent, AccessKind::AsyncLoad);
        Entry {
            operation,
            asynchronous: true,
            stream,
            time,
            ..direct
        }
    }

    /// Copies that signal barriers: each destination counts in the stream of its own barrier.
    fn issue_load(
        &mut self,
        agent: Agent,
        work: &Work,
        ticket: &mut Ticket,
        memory: &GlobalMemory,
    ) -> Result<(), FaultKind> {
        let touches = copy_footprint(work);
        let signals = work.signals();
        for (i, &barrier) in signals.iter().enumerate() {
            let stream = self.stream(Key::Barrier(barrier));
            let number = self.next(stream);
            let entry = Entry {
                // st.async and red.async write through the generic proxy.
                asynchronous: !matches!(work, Work::Deposit(_)),
                strong: work.reduces(),
                ..self.operation(agent, Operation::Copy(work.name()), stream, number)
            };
            // Destination by destination; what a copy inside shared memory reads comes with its only one.
            let own = |j: usize| j == i || i == 0 && j >= signals.len();
            let own: Vec<Touch> = (0..touches.len())
                .filter(|&j| own(j))
                .map(|j| touches[j])
                .collect();
            let thread = ticket.thread.clone();
            self.touch_all(&own, &thread, entry)?;
            self.outstanding(barrier.rank, entry);
            if i == 0 {
                self.global_operation(&thread, entry, work, memory)?;
            }
            ticket.signals.push((barrier, number));
        }
        Ok(())
    }

    /// A commit that arrives in other CTAs must have been seen there before they exit, or a later one of its thread.
    fn issue_commit(&mut self, agent: Agent, work: &Work, ticket: &mut Ticket) {
        let signals = work.signals();
        let stream = self.stream(Key::Commits(agent.thread()));
        let number = self.next(stream);
        ticket.arrival = Some((stream, number));
        let entry = self.operation(agent, Operation::Copy(work.name()), stream, number);
        for at in signals.iter().filter(|at| at.rank != agent.rank) {
            self.expected.insert((at.rank, stream), entry);
        }
    }

    fn issue_tensor(
        &mut self,
        agent: Agent,
        work: &Work,
        ticket: &mut Ticket,
    ) -> Result<(), FaultKind> {
        let stream = self.stream(Key::TensorCore(agent.thread()));
        let number = self.next(stream);
        ticket.tensor = Some((stream, number));
        let entry = self.operation(agent, Operation::TensorCore(work.name()), stream, number);
        let touches = match work {
            Work::Multiply(mma) => multiply_footprint(mma, agent.rank),
            other => tensor_copy_footprint(other, agent.rank),
        };
        self.touch_all(&touches, &ticket.thread, entry)?;
        self.update(agent.rank, agent.warp, 1 << agent.lane, |thread, _| {
            thread.issued_in_order(stream, number)
        });
        Ok(())
    }

    /// An operation must be known to be complete when this CTA exits.
    pub(super) fn outstanding(&mut self, rank: u32, entry: Entry) {
        self.outstanding.insert((rank, entry.stream), entry);
    }

    /// A CTA exits: somebody in the cluster must have waited for all that concerns it.
    pub fn leave_nothing(&mut self, rank: u32) -> Result<(), FaultKind> {
        if !self.on {
            return Ok(());
        }
        let mut known = Rc::new(Clock::default());
        for (_, thread) in self.warps.iter().flat_map(|w| &w.classes) {
            super::clock::join(&mut known, &thread.now.order);
        }
        let of_rank = |list: &HashMap<(u32, Stream), Entry>, known: &Clock| {
            let own = list.iter().filter(|((r, _), _)| *r == rank);
            let left = own.map(|(_, entry)| *entry);
            left.filter(|e| known.stream(e.stream) < e.time)
                .min_by_key(|e| (e.line, e.warp))
        };
        let left = of_rank(&self.outstanding, &known)
            .or_else(|| of_rank(&self.expected, &self.known_in(rank)));
        match left {
            None => Ok(()),
            Some(entry) => {
                let site = self.gang.borrow().site(&entry);
                let name = entry.operation.name();
                Err(FaultKind::InFlight(format!(
                    "{name} issued at {site}, whose completion nobody has waited for"
                )))
            }
        }
    }

    /// What the threads of a CTA know together.
    fn known_in(&self, rank: u32) -> Rc<Clock> {
        let mut known = Rc::new(Clock::default());
        let first = self.local(rank, 0);
        let warps = &self.warps[first..first + self.warps_per_cta as usize];
        for (_, thread) in warps.iter().flat_map(|w| &w.classes) {
            super::clock::join(&mut known, &thread.now.order);
        }
        known
    }

    /// Another CTA of the cluster is touched: something must have been heard of it.
    pub fn peer(&self, agent: Agent, rank: u32) -> Result<(), FaultKind> {
        if !self.on || rank == agent.rank {
            return Ok(());
        }
        let seen = &self.thread(agent.rank, agent.warp, agent.lane).now.seen;
        let first = self.local(rank, 0);
        let heard = |warp| seen.has_any(self.component(first + warp as usize));
        match (0..self.warps_per_cta).any(heard) {
            true => Ok(()),
            false => Err(FaultKind::PeerNotStarted(format!(
                "nothing was heard of CTA rank {rank} yet"
            ))),
        }
    }

    // ---- completions

    /// A copy has brought its bytes: the barrier hears of it.
    pub fn copy_arrived(&mut self, ticket: Option<&Ticket>, index: usize) {
        let Some((ticket, (at, number))) = ticket.and_then(|t| Some((t, *t.signals.get(index)?)))
        else {
            return;
        };
        let stream = self.stream(Key::Barrier(at));
        let barrier = self.barriers.entry(at).or_default();
        barrier.copy_arrived(stream, number, &ticket.thread);
    }

    /// A commit or a cp.async arrival signals a barrier.
    pub fn completion_arrived(&mut self, ticket: Option<&Ticket>, at: SharedAddress) {
        let Some(ticket) = ticket else {
            return;
        };
        let mut knowledge = barriers::completion(&ticket.thread, ticket.completes);
        if let Some((stream, number)) = ticket.arrival {
            Rc::make_mut(&mut knowledge.order).raise_stream(stream, number);
        }
        self.barriers
            .entry(at)
            .or_default()
            .arriving
            .join(&knowledge);
    }

    /// A thread has waited for all groups below `limit`.
    pub fn groups_completed(&mut self, agent: Agent, bulk: bool, limit: u32, read: bool) {
        if !self.on {
            return;
        }
        let thread = agent.thread();
        let streams = match (bulk, read) {
            (false, _) => vec![self.stream(Key::Small(thread))],
            (true, true) => vec![self.stream(Key::BulkRead(thread))],
            (true, false) => vec![
                self.stream(Key::BulkRead(thread)),
                self.stream(Key::BulkWrite(thread)),
            ],
        };
        self.update(agent.rank, agent.warp, 1 << agent.lane, |thread, _| {
            streams.iter().for_each(|s| thread.completed(*s, limit));
        });
    }

    // ---- tcgen05.ld and tcgen05.st

    /// A warp issues a transfer between registers and tensor memory.
    pub fn transfer(
        &mut self,
        agent: Agent,
        mask: u32,
        access: &Access,
        address: u32,
        store: bool,
    ) -> Result<(), FaultKind> {
        if !self.on {
            return Ok(());
        }
        let local = self.local(agent.rank, agent.warp) as u32;
        let (key, name) = if store {
            (Key::Store(local), "tcgen05.st")
        } else {
            (Key::Load(local), "tcgen05.ld")
        };
        let stream = self.stream(key);
        let number = self.next(stream);
        let entry = self.operation(agent, Operation::Transfer(name), stream, number);
        let thread = self.together(agent.rank, agent.warp, mask);
        self.touch_all(
            &transfer_footprint(access, address, agent.rank, store),
            &thread,
            entry,
        )?;
        self.update(agent.rank, agent.warp, mask, |thread, _| {
            thread.issued(stream, number)
        });
        Ok(())
    }

    /// tcgen05.wait::ld or ::st.
    pub fn transfers_completed(&mut self, rank: u32, warp: u32, mask: u32, store: bool) {
        if !self.on {
            return;
        }
        let local = self.local(rank, warp) as u32;
        let stream = self.stream(if store {
            Key::Store(local)
        } else {
            Key::Load(local)
        });
        let number = self.last(stream);
        if !store {
            self.forget_loads(rank, warp);
        }
        self.update(rank, warp, mask, |thread, _| {
            thread.completed(stream, number)
        });
    }
}
