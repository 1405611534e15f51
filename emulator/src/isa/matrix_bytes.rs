//! `ldmatrix` and `stmatrix` of 8-bit elements, and of 4 and 6 bits that become bytes (PTX ISA, 9.7.14.5.15 and
//! 9.7.14.5.16). The figures of the ISA show the fragments; they are spelled out here as CUTLASS has them in its copy traits.

use super::form::{Addr, Dst, Form};
use super::types::Ty;
use super::{Collective, Execute, Op, Src, Taint};
use crate::error::LoadError;
use crate::machine::{AccessKind, FaultKind, Flow, Space, Step};

/// Bytes of a row in shared memory, padding included; every shape has rows of 16 elements there.
const ROW: usize = 16;

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Shape {
    M16n16,
    M8n16,
    M16n8,
}

/// The shapes of this file.
pub(super) const SHAPES: [(&str, Shape); 3] = [
    ("m16n16", Shape::M16n16),
    ("m8n16", Shape::M8n16),
    ("m16n8", Shape::M16n8),
];

impl Shape {
    /// Where byte `i` of a register lies: whose address names the row, and which of its elements it is.
    fn place(self, register: usize, lane: usize, i: usize) -> (usize, usize) {
        let (quad, row) = (lane % 4, lane / 4);
        match self {
            // Transposed: four rows of a column in a register, eight columns further on in the next one.
            Shape::M16n16 => (register / 2 * 16 + 4 * quad + i, row + 8 * (register % 2)),
            Shape::M8n16 => (register * 8 + row, 4 * quad + i),
            // Transposed: two rows of two columns, as `mma` leaves its results.
            Shape::M16n8 => (register * 8 + 2 * quad + (i & 1), row + 8 * (i >> 1)),
        }
    }

    /// Registers of a matrix.
    fn registers(self) -> usize {
        if self == Shape::M16n16 { 2 } else { 1 }
    }

    /// Rows of a matrix in memory.
    fn rows(self) -> usize {
        if self == Shape::M16n16 { 16 } else { 8 }
    }
}

pub(super) fn decode(f: &mut Form<'_>, shape: Shape) -> Result<Op, LoadError> {
    let count = f.choose(&[("x1", 1), ("x2", 2), ("x4", 4)]).unwrap_or(1);
    let transposes = f.take("trans");
    let stores = f.opcode() == "stmatrix";
    if transposes != (shape != Shape::M8n16) || stores != (shape == Shape::M16n8) {
        return Err(f.invalid("no such shape, or not with or without `.trans`"));
    }
    if count * shape.rows() > 32 {
        return Err(f.invalid("there are not so many matrices of this shape"));
    }
    let space = f
        .choose(&[("shared", Space::Shared), ("shared::cta", Space::Shared)])
        .unwrap_or(Space::Generic);
    let bits = element_bits(f, shape)?;
    let registers = count * shape.registers();
    let wrong = |f: &Form<'_>| f.invalid(format!("needs {registers} registers"));
    if stores {
        let (addr, srcs) = (f.addr(0)?, f.srcs(1, Ty::B32)?);
        if srcs.len() != registers {
            return Err(wrong(f));
        }
        return Ok(Box::new(Store {
            shape,
            srcs,
            addr,
            space,
        }));
    }
    let (dsts, addr) = (f.dsts(0)?, f.addr(1)?);
    if dsts.len() != registers {
        return Err(wrong(f));
    }
    Ok(Box::new(Load {
        shape,
        bits,
        rows: count * shape.rows(),
        dsts,
        addr,
        space,
    }))
}

/// `.b8`, or `.b8x16` with the format in memory.
fn element_bits(f: &mut Form<'_>, shape: Shape) -> Result<usize, LoadError> {
    if !f.take("b8x16") {
        return match f.ty()? {
            Ty::B8 if shape != Shape::M8n16 => Ok(8),
            _ => Err(f.invalid("this shape has no such type")),
        };
    }
    if shape == Shape::M16n8 {
        return Err(f.invalid("stores bytes only"));
    }
    f.require(
        "`.b6x16_p32` or `.b4x16_p64`",
        &[("b6x16_p32", 6), ("b4x16_p64", 4)],
    )
}

struct Load {
    shape: Shape,
    /// Bits of an element in memory.
    bits: usize,
    rows: usize,
    dsts: Vec<Dst>,
    addr: Addr,
    space: Space,
}

impl Execute for Load {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        let addresses = step.addresses(self.addr);
        let mut rows = [0u128; 32];
        for (lane, row) in rows.iter_mut().enumerate().take(self.rows) {
            let mut bytes = [0; ROW];
            step.read(
                lane,
                self.space,
                addresses[lane],
                AccessKind::Load,
                &mut bytes,
            )?;
            *row = u128::from_le_bytes(bytes);
        }
        // Narrow elements are at the low end of their bytes: CUTLASS shifts those of 4 bits up for `mma`.
        let mask = (1u128 << self.bits) - 1;
        for (register, d) in self.dsts.iter().enumerate() {
            let byte = |lane, i| {
                let (row, element) = self.shape.place(register, lane, i);
                ((rows[row] >> (self.bits * element) & mask) as u64) << (8 * i)
            };
            let words = std::array::from_fn(|lane| (0..4).map(|i| byte(lane, i)).sum());
            step.set(d.slot, &words);
            if step.state.check.on {
                self.define(step, register, d.slot, &addresses);
            }
        }
        Ok(Flow::Next)
    }

    fn taint(&self) -> Taint {
        Taint::Own
    }

    fn collective(&self) -> Collective {
        Collective::Warp
    }
}

impl Load {
    /// Undefined elements travel as the others do.
    fn define(
        &self,
        step: &mut Step<'_>,
        register: usize,
        slot: super::Slot,
        addresses: &[u64; 32],
    ) {
        let mut undefined = 0;
        for (lane, i) in (0..32).flat_map(|lane| (0..4).map(move |i| (lane, i))) {
            let (row, element) = self.shape.place(register, lane, i);
            let first = element * self.bits / 8;
            let end = ((element + 1) * self.bits).div_ceil(8);
            let at = addresses[row].wrapping_add(first as u64);
            let defined = step.is_defined(row, self.space, at, end - first);
            undefined |= u32::from(!defined) << lane;
        }
        let (mask, line) = (step.mask, step.line);
        step.warp.defined.define(slot, mask, undefined, line);
    }
}

struct Store {
    shape: Shape,
    srcs: Vec<Src>,
    addr: Addr,
    space: Space,
}

impl Execute for Store {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        let addresses = step.addresses(self.addr);
        let mut rows = [[0u8; ROW]; 32];
        let mut undefined = [[false; ROW]; 32];
        for (register, src) in self.srcs.iter().enumerate() {
            let (words, (lost, _)) = (step.get(*src), step.warp.defined.undefined(*src));
            for (lane, word) in words.iter().enumerate() {
                for (i, byte) in (*word as u32).to_le_bytes().into_iter().enumerate() {
                    let (row, element) = self.shape.place(register, lane, i);
                    rows[row][element] = byte;
                    undefined[row][element] = lost >> lane & 1 != 0;
                }
            }
        }
        for lane in 0..self.srcs.len() * self.shape.rows() {
            step.write(
                lane,
                self.space,
                addresses[lane],
                AccessKind::Store,
                &rows[lane],
            )?;
            for element in (0..ROW).filter(|&e| undefined[lane][e]) {
                let at = addresses[lane].wrapping_add(element as u64);
                step.set_defined(lane, self.space, at, 1, false);
            }
        }
        Ok(Flow::Next)
    }

    fn taint(&self) -> Taint {
        Taint::Own
    }

    fn collective(&self) -> Collective {
        Collective::Warp
    }
}
