//! `ldmatrix`, `stmatrix`, `movmatrix` for 8x8 matrices of 16-bit elements (PTX ISA, 9.7.14.5).

use super::form::{Addr, Dst, Form};
use super::matrix_bytes::SHAPES;
use super::types::Ty;
use super::{Collective, Execute, Op, Src, Taint};
use crate::error::LoadError;
use crate::machine::{AccessKind, FaultKind, Flow, Space, Step};

type Decoded = Result<Op, LoadError>;
type Matrix = [[u16; 8]; 8];

pub(super) fn decode(f: &mut Form<'_>) -> Decoded {
    for part in ["sync", "aligned"] {
        if !f.take(part) {
            return Err(f.unsupported(format!("only the `.{part}` forms are implemented")));
        }
    }
    if let Some(shape) = f.choose(&SHAPES) {
        return super::matrix_bytes::decode(f, shape);
    }
    f.require("a shape", &[("m8n8", ())])?;
    let count = f.choose(&[("x1", 1), ("x2", 2), ("x4", 4)]).unwrap_or(1);
    let transpose = f.take("trans");
    if f.opcode() == "movmatrix" {
        f.ty()?;
        return Ok(Box::new(Move {
            d: f.dst(0)?,
            a: f.src(1, Ty::B32)?,
        }));
    }
    let space = f
        .choose(&[("shared", Space::Shared), ("shared::cta", Space::Shared)])
        .unwrap_or(Space::Generic);
    if f.ty()? != Ty::B16 {
        return Err(f.unsupported("only .b16 is implemented"));
    }
    if f.opcode() == "ldmatrix" {
        let (dsts, addr) = (f.dsts(0)?, f.addr(1)?);
        if dsts.len() != count {
            return Err(f.invalid(format!("needs {count} registers")));
        }
        return Ok(Box::new(Load {
            dsts,
            addr,
            space,
            transpose,
        }));
    }
    let (addr, srcs) = (f.addr(0)?, f.srcs(1, Ty::B32)?);
    if srcs.len() != count {
        return Err(f.invalid(format!("needs {count} registers")));
    }
    Ok(Box::new(Store {
        srcs,
        addr,
        space,
        transpose,
    }))
}

/// Thread t holds elements (t/4, 2*(t%4)) and (t/4, 2*(t%4)+1).
fn to_fragment(matrix: &Matrix, transpose: bool) -> [u64; 32] {
    std::array::from_fn(|t| {
        let at = |c: usize| {
            if transpose {
                matrix[c][t / 4]
            } else {
                matrix[t / 4][c]
            }
        };
        u64::from(at(2 * (t % 4))) | u64::from(at(2 * (t % 4) + 1)) << 16
    })
}

fn from_fragment(words: &[u64; 32], transpose: bool) -> Matrix {
    let mut matrix = Matrix::default();
    for (t, word) in words.iter().enumerate() {
        for half in 0..2 {
            let (row, column) = (t / 4, 2 * (t % 4) + half);
            let value = (word >> (16 * half)) as u16;
            if transpose {
                matrix[column][row] = value;
            } else {
                matrix[row][column] = value;
            }
        }
    }
    matrix
}

struct Load {
    dsts: Vec<Dst>,
    addr: Addr,
    space: Space,
    transpose: bool,
}

impl Execute for Load {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        let addresses = step.addresses(self.addr);
        for (i, d) in self.dsts.iter().enumerate() {
            let mut matrix = Matrix::default();
            for (r, row) in matrix.iter_mut().enumerate() {
                let lane = i * 8 + r;
                let mut bytes = [0; 16];
                step.read(
                    lane,
                    self.space,
                    addresses[lane],
                    AccessKind::Load,
                    &mut bytes,
                )?;
                *row =
                    std::array::from_fn(|c| u16::from_le_bytes([bytes[2 * c], bytes[2 * c + 1]]));
            }
            step.set(d.slot, &to_fragment(&matrix, self.transpose));
            if step.state.check.on {
                self.define(step, i, d.slot, &addresses);
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
    fn define(&self, step: &mut Step<'_>, i: usize, slot: super::Slot, addresses: &[u64; 32]) {
        let mut undefined = Matrix::default();
        for (r, row) in undefined.iter_mut().enumerate() {
            let at = |c: usize| addresses[i * 8 + r].wrapping_add(2 * c as u64);
            *row = std::array::from_fn(|c| {
                u16::from(!step.is_defined(i * 8 + r, self.space, at(c), 2))
            });
        }
        let words = to_fragment(&undefined, self.transpose);
        let lanes = (0..32).fold(0, |lanes, lane| lanes | u32::from(words[lane] != 0) << lane);
        let halves = words.iter().fold(0, |all, word| all | word);
        let half = |shift: u32, bytes: u8| if halves >> shift & 1 != 0 { bytes } else { 0 };
        let bytes = half(0, 0b0011) | half(16, 0b1100);
        let (mask, line) = (step.mask, step.line);
        step.warp
            .defined
            .define_bytes(slot, mask, lanes, line, bytes);
    }
}

struct Store {
    srcs: Vec<Src>,
    addr: Addr,
    space: Space,
    transpose: bool,
}

impl Execute for Store {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        let addresses = step.addresses(self.addr);
        for (i, src) in self.srcs.iter().enumerate() {
            let matrix = from_fragment(&step.get(*src), self.transpose);
            for (r, row) in matrix.iter().enumerate() {
                let lane = i * 8 + r;
                let mut bytes = [0; 16];
                for (c, value) in row.iter().enumerate() {
                    bytes[2 * c..2 * c + 2].copy_from_slice(&value.to_le_bytes());
                }
                step.write(lane, self.space, addresses[lane], AccessKind::Store, &bytes)?;
            }
            if step.warp.defined.undefined(*src).0 != 0 {
                self.leave_undefined(step, i, *src, &addresses);
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

impl Store {
    fn leave_undefined(&self, step: &mut Step<'_>, i: usize, src: Src, addresses: &[u64; 32]) {
        let (lanes, _) = step.warp.defined.undefined(src);
        let bytes = step.warp.defined.undefined_bytes(src, step.mask);
        let halves = u64::from(bytes & 0b0011 != 0) | u64::from(bytes & 0b1100 != 0) << 16;
        let words = std::array::from_fn(|lane| u64::from(lanes >> lane & 1) * halves);
        let undefined = from_fragment(&words, self.transpose);
        for (r, row) in undefined.iter().enumerate() {
            for c in (0..8).filter(|&c| row[c] != 0) {
                let at = addresses[i * 8 + r].wrapping_add(2 * c as u64);
                step.set_defined(i * 8 + r, self.space, at, 2, false);
            }
        }
    }
}

/// `movmatrix`: the transpose, through registers.
struct Move {
    d: Dst,
    a: Src,
}

impl Execute for Move {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        let matrix = from_fragment(&step.get(self.a), false);
        step.set(self.d.slot, &to_fragment(&matrix, true));
        Ok(Flow::Next)
    }

    fn collective(&self) -> Collective {
        Collective::Warp
    }
}
