//! Asynchronous operations in flight: in which order they may happen, and what is waited for.
//!
//! Ordering rules (brief, 2.6; PTX ISA, 9.7.16.6): among the `tcgen05` operations of one thread everything stays in
//! order, except that two MMAs on different accumulators may swap. `mma` before `cp` is not in the ISA's list of
//! pipelined pairs; it is treated as ordered because every production compiler overwrites scale columns that way.
//! A commit follows everything before it. Between threads it is `tcgen05.fence` that orders. Copies have no order among
//! each other.

use super::agent::Agent;
use super::cluster::ClusterState;
use super::fault::{Fault, FaultKind, Site};
use super::grid::Grid;
use super::mbarrier::SharedAddress;
use super::work::{AsyncOp, Work};

impl AsyncOp {
    /// True if `self` may only happen after `earlier`.
    fn follows(&self, earlier: &AsyncOp) -> bool {
        if self.agent.thread() != earlier.agent.thread() {
            let tickets = self.ticket.as_ref().zip(earlier.ticket.as_ref());
            return self.work.is_tensor_core() && tickets.is_some_and(|(a, b)| a.follows(b));
        }
        match (&self.work, &earlier.work) {
            (Work::Multiply(a), Work::Multiply(b)) => a.d == b.d || a.group != b.group,
            (Work::SmallArrive { .. }, Work::Small { .. }) => true,
            (a, b) => a.is_tensor_core() && b.is_tensor_core(),
        }
    }
}

impl ClusterState {
    /// True if nothing in flight has to come first.
    pub fn eligible(&self, index: usize) -> bool {
        let (earlier, rest) = self.queue.split_at(index);
        !earlier.iter().any(|e| rest[0].follows(e))
    }

    /// Executes the operation at `index` after everything that it must follow.
    pub fn run_with_prerequisites(&mut self, grid: &Grid<'_>, index: usize) -> Result<(), Fault> {
        let thread = |op: &AsyncOp| (op.agent, op.group);
        let last = thread(&self.queue[index]);
        let mut remaining = index + 1;
        loop {
            let target = remaining - 1;
            let Some(first) = (0..target).find(|&i| self.must_precede(i, target)) else {
                debug_assert_eq!(thread(&self.queue[target]), last);
                return self.run_queued(grid, target);
            };
            self.run_queued(grid, first)?;
            remaining -= 1;
        }
    }

    /// True if `first` comes before `target`, directly or through others.
    fn must_precede(&self, first: usize, target: usize) -> bool {
        self.queue[target].follows(&self.queue[first])
            || (first + 1..target).any(|middle| {
                self.queue[target].follows(&self.queue[middle])
                    && self.queue[middle].follows(&self.queue[first])
            })
    }

    /// Removes an operation from the queue and executes it.
    pub fn run_queued(&mut self, grid: &Grid<'_>, index: usize) -> Result<(), Fault> {
        let op = self.queue.remove(index);
        self.run(grid, &op)
    }

    /// The oldest operation that signals one of the barriers, if any.
    pub fn oldest_signalling(&self, barriers: &[SharedAddress]) -> Option<usize> {
        self.queue
            .iter()
            .position(|op| op.work.signals().iter().any(|b| barriers.contains(b)))
    }

    /// Where an agent stands, for a report.
    pub fn site(&self, agent: Agent) -> Site {
        let cta = self.ctas[agent.rank as usize].id;
        Site {
            line: agent.line,
            cta,
            warp: agent.warp,
            lane: Some(agent.lane),
        }
    }

    /// Executes an operation now.
    pub fn run(&mut self, grid: &Grid<'_>, op: &AsyncOp) -> Result<(), Fault> {
        self.progress += 1;
        self.perform(grid, op).map_err(|kind| {
            let site = self.site(op.agent);
            self.blame = Some(site.clone());
            Fault { kind, site }
        })
    }

    // ---- groups

    /// Closes the thread's current group.
    pub fn commit_group(&mut self, agent: Agent, bulk: bool) {
        *self.groups.entry((agent.thread(), bulk)).or_default() += 1;
    }

    /// The group that an operation issued now belongs to.
    pub fn current_group(&self, agent: Agent, work: &Work) -> u32 {
        let kind = work.group_kind().unwrap_or(false);
        self.groups
            .get(&(agent.thread(), kind))
            .copied()
            .unwrap_or(0)
    }

    /// Completes all groups of the thread but the `keep` youngest. `.read` waits only for the source to be read;
    /// here an operation reads and writes at one moment, so both mean the same.
    pub fn wait_group(
        &mut self,
        grid: &Grid<'_>,
        agent: Agent,
        bulk: bool,
        keep: u32,
        read: bool,
    ) -> Result<(), FaultKind> {
        let committed = self
            .groups
            .get(&(agent.thread(), bulk))
            .copied()
            .unwrap_or(0);
        self.complete_groups(grid, agent, bulk, committed.saturating_sub(keep), read)
    }

    /// Completes every `cp.async` of the thread, committed or not.
    pub fn wait_all(&mut self, grid: &Grid<'_>, agent: Agent) -> Result<(), FaultKind> {
        let open = self.groups.get(&(agent.thread(), false)).copied();
        self.complete_groups(grid, agent, false, open.unwrap_or(0) + 1, false)
    }

    /// Completes the thread's groups with numbers below `limit`.
    fn complete_groups(
        &mut self,
        grid: &Grid<'_>,
        agent: Agent,
        bulk: bool,
        limit: u32,
        read: bool,
    ) -> Result<(), FaultKind> {
        self.check.groups_completed(agent, bulk, limit, read);
        let due = |op: &AsyncOp| {
            op.agent.thread() == agent.thread()
                && op.work.group_kind() == Some(bulk)
                && op.group < limit
        };
        while let Some(index) = self.queue.iter().position(due) {
            self.run_queued(grid, index).map_err(|fault| fault.kind)?;
        }
        Ok(())
    }
}
