//! Lane-wise operations: a function of one to three values applied to 32 lanes.

use super::form::Dst;
use super::types::Value;
use super::{Byte, Execute, Op, Src, Taint};
use crate::machine::{FaultKind, Flow, Step};

struct Map1<G> {
    d: Dst,
    a: Src,
    g: G,
}

struct Map2<G> {
    d: Dst,
    a: Src,
    b: Src,
    g: G,
}

struct Map3<G> {
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
}

impl<G: Fn(u64, u64) -> u64 + Send + Sync> Execute for Map2<G> {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        let (a, b) = (step.get(self.a), step.get(self.b));
        step.set(self.d.slot, &std::array::from_fn(|i| (self.g)(a[i], b[i])));
        Ok(Flow::Next)
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
}

/// `d = g(a)`.
pub(super) fn map1<A: Value, R: Value>(
    d: Dst,
    a: Src,
    g: impl Fn(A) -> R + Send + Sync + 'static,
) -> Op {
    Box::new(Map1 {
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

/// A result whose bytes come from these.
pub(super) fn bytes(d: Dst, sources: impl Iterator<Item = Byte>) -> Taint {
    Taint::Bytes(vec![(d.slot, sources.collect())])
}

pub(super) fn with_taint(op: Op, taint: Taint) -> Op {
    Box::new(WithTaint { op, taint })
}
