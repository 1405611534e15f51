//! `atom` and `red` (PTX ISA, 9.7.13.12 and 9.7.13.13).

use super::form::{Addr, Dst, Form};
use super::memory::{cache_hints, scope, space};
use super::reduction::{OPERATIONS, Update, update};
use super::types::Ty;
use super::{Execute, Op, Src, async_store, atomic_wide};
use crate::check::{Semantics, Sync};
use crate::error::LoadError;
use crate::machine::{FaultKind, Flow, Space, Step};

type Decoded = Result<Op, LoadError>;

struct Atomic {
    addr: Addr,
    space: Space,
    /// New value as a function of old, b and c; per element of the vector.
    update: Update,
    bytes: usize,
    b: Vec<Src>,
    dsts: Vec<Dst>,
    c: Src,
    /// Semantics of its read and of its write.
    order: (Semantics, Semantics),
    wide: bool,
}

pub(super) fn decode(f: &mut Form<'_>) -> Decoded {
    if f.take("async") {
        return async_store::reduce(f);
    }
    use Semantics::{Relaxed, Strong};
    let orders = [
        ("relaxed", (Relaxed, Relaxed)),
        ("acquire", (Strong, Relaxed)),
        ("release", (Relaxed, Strong)),
        ("acq_rel", (Strong, Strong)),
    ];
    let order = f.choose(&orders).unwrap_or((Relaxed, Relaxed));
    ordered(f, order)
}

/// `red.async.mmio.release`: nothing tells when it is done, so that it may as well happen at once.
pub(super) fn reduce_released(f: &mut Form<'_>) -> Decoded {
    ordered(f, (Semantics::Relaxed, Semantics::Strong))
}

fn ordered(f: &mut Form<'_>, order: (Semantics, Semantics)) -> Decoded {
    let wide = scope(f);
    let space = space(f);
    let operation = OPERATIONS.map(|o| (o, o));
    let operation = f.require("an operation that is implemented", &operation)?;
    f.ignore(&["noftz"]);
    let policy = cache_hints(f);
    let vector = f.choose(&[("v2", 2), ("v4", 4), ("v8", 8)]).unwrap_or(1);
    let ty = f.ty()?;
    if ty == Ty::B128 {
        return atomic_wide::decode(f, operation, space, order, wide);
    }
    let update =
        update(operation, ty).ok_or_else(|| f.unsupported("this type is not implemented"))?;
    let first = usize::from(f.opcode() == "atom");
    let dsts = if first == 1 { f.dsts(0)? } else { Vec::new() };
    let addr = f.addr(first)?;
    let b = f.srcs(first + 1, ty)?;
    let c = if operation == "cas" {
        f.src(first + 2, ty)?
    } else {
        Src::Imm(0)
    };
    if policy {
        f.src(first + 2 + usize::from(operation == "cas"), Ty::B64)?;
    }
    if b.len() != vector || first == 1 && dsts.len() != vector {
        return Err(f.invalid(format!("needs {vector} registers")));
    }
    Ok(Box::new(Atomic {
        addr,
        space,
        update,
        bytes: ty.bytes() as usize,
        b,
        dsts,
        c,
        order,
        wide,
    }))
}

impl Execute for Atomic {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        let (addresses, c) = (step.addresses(self.addr), step.get(self.c));
        for (i, b) in self.b.iter().enumerate() {
            let b = step.get(*b);
            let mut old = [0; 32];
            // Lanes in order: any order is allowed, this one is repeatable.
            for lane in step.lanes() {
                let address = addresses[lane].wrapping_add((i * self.bytes) as u64);
                let sync = |semantics| Sync {
                    semantics,
                    wide: self.wide,
                };
                old[lane] = step.update(lane, self.space, address, self.bytes, |a| {
                    (self.update)(a, b[lane], c[lane])
                })?;
                step.take_over(lane, self.space, address, sync(self.order.0));
                step.pass_on(lane, self.space, address, sync(self.order.1));
            }
            if let Some(d) = self.dsts.get(i) {
                step.set(d.slot, &old);
            }
        }
        Ok(Flow::Next)
    }

    fn couples_clusters(&self) -> bool {
        matches!(self.space, Space::Global | Space::Generic)
    }
}
