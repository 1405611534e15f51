//! `stacksave`, `stackrestore` and `alloca`: local memory that is allocated while a thread runs (PTX ISA, 9.7.15).

use super::form::{Dst, Form};
use super::types::Ty;
use super::{Execute, Op, Slot, Special, Src, decode, lanes};
use crate::error::LoadError;
use crate::machine::{FaultKind, Flow, Step};

/// The least alignment of what is allocated.
const LEAST: u64 = 8;

pub(super) fn decode(f: &mut Form<'_>) -> Result<Op, LoadError> {
    let ty = f.ty()?;
    if !matches!(ty, Ty::U32 | Ty::U64) {
        return Err(f.invalid("exists for .u32 and .u64 only"));
    }
    let pointer = f.special(Special::StackPointer);
    match f.opcode() {
        "stacksave" => {
            let d = f.dst_as(0, ty)?;
            Ok(lanes::map1(d, Src::Reg(pointer), |a: u64| a))
        }
        "stackrestore" => {
            let d = Dst {
                slot: pointer,
                bits: 64,
            };
            Ok(lanes::map1(d, f.src(0, ty)?, |a: u64| a))
        }
        _ => {
            let align = if f.count() > 2 {
                f.immediate(2)?
            } else {
                LEAST
            };
            if !align.is_power_of_two() || align > 1 << 23 {
                return Err(f.invalid("the alignment must be a power of two, 2^23 at most"));
            }
            Ok(Box::new(Allocate {
                d: f.dst_as(0, ty)?,
                size: f.src(1, ty)?,
                align: align.max(LEAST),
                pointer,
            }))
        }
    }
}

struct Allocate {
    d: Dst,
    size: Src,
    align: u64,
    pointer: Slot,
}

impl Execute for Allocate {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        let (pointers, sizes) = (step.get(Src::Reg(self.pointer)), step.get(self.size));
        let end = u64::from(step.grid.local_bytes);
        let aligned = |p: u64| p.checked_next_multiple_of(self.align).unwrap_or(u64::MAX);
        let mut starts = pointers.map(aligned);
        for lane in step.lanes() {
            if starts[lane].saturating_add(sizes[lane]) > end {
                step.lane = Some(lane as u32);
                return Err(FaultKind::OutOfBounds {
                    space: "local",
                    address: starts[lane],
                    bytes: sizes[lane],
                    near: format!(
                        "the stack ends at {end}: alloca has {} bytes",
                        decode::STACK
                    ),
                });
            }
        }
        step.set(self.d.slot, &starts);
        for lane in step.lanes() {
            starts[lane] += sizes[lane];
        }
        step.set(self.pointer, &starts);
        Ok(Flow::Next)
    }
}
