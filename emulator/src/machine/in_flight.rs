//! Registers that belong to asynchronous operations of their warp: the results of `tcgen05.ld` until `wait::ld`, the
//! accumulators and register operands of `wgmma` until `wait_group`.

use super::cluster::ClusterState;
use super::fault::{FaultKind, Site};
use super::grid::Grid;
use super::step::Step;
use super::warp::{Transfer, Warp};
use crate::isa::{Instruction, Operands, Role, Slot};

/// What an operation in flight keeps.
#[derive(Clone, Debug)]
pub(crate) struct InFlight {
    /// Its group, if it is a wgmma; a tcgen05.ld otherwise.
    pub group: Option<u32>,
    pub results: Vec<Slot>,
    pub operands: Vec<Slot>,
    /// A `wgmma.wait_group` has gone by that did not wait for it. PTX forbids to change its operands all the same. But
    /// Triton's pipelines do so, and ptxas gives the registers of A to other values then, so hardware must have read them.
    pub passed: bool,
    pub line: u32,
    pub lane: u32,
}

fn meet(a: &[Slot], b: &[Slot]) -> bool {
    a.iter().any(|slot| b.contains(slot))
}

impl Warp {
    /// Checks the registers of an instruction against the operations in flight. A load that is read has arrived: the
    /// machine respects true dependencies (PTX ISA, tcgen05 memory consistency, register dependencies).
    pub fn check_in_flight(
        &mut self,
        state: &ClusterState,
        registers: &Operands,
        role: Role,
    ) -> Result<(), FaultKind> {
        let reads =
            |slots: &[Slot]| meet(&registers.reads, slots) || meet(&registers.addresses, slots);
        let strict = state.check.strict;
        if !strict {
            self.in_flight
                .retain(|op| op.group.is_some() || !reads(&op.results));
        }
        let clash = |op: &&InFlight| match op.group {
            None => meet(&registers.writes, &op.results) || strict && reads(&op.results),
            Some(_) if role == Role::Warpgroup => false,
            Some(_) => {
                reads(&op.results)
                    || meet(&registers.writes, &op.results)
                    || (strict || !op.passed) && meet(&registers.writes, &op.operands)
            }
        };
        let Some(op) = self.in_flight.iter().find(clash) else {
            return Ok(());
        };
        let other = Site {
            line: op.line,
            cta: state.ctas[self.rank as usize].id,
            warp: self.index,
            lane: Some(op.lane),
        };
        Err(match op.group {
            None => FaultKind::RegisterInFlight(Box::new(other)),
            Some(_) => FaultKind::WarpgroupInFlight(Box::new(other)),
        })
    }

    /// The youngest wgmma group in flight whose results are among the registers.
    fn group_of(&self, registers: &[Slot]) -> Option<u32> {
        let kept = self
            .in_flight
            .iter()
            .filter(|op| meet(registers, &op.results));
        let groups = kept.filter_map(|op| op.group);
        groups.chain(self.warpgroup.group_of(registers)).max()
    }

    /// tcgen05.wait::ld.
    pub fn loads_arrived(&mut self) {
        self.in_flight.retain(|op| op.group.is_some());
    }

    /// wgmma.wait_group: the groups below `limit` are complete.
    pub fn groups_arrived(&mut self, limit: u32) {
        self.in_flight
            .retain(|op| op.group.is_none_or(|group| group >= limit));
    }
}

/// Loads whose results an instruction reads arrive before it, and so do the MMAs whose results a `mov` reads.
pub(super) fn deliver_for(
    warp: &mut Warp,
    state: &mut ClusterState,
    grid: &Grid<'_>,
    instruction: &Instruction,
    mask: u32,
) -> Result<(), FaultKind> {
    let registers = &instruction.operands;
    let needed = |t: &Transfer| {
        let reads = registers.reads.iter().chain(&registers.addresses);
        reads.clone().any(|slot| t.registers.contains(slot))
    };
    let group = match instruction.role {
        Role::Move if !state.check.strict => warp.group_of(&registers.reads),
        _ => None,
    };
    if group.is_none() && !warp.transfers.iter().any(needed) {
        return Ok(());
    }
    let all = std::mem::take(&mut warp.transfers);
    let (due, later): (Vec<Transfer>, Vec<Transfer>) = all.into_iter().partition(needed);
    warp.transfers = later;
    let mask = mask | warp.live;
    let mut step = Step {
        warp,
        state,
        grid,
        mask,
        line: instruction.line,
        resumed: false,
        timed_out: false,
        lane: None,
    };
    due.iter().try_for_each(|transfer| step.deliver(transfer))?;
    group.map_or(Ok(()), |group| step.finish_groups(group + 1))
}
