//! Extended-precision arithmetic with the carry flag of each thread (PTX ISA, 9.7.2).

use super::super::form::{Dst, Form};
use super::super::types::Ty;
use super::super::{Execute, Src};
use super::{Decoded, Width, high_signed, high_unsigned};
use crate::machine::{FaultKind, Flow, Step};

/// An operation that takes the flag of each thread, leaves it, or both.
struct Carry {
    d: Dst,
    sources: [Src; 3],
    kind: CarryKind,
    reads: bool,
    writes: bool,
    bits: u32,
}

#[derive(Clone, Copy)]
enum CarryKind {
    Add,
    Subtract,
    MultiplyLow,
    MultiplyHigh { signed: bool },
}

impl Carry {
    fn one(&self, [a, b, c]: [u64; 3], carry: bool) -> (u64, bool) {
        let mask = if self.bits == 64 {
            u64::MAX
        } else {
            u64::from(u32::MAX)
        };
        let add = |x: u64, y: u64, carry: bool| {
            let sum = u128::from(x & mask) + u128::from(y & mask) + u128::from(carry);
            (sum as u64 & mask, sum >> self.bits != 0)
        };
        match self.kind {
            CarryKind::Add => add(a, b, carry),
            // The flag holds the borrow inverted in hardware; PTX speaks of borrow-in and borrow-out.
            CarryKind::Subtract => {
                let (x, y) = (
                    u128::from(a & mask),
                    u128::from(b & mask) + u128::from(carry),
                );
                (x.wrapping_sub(y) as u64 & mask, x < y)
            }
            CarryKind::MultiplyLow => add(a.wrapping_mul(b), c, carry),
            CarryKind::MultiplyHigh { signed } => {
                let high = match (signed, self.bits) {
                    (true, 64) => high_signed(a as i64, b as i64, 64) as u64,
                    (true, _) => high_signed(i64::from(a as i32), i64::from(b as i32), 32) as u64,
                    (false, bits) => high_unsigned(a & mask, b & mask, bits),
                };
                add(high, c, carry)
            }
        }
    }
}

impl Execute for Carry {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        let sources = self.sources.map(|s| step.get(s));
        let mut flags = step.warp.carry;
        let mut out = [0; 32];
        for lane in step.lanes() {
            let carry = self.reads && flags >> lane & 1 != 0;
            let (value, carry) = self.one(sources.each_ref().map(|s| s[lane]), carry);
            out[lane] = value;
            flags = flags & !(1 << lane) | u32::from(carry) << lane;
        }
        step.set(self.d.slot, &out);
        if self.writes {
            step.warp.carry = flags;
        }
        Ok(Flow::Next)
    }
}

fn carry_operation(
    f: &mut Form<'_>,
    ty: Ty,
    kind: CarryKind,
    reads: bool,
    writes: bool,
) -> Decoded {
    if !matches!(ty, Ty::U32 | Ty::S32 | Ty::U64 | Ty::S64) {
        return Err(f.invalid("needs a 32-bit or 64-bit integer type"));
    }
    let d = f.dst(0)?;
    let c = if matches!(kind, CarryKind::Add | CarryKind::Subtract) {
        Src::Imm(0)
    } else {
        f.src(3, ty)?
    };
    let sources = [f.src(1, ty)?, f.src(2, ty)?, c];
    Ok(Box::new(Carry {
        d,
        sources,
        kind,
        reads,
        writes,
        bits: ty.bits(),
    }))
}

fn multiply_kind(width: Option<Width>, ty: Ty) -> CarryKind {
    if width == Some(Width::High) {
        CarryKind::MultiplyHigh {
            signed: ty.is_signed(),
        }
    } else {
        CarryKind::MultiplyLow
    }
}

pub(super) fn carry_out(f: &mut Form<'_>, ty: Ty, width: Option<Width>) -> Decoded {
    let kind = match f.opcode() {
        "add" => CarryKind::Add,
        "sub" => CarryKind::Subtract,
        "mad" => multiply_kind(width, ty),
        _ => return Err(f.invalid("has no `.cc` form")),
    };
    carry_operation(f, ty, kind, false, true)
}

pub(super) fn extended(f: &mut Form<'_>) -> Decoded {
    let writes = f.take("cc");
    let width = f.choose(&[("lo", Width::Low), ("hi", Width::High)]);
    let ty = f.ty()?;
    let kind = match f.opcode() {
        "addc" => CarryKind::Add,
        "subc" => CarryKind::Subtract,
        _ => multiply_kind(width, ty),
    };
    carry_operation(f, ty, kind, true, writes)
}
