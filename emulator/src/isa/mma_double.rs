//! `mma.sync` in double precision: m8n8k4 and m16n8k4, k8, k16 (PTX ISA, 9.7.14.5).
//!
//! The order of the sum is not documented: here one fused multiply-add after the other, k ascending.

use super::form::Form;
use super::integer::slots;
use super::types::Ty;
use super::{Collective, Execute, Op, Slot, Src};
use crate::error::LoadError;
use crate::machine::{FaultKind, Flow, Step};

/// Operands in registers: A has `m / 8 * k / 4` of them, B `k / 4`, C and D `m / 4`.
struct Multiply {
    m: usize,
    k: usize,
    a: Vec<Src>,
    b: Vec<Src>,
    c: Vec<Src>,
    d: Vec<Slot>,
}

/// The form after its shape and first type.
pub(super) fn decode(f: &mut Form<'_>, (m, n, k): (usize, usize, usize)) -> Result<Op, LoadError> {
    for _ in 0..3 {
        f.require("three more `.f64`", &[("f64", ())])?;
    }
    f.ignore(&["rn"]);
    if !matches!((m, n, k), (8, 8, 4) | (16, 8, 4 | 8 | 16)) {
        return Err(f.unsupported("this shape is not implemented"));
    }
    let multiply = Multiply {
        m,
        k,
        d: slots(&f.dsts(0)?),
        a: f.srcs(1, Ty::F64)?,
        b: f.srcs(2, Ty::F64)?,
        c: f.srcs(3, Ty::F64)?,
    };
    let counts = [&multiply.a, &multiply.b, &multiply.c].map(|v| v.len());
    if counts != [m / 8 * k / 4, k / 4, m / 4] || multiply.d.len() != m / 4 {
        return Err(f.invalid("the number of registers does not fit the shape"));
    }
    Ok(Box::new(multiply))
}

impl Execute for Multiply {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        let read = |list: &[Src]| -> Vec<[f64; 32]> {
            list.iter()
                .map(|s| step.get(*s).map(f64::from_bits))
                .collect()
        };
        let (a, b, c) = (read(&self.a), read(&self.b), read(&self.c));
        let halves = self.m / 8;
        // Register i of lane t: A row t/4 + 8 (i % halves), k = t%4 + 4 (i / halves); B column t/4, k = t%4 + 4 i.
        let a_at = |row: usize, k: usize| a[k / 4 * halves + row / 8][row % 8 * 4 + k % 4];
        let b_at = |k: usize, column: usize| b[k / 4][column * 4 + k % 4];
        for (i, slot) in self.d.iter().enumerate() {
            let cell = |lane: usize| {
                let (row, column) = (lane / 4 + 8 * (i / 2), 2 * (lane % 4) + i % 2);
                (0..self.k).fold(c[i][lane], |sum, k| {
                    a_at(row, k).mul_add(b_at(k, column), sum)
                })
            };
            let values: [u64; 32] = std::array::from_fn(|lane| cell(lane).to_bits());
            step.set(*slot, &values);
        }
        step.state.counts.mmas += 1;
        Ok(Flow::Next)
    }

    fn collective(&self) -> Collective {
        Collective::Warp
    }
}
