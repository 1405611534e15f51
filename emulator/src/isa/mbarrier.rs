//! `mbarrier` (PTX ISA, 9.7.13.15; brief, 4.1).

use super::form::{Addr, Dst, Form};
use super::memory::{scope, semantics};
use super::types::Ty;
use super::{Execute, Op, Src, lanes};
use crate::check::Semantics;
use crate::error::LoadError;
use crate::machine::{FaultKind, Flow, SharedAddress, Space, Step, Wait, token_pending};

type Decoded = Result<Op, LoadError>;

pub(super) fn decode(f: &mut Form<'_>) -> Decoded {
    let actions = [
        ("init", Action::Init),
        ("inval", Action::Invalidate),
        ("arrive", Action::Arrive),
        ("arrive_drop", Action::ArriveDrop),
        ("expect_tx", Action::ExpectTx),
        ("complete_tx", Action::CompleteTx),
    ];
    if f.take("try_wait") || f.take("test_wait") {
        return wait(f);
    }
    if f.take("pending_count") {
        f.ty()?;
        let (d, a) = (f.dst(0)?, f.src(1, Ty::B64)?);
        return Ok(lanes::map1(d, a, |a: u64| token_pending(a)));
    }
    let mut action = f.require("an operation that is implemented", &actions)?;
    let (mut expect, mut incomplete) = (false, false);
    if matches!(action, Action::Arrive | Action::ArriveDrop) {
        expect = f.take("expect_tx");
        incomplete = f.take("noComplete");
    }
    let semantics = semantics(f);
    scope(f);
    let space = space(f);
    f.ty()?;
    if matches!(action, Action::Arrive | Action::ArriveDrop) {
        return arrive(f, action, (expect, incomplete), space, semantics);
    }
    let addr = f.addr(0)?;
    let count = match action {
        Action::Invalidate => Src::Imm(0),
        _ => f.src(1, Ty::B32)?,
    };
    if action == Action::Init && space == Space::SharedCluster {
        action = Action::Init;
    }
    Ok(Box::new(Operate {
        action,
        addr,
        space,
        count,
        expect: None,
        d: None,
        semantics,
        incomplete: false,
    }))
}

#[derive(Clone, Copy, PartialEq)]
enum Action {
    Init,
    Invalidate,
    Arrive,
    ArriveDrop,
    ExpectTx,
    CompleteTx,
}

fn space(f: &mut Form<'_>) -> Space {
    let spaces = [
        ("shared", Space::Shared),
        ("shared::cta", Space::Shared),
        ("shared::cluster", Space::SharedCluster),
    ];
    f.choose(&spaces).unwrap_or(Space::Generic)
}

struct Operate {
    action: Action,
    addr: Addr,
    space: Space,
    /// Arrivals, or bytes.
    count: Src,
    /// Bytes of `.expect_tx`.
    expect: Option<Src>,
    d: Option<Dst>,
    semantics: Semantics,
    /// `.noComplete`: the phase must not complete by this.
    incomplete: bool,
}

fn arrive(
    f: &mut Form<'_>,
    action: Action,
    (expect, incomplete): (bool, bool),
    space: Space,
    semantics: Semantics,
) -> Decoded {
    let (d, first) = if f.is_address(0) {
        (None, 0)
    } else {
        let sink = f.is_sink(0);
        let d = f.dst(0)?;
        ((!sink).then_some(d), 1)
    };
    let addr = f.addr(first)?;
    let extra = if f.count() > first + 1 {
        Some(f.src(first + 1, Ty::B32)?)
    } else {
        None
    };
    if expect && extra.is_none() {
        return Err(f.invalid("needs the number of bytes"));
    }
    if incomplete && (extra.is_none() || expect) {
        return Err(f.invalid("needs the number of arrivals"));
    }
    let (count, expect) = if expect {
        (Src::Imm(1), extra)
    } else {
        (extra.unwrap_or(Src::Imm(1)), None)
    };
    Ok(Box::new(Operate {
        action,
        addr,
        space,
        count,
        expect,
        d,
        semantics,
        incomplete,
    }))
}

impl Execute for Operate {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        let (addresses, counts) = (step.addresses(self.addr), step.get(self.count));
        let bytes = self.expect.map(|e| step.get(e));
        let mut tokens = [0; 32];
        for lane in step.lanes() {
            let at = step.shared_address(lane, self.space, addresses[lane])?;
            let count = counts[lane] as u32;
            tokens[lane] = self.one(step, lane, at, count, bytes.map(|b| b[lane] as u32))?;
        }
        if let Some(d) = self.d {
            step.set(d.slot, &tokens);
        }
        Ok(Flow::Next)
    }
}

impl Operate {
    fn one(
        &self,
        step: &mut Step<'_>,
        lane: usize,
        at: SharedAddress,
        count: u32,
        bytes: Option<u32>,
    ) -> Result<u64, FaultKind> {
        let agent = step.agent(lane);
        let state = &mut *step.state;
        if self.action != Action::Init {
            state.check.barrier_use(agent, at)?;
        }
        match self.action {
            Action::Init => state.barrier_init(agent, at, count).map(|()| 0),
            Action::Invalidate => state.barrier_invalidate(agent, at).map(|()| 0),
            Action::ExpectTx => state
                .barrier_expect(agent, at, i64::from(count))
                .map(|()| 0),
            Action::CompleteTx => state
                .barrier_expect(agent, at, -i64::from(count))
                .map(|()| 0),
            Action::Arrive | Action::ArriveDrop => {
                if let Some(bytes) = bytes {
                    state.barrier_expect_quietly(agent, at, i64::from(bytes))?;
                }
                if self.incomplete {
                    state.barrier_stays_incomplete(at, count)?;
                }
                state.check.barrier_arrive(agent, at, self.semantics);
                state.barrier_arrive(at, count, self.action == Action::ArriveDrop)
            }
        }
    }
}

/// `try_wait` and `test_wait`. Waiting threads are suspended until the phase completes; where nothing else can
/// happen they are told "not yet", as a device does after its time limit.
struct WaitPhase {
    p: Dst,
    addr: Addr,
    space: Space,
    phase: Src,
    parity: bool,
    semantics: Semantics,
}

fn wait(f: &mut Form<'_>) -> Decoded {
    let parity = f.take("parity");
    let semantics = semantics(f);
    scope(f);
    let space = space(f);
    f.ty()?;
    let (p, addr, phase) = (
        f.dst(0)?,
        f.addr(1)?,
        f.src(2, if parity { Ty::B32 } else { Ty::B64 })?,
    );
    if f.count() > 3 {
        f.src(3, Ty::B32)?;
    }
    Ok(Box::new(WaitPhase {
        p,
        addr,
        space,
        phase,
        parity,
        semantics,
    }))
}

impl Execute for WaitPhase {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        let (addresses, phases) = (step.addresses(self.addr), step.get(self.phase));
        let mut complete = [0u64; 32];
        let mut waits: Vec<(SharedAddress, u64)> = Vec::new();
        let mut passed: Vec<(SharedAddress, u32)> = Vec::new();
        for lane in step.lanes() {
            let at = step.shared_address(lane, self.space, addresses[lane])?;
            let agent = step.agent(lane);
            step.state.check.barrier_use(agent, at)?;
            let awaited = step
                .state
                .barrier_phase(agent, at, phases[lane], self.parity)?;
            complete[lane] = u64::from(step.state.phase_complete(at, awaited));
            if complete[lane] != 0 {
                step.state.barrier_seen(at, awaited);
                match passed.iter_mut().find(|(barrier, _)| *barrier == at) {
                    Some((_, lanes)) => *lanes |= 1 << lane,
                    None => passed.push((at, 1 << lane)),
                }
            } else if !waits.contains(&(at, awaited)) {
                waits.push((at, awaited));
            }
        }
        let any = step.lanes().any(|lane| complete[lane] != 0);
        if any || step.timed_out {
            let (rank, warp) = (step.warp.rank, step.warp.index);
            for (at, lanes) in passed {
                step.state
                    .check
                    .barrier_passed(rank, warp, lanes, at, self.semantics);
            }
            step.set(self.p.slot, &complete);
            return Ok(Flow::Next);
        }
        Ok(Flow::Wait(Wait::Phase(waits)))
    }
}
