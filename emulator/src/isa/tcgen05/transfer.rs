//! Registers and tensor memory: `tcgen05.ld`, `st` and `wait` (PTX ISA, 9.7.16.8).

use super::{Decoded, LoadReduction, warp_wide};
use crate::engine::tensor_memory::{Access, AccessShape};
use crate::error::LoadError;
use crate::isa::form::{Addr, Form};
use crate::isa::integer::slots;
use crate::isa::types::Ty;
use crate::isa::{Collective, Execute, Slot, Src, Taint};
use crate::machine::{FaultKind, Flow, Step};

struct Transfer {
    access: Access,
    addr: Addr,
    registers: Vec<Slot>,
    reduction: Option<LoadReduction>,
    /// Sources of a store.
    sources: Vec<Src>,
}

impl Execute for Transfer {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        let addresses = step.addresses(self.addr);
        let lane = step.mask.trailing_zeros() as usize;
        let address = addresses[lane] as u32;
        if let Some(other) = step.lanes().find(|&l| addresses[l] as u32 != address) {
            return Err(FaultKind::operand(
                other,
                format!(
                    "tensor address {:#x} differs from lane {lane}'s {address:#x}",
                    addresses[other] as u32
                ),
            ));
        }
        if self.sources.is_empty() {
            step.tensor_load(self.access, address, &self.registers, self.reduction)?;
        } else {
            step.tensor_store(self.access, address, &self.sources)?;
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

const REPEATS: [(&str, u32); 8] = [
    ("x1", 1),
    ("x2", 2),
    ("x4", 4),
    ("x8", 8),
    ("x16", 16),
    ("x32", 32),
    ("x64", 64),
    ("x128", 128),
];

pub(super) fn shape(f: &mut Form<'_>) -> Result<(AccessShape, u32), LoadError> {
    let shapes = [
        ("32x32b", AccessShape::S32x32b),
        ("16x64b", AccessShape::S16x64b),
        ("16x128b", AccessShape::S16x128b),
        ("16x256b", AccessShape::S16x256b),
        ("16x32bx2", AccessShape::S16x32bx2 { offset: 0 }),
    ];
    Ok((
        f.require("a shape", &shapes)?,
        f.require("`.x1` to `.x128`", &REPEATS)?,
    ))
}

fn access(
    f: &Form<'_>,
    shape: AccessShape,
    repeat: u32,
    packed: bool,
    registers: usize,
) -> Result<Access, LoadError> {
    let access = Access::new(shape, repeat, packed).map_err(|e| f.invalid(e.to_string()))?;
    if access.registers() != registers {
        return Err(f.invalid(format!(
            "needs {} registers, has {registers}",
            access.registers()
        )));
    }
    Ok(access)
}

pub(super) fn load(f: &mut Form<'_>) -> Decoded {
    warp_wide(f)?;
    let reduces = f.take("red");
    let (mut shape, repeat) = shape(f)?;
    let packed = f.take("pack::16b");
    let registers = slots(&f.dsts(0)?);
    let (reduction, next) = if reduces {
        let shaped = matches!(shape, AccessShape::S32x32b | AccessShape::S16x32bx2 { .. });
        if packed || repeat == 1 || !shaped {
            return Err(f.invalid("`.red` goes with .32x32b or .16x32bx2 from .x2 on, unpacked"));
        }
        (Some(LoadReduction::read(f)?), 2)
    } else {
        f.ty()?;
        (None, 1)
    };
    let addr = f.addr(next)?;
    if let AccessShape::S16x32bx2 { offset } = &mut shape {
        *offset = f.immediate(next + 1)? as u32;
    }
    let access = access(f, shape, repeat, packed, registers.len())?;
    Ok(Box::new(Transfer {
        access,
        addr,
        registers,
        reduction,
        sources: Vec::new(),
    }))
}

pub(super) fn store(f: &mut Form<'_>) -> Decoded {
    warp_wide(f)?;
    let (mut shape, repeat) = shape(f)?;
    let packed = f.take("unpack::16b");
    f.ty()?;
    let addr = f.addr(0)?;
    let last = f.count().saturating_sub(1);
    if let AccessShape::S16x32bx2 { offset } = &mut shape {
        *offset = f.immediate(1)? as u32;
    }
    let sources = f.srcs(last, Ty::B32)?;
    let access = access(f, shape, repeat, packed, sources.len())?;
    Ok(Box::new(Transfer {
        access,
        addr,
        registers: Vec::new(),
        reduction: None,
        sources,
    }))
}

struct WaitTransfers {
    stores: bool,
}

impl Execute for WaitTransfers {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        step.finish_transfers(self.stores)?;
        Ok(Flow::Next)
    }

    fn collective(&self) -> Collective {
        Collective::Warp
    }
}

pub(super) fn wait(f: &mut Form<'_>, stores: bool) -> Decoded {
    warp_wide(f)?;
    Ok(Box::new(WaitTransfers { stores }))
}
