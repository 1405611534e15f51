//! `wmma.load` and `wmma.store`: whole matrices between memory and the registers of a warp (PTX ISA, 9.7.14.4.3 and 4).

use super::{Decoded, ELEMENTS, Element, Shape, layout, warp_wide};
use crate::error::LoadError;
use crate::isa::form::{Addr, Form};
use crate::isa::integer::slots;
use crate::isa::types::Ty;
use crate::isa::{Collective, Execute, Slot, Src, Taint};
use crate::machine::{AccessKind, FaultKind, Flow, Space, Step};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Operand {
    A,
    B,
    C,
}

/// A matrix in memory and in registers.
struct Matrix {
    operand: Operand,
    shape: Shape,
    element: Element,
    /// Columns follow each other, not rows.
    columns: bool,
    space: Space,
    addr: Addr,
    /// From one row, or column, to the next, in elements.
    stride: Src,
}

impl Matrix {
    fn rows(&self) -> usize {
        if self.operand == Operand::B {
            self.shape.k
        } else {
            self.shape.tile.m
        }
    }

    fn width(&self) -> usize {
        if self.operand == Operand::A {
            self.shape.k
        } else {
            self.shape.tile.n
        }
    }

    /// Bytes that a thread takes at a time: an element, or a register of narrow ones, which lie behind each other.
    fn piece(&self) -> usize {
        (self.element.bits() / 8).max(if self.element.bits() < 8 { 4 } else { 1 })
    }

    /// Pieces in a register, or for f64 in two.
    fn per_register(&self) -> usize {
        if self.element == Element::F64 {
            1
        } else {
            4 / self.piece()
        }
    }

    fn registers(&self) -> usize {
        let row_bytes = self.shape.k * self.element.bits() / 8;
        let tile = self.shape.tile;
        match (self.operand, self.element) {
            (Operand::C, Element::F64) => 2,
            (_, Element::F64) => 1,
            (Operand::C, element) => tile.registers_of_c(element == Element::F16),
            (_, Element::F16) => 8,
            (Operand::A, _) => tile.registers_of_a(row_bytes),
            (Operand::B, _) => tile.registers_of_b(row_bytes),
        }
    }

    /// Row and column of the first element of a piece.
    fn place(&self, register: usize, lane: usize, piece: usize) -> (usize, usize) {
        let (tile, bits) = (self.shape.tile, self.element.bits());
        let row_bytes = self.shape.k * bits / 8;
        let along = |byte: usize| (byte + 4 * (lane % 4) + piece * self.piece()) * 8 / bits;
        match self.operand {
            Operand::C if self.element == Element::F16 => tile.cell(lane, 2 * register + piece),
            Operand::C => tile.cell(lane, register),
            Operand::A if self.element == Element::F64 => (lane / 4, lane % 4),
            Operand::B if self.element == Element::F64 => (lane % 4, lane / 4),
            Operand::A => {
                let (row, byte) = tile.place_of_a(register % tile.registers_of_a(row_bytes));
                (row + lane / 4, along(byte))
            }
            Operand::B => {
                let kept = tile.registers_of_b(row_bytes);
                let (column, byte) = tile.place_of_b(register % kept, row_bytes);
                (along(byte), column + lane / 4)
            }
        }
    }

    /// Address of a piece.
    fn address(&self, base: u64, stride: u64, place: (usize, usize)) -> u64 {
        let (row, column) = (place.0 as u64, place.1 as u64);
        let elements = match self.columns {
            true => column.wrapping_mul(stride).wrapping_add(row),
            false => row.wrapping_mul(stride).wrapping_add(column),
        };
        base.wrapping_add(elements.wrapping_mul(self.element.bits() as u64) / 8)
    }

    /// The address and the stride, which are the same for all threads. Rows start at multiples of the size of a fragment;
    /// strides are held to 16 bytes only, which the CUDA programming guide asks for.
    fn start(&self, step: &mut Step<'_>) -> Result<(u64, u64), FaultKind> {
        let (addresses, stride) = (
            step.addresses(self.addr),
            step.uniform(self.stride, "stride")?,
        );
        let first = step.mask.trailing_zeros() as usize & 31;
        let (base, stride) = (addresses[first], stride & 0xFFFF_FFFF);
        if let Some(lane) = step.lanes().find(|&lane| addresses[lane] != base) {
            let message = format!(
                "address {:#x} differs from lane {first}'s {base:#x}",
                addresses[lane]
            );
            return Err(FaultKind::operand(lane, message));
        }
        let least = if self.columns {
            self.rows()
        } else {
            self.width()
        };
        if stride < least as u64 {
            let message =
                format!("a stride of {stride} where rows or columns have {least} elements");
            return Err(FaultKind::operand(first, message));
        }
        let size = (self.registers() * self.piece() * self.per_register()) as u64;
        let bits = stride * self.element.bits() as u64;
        step.check_aligned(first, self.space, base, size as usize)?;
        if !bits.is_multiple_of(8 * size.min(16)) {
            let message = format!("a stride of {stride} elements, no multiple of 16 bytes");
            return Err(FaultKind::operand(first, message));
        }
        Ok((base, stride))
    }

    /// The pieces of a register: lane, and place in the matrix.
    fn pieces(&self, register: usize) -> impl Iterator<Item = (usize, (usize, usize))> + '_ {
        (0..32).flat_map(move |lane| {
            (0..self.per_register()).map(move |piece| (lane, self.place(register, lane, piece)))
        })
    }
}

/// The modifiers behind `.a`, `.b`, `.c` or `.d`; operands at their places.
fn matrix(f: &mut Form<'_>, operand: Operand, at: usize) -> Result<Matrix, LoadError> {
    warp_wide(f)?;
    let columns = layout(f)?;
    let shape = Shape::take(f)?;
    let spaces = [
        ("global", Space::Global),
        ("shared", Space::Shared),
        ("shared::cta", Space::Shared),
    ];
    let space = f.choose(&spaces).unwrap_or(Space::Generic);
    let element = f.require("an element type", &ELEMENTS)?;
    use Element::*;
    let legal = match operand {
        Operand::C => match element {
            F64 => shape.k == 4,
            F16 => shape.k == 16,
            S32 => shape.k >= 16,
            F32 => matches!(shape.k, 8 | 16),
            _ => false,
        },
        _ => shape.fits(element) && !matches!(element, F32 | S32),
    };
    let narrow = operand != Operand::C && element.bits() < 8;
    if !legal || narrow && columns != (operand == Operand::B) {
        return Err(f.invalid("no such matrix"));
    }
    let mut matrix = Matrix {
        operand,
        shape,
        element,
        columns,
        space,
        addr: f.addr(at)?,
        stride: Src::Imm(0),
    };
    matrix.stride = match f.count() > 2 {
        true => f.src(2, Ty::B32)?,
        false if columns => Src::Imm(matrix.rows() as u64),
        false => Src::Imm(matrix.width() as u64),
    };
    Ok(matrix)
}

struct Load {
    matrix: Matrix,
    registers: Vec<Slot>,
}

pub(super) fn load(f: &mut Form<'_>) -> Decoded {
    let operands = [("a", Operand::A), ("b", Operand::B), ("c", Operand::C)];
    let operand = f.require("`.a`, `.b` or `.c`", &operands)?;
    let matrix = matrix(f, operand, 1)?;
    let registers = slots(&f.dsts(0)?);
    if registers.len() != matrix.registers() {
        return Err(f.invalid(format!("needs {} registers", matrix.registers())));
    }
    Ok(Box::new(Load { matrix, registers }))
}

impl Execute for Load {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        let matrix = &self.matrix;
        let (base, stride) = matrix.start(step)?;
        let size = matrix.piece();
        for (register, slot) in self.registers.iter().enumerate() {
            let (mut words, mut undefined, mut filled) = ([0u64; 32], 0u32, [0; 32]);
            for (lane, place) in matrix.pieces(register) {
                let (at, mut bytes) = (matrix.address(base, stride, place), [0; 8]);
                step.read(lane, matrix.space, at, AccessKind::Load, &mut bytes[..size])?;
                words[lane] |= u64::from_le_bytes(bytes) << filled[lane];
                filled[lane] += 8 * size;
                if step.state.check.on && !step.is_defined(lane, matrix.space, at, size) {
                    undefined |= 1 << lane;
                }
            }
            step.set(*slot, &words);
            if step.state.check.on {
                let (mask, line) = (step.mask, step.line);
                step.warp.defined.define(*slot, mask, undefined, line);
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

struct Store {
    matrix: Matrix,
    registers: Vec<Src>,
}

pub(super) fn store(f: &mut Form<'_>) -> Decoded {
    f.require("`.d`", &[("d", ())])?;
    let matrix = matrix(f, Operand::C, 0)?;
    let ty = if matrix.element == Element::F64 {
        Ty::F64
    } else {
        Ty::B32
    };
    let registers = f.srcs(1, ty)?;
    if registers.len() != matrix.registers() {
        return Err(f.invalid(format!("needs {} registers", matrix.registers())));
    }
    Ok(Box::new(Store { matrix, registers }))
}

impl Execute for Store {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        let matrix = &self.matrix;
        let (base, stride) = matrix.start(step)?;
        let size = matrix.piece();
        for (register, src) in self.registers.iter().enumerate() {
            let (words, mut taken) = (step.get(*src), [0; 32]);
            for (lane, place) in matrix.pieces(register) {
                let at = matrix.address(base, stride, place);
                let bytes = (words[lane] >> taken[lane]).to_le_bytes();
                taken[lane] += 8 * size;
                step.write(lane, matrix.space, at, AccessKind::Store, &bytes[..size])?;
                if step.state.check.on {
                    step.stored(lane, matrix.space, at, size, *src)?;
                }
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
