//! Running clusters: whose turn it is, and what to do when nobody can run.

use std::cell::RefCell;
use std::rc::Rc;

use super::cluster::{ClusterState, Counts};
use super::fault::{Fault, FaultKind, Site};
use super::grid::Grid;
use super::in_flight::deliver_for;
use super::mbarrier::SharedAddress;
use super::schedule::Schedule;
use super::step::{Flow, Step};
use super::warp::{Fragment, Wait, Warp};
use crate::check::Gang;
use crate::isa::{Collective, Role, Src};

/// A cluster of CTAs that run together.
pub(super) struct Cluster {
    warps: Vec<Warp>,
    state: ClusterState,
    /// The progress count when waits were last told "not yet".
    timeout_progress: Option<u64>,
}

/// What a turn of a cluster came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Finished,
    Advanced,
    Stuck,
}

/// What one fragment did.
enum Ran {
    Instruction,
    Yielded,
    Blocked,
}

impl Cluster {
    pub fn new(grid: &Grid<'_>, schedule: Schedule, index: u64, gang: Rc<RefCell<Gang>>) -> Self {
        let ids = grid.cta_ids(index);
        let warps = (0..ids.len() as u32)
            .flat_map(|rank| grid.warps(&ids, rank, index))
            .collect();
        Cluster {
            warps,
            state: ClusterState::new(ids, grid, schedule, index, gang),
            timeout_progress: None,
        }
    }

    /// Whether every CTA has allowed dependent launches or has exited.
    pub fn has_triggered(&self) -> bool {
        (self.state.ctas.iter()).all(|cta| cta.triggered || cta.live_warps == 0)
    }

    pub fn counts(&self) -> Counts {
        self.state.counts
    }

    /// Lets every warp, or a random one, run for a while; if none can, lets something asynchronous happen.
    pub fn turn(&mut self, grid: &Grid<'_>) -> Result<Turn, Fault> {
        let advanced = match self.state.policy.schedule {
            Schedule::Random(_) => self.random_turn(grid)?,
            _ => self.round(grid)? || self.needed_operation(grid)?,
        };
        if self.state.counts.instructions > grid.instruction_limit {
            let site = self.warps[0].fragments.first().map_or(0, |f| f.pc);
            let site = self.site(grid, 0, site, None);
            return Err(Fault {
                kind: FaultKind::InstructionLimit(grid.instruction_limit),
                site,
            });
        }
        if self.warps.iter().all(|w| w.live == 0) {
            self.finish(grid)?;
            self.state.check.depart();
            return Ok(Turn::Finished);
        }
        Ok(if advanced {
            Turn::Advanced
        } else {
            Turn::Stuck
        })
    }

    fn round(&mut self, grid: &Grid<'_>) -> Result<bool, Fault> {
        let mut advanced = false;
        for warp in 0..self.warps.len() {
            advanced |= self.run_warp(grid, warp)?;
        }
        Ok(advanced)
    }

    fn random_turn(&mut self, grid: &Grid<'_>) -> Result<bool, Fault> {
        let asynchronous_first = self.state.policy.below(2) == 0;
        if asynchronous_first && self.random_operation(grid)? {
            return Ok(true);
        }
        let count = self.warps.len();
        let start = self.state.policy.below(count);
        for i in 0..count {
            if self.run_warp(grid, (start + i) % count)? {
                return Ok(true);
            }
        }
        self.random_operation(grid)
    }

    fn random_operation(&mut self, grid: &Grid<'_>) -> Result<bool, Fault> {
        let count = self.state.queue.len();
        if count == 0 {
            return Ok(false);
        }
        // The first that may happen from a random place on: to look at all would take long where copies are many.
        let start = self.state.policy.below(count);
        let chosen = (start..count)
            .chain(0..start)
            .find(|&i| self.state.eligible(i));
        let Some(chosen) = chosen else {
            return Ok(false);
        };
        self.state.run_queued(grid, chosen)?;
        Ok(true)
    }

    /// The lazy choice: what signals a barrier that somebody waits for; else the oldest.
    fn needed_operation(&mut self, grid: &Grid<'_>) -> Result<bool, Fault> {
        if self.state.queue.is_empty() || self.warps.iter().all(|w| w.live == 0) {
            return Ok(false);
        }
        let awaited: Vec<SharedAddress> = self
            .warps
            .iter()
            .flat_map(|w| &w.fragments)
            .filter_map(|f| match &f.wait {
                Some(Wait::Phase(phases)) => Some(phases.iter().map(|(at, _)| *at)),
                _ => None,
            })
            .flatten()
            .collect();
        let index = self.state.oldest_signalling(&awaited).unwrap_or(0);
        self.state.run_with_prerequisites(grid, index)?;
        Ok(true)
    }

    /// Runs one warp until it can do nothing or has used up its turn.
    fn run_warp(&mut self, grid: &Grid<'_>, index: usize) -> Result<bool, Fault> {
        let warp = &mut self.warps[index];
        if warp.live == 0 {
            return Ok(false);
        }
        let quantum = self.state.policy.quantum();
        let mut executed = 0;
        while executed < quantum && warp.live != 0 {
            let Some(fragment) = warp.pick(&self.state) else {
                break;
            };
            match run_fragment(warp, &mut self.state, grid, fragment)? {
                Ran::Instruction => executed += 1,
                Ran::Blocked => {}
                Ran::Yielded => {
                    executed += 1;
                    break;
                }
            }
            warp.merge();
        }
        // Lanes that spin must not keep their siblings from running.
        warp.rotation = if executed >= quantum {
            warp.rotation + 1
        } else {
            0
        };
        Ok(executed > 0)
    }

    /// Tells everybody who waits for an mbarrier "not yet". False if that was done before and nothing came of it.
    pub fn time_out(&mut self) -> bool {
        let fragments = self.warps.iter_mut().flat_map(|w| &mut w.fragments);
        let mut any = false;
        for fragment in fragments.filter(|f| matches!(f.wait, Some(Wait::Phase(_)))) {
            fragment.timed_out = true;
            any = true;
        }
        let again = self.timeout_progress == Some(self.state.progress);
        self.timeout_progress = Some(self.state.progress);
        any && !again
    }

    fn site(&self, grid: &Grid<'_>, warp: usize, pc: u32, lane: Option<u32>) -> Site {
        let warp = &self.warps[warp];
        site(warp, &self.state, grid, pc, lane)
    }

    /// All threads have exited: what must not be left behind?
    fn finish(&mut self, grid: &Grid<'_>) -> Result<(), Fault> {
        for cta in &self.state.ctas {
            if let Some((column, columns)) = cta.tensor.allocations().first() {
                let what = format!("{columns} columns from column {column} were never deallocated");
                let line = grid.code.instructions.last().map_or(0, |i| i.line);
                let site = Site {
                    line,
                    cta: cta.id,
                    warp: 0,
                    lane: None,
                };
                return Err(Fault {
                    kind: FaultKind::TensorMemoryLeak(what),
                    site,
                });
            }
        }
        Ok(())
    }

    /// Somebody waits for a barrier whose arrivals are complete, but not its bytes, and nothing will bring any.
    fn starved(&self, grid: &Grid<'_>) -> Option<Fault> {
        let waiting = self.warps.iter().enumerate();
        let fragments = waiting.flat_map(|(i, w)| w.fragments.iter().map(move |f| (i, f)));
        for (index, fragment) in fragments {
            let Some(Wait::Phase(phases)) = &fragment.wait else {
                continue;
            };
            for (at, _) in phases {
                let barrier = self.state.ctas[at.rank as usize].barriers.get(&at.offset)?;
                if barrier.pending == 0 && barrier.tx != 0 {
                    let site = self.site(grid, index, fragment.pc, None);
                    let kind = FaultKind::ExpectTx(format!("the mbarrier at {at} is {barrier}"));
                    return Some(Fault { kind, site });
                }
            }
        }
        None
    }

    /// The report of a deadlock: everybody who waits, and for what.
    ///
    /// It is divergence if some warp's fragments wait for nothing but each other. A collective whose missing lanes
    /// wait for a barrier is only a victim.
    pub fn deadlock(&self, grid: &Grid<'_>) -> Fault {
        let mut waiting = Vec::new();
        let mut first = None;
        let mut divergent = None;
        for (index, warp) in self.warps.iter().enumerate() {
            let waits_for_itself = |f: &Fragment| matches!(f.wait, Some(Wait::Converge { .. }));
            let diverged = warp.fragments.iter().all(waits_for_itself);
            for fragment in &warp.fragments {
                let site = self.site(grid, index, fragment.pc, None);
                let text = format!(
                    "{site}, lanes {:#010x}: {}",
                    fragment.mask,
                    describe(&self.state, warp, fragment)
                );
                if diverged && divergent.is_none() {
                    divergent = Some((site.clone(), text.clone()));
                }
                first.get_or_insert(site);
                waiting.push(text);
            }
        }
        let unknown = Site {
            line: 0,
            cta: [0; 3],
            warp: 0,
            lane: None,
        };
        if let Some(starved) = self.starved(grid) {
            return starved;
        }
        match divergent {
            Some((site, text)) => Fault {
                kind: FaultKind::Divergence(text),
                site,
            },
            None => Fault {
                kind: FaultKind::Deadlock(waiting),
                site: first.unwrap_or(unknown),
            },
        }
    }
}

fn site(warp: &Warp, state: &ClusterState, grid: &Grid<'_>, pc: u32, lane: Option<u32>) -> Site {
    let line = grid
        .code
        .instructions
        .get(pc as usize)
        .map_or(0, |i| i.line);
    Site {
        line,
        cta: state.ctas[warp.rank as usize].id,
        warp: warp.index,
        lane,
    }
}

fn describe(state: &ClusterState, warp: &Warp, fragment: &Fragment) -> String {
    match &fragment.wait {
        None => "can run".into(),
        Some(Wait::Phase(phases)) => {
            let one = |(at, phase): &(SharedAddress, u64)| {
                let barrier = state.ctas[at.rank as usize].barriers.get(&at.offset);
                let now = barrier.map_or("not initialised any more".into(), |b| b.to_string());
                format!("waits for phase {phase} of the mbarrier at {at}, which is {now}")
            };
            phases.iter().map(one).collect::<Vec<_>>().join("; ")
        }
        Some(Wait::Barrier { id, .. }) => {
            let cta = &state.ctas[warp.rank as usize];
            let barrier = &cta.named[*id as usize];
            let expected = barrier.threads.unwrap_or(cta.live_warps * 32);
            format!(
                "waits at barrier {id}, where {} of {expected} threads have arrived",
                barrier.arrived
            )
        }
        Some(Wait::Cluster { .. }) => {
            format!(
                "waits at the cluster barrier, where {} of {} threads have arrived",
                state.cluster_barrier.arrived, state.live_threads
            )
        }
        Some(Wait::Converge { need }) => {
            format!(
                "needs lanes {need:#010x} of its warp at this instruction, others are elsewhere"
            )
        }
        Some(Wait::Prerequisites) => "waits for the launch before this one to complete".into(),
        Some(Wait::Columns { columns }) => {
            format!("waits for {columns} free columns of tensor memory")
        }
    }
}

/// Executes one instruction of a fragment, or finds that it must wait.
fn run_fragment(
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
        state.check.uses(rank, number, &instruction.operands);
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
            warp.warpgroup
                .note_writes(&instruction.operands.writes, line);
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

fn fragment(pc: u32, mask: u32, wait: Option<Wait>) -> Fragment {
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
    use super::work::Work;
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
