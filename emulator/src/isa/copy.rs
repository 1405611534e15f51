//! Asynchronous copies: `cp.async`, `cp.async.bulk` and `cp.async.bulk.tensor` (PTX ISA, 9.7.9.25 and 9.7.9.27; brief, 3).

mod bulk;
mod prefetch;
mod tensor;

use super::form::{Addr, Form};
use super::memory::cache_hints;
use super::types::Ty;
use super::{Execute, Op, Src};
use crate::error::LoadError;
use crate::machine::{FaultKind, Flow, Space, Step, Work};
use bulk::{bulk_load, bulk_reduction, bulk_store};
use tensor::tensor;

type Decoded = Result<Op, LoadError>;

pub(super) fn decode(f: &mut Form<'_>) -> Decoded {
    let reduce = f.take("reduce");
    f.require("`.async`", &[("async", ())])?;
    if reduce {
        f.require("`.bulk`", &[("bulk", ())])?;
        return match f.take("tensor") {
            true => tensor(f, false, true),
            false => bulk_reduction(f),
        };
    }
    if f.take("bulk") {
        return bulk(f);
    }
    if f.take("commit_group") {
        return Ok(Box::new(Group {
            action: GroupAction::Commit,
            bulk: false,
        }));
    }
    if f.take("wait_all") {
        return Ok(Box::new(Group {
            action: GroupAction::WaitAll,
            bulk: false,
        }));
    }
    if f.take("wait_group") {
        let keep = f.immediate(0)? as u32;
        return Ok(Box::new(Group {
            action: GroupAction::Wait { keep, read: false },
            bulk: false,
        }));
    }
    if f.take("mbarrier") {
        return arrive(f);
    }
    small(f)
}

// ---- groups

#[derive(Clone, Copy)]
enum GroupAction {
    Commit,
    /// Everything, groups that are still open included.
    WaitAll,
    /// At most `keep` of the youngest groups may stay incomplete.
    Wait {
        keep: u32,
        read: bool,
    },
}

struct Group {
    action: GroupAction,
    bulk: bool,
}

impl Execute for Group {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        for lane in step.lanes() {
            let agent = step.agent(lane);
            match self.action {
                GroupAction::Commit => step.state.commit_group(agent, self.bulk),
                GroupAction::WaitAll => step.state.wait_all(step.grid, agent)?,
                GroupAction::Wait { keep, read } => step
                    .state
                    .wait_group(step.grid, agent, self.bulk, keep, read)?,
            }
        }
        Ok(Flow::Next)
    }
}

// ---- cp.async of 4, 8 or 16 bytes

struct Small {
    dst: Addr,
    src: Addr,
    size: u32,
    /// Bytes that are read; the rest becomes zero.
    valid: Src,
    /// Where this predicate holds nothing is read; with what it must be xored.
    ignore: (Src, bool),
}

impl Execute for Small {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        let (dst, src, valid, ignore) = (
            step.addresses(self.dst),
            step.addresses(self.src),
            step.get(self.valid),
            step.get(self.ignore.0),
        );
        for lane in step.lanes() {
            let to = step.shared_address(lane, Space::Shared, dst[lane])?;
            let valid = match (ignore[lane] & 1 != 0) != self.ignore.1 {
                true => 0,
                false => (valid[lane] as u32).min(self.size),
            };
            step.issue(
                lane,
                Work::Small {
                    dst: to,
                    src: src[lane],
                    size: self.size,
                    valid,
                },
            )?;
        }
        Ok(Flow::Next)
    }
}

fn small(f: &mut Form<'_>) -> Decoded {
    let bypass = f.require("`.ca` or `.cg`", &[("ca", false), ("cg", true)])?;
    f.require("`.shared`", &[("shared", ()), ("shared::cta", ())])?;
    f.require("`.global`", &[("global", ())])?;
    let policy = cache_hints(f);
    let (dst, src, size) = (f.addr(0)?, f.addr(1)?, f.immediate(2)? as u32);
    if !(size == 16 || !bypass && matches!(size, 4 | 8)) {
        return Err(f.invalid("copies 4, 8 or 16 bytes; `.cg` only 16"));
    }
    let operands = f.count().saturating_sub(usize::from(policy));
    let (mut valid, mut ignore) = (Src::Imm(size.into()), (Src::Imm(0), false));
    if operands > 3 && f.is_predicate(3) {
        ignore = f.pred(3)?;
    } else if operands > 3 {
        valid = f.src(3, Ty::B32)?;
    }
    if policy {
        f.src(operands, Ty::B64)?;
    }
    Ok(Box::new(Small {
        dst,
        src,
        size,
        valid,
        ignore,
    }))
}

struct Arrive {
    addr: Addr,
    space: Space,
    no_increment: bool,
}

impl Execute for Arrive {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        let addresses = step.addresses(self.addr);
        for lane in step.lanes() {
            let barrier = step.shared_address(lane, self.space, addresses[lane])?;
            let agent = step.agent(lane);
            if !self.no_increment {
                step.state.barrier_add_pending(agent, barrier)?;
            }
            step.issue(lane, Work::SmallArrive { barrier })?;
        }
        Ok(Flow::Next)
    }
}

/// `cp.async.mbarrier.arrive`: arrives when all earlier `cp.async` of the thread are complete.
fn arrive(f: &mut Form<'_>) -> Decoded {
    f.require("`.arrive`", &[("arrive", ())])?;
    let no_increment = f.take("noinc");
    let shared = f.choose(&[("shared", ()), ("shared::cta", ())]).is_some();
    f.ty()?;
    let space = if shared {
        Space::Shared
    } else {
        Space::Generic
    };
    Ok(Box::new(Arrive {
        addr: f.addr(0)?,
        space,
        no_increment,
    }))
}

// ---- bulk copies

#[derive(Clone, Copy, PartialEq)]
enum Place {
    Global,
    Cta,
    Cluster,
}

const PLACES: [(&str, Place); 4] = [
    ("global", Place::Global),
    ("shared::cta", Place::Cta),
    ("shared::cluster", Place::Cluster),
    ("shared", Place::Cta),
];

impl Place {
    fn space(self) -> Space {
        match self {
            Place::Global => Space::Global,
            Place::Cta => Space::Shared,
            Place::Cluster => Space::SharedCluster,
        }
    }
}

fn bulk(f: &mut Form<'_>) -> Decoded {
    if f.take("commit_group") {
        return Ok(Box::new(Group {
            action: GroupAction::Commit,
            bulk: true,
        }));
    }
    if f.take("wait_group") {
        let read = f.take("read");
        let keep = f.immediate(0)? as u32;
        return Ok(Box::new(Group {
            action: GroupAction::Wait { keep, read },
            bulk: true,
        }));
    }
    let prefetch = f.take("prefetch");
    if f.take("tensor") {
        return tensor(f, prefetch, false);
    }
    if prefetch {
        return prefetch::stretch(f);
    }
    let to = f.require("a destination space", &PLACES)?;
    let from = f.require("a source space", &PLACES)?;
    if to == Place::Global {
        bulk_store(f, from, false)
    } else {
        bulk_load(f, to, from, false)
    }
}
