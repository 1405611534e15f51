//! One instruction of one fragment: the view of the machine that an instruction gets.

mod memory;
mod transfer;

use super::agent::Agent;
use super::cluster::{ClusterState, Reduction};
use super::fault::FaultKind;
use super::grid::Grid;
use super::warp::{Wait, Warp};
use super::work::{AsyncOp, Work};
use crate::check::Semantics;
use crate::isa::{Addr, Slot, Src, truncate};

/// A state space of an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Space {
    Generic,
    Global,
    Shared,
    SharedCluster,
    Const,
    Local,
    Param,
}

/// What happens after an instruction.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Flow {
    Next,
    Jump(u32),
    /// Targets and the lanes that go there.
    Scatter(Vec<(u32, u32)>),
    Exit,
    /// Go on, but let others run first.
    Yield,
    /// Execute this instruction again when the wait is over.
    Wait(Wait),
}

/// The instruction's view of the machine.
pub(crate) struct Step<'a> {
    pub warp: &'a mut Warp,
    pub state: &'a mut ClusterState,
    pub grid: &'a Grid<'a>,
    /// Lanes that execute.
    pub mask: u32,
    pub line: u32,
    /// The instruction waited and is executed again because the wait is over.
    pub resumed: bool,
    /// The instruction waits for an mbarrier and nothing else can happen.
    pub timed_out: bool,
    /// The lane that is being served, for reports.
    pub lane: Option<u32>,
}

impl Step<'_> {
    /// The lanes that execute, in order.
    pub fn lanes(&self) -> impl Iterator<Item = usize> + use<> {
        let mask = self.mask;
        (0..32).filter(move |lane| mask >> lane & 1 != 0)
    }

    /// A source in all lanes.
    pub fn get(&self, src: Src) -> [u64; 32] {
        self.warp.fetch(
            src,
            self.warp.rank << 24,
            self.grid.dynamic_base,
            self.grid.globals,
        )
    }

    /// Writes a register in the lanes that execute.
    pub fn set(&mut self, slot: Slot, values: &[u64; 32]) {
        let register = &mut self.warp.registers[slot as usize];
        if self.mask == u32::MAX {
            *register = *values;
            return;
        }
        for lane in 0..32 {
            if self.mask >> lane & 1 != 0 {
                register[lane] = values[lane];
            }
        }
    }

    /// An address operand in all lanes.
    pub fn addresses(&self, addr: Addr) -> [u64; 32] {
        let bits = if addr.narrow { 32 } else { 64 };
        self.get(addr.base)
            .map(|base| truncate(base.wrapping_add(addr.offset as u64), bits))
    }

    /// A value that must be the same in all executing lanes.
    pub fn uniform(&self, src: Src, what: &str) -> Result<u64, FaultKind> {
        let values = self.get(src);
        let first = self.mask.trailing_zeros() as usize & 31;
        match self.lanes().find(|&lane| values[lane] != values[first]) {
            None => Ok(values[first]),
            Some(lane) => Err(FaultKind::operand(
                lane,
                format!(
                    "{what} {} differs from lane {first}'s {}",
                    values[lane], values[first]
                ),
            )),
        }
    }

    /// The thread in a lane.
    pub fn agent(&self, lane: usize) -> Agent {
        Agent {
            rank: self.warp.rank,
            warp: self.warp.index,
            lane: lane as u32,
            line: self.line,
        }
    }

    /// Starts an asynchronous operation of the thread in a lane.
    pub fn issue(&mut self, lane: usize, work: Work) -> Result<(), FaultKind> {
        self.lane = Some(lane as u32);
        work.check(self.state.check.strict)
            .map_err(|error| FaultKind::engine_on(error, self.grid.target))?;
        work.check_alignment()?;
        let agent = self.agent(lane);
        let group = self.state.current_group(agent, &work);
        let ticket = self
            .state
            .check
            .issue(agent, &work, group, self.grid.global)?;
        self.state.queue.push(AsyncOp {
            agent,
            group,
            ticket,
            work,
        });
        self.state.progress += 1;
        let last = self.state.queue.len() - 1;
        if self.state.policy.at_once() && self.state.eligible(last) {
            self.state
                .run_queued(self.grid, last)
                .map_err(|fault| fault.kind)?;
        }
        Ok(())
    }

    // ---- barriers

    /// Arrives at a named barrier with the executing lanes; returns the generation to wait out.
    pub fn arrive_at_barrier(
        &mut self,
        id: u32,
        threads: Option<u32>,
        votes: u32,
    ) -> Result<u64, FaultKind> {
        // A warp counts as 32 threads, whether or not it is full (PTX ISA, 9.7.13.1).
        let arriving = if self.mask == self.warp.live {
            32
        } else {
            self.mask.count_ones()
        };
        self.state
            .check
            .named_arrive(self.warp.rank, self.warp.index, self.mask, id);
        self.state
            .arrive_named(self.warp.rank, id, arriving, threads, votes)
    }

    pub fn barrier_passed(&self, id: u32, generation: u64) -> bool {
        self.state.ctas[self.warp.rank as usize].named[id as usize].generation > generation
    }

    pub fn barrier_result(&self, id: u32, reduction: Reduction) -> u64 {
        self.state.named_result(self.warp.rank, id, reduction)
    }

    pub fn arrive_at_cluster(&mut self, semantics: Semantics) -> Result<(), FaultKind> {
        if self.warp.cluster_arrived & self.mask != 0 {
            return Err(FaultKind::Barrier(
                "second arrival at the cluster barrier without a wait between".into(),
            ));
        }
        self.warp.cluster_arrived |= self.mask;
        self.warp.cluster_generation = self.state.cluster_barrier.generation;
        self.state.cluster_barrier.arrived += self.mask.count_ones();
        let (rank, warp) = (self.warp.rank, self.warp.index);
        self.state
            .check
            .cluster_arrive(rank, warp, self.mask, semantics);
        self.state.progress += 1;
        self.state.check_cluster_barrier();
        Ok(())
    }

    /// True if the cluster barrier that the lanes arrived at has completed.
    pub fn cluster_passed(&self) -> Result<bool, FaultKind> {
        if self.mask & !self.warp.cluster_arrived != 0 {
            return Err(FaultKind::Barrier(
                "wait at the cluster barrier without an arrival".into(),
            ));
        }
        Ok(self.state.cluster_barrier.generation > self.warp.cluster_generation)
    }

    pub fn leave_cluster_barrier(&mut self, semantics: Semantics) {
        let (rank, warp) = (self.warp.rank, self.warp.index);
        self.state
            .check
            .cluster_passed(rank, warp, self.mask, semantics);
        self.warp.cluster_arrived &= !self.mask;
    }
}
