//! `atom.exch.b128` and `atom.cas.b128` (PTX ISA, 9.7.13.12).

use super::form::{Addr, Dst, Form};
use super::memory::cache_hints;
use super::types::Ty;
use super::{Execute, Op, Slot, Src};
use crate::check::{Semantics, Sync};
use crate::error::LoadError;
use crate::machine::{AccessKind, FaultKind, Flow, Space, Step};

struct Wide {
    d: Dst,
    addr: Addr,
    space: Space,
    b: Slot,
    /// The new value of a compare-and-swap, whose b is what is compared with.
    c: Option<Slot>,
    order: (Semantics, Semantics),
    wide: bool,
}

/// What stands between the space and the type has been read.
pub(super) fn decode(
    f: &mut Form<'_>,
    operation: &str,
    space: Space,
    order: (Semantics, Semantics),
    wide: bool,
) -> Result<Op, LoadError> {
    if f.opcode() != "atom" || !matches!(operation, "cas" | "exch") {
        return Err(f.invalid(".b128 exists for atom.cas and atom.exch only"));
    }
    let (d, addr) = (f.dst_as(0, Ty::B128)?, f.addr(1)?);
    let b = register(f, 2)?;
    let c = match operation {
        "cas" => Some(register(f, 3)?),
        _ => None,
    };
    if cache_hints(f) {
        f.src(3 + usize::from(c.is_some()), Ty::B64)?;
    }
    Ok(Box::new(Wide {
        d,
        addr,
        space,
        b,
        c,
        order,
        wide,
    }))
}

fn register(f: &mut Form<'_>, i: usize) -> Result<Slot, LoadError> {
    match f.src(i, Ty::B128)? {
        Src::Reg(slot) => Ok(slot),
        _ => Err(f.invalid("needs 128-bit registers")),
    }
}

/// The bytes of a 128-bit register in each lane.
fn bytes(step: &Step<'_>, slot: Slot) -> [[u8; 16]; 32] {
    let (low, high) = (step.get(Src::Reg(slot)), step.get(Src::Reg(slot + 1)));
    std::array::from_fn(|i| (u128::from(high[i]) << 64 | u128::from(low[i])).to_le_bytes())
}

impl Execute for Wide {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        let (addresses, b) = (step.addresses(self.addr), bytes(step, self.b));
        let c = self.c.map(|c| bytes(step, c));
        let mut old = [[0; 16]; 32];
        for lane in step.lanes() {
            let at = addresses[lane];
            step.read(lane, self.space, at, AccessKind::Atomic, &mut old[lane])?;
            let new = match c {
                Some(_) if old[lane] != b[lane] => old[lane],
                Some(c) => c[lane],
                None => b[lane],
            };
            step.write(lane, self.space, at, AccessKind::Atomic, &new)?;
            let sync = |semantics| Sync {
                semantics,
                wide: self.wide,
            };
            step.take_over(lane, self.space, at, sync(self.order.0));
            step.pass_on(lane, self.space, at, sync(self.order.1));
            step.state.progress += 1;
        }
        let words = old.map(u128::from_le_bytes);
        step.set(self.d.slot, &words.map(|w| w as u64));
        step.set(self.d.slot + 1, &words.map(|w| (w >> 64) as u64));
        Ok(Flow::Next)
    }

    fn couples_clusters(&self) -> bool {
        matches!(self.space, Space::Global | Space::Generic)
    }
}
