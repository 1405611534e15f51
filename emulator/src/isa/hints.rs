//! Instructions about caches: `prefetch`, `createpolicy`, `applypriority`, `discard` (PTX ISA, 9.7.9.15 to 9.7.9.19).

use super::form::{Addr, Form};
use super::memory::space;
use super::types::Ty;
use super::{Collective, Execute, Op, Src, control, lanes};
use crate::error::LoadError;
use crate::machine::{AccessKind, FaultKind, Flow, Space, Step};

type Decoded = Result<Op, LoadError>;

/// Bytes of the only range that `applypriority` and `discard` take.
const RANGE: u64 = 128;
/// What a discarded byte holds: nobody may rely on it.
const INDETERMINATE: u8 = 0xD5;

pub(super) fn decode(f: &mut Form<'_>) -> Decoded {
    match f.opcode() {
        "createpolicy" => policy(f),
        "applypriority" => apply_priority(f),
        "discard" => discard(f),
        _ => prefetch(f),
    }
}

fn nothing() -> Op {
    Box::new(control::Nothing {
        collective: Collective::None,
    })
}

const PRIORITIES: [&str; 4] = [
    "L2::evict_last",
    "L2::evict_normal",
    "L2::evict_first",
    "L2::evict_unchanged",
];

/// `createpolicy`: an opaque 64-bit value that only hints at caching.
fn policy(f: &mut Form<'_>) -> Decoded {
    let forms = [("fractional", 0), ("range", 1), ("cvt", 2)];
    let form = f.require("`.fractional`, `.range` or `.cvt`", &forms)?;
    let (space, d) = (space(f), f.dst(0)?);
    if !matches!(space, Space::Generic | Space::Global) {
        return Err(f.invalid("the range lies in .global"));
    }
    if form == 2 {
        f.ignore(&["L2"]);
    } else {
        // The primary priority and perhaps a secondary one.
        f.ignore(&PRIORITIES);
        f.ignore(&PRIORITIES);
    }
    f.ty()?;
    match form {
        0 if f.count() > 1 => {
            f.src(1, Ty::F32)?;
        }
        0 => {}
        1 => {
            f.addr(1)?;
            f.src(2, Ty::B32)?;
            f.src(3, Ty::B32)?;
        }
        _ => {
            f.src(1, Ty::B64)?;
        }
    }
    Ok(lanes::map1(d, Src::Imm(0), |a: u64| a))
}

/// `prefetch` and `prefetchu`: no effect; the address is not touched.
fn prefetch(f: &mut Form<'_>) -> Decoded {
    space(f);
    f.ignore(&[
        "L1",
        "L2",
        "tensormap",
        "L2::evict_last",
        "L2::evict_normal",
    ]);
    f.addr(0)?;
    Ok(nothing())
}

fn range(f: &mut Form<'_>) -> Result<(Addr, Space), LoadError> {
    let space = space(f);
    if !matches!(space, Space::Generic | Space::Global) {
        return Err(f.invalid("the range lies in .global"));
    }
    let addr = f.addr(0)?;
    if f.immediate(1)? != RANGE {
        return Err(f.invalid("the size must be 128"));
    }
    Ok((addr, space))
}

fn apply_priority(f: &mut Form<'_>) -> Decoded {
    f.require("`.L2::evict_normal`", &[("L2::evict_normal", ())])?;
    range(f)?;
    Ok(nothing())
}

/// A weak write of indeterminate bytes.
struct Discard {
    addr: Addr,
    space: Space,
}

fn discard(f: &mut Form<'_>) -> Decoded {
    f.require("`.L2`", &[("L2", ())])?;
    let (addr, space) = range(f)?;
    Ok(Box::new(Discard { addr, space }))
}

impl Execute for Discard {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        let addresses = step.addresses(self.addr);
        for lane in step.lanes() {
            let bytes = [INDETERMINATE; RANGE as usize];
            step.write(lane, self.space, addresses[lane], AccessKind::Store, &bytes)?;
        }
        Ok(Flow::Next)
    }
}
