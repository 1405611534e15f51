//! `mma.sync`: one warp multiplies a 16 x K by a K x 8 matrix held in its registers (PTX ISA, 9.7.14.5).
//!
//! Whatever the element type, the fragments are the same in bytes: a row of A or a column of B has 16 or 32 bytes along
//! K, and lane t holds bytes `4 (t % 4)` on. So rows of 32 bytes go to the engine, with zeros behind the short ones. How
//! the sums are rounded is not documented: the model of the fused sums of `tcgen05` is used on every target.

use super::form::Form;
use super::integer::slots;
use super::types::Ty;
use super::{Collective, Execute, Op, Slot, Src, mma_scaled};
use crate::engine::descriptor::Format;
use crate::engine::mma::fused::{self, Output};
use crate::engine::mma::integer;
use crate::error::LoadError;
use crate::machine::{FaultKind, Flow, Step};

type Decoded = Result<Op, LoadError>;

/// Rows of D.
pub(super) const M: usize = 16;
/// Columns of D.
pub(super) const N: usize = 8;
const ROW: usize = 32;

/// Element types by name, with their size in bits.
const ELEMENTS: [(&str, (Format, usize)); 8] = [
    ("f16", (Format::F16, 16)),
    ("bf16", (Format::Bf16, 16)),
    ("tf32", (Format::Tf32, 32)),
    ("e4m3", (Format::E4m3, 8)),
    ("e5m2", (Format::E5m2, 8)),
    ("e2m1", (Format::E2m1, 4)),
    ("u8", (Format::U8, 8)),
    ("s8", (Format::S8, 8)),
];

#[derive(Clone, Copy, PartialEq)]
enum Result32 {
    F32,
    F16,
    S32,
}

const RESULTS: [(&str, Result32); 3] = [
    ("f32", Result32::F32),
    ("f16", Result32::F16),
    ("s32", Result32::S32),
];

/// What happens to the gathered rows.
pub(super) enum Arithmetic {
    Float(Format, Format, Output),
    Integer(Format, Format, bool),
    Scaled(mma_scaled::Scaled),
}

/// The operands of one warp.
pub(super) struct Multiply {
    arithmetic: Arithmetic,
    a: Vec<Src>,
    b: Vec<Src>,
    c: Vec<Src>,
    d: Vec<Slot>,
    /// Two elements of C and D in each register.
    halves: bool,
}

pub(super) fn decode(f: &mut Form<'_>) -> Decoded {
    if f.take("sp") || f.take("sp::ordered_metadata") {
        return Err(f.unsupported("sparse operands are not implemented"));
    }
    for part in ["sync", "aligned", "row", "col"] {
        if !f.take(part) {
            return Err(f.unsupported(format!("only the `.{part}` forms are implemented")));
        }
    }
    let shape = f.take_map(shape).ok_or_else(|| f.unsupported("no shape"))?;
    if f.take("f64") {
        return super::mma_double::decode(f, shape);
    }
    let (m, n, k) = shape;
    if (m, n) != (M, N) {
        return Err(f.unsupported("only the shapes m16n8 are implemented"));
    }
    let scaling = mma_scaled::vector(f)?;
    let saturate = f.take("satfinite");
    f.ignore(&["kind::f8f6f4"]);
    let d = f.require("a result type that is implemented", &RESULTS)?;
    let (a, bits) = f.require("a type of A that is implemented", &ELEMENTS)?;
    let (b, _) = f.require("a type of B that is implemented", &ELEMENTS)?;
    if f.require("the type of C", &RESULTS)? != d {
        return Err(f.unsupported("C and D of different types are not implemented"));
    }
    let arithmetic = match scaling {
        Some(vector) => Arithmetic::Scaled(mma_scaled::decode(f, vector, a, b)?),
        None => plain(f, a, b, d, saturate)?,
    };
    operands(f, k * bits / 8, arithmetic, d == Result32::F16)
}

/// `m16n8k32` to (16, 8, 32).
fn shape(word: &str) -> Option<(usize, usize, usize)> {
    let (m, rest) = word.strip_prefix('m')?.split_once('n')?;
    let (n, k) = rest.split_once('k')?;
    Some((m.parse().ok()?, n.parse().ok()?, k.parse().ok()?))
}

/// The combinations without scales.
fn plain(
    f: &Form<'_>,
    a: Format,
    b: Format,
    d: Result32,
    saturate: bool,
) -> Result<Arithmetic, LoadError> {
    use Format::*;
    match (a, b, d) {
        (U8 | S8, U8 | S8, Result32::S32) => Ok(Arithmetic::Integer(a, b, saturate)),
        (F16, F16, Result32::F16) | (E4m3 | E5m2, E4m3 | E5m2, Result32::F16) => {
            Ok(Arithmetic::Float(a, b, Output::F16))
        }
        (F16, F16, Result32::F32)
        | (Bf16, Bf16, Result32::F32)
        | (Tf32, Tf32, Result32::F32)
        | (E4m3 | E5m2, E4m3 | E5m2, Result32::F32) => Ok(Arithmetic::Float(a, b, Output::F32)),
        _ => Err(f.unsupported("these types together are not implemented")),
    }
}

/// `d, a, b, c` in vectors.
fn operands(f: &mut Form<'_>, row_bytes: usize, arithmetic: Arithmetic, halves: bool) -> Decoded {
    if row_bytes != 16 && row_bytes != ROW {
        return Err(f.unsupported("this K is not implemented"));
    }
    let multiply = Multiply {
        arithmetic,
        d: slots(&f.dsts(0)?),
        a: f.srcs(1, Ty::B32)?,
        b: f.srcs(2, Ty::B32)?,
        c: f.srcs(3, Ty::B32)?,
        halves,
    };
    let results = if halves { 2 } else { 4 };
    let counts = [&multiply.a, &multiply.b, &multiply.c].map(|v| v.len());
    if counts != [row_bytes / 8, row_bytes / 16, results] || multiply.d.len() != results {
        return Err(f.invalid(format!(
            "needs {results} registers of C and D, {} of A and {} of B",
            row_bytes / 8,
            row_bytes / 16
        )));
    }
    Ok(Box::new(multiply))
}

impl Execute for Multiply {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        let (a, b) = (self.rows_of_a(step), self.rows_of_b(step));
        let mut d = self.matrix(step);
        match &self.arithmetic {
            Arithmetic::Float(a_format, b_format, output) => fused::Product {
                a: &a,
                a_format: *a_format,
                b: &b,
                b_format: *b_format,
                scales_a: &[Some(0); M],
                scales_b: &[Some(0); N],
                negate: false,
                fraction: fused::FRACTION,
                output: *output,
                scale_c: 0,
            }
            .multiply(&mut d, N, true),
            Arithmetic::Integer(a_format, b_format, saturate) => integer::Product {
                a: &a,
                a_format: *a_format,
                b: &b,
                b_format: *b_format,
                saturate: *saturate,
            }
            .multiply(&mut d, N, true),
            Arithmetic::Scaled(scaled) => scaled.multiply(step, &a, &b, &mut d)?,
        }
        self.scatter(step, &d);
        step.state.counts.mmas += 1;
        Ok(Flow::Next)
    }

    fn collective(&self) -> Collective {
        Collective::Warp
    }
}

impl Multiply {
    /// Register r of lane t: row t/4 + 8 (r & 1), byte 16 (r >> 1) + 4 (t % 4).
    fn rows_of_a(&self, step: &Step<'_>) -> Vec<u8> {
        let mut rows = vec![0; M * ROW];
        for (r, src) in self.a.iter().enumerate() {
            put(&mut rows, step.get(*src), 8 * (r & 1), 16 * (r >> 1));
        }
        rows
    }

    /// Register r of lane t: column t/4, byte 16 r + 4 (t % 4).
    fn rows_of_b(&self, step: &Step<'_>) -> Vec<u8> {
        let mut rows = vec![0; N * ROW];
        for (r, src) in self.b.iter().enumerate() {
            put(&mut rows, step.get(*src), 0, 16 * r);
        }
        rows
    }

    /// Place in C and D of half h of register i of a lane.
    fn cell(&self, lane: usize, i: usize, h: usize) -> usize {
        let i = if self.halves { 2 * i + h } else { i };
        (lane / 4 + 8 * (i >> 1)) * N + 2 * (lane % 4) + (i & 1)
    }

    fn matrix(&self, step: &Step<'_>) -> Vec<u32> {
        let mut matrix = vec![0; M * N];
        for (i, src) in self.c.iter().enumerate() {
            for (lane, word) in step.get(*src).into_iter().enumerate() {
                if self.halves {
                    matrix[self.cell(lane, i, 0)] = word as u32 & 0xFFFF;
                    matrix[self.cell(lane, i, 1)] = word as u32 >> 16;
                } else {
                    matrix[self.cell(lane, i, 0)] = word as u32;
                }
            }
        }
        matrix
    }

    fn scatter(&self, step: &mut Step<'_>, matrix: &[u32]) {
        for (i, slot) in self.d.iter().enumerate() {
            let word = |lane: usize| match self.halves {
                true => matrix[self.cell(lane, i, 0)] | matrix[self.cell(lane, i, 1)] << 16,
                false => matrix[self.cell(lane, i, 0)],
            };
            step.set(*slot, &std::array::from_fn(|lane| word(lane).into()));
        }
    }
}

/// Four bytes of each lane, into rows of 32.
fn put(rows: &mut [u8], words: [u64; 32], first_row: usize, first_byte: usize) {
    for (lane, word) in words.into_iter().enumerate() {
        let at = (first_row + lane / 4) * ROW + first_byte + 4 * (lane % 4);
        rows[at..at + 4].copy_from_slice(&(word as u32).to_le_bytes());
    }
}
