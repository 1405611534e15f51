//! `wmma`: matrices loaded, multiplied and stored by a warp (PTX ISA, 9.7.14.4).
//!
//! Which thread holds what is not specified, so that only loads, products and stores of one shape fit each other. Here
//! fragments are those of `mma`; half-precision A and B, which have eight registers whatever their shape, repeat them.

mod transfer;

use super::form::Form;
use super::fragment::Tile;
use super::integer::slots;
use super::mma::{Arithmetic, ROW, Result32, plain, shape};
use super::mma_narrow::{self, Narrow};
use super::types::Ty;
use super::{Collective, Execute, Op, Slot, Src};
use crate::engine::descriptor::Format;
use crate::error::LoadError;
use crate::machine::{FaultKind, Flow, Step};
use half::f16;

type Decoded = Result<Op, LoadError>;

/// Elements of a matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Element {
    F16,
    Bf16,
    Tf32,
    S8,
    U8,
    S4,
    U4,
    B1,
    F32,
    S32,
    F64,
}

const ELEMENTS: [(&str, Element); 11] = [
    ("f16", Element::F16),
    ("bf16", Element::Bf16),
    ("tf32", Element::Tf32),
    ("s8", Element::S8),
    ("u8", Element::U8),
    ("s4", Element::S4),
    ("u4", Element::U4),
    ("b1", Element::B1),
    ("f32", Element::F32),
    ("s32", Element::S32),
    ("f64", Element::F64),
];

impl Element {
    fn bits(self) -> usize {
        match self {
            Element::B1 => 1,
            Element::S4 | Element::U4 => 4,
            Element::S8 | Element::U8 => 8,
            Element::F16 | Element::Bf16 => 16,
            Element::Tf32 | Element::F32 | Element::S32 => 32,
            Element::F64 => 64,
        }
    }
}

/// The shape of an operation.
#[derive(Clone, Copy, Debug)]
struct Shape {
    tile: Tile,
    k: usize,
}

impl Shape {
    /// A shape that the ISA has for elements of A and B with so many bits (PTX ISA, 9.7.14.1).
    fn take(f: &mut Form<'_>) -> Result<Self, LoadError> {
        let (m, n, k) = f.take_map(shape).ok_or_else(|| f.unsupported("no shape"))?;
        let known = matches!(
            (m, n, k),
            (16, 16, 8 | 16) | (8, 32, 16) | (32, 8, 16) | (8, 8, 4 | 32 | 128)
        );
        match known {
            true => Ok(Shape {
                tile: Tile { m, n },
                k,
            }),
            false => Err(f.invalid("no such shape")),
        }
    }

    fn fits(self, element: Element) -> bool {
        match element {
            Element::F64 => self.k == 4,
            Element::Tf32 => self.k == 8,
            Element::S4 | Element::U4 => self.k == 32,
            Element::B1 => self.k == 128,
            _ => self.k == 16,
        }
    }
}

pub(super) fn decode(f: &mut Form<'_>) -> Decoded {
    let kinds = [("load", 0), ("store", 1), ("mma", 2)];
    match f.require("`.load`, `.store` or `.mma`", &kinds)? {
        0 => transfer::load(f),
        1 => transfer::store(f),
        _ => multiply(f),
    }
}

/// `.sync.aligned`, of which the second was implied before PTX 6.3.
fn warp_wide(f: &mut Form<'_>) -> Result<(), LoadError> {
    f.require("`.sync`", &[("sync", ())])?;
    f.take("aligned");
    Ok(())
}

/// `.row` or `.col`; true for columns.
fn layout(f: &mut Form<'_>) -> Result<bool, LoadError> {
    f.require("`.row` or `.col`", &[("row", false), ("col", true)])
}

struct Multiply {
    arithmetic: Arithmetic,
    shape: Shape,
    row_bytes: usize,
    a: Vec<Src>,
    b: Vec<Src>,
    c: Vec<Src>,
    d: Vec<Slot>,
    /// Two elements of C, and of D, in a register.
    halves: (bool, bool),
}

impl Execute for Multiply {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        let tile = self.shape.tile;
        let (a, b) = (
            tile.rows_of_a(step, &self.a, ROW),
            tile.rows_of_b(step, &self.b, self.row_bytes, ROW),
        );
        let mut d = tile.matrix(step, &self.c, self.halves.0);
        // Sums are kept as D, so that C takes its form first. How the two are rounded is not specified.
        match self.halves {
            (true, false) => d.iter_mut().for_each(|c| {
                *c = f16::from_bits(*c as u16).to_f32().to_bits();
            }),
            (false, true) => d.iter_mut().for_each(|c| {
                *c = f16::from_f32(f32::from_bits(*c)).to_bits().into();
            }),
            _ => {}
        }
        self.arithmetic.multiply(&a, &b, &mut d, tile.n);
        tile.scatter(step, &self.d, &d, self.halves.1);
        step.state.counts.mmas += 1;
        Ok(Flow::Next)
    }

    fn collective(&self) -> Collective {
        Collective::Warp
    }
}

/// `wmma.mma.sync.aligned.alayout.blayout.shape.dtype{.atype.btype}.ctype d, a, b, c`.
fn multiply(f: &mut Form<'_>) -> Decoded {
    warp_wide(f)?;
    let layouts = (layout(f)?, layout(f)?);
    let shape = Shape::take(f)?;
    if f.take("f64") {
        f.ignore(&["rn"]);
        if shape.k != 4 {
            return Err(f.invalid("`.f64` has the shape m8n8k4"));
        }
        return super::mma_double::decode(f, (8, 8, 4));
    }
    let saturate = f.take("satfinite");
    let results = [
        ("f32", Result32::F32),
        ("f16", Result32::F16),
        ("s32", Result32::S32),
    ];
    let d = f.require("the type of D", &results)?;
    let (arithmetic, element) = arithmetic(f, d, saturate)?;
    let c = f.require("the type of C", &results)?;
    let narrow = matches!(arithmetic, Arithmetic::Narrow(_));
    if !shape.fits(element) || narrow && layouts != (false, true) {
        return Err(f.invalid("these types do not have this shape, or not in this layout"));
    }
    if (c == Result32::S32) != (d == Result32::S32) || c != d && element != Element::F16 {
        return Err(f.invalid("these types do not go together"));
    }
    let row_bytes = shape.k * element.bits() / 8;
    let halves = (c == Result32::F16, d == Result32::F16);
    let multiply = Multiply {
        arithmetic,
        shape,
        row_bytes,
        d: slots(&f.dsts(0)?),
        a: f.srcs(1, Ty::B32)?,
        b: f.srcs(2, Ty::B32)?,
        c: f.srcs(3, Ty::B32)?,
        halves,
    };
    let (kept_a, kept_b) = (
        shape.tile.registers_of_a(row_bytes),
        shape.tile.registers_of_b(row_bytes),
    );
    let written = |kept| if element == Element::F16 { 8 } else { kept };
    let counts = [&multiply.a, &multiply.b, &multiply.c].map(|v| v.len());
    let results = [halves.0, halves.1].map(|h| shape.tile.registers_of_c(h));
    if counts != [written(kept_a), written(kept_b), results[0]] || multiply.d.len() != results[1] {
        return Err(f.invalid("the number of registers does not fit the shape"));
    }
    // What is repeated is read once.
    let Multiply { mut a, mut b, .. } = multiply;
    a.truncate(kept_a);
    b.truncate(kept_b);
    Ok(Box::new(Multiply { a, b, ..multiply }))
}

/// The types of A and B, which are f16 where they are not written.
fn arithmetic(
    f: &mut Form<'_>,
    d: Result32,
    saturate: bool,
) -> Result<(Arithmetic, Element), LoadError> {
    if let Some(elements) = mma_narrow::elements(f)? {
        let element = match elements {
            mma_narrow::Elements::Nibbles(..) => Element::S4,
            _ => Element::B1,
        };
        return Ok((Arithmetic::Narrow(Narrow { elements, saturate }), element));
    }
    let types = [
        ("bf16", (Format::Bf16, Element::Bf16)),
        ("tf32", (Format::Tf32, Element::Tf32)),
        ("s8", (Format::S8, Element::S8)),
        ("u8", (Format::U8, Element::U8)),
    ];
    let Some((a, element)) = f.choose(&types) else {
        return Ok((
            plain(f, Format::F16, Format::F16, d, saturate)?,
            Element::F16,
        ));
    };
    let (b, _) = f.require("the type of B", &types)?;
    if a != b {
        return Err(f.invalid("A and B are of one type"));
    }
    Ok((plain(f, a, b, d, saturate)?, element))
}
