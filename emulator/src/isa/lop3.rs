//! `lop3`: any function of three bits, by its table (PTX ISA, 9.7.8.6).

use super::form::{Dst, Form};
use super::types::Ty;
use super::{Execute, Op, Src};
use crate::error::LoadError;
use crate::machine::{FaultKind, Flow, Step};

/// Bit i of the table is the result for (a, b, c) = the bits of i.
fn look_up(table: u8, a: u32, b: u32, c: u32) -> u32 {
    let minterm = |bit: u8, value: u32| if table >> bit & 1 != 0 { value } else { 0 };
    minterm(0, !a & !b & !c)
        | minterm(1, !a & !b & c)
        | minterm(2, !a & b & !c)
        | minterm(3, !a & b & c)
        | minterm(4, a & !b & !c)
        | minterm(5, a & !b & c)
        | minterm(6, a & b & !c)
        | minterm(7, a & b & c)
}

pub(super) fn decode(f: &mut Form<'_>) -> Result<Op, LoadError> {
    let combines = f.choose(&[("or", true), ("and", false)]);
    if f.ty()? != Ty::B32 {
        return Err(f.invalid("exists for .b32 only"));
    }
    let table = f.immediate(4)? as u8;
    let Some(or) = combines else {
        return f.map3(move |a: u32, b: u32, c: u32| look_up(table, a, b, c));
    };
    let (d, Some(p)) = f.pair(0)? else {
        return Err(f.invalid("needs a destination and a predicate, `d|p`"));
    };
    Ok(Box::new(WithPredicate {
        d,
        p,
        sources: [f.src(1, Ty::B32)?, f.src(2, Ty::B32)?, f.src(3, Ty::B32)?],
        table,
        or,
        q: f.pred(5)?,
    }))
}

/// `p = (d != 0) BoolOp q`.
struct WithPredicate {
    d: Dst,
    p: Dst,
    sources: [Src; 3],
    table: u8,
    or: bool,
    /// The predicate and what it must be xored with.
    q: (Src, bool),
}

impl Execute for WithPredicate {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        let [a, b, c] = self.sources.map(|s| step.get(s));
        let q = step.get(self.q.0);
        let word = |i: usize| look_up(self.table, a[i] as u32, b[i] as u32, c[i] as u32);
        let predicate = |i: usize| {
            let q = (q[i] & 1 != 0) != self.q.1;
            if self.or {
                word(i) != 0 || q
            } else {
                word(i) != 0 && q
            }
        };
        step.set(self.d.slot, &std::array::from_fn(|i| word(i).into()));
        step.set(self.p.slot, &std::array::from_fn(|i| predicate(i).into()));
        Ok(Flow::Next)
    }
}
