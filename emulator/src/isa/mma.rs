//! `mma.sync`: one warp multiplies a 16 x K by a K x 8 matrix held in its registers, or an 8 x K one (PTX ISA, 9.7.14.5).
//!
//! Rows of 32 bytes go to the engine, with zeros behind the short ones. How the sums are rounded is not documented: the
//! model of the fused sums of `tcgen05` is used on every target.

use super::form::Form;
use super::fragment::Tile;
use super::integer::slots;
use super::mma_narrow::{self, Narrow};
use super::mma_sparse::{self, Metadata};
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
pub(super) const ROW: usize = 32;

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
pub(super) enum Result32 {
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
    Narrow(Narrow),
    Scaled(mma_scaled::Scaled),
}

/// The operands of one warp.
pub(super) struct Multiply {
    arithmetic: Arithmetic,
    tile: Tile,
    /// Of a row of B.
    row_bytes: usize,
    a: Vec<Src>,
    b: Vec<Src>,
    c: Vec<Src>,
    d: Vec<Slot>,
    /// Two elements of C and D in each register.
    halves: bool,
    /// A is sparse.
    sparse: Option<Metadata>,
}

pub(super) fn decode(f: &mut Form<'_>) -> Decoded {
    let sparse = mma_sparse::variant(f);
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
    if !matches!((m, n), (8 | M, N)) {
        return Err(f.unsupported("only the shapes m16n8 and m8n8 are implemented"));
    }
    let scaling = mma_scaled::vector(f)?;
    if scaling.is_some() && sparse.is_some() {
        return Err(f.unsupported("sparse operands with scales are not implemented"));
    }
    let saturate = f.take("satfinite");
    f.ignore(&["kind::f8f6f4"]);
    let d = f.require("a result type that is implemented", &RESULTS)?;
    let (arithmetic, bits) = match mma_narrow::elements(f)? {
        Some(elements) => {
            let narrow = Narrow { elements, saturate };
            (Arithmetic::Narrow(narrow), elements.bits())
        }
        None => {
            let (a, bits) = f.require("a type of A that is implemented", &ELEMENTS)?;
            let (b, _) = f.require("a type of B that is implemented", &ELEMENTS)?;
            let arithmetic = match scaling {
                Some(vector) => Arithmetic::Scaled(mma_scaled::decode(f, vector, a, b)?),
                None => plain(f, a, b, d, saturate)?,
            };
            (arithmetic, bits)
        }
    };
    if f.require("the type of C", &RESULTS)? != d {
        return Err(f.unsupported("C and D of different types are not implemented"));
    }
    let is_integer = matches!(arithmetic, Arithmetic::Integer(..) | Arithmetic::Narrow(_));
    if m == 8 && !is_integer || is_integer != (d == Result32::S32) {
        return Err(f.unsupported("these types and this shape together are not implemented"));
    }
    let tile = Tile { m, n };
    operands(
        f,
        tile,
        (k * bits / 8, bits),
        arithmetic,
        d == Result32::F16,
        sparse,
    )
}

/// `m16n8k32` to (16, 8, 32).
pub(super) fn shape(word: &str) -> Option<(usize, usize, usize)> {
    let (m, rest) = word.strip_prefix('m')?.split_once('n')?;
    let (n, k) = rest.split_once('k')?;
    Some((m.parse().ok()?, n.parse().ok()?, k.parse().ok()?))
}

/// The combinations without scales.
pub(super) fn plain(
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

/// `d, a, b, c` in vectors, and the metadata of a sparse A.
fn operands(
    f: &mut Form<'_>,
    tile: Tile,
    (row_bytes, bits): (usize, usize),
    arithmetic: Arithmetic,
    halves: bool,
    sparse: Option<bool>,
) -> Decoded {
    let stored = if sparse.is_some() {
        row_bytes / 2
    } else {
        row_bytes
    };
    if stored != 16 && stored != ROW || tile.m == 8 && (stored != 16 || sparse.is_some()) {
        return Err(f.unsupported("this K is not implemented"));
    }
    let multiply = Multiply {
        arithmetic,
        tile,
        row_bytes,
        d: slots(&f.dsts(0)?),
        a: f.srcs(1, Ty::B32)?,
        b: f.srcs(2, Ty::B32)?,
        c: f.srcs(3, Ty::B32)?,
        halves,
        sparse: match sparse {
            Some(_) if tile.m != M => return Err(f.invalid("sparse A has 16 rows")),
            Some(ordered) => Some(Metadata::decode(f, 4, ordered, bits, row_bytes)?),
            None => None,
        },
    };
    let results = tile.registers_of_c(halves);
    let needed = [
        tile.registers_of_a(stored),
        tile.registers_of_b(row_bytes),
        results,
    ];
    let counts = [&multiply.a, &multiply.b, &multiply.c].map(|v| v.len());
    if counts != needed || multiply.d.len() != results {
        return Err(f.invalid(format!(
            "needs {results} registers of C and D, {} of A and {} of B",
            needed[0], needed[1]
        )));
    }
    Ok(Box::new(multiply))
}

impl Execute for Multiply {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        let a = self.tile.rows_of_a(step, &self.a, ROW);
        let mut d = self.tile.matrix(step, &self.c, self.halves);
        match (&self.sparse, &self.arithmetic) {
            (Some(metadata), arithmetic) => {
                let width = self.row_bytes;
                let b = self.tile.rows_of_b(step, &self.b, width, width);
                let places = metadata.places(step)?;
                let rows = a.chunks_exact(ROW).zip(d.chunks_exact_mut(N)).zip(&places);
                for ((row, cells), places) in rows {
                    let met = metadata.meet(places, &b, width, ROW);
                    arithmetic.multiply(row, &met, cells, N);
                }
            }
            (None, arithmetic) => {
                let b = self.tile.rows_of_b(step, &self.b, self.row_bytes, ROW);
                match arithmetic {
                    Arithmetic::Scaled(scaled) => scaled.multiply(step, &a, &b, &mut d)?,
                    _ => arithmetic.multiply(&a, &b, &mut d, N),
                }
            }
        }
        self.tile.scatter(step, &self.d, &d, self.halves);
        step.state.counts.mmas += 1;
        Ok(Flow::Next)
    }

    fn collective(&self) -> Collective {
        Collective::Warp
    }
}

impl Arithmetic {
    /// `d += a * b`, as many rows of 32 bytes as there are; scaled products need more than this.
    pub(super) fn multiply(&self, a: &[u8], b: &[u8], d: &mut [u32], stride: usize) {
        match self {
            Arithmetic::Float(a_format, b_format, output) => fused::Product {
                a,
                a_format: *a_format,
                b,
                b_format: *b_format,
                scales_a: &[Some(0); 32][..a.len() / ROW],
                scales_b: &[Some(0); 32][..b.len() / ROW],
                negate: false,
                fraction: fused::FRACTION,
                output: *output,
                scale_c: 0,
            }
            .multiply(d, stride, true),
            Arithmetic::Integer(a_format, b_format, saturate) => integer::Product {
                a,
                a_format: *a_format,
                b,
                b_format: *b_format,
                saturate: *saturate,
            }
            .multiply(d, stride, true),
            Arithmetic::Narrow(narrow) => narrow.multiply(a, b, ROW, d, stride),
            Arithmetic::Scaled(_) => {}
        }
    }
}
