//! Lane-wise operations: a function of one to three values applied to 32 lanes.

use super::form::Dst;
use super::types::Value;
use super::{Byte, Execute, Op, Slot, Src, Taint};
use crate::machine::{FaultKind, Flow, Step};

struct Map1<G> {
    taint: Taint,
    d: Dst,
    a: Src,
    g: G,
}

struct Map2<G> {
    taint: Taint,
    d: Dst,
    a: Src,
    b: Src,
    g: G,
}

struct Map3<G> {
    taint: Taint,
    d: Dst,
    a: Src,
    b: Src,
    c: Src,
    g: G,
}

impl<G: Fn(u64) -> u64 + Send + Sync> Execute for Map1<G> {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        let a = step.get(self.a);
        step.set(self.d.slot, &std::array::from_fn(|i| (self.g)(a[i])));
        Ok(Flow::Next)
    }

    fn taint(&self) -> Taint {
        self.taint.clone()
    }
}

impl<G: Fn(u64, u64) -> u64 + Send + Sync> Execute for Map2<G> {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        let (a, b) = (step.get(self.a), step.get(self.b));
        step.set(self.d.slot, &std::array::from_fn(|i| (self.g)(a[i], b[i])));
        Ok(Flow::Next)
    }

    fn taint(&self) -> Taint {
        self.taint.clone()
    }
}

impl<G: Fn(u64, u64, u64) -> u64 + Send + Sync> Execute for Map3<G> {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        let (a, b, c) = (step.get(self.a), step.get(self.b), step.get(self.c));
        step.set(
            self.d.slot,
            &std::array::from_fn(|i| (self.g)(a[i], b[i], c[i])),
        );
        Ok(Flow::Next)
    }

    fn taint(&self) -> Taint {
        self.taint.clone()
    }
}

/// `d = g(a)`.
pub(super) fn map1<A: Value, R: Value>(
    d: Dst,
    a: Src,
    g: impl Fn(A) -> R + Send + Sync + 'static,
) -> Op {
    Box::new(Map1 {
        taint: taint_of::<R>(d, &[a]),
        d,
        a,
        g: move |a| g(A::from_word(a)).word(),
    })
}

/// `d = g(a, b)`.
pub(super) fn map2<A: Value, B: Value, R: Value>(
    d: Dst,
    a: Src,
    b: Src,
    g: impl Fn(A, B) -> R + Send + Sync + 'static,
) -> Op {
    Box::new(Map2 {
        taint: taint_of::<R>(d, &[a, b]),
        d,
        a,
        b,
        g: move |a, b| g(A::from_word(a), B::from_word(b)).word(),
    })
}

/// `d = g(a, b, c)`.
pub(super) fn map3<A: Value, B: Value, C: Value, R: Value>(
    d: Dst,
    a: Src,
    b: Src,
    c: Src,
    g: impl Fn(A, B, C) -> R + Send + Sync + 'static,
) -> Op {
    Box::new(Map3 {
        taint: taint_of::<R>(d, &[a, b, c]),
        d,
        a,
        b,
        c,
        g: move |a, b, c| g(A::from_word(a), B::from_word(b), C::from_word(c)).word(),
    })
}

/// An operation that treats undefined values in a way of its own.
struct WithTaint {
    op: Op,
    taint: Taint,
}

impl Execute for WithTaint {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        self.op.execute(step)
    }

    fn taint(&self) -> Taint {
        self.taint.clone()
    }
}

/// A result whose bytes come from single bytes of registers, or from nothing that could be undefined.
pub(super) fn bytes(d: Dst, sources: impl Iterator<Item = Option<(Slot, u8)>>) -> Taint {
    let byte = |source: Option<(Slot, u8)>| source.map(|(slot, b)| (slot, 1 << b));
    Taint::Bytes(vec![(
        d.slot,
        sources.map(|s| byte(s).into_iter().collect()).collect(),
    )])
}

/// A result whose parts of `width` bytes depend on the same parts of the operands.
fn parts(d: Dst, sources: &[Src], width: u8) -> Taint {
    let mask = |byte: u8| u8::MAX >> (8 - width) << (byte / width * width);
    let byte = |i: u8| -> Byte {
        let registers = sources.iter().filter_map(|src| match src {
            Src::Reg(slot) => Some((*slot, mask(i))),
            _ => None,
        });
        registers.collect()
    };
    Taint::Bytes(vec![(d.slot, (0..8).map(byte).collect())])
}

/// How a function of these types treats undefined parts of its operands.
fn taint_of<R: Value>(d: Dst, sources: &[Src]) -> Taint {
    match R::PART {
        8 => Taint::Lanewise,
        width => parts(d, sources, width),
    }
}

/// An operation on whole registers that treats each byte by itself.
pub(super) fn bytewise(op: Op, d: Dst, sources: &[Src]) -> Op {
    with_taint(op, parts(d, sources, 1))
}

pub(super) fn with_taint(op: Op, taint: Taint) -> Op {
    Box::new(WithTaint { op, taint })
}
