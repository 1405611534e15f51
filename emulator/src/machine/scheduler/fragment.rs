//! One instruction of one fragment of a warp, and what comes after it.

use super::{Ran, site};
use crate::isa::{Collective, Role, Src};
use crate::machine::cluster::ClusterState;
use crate::machine::fault::{Fault, FaultKind, Site};
use crate::machine::grid::Grid;
use crate::machine::in_flight::deliver_for;
use crate::machine::step::{Flow, Step};
use crate::machine::warp::{Fragment, Wait, Warp};
use crate::machine::work::Work;

/// Executes one instruction of a fragment, or finds that it must wait.
pub(super) fn run_fragment(
    warp: &mut Warp,
    state: &mut ClusterState,
    grid: &Grid<'_>,
    index: usize,
) -> Result<Ran, Fault> {
    let Fragment { pc, mask, .. } = warp.fragments[index];
    let instruction = &grid.code.instructions[pc as usize];
    let guarded = instruction
        .guard
        .map_or(mask, |(slot, value)| mask & warp.predicate(slot, value));
    state.counts.instructions += 1;
    if let Some((slot, _)) = instruction.guard.filter(|_| state.check.on) {
        let here = || site(warp, state, grid, pc, None);
        warp.defined
            .guard(slot, mask, &here)
            .map_err(|kind| Fault { kind, site: here() })?;
    }
    if guarded == 0 {
        warp.fragments[index].pc = pc + 1;
        return Ok(Ran::Instruction);
    }
    let fragment = &mut warp.fragments[index];
    let resumed = matches!(
        fragment.wait,
        Some(Wait::Barrier { .. } | Wait::Cluster { .. })
    );
    let timed_out = std::mem::take(&mut fragment.timed_out);
    fragment.wait = None;
    let collective = instruction.op.collective();
    if !matches!(collective, Collective::None) && !resumed {
        match convergence(warp, grid, collective, mask, guarded) {
            Ok(true) => {}
            Ok(false) => {
                let need = needed(warp, grid, collective, guarded);
                warp.fragments[index].wait = Some(Wait::Converge { need });
                return Ok(Ran::Blocked);
            }
            Err(kind) => {
                return Err(Fault {
                    kind,
                    site: site(warp, state, grid, pc, None),
                });
            }
        }
    }
    if !warp.transfers.is_empty() || !warp.in_flight.is_empty() || warp.warpgroup.is_busy() {
        let registers = &instruction.operands;
        let ready = deliver_for(warp, state, grid, instruction, guarded);
        let checked = ready.and_then(|()| warp.check_in_flight(state, registers, instruction.role));
        checked.map_err(|kind| Fault {
            kind,
            site: site(warp, state, grid, pc, None),
        })?;
    }
    let (rank, number) = (warp.rank, warp.index);
    let undefined = if state.check.on {
        let registers = &instruction.operands;
        state.check.uses(rank, number, registers);
        state
            .check
            .uses_loads(rank, number, registers, instruction.role);
        let here = || site(warp, state, grid, pc, None);
        let equal = |src, value| match src {
            Src::Reg(slot) => {
                let register = &warp.registers[slot as usize];
                (0..32).fold(0, |lanes, l| lanes | u32::from(register[l] == value) << l)
            }
            Src::Imm(constant) if constant == value => u32::MAX,
            _ => 0,
        };
        let taken = warp.defined.before(
            &instruction.operands,
            &instruction.taint,
            guarded,
            &here,
            equal,
        );
        taken.map_err(|kind| Fault { kind, site: here() })?
    } else {
        Default::default()
    };
    let line = instruction.line;
    let mut step = Step {
        warp,
        state,
        grid,
        mask: guarded,
        line,
        resumed,
        timed_out,
        lane: None,
    };
    let flow = instruction.op.execute(&mut step);
    let lane = step.lane;
    let flow = flow.map_err(|kind| {
        let here = site(warp, state, grid, pc, lane);
        Fault {
            kind,
            site: state.blame.take().unwrap_or(here),
        }
    })?;
    if state.check.on {
        state.check.executed(rank, number, &instruction.operands);
        warp.defined.after(
            &instruction.operands,
            &instruction.taint,
            guarded,
            undefined,
        );
        if grid.code.uses_warpgroups && instruction.role != Role::Warpgroup {
            let registers = &instruction.operands;
            match instruction.role {
                Role::Move if !state.check.strict => warp.warpgroup.note_moves(registers, line),
                _ => warp.warpgroup.note_writes(&registers.writes, line),
            }
        }
    }
    follow(warp, state, index, guarded, flow).map_err(|kind| {
        let here = site(warp, state, grid, pc, None);
        Fault {
            kind,
            site: state.blame.take().unwrap_or(here),
        }
    })
}

/// The lanes that a collective instruction needs.
fn needed(warp: &Warp, grid: &Grid<'_>, collective: Collective, guarded: u32) -> u32 {
    match collective {
        Collective::None => 0,
        Collective::Warp => warp.live,
        Collective::Members(src) => {
            let masks = warp.fetch(src, warp.rank << 24, grid.dynamic_base, grid.globals);
            masks[guarded.trailing_zeros() as usize & 31] as u32 & warp.live
        }
    }
}

/// True if all lanes that a collective needs are here, false if they may still come.
fn convergence(
    warp: &Warp,
    grid: &Grid<'_>,
    collective: Collective,
    mask: u32,
    guarded: u32,
) -> Result<bool, FaultKind> {
    let need = needed(warp, grid, collective, guarded);
    if let Collective::Members(src) = collective {
        let masks = warp.fetch(src, warp.rank << 24, grid.dynamic_base, grid.globals);
        let lanes = || (0..32usize).filter(|lane| guarded >> lane & 1 != 0);
        let first = guarded.trailing_zeros() as usize & 31;
        if let Some(lane) = lanes().find(|&lane| masks[lane] as u32 >> lane & 1 == 0) {
            return Err(FaultKind::Divergence(format!(
                "lane {lane} is not in its own member mask {:#010x}",
                masks[lane]
            )));
        }
        if lanes().any(|lane| masks[lane] != masks[first]) {
            return Err(FaultKind::Unsupported(
                "lanes with different member masks at one instruction".into(),
            ));
        }
    }
    if need & !guarded == 0 {
        return Ok(true);
    }
    if need & mask & !guarded != 0 {
        let what = format!(
            "lanes {:#010x} are needed, the guard lets only {guarded:#010x} execute it",
            need
        );
        return Err(FaultKind::Divergence(what));
    }
    Ok(false)
}

/// Moves the fragment on. `executed` are the lanes whose guard held; the others just pass.
fn follow(
    warp: &mut Warp,
    state: &mut ClusterState,
    index: usize,
    executed: u32,
    flow: Flow,
) -> Result<Ran, FaultKind> {
    let Fragment { pc, mask, .. } = warp.fragments[index];
    let passed = mask & !executed;
    match flow {
        Flow::Next | Flow::Yield => {
            warp.fragments[index].pc = pc + 1;
            return Ok(if flow == Flow::Next {
                Ran::Instruction
            } else {
                Ran::Yielded
            });
        }
        Flow::Jump(target) => {
            warp.fragments[index] = fragment(target, executed, None);
            // A loop that spins on memory, not on a barrier, must let the others run now and then: the quantum does that.
            split_off(warp, pc + 1, passed);
        }
        Flow::Scatter(jumps) => {
            warp.fragments.remove(index);
            warp.fragments.extend(
                jumps
                    .into_iter()
                    .map(|(target, lanes)| fragment(target, lanes, None)),
            );
            split_off(warp, pc + 1, passed);
        }
        Flow::Exit => {
            warp.fragments.remove(index);
            split_off(warp, pc + 1, passed);
            exit(warp, state, executed)?;
        }
        Flow::Wait(wait) => {
            warp.fragments[index] = fragment(pc, executed, Some(wait));
            split_off(warp, pc + 1, passed);
            return Ok(Ran::Instruction);
        }
    }
    Ok(Ran::Instruction)
}

pub(super) fn fragment(pc: u32, mask: u32, wait: Option<Wait>) -> Fragment {
    Fragment {
        pc,
        mask,
        wait,
        timed_out: false,
    }
}

fn split_off(warp: &mut Warp, pc: u32, lanes: u32) {
    if lanes != 0 {
        warp.fragments.push(fragment(pc, lanes, None));
    }
}

/// Threads exit: barriers stop counting them, and a CTA must not leave anything in flight.
fn exit(warp: &mut Warp, state: &mut ClusterState, lanes: u32) -> Result<(), FaultKind> {
    warp.live &= !lanes;
    state.live_threads -= lanes.count_ones();
    let waiting = warp.cluster_arrived & lanes;
    if warp.cluster_generation == state.cluster_barrier.generation {
        state.cluster_barrier.arrived -= waiting.count_ones();
    }
    warp.cluster_arrived &= !lanes;
    state.check_cluster_barrier();
    state.progress += 1;
    if warp.live == 0 {
        let group = warp.index as usize / 4;
        state.ctas[warp.rank as usize].warpgroups[group]
            .iter_mut()
            .for_each(|log| log.leave(warp.index));
        state.warp_exited(warp.rank);
        if state.ctas[warp.rank as usize].live_warps == 0 {
            leave_together(state, warp.rank)?;
            return leave_nothing(state, warp.rank);
        }
    }
    Ok(())
}

/// What one warp of a warpgroup has executed, all must have.
fn leave_together(state: &mut ClusterState, rank: u32) -> Result<(), FaultKind> {
    let cta = &state.ctas[rank as usize];
    let warps = cta.warps;
    let logs = cta.warpgroups.iter().enumerate();
    for (index, log) in logs.flat_map(|(i, logs)| logs.iter().map(move |log| (i, log))) {
        let first = index as u32 * 4;
        let Some((member, line)) = log.unfinished(warps - first) else {
            continue;
        };
        state.blame = Some(Site {
            line,
            cta: cta.id,
            warp: first + member,
            lane: None,
        });
        return Err(FaultKind::Divergence(
            "not all warps of the warpgroup execute this instruction".into(),
        ));
    }
    Ok(())
}

/// Operations still in flight when their CTA is gone would touch memory that another CTA may own by then. A commit with
/// nothing before it is only an arrival that nobody needs: kernels that release their last stages leave such.
fn leave_nothing(state: &mut ClusterState, rank: u32) -> Result<(), FaultKind> {
    state.queue.retain(|op| {
        op.agent.rank != rank || !matches!(op.work, Work::Commit { .. } | Work::SmallArrive { .. })
    });
    match state.queue.iter().find(|op| op.agent.rank == rank) {
        None => state.check.leave_nothing(rank),
        Some(op) => {
            let site = state.site(op.agent);
            Err(FaultKind::InFlight(format!(
                "{} issued at {site}",
                op.work.name()
            )))
        }
    }
}
