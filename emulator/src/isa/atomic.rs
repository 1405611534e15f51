//! `atom` and `red` (PTX ISA, 9.7.13.12 and 9.7.13.13).

use half::{bf16, f16};

use super::form::{Addr, Dst, Form};
use super::memory::{cache_hints, scope, space};
use super::types::{Two, Ty, Value};
use super::{Execute, Op, Src};
use crate::check::{Semantics, Sync};
use crate::error::LoadError;
use crate::machine::{FaultKind, Flow, Space, Step};

type Decoded = Result<Op, LoadError>;
type Update = fn(u64, u64, u64) -> u64;

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

fn on<T: Value>(g: impl Fn(T, T) -> T, a: u64, b: u64) -> u64 {
    g(T::from_word(a), T::from_word(b)).word()
}

fn add_half(a: f16, b: f16) -> f16 {
    f16::from_f32(a.to_f32() + b.to_f32())
}

fn add_bf16(a: bf16, b: bf16) -> bf16 {
    bf16::from_f32(a.to_f32() + b.to_f32())
}

/// The new value for each operation and type.
fn update(operation: &str, ty: Ty) -> Option<Update> {
    Some(match (operation, ty) {
        ("and", Ty::B32 | Ty::B64) => |a, b, _| a & b,
        ("or", Ty::B32 | Ty::B64) => |a, b, _| a | b,
        ("xor", Ty::B32 | Ty::B64) => |a, b, _| a ^ b,
        ("exch", Ty::B32 | Ty::B64) => |_, b, _| b,
        ("cas", Ty::B16 | Ty::B32 | Ty::B64) => |a, b, c| if a == b { c } else { a },
        ("add", Ty::U32 | Ty::S32) => |a, b, _| on(u32::wrapping_add, a, b),
        ("add", Ty::U64 | Ty::S64) => |a, b, _| a.wrapping_add(b),
        ("add", Ty::F32) => |a, b, _| on(|a: f32, b: f32| a + b, a, b),
        ("add", Ty::F64) => |a, b, _| on(|a: f64, b: f64| a + b, a, b),
        ("add", Ty::F16) => |a, b, _| on(add_half, a, b),
        ("add", Ty::Bf16) => |a, b, _| on(add_bf16, a, b),
        ("add", Ty::F16x2) => |a, b, _| {
            on(
                |a: Two<f16>, b| Two(add_half(a.0, b.0), add_half(a.1, b.1)),
                a,
                b,
            )
        },
        ("add", Ty::Bf16x2) => |a, b, _| {
            on(
                |a: Two<bf16>, b| Two(add_bf16(a.0, b.0), add_bf16(a.1, b.1)),
                a,
                b,
            )
        },
        ("min", Ty::U32 | Ty::U64) => |a, b, _| a.min(b),
        ("max", Ty::U32 | Ty::U64) => |a, b, _| a.max(b),
        ("min", Ty::S32) => |a, b, _| on(i32::min, a, b),
        ("max", Ty::S32) => |a, b, _| on(i32::max, a, b),
        ("min", Ty::S64) => |a, b, _| on(i64::min, a, b),
        ("max", Ty::S64) => |a, b, _| on(i64::max, a, b),
        ("inc", Ty::U32) => |a, b, _| if a >= b { 0 } else { a + 1 },
        ("dec", Ty::U32) => |a, b, _| if a == 0 || a > b { b } else { a - 1 },
        _ => return None,
    })
}

const OPERATIONS: [&str; 10] = [
    "and", "or", "xor", "cas", "exch", "add", "inc", "dec", "min", "max",
];

pub(super) fn decode(f: &mut Form<'_>) -> Decoded {
    if f.take("async") {
        return Err(f.unsupported("red.async is not implemented"));
    }
    use Semantics::{Relaxed, Strong};
    let orders = [
        ("relaxed", (Relaxed, Relaxed)),
        ("acquire", (Strong, Relaxed)),
        ("release", (Relaxed, Strong)),
        ("acq_rel", (Strong, Strong)),
    ];
    let order = f.choose(&orders).unwrap_or((Relaxed, Relaxed));
    let wide = scope(f);
    let space = space(f);
    let operation = OPERATIONS.map(|o| (o, o));
    let operation = f.require("an operation that is implemented", &operation)?;
    f.ignore(&["noftz"]);
    let policy = cache_hints(f);
    let vector = f.choose(&[("v2", 2), ("v4", 4), ("v8", 8)]).unwrap_or(1);
    let ty = f.ty()?;
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
