//! Integer arithmetic (PTX ISA, 9.7.1 and 9.7.2). The opcodes shared with floating point hand over to [`float`](super::float).

use super::form::{Dst, Form};
use super::types::Ty;
use super::{Execute, Op, Slot, Src, float, packed};
use crate::error::LoadError;
use crate::machine::{FaultKind, Flow, Step};

type Decoded = Result<Op, LoadError>;

/// Writes one arm per integer type, the closure being generic in spirit: `each!(f, ty, map2, T, |a, b| a & b)`.
macro_rules! each {
    ($f:ident, $ty:expr, $map:ident, $T:ident, $body:expr) => {{
        macro_rules! arm {
            ($t:ty) => {{
                type $T = $t;
                $f.$map($body)
            }};
        }
        match $ty {
            Ty::U16 | Ty::B16 => arm!(u16),
            Ty::U32 | Ty::B32 => arm!(u32),
            Ty::U64 | Ty::B64 => arm!(u64),
            Ty::S16 => arm!(i16),
            Ty::S32 => arm!(i32),
            Ty::S64 => arm!(i64),
            _ => Err($f.unsupported("this type is not implemented")),
        }
    }};
}
pub(super) use each;

pub(super) fn decode(f: &mut Form<'_>) -> Decoded {
    match f.opcode() {
        "addc" | "subc" | "madc" => return extended(f),
        "dp4a" => return dp4a(f),
        "dp2a" => return dp2a(f),
        "mul24" | "mad24" => return mul24(f),
        _ => {}
    }
    if let Some(signed) = packed::signedness(f) {
        return packed::decode(f, signed);
    }
    let extended_carry = f.take("cc");
    // The rounding or `.approx` comes before the type in floating-point forms; the type decides.
    let width = f.choose(&[
        ("lo", Width::Low),
        ("hi", Width::High),
        ("wide", Width::Wide),
    ]);
    let Some(ty) = f.optional_ty() else {
        return Err(f.unsupported("no type that is implemented"));
    };
    if ty.is_float() || matches!(ty, Ty::F16x2 | Ty::Bf16x2 | Ty::F32x2) {
        return float::arithmetic(f, ty);
    }
    if extended_carry {
        return carry_out(f, ty, width);
    }
    match f.opcode() {
        "add" if f.take("sat") => saturating(f, ty, i32::saturating_add),
        "sub" if f.take("sat") => saturating(f, ty, i32::saturating_sub),
        "add" => each!(f, ty, map2, T, |a: T, b: T| a.wrapping_add(b)),
        "sub" => each!(f, ty, map2, T, |a: T, b: T| a.wrapping_sub(b)),
        "mul" => multiply(f, ty, width),
        "mad" => multiply_add(f, ty, width),
        // Division by zero has an unspecified result; all ones is what devices give.
        "div" => each!(f, ty, map2, T, |a: T, b: T| if b == 0 {
            !0
        } else {
            a.wrapping_div(b)
        }),
        "rem" => each!(f, ty, map2, T, |a: T, b: T| if b == 0 {
            a
        } else {
            a.wrapping_rem(b)
        }),
        "min" => min_max(f, ty, true),
        "max" => min_max(f, ty, false),
        "abs" => match ty {
            Ty::S16 => f.map1(|a: i16| a.wrapping_abs()),
            Ty::S32 => f.map1(|a: i32| a.wrapping_abs()),
            Ty::S64 => f.map1(|a: i64| a.wrapping_abs()),
            _ => Err(f.invalid("needs a signed type")),
        },
        "neg" => match ty {
            Ty::S16 => f.map1(|a: i16| a.wrapping_neg()),
            Ty::S32 => f.map1(|a: i32| a.wrapping_neg()),
            Ty::S64 => f.map1(|a: i64| a.wrapping_neg()),
            _ => Err(f.invalid("needs a signed type")),
        },
        "sad" => match ty {
            Ty::U16 => f.map3(|a: u16, b: u16, c: u16| c.wrapping_add(a.abs_diff(b))),
            Ty::U32 => f.map3(|a: u32, b: u32, c: u32| c.wrapping_add(a.abs_diff(b))),
            Ty::U64 => f.map3(|a: u64, b: u64, c: u64| c.wrapping_add(a.abs_diff(b))),
            Ty::S16 => f.map3(|a: i16, b: i16, c: i16| c.wrapping_add(a.abs_diff(b) as i16)),
            Ty::S32 => f.map3(|a: i32, b: i32, c: i32| c.wrapping_add(a.abs_diff(b) as i32)),
            Ty::S64 => f.map3(|a: i64, b: i64, c: i64| c.wrapping_add(a.abs_diff(b) as i64)),
            _ => Err(f.unsupported("this type is not implemented")),
        },
        _ => Err(f.unsupported("not implemented for integers")),
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Width {
    Low,
    High,
    Wide,
}

fn saturating(f: &mut Form<'_>, ty: Ty, g: fn(i32, i32) -> i32) -> Decoded {
    if ty != Ty::S32 {
        return Err(f.invalid("`.sat` exists for .s32 only"));
    }
    f.map2(g)
}

fn min_max(f: &mut Form<'_>, ty: Ty, min: bool) -> Decoded {
    let relu = f.take("relu");
    match ty {
        Ty::S32 if relu && min => f.map2(|a: i32, b: i32| a.min(b).max(0)),
        Ty::S32 if relu => f.map2(|a: i32, b: i32| a.max(b).max(0)),
        _ if relu => Err(f.unsupported("`.relu` is implemented for .s32 only")),
        _ if min => each!(f, ty, map2, T, |a: T, b: T| a.min(b)),
        _ => each!(f, ty, map2, T, |a: T, b: T| a.max(b)),
    }
}

fn high_signed(a: i64, b: i64, bits: u32) -> i64 {
    ((i128::from(a) * i128::from(b)) >> bits) as i64
}

fn high_unsigned(a: u64, b: u64, bits: u32) -> u64 {
    ((u128::from(a) * u128::from(b)) >> bits) as u64
}

fn multiply(f: &mut Form<'_>, ty: Ty, width: Option<Width>) -> Decoded {
    match (width, ty) {
        (Some(Width::Low), _) => each!(f, ty, map2, T, |a: T, b: T| a.wrapping_mul(b)),
        (Some(Width::High), Ty::U16) => {
            f.map2(|a: u16, b: u16| high_unsigned(a.into(), b.into(), 16) as u16)
        }
        (Some(Width::High), Ty::U32) => {
            f.map2(|a: u32, b: u32| high_unsigned(a.into(), b.into(), 32) as u32)
        }
        (Some(Width::High), Ty::U64) => f.map2(|a: u64, b: u64| high_unsigned(a, b, 64)),
        (Some(Width::High), Ty::S16) => {
            f.map2(|a: i16, b: i16| high_signed(a.into(), b.into(), 16) as i16)
        }
        (Some(Width::High), Ty::S32) => {
            f.map2(|a: i32, b: i32| high_signed(a.into(), b.into(), 32) as i32)
        }
        (Some(Width::High), Ty::S64) => f.map2(|a: i64, b: i64| high_signed(a, b, 64)),
        (Some(Width::Wide), Ty::U16) => f.map2(|a: u16, b: u16| u32::from(a) * u32::from(b)),
        (Some(Width::Wide), Ty::U32) => f.map2(|a: u32, b: u32| u64::from(a) * u64::from(b)),
        (Some(Width::Wide), Ty::S16) => f.map2(|a: i16, b: i16| i32::from(a) * i32::from(b)),
        (Some(Width::Wide), Ty::S32) => f.map2(|a: i32, b: i32| i64::from(a) * i64::from(b)),
        _ => Err(f.unsupported("needs .lo, .hi or .wide with an integer type")),
    }
}

fn multiply_add(f: &mut Form<'_>, ty: Ty, width: Option<Width>) -> Decoded {
    let sat = f.take("sat");
    match (width, ty) {
        (Some(Width::High), Ty::S32) if sat => f.map3(|a: i32, b: i32, c: i32| {
            (high_signed(a.into(), b.into(), 32) as i32).saturating_add(c)
        }),
        _ if sat => Err(f.invalid("`.sat` exists for .hi.s32 only")),
        (Some(Width::Low), _) => each!(f, ty, map3, T, |a: T, b: T, c: T| a
            .wrapping_mul(b)
            .wrapping_add(c)),
        (Some(Width::High), Ty::U16) => f.map3(|a: u16, b: u16, c: u16| {
            (high_unsigned(a.into(), b.into(), 16) as u16).wrapping_add(c)
        }),
        (Some(Width::High), Ty::U32) => f.map3(|a: u32, b: u32, c: u32| {
            (high_unsigned(a.into(), b.into(), 32) as u32).wrapping_add(c)
        }),
        (Some(Width::High), Ty::U64) => {
            f.map3(|a: u64, b: u64, c: u64| high_unsigned(a, b, 64).wrapping_add(c))
        }
        (Some(Width::High), Ty::S16) => f.map3(|a: i16, b: i16, c: i16| {
            (high_signed(a.into(), b.into(), 16) as i16).wrapping_add(c)
        }),
        (Some(Width::High), Ty::S32) => f.map3(|a: i32, b: i32, c: i32| {
            (high_signed(a.into(), b.into(), 32) as i32).wrapping_add(c)
        }),
        (Some(Width::High), Ty::S64) => {
            f.map3(|a: i64, b: i64, c: i64| high_signed(a, b, 64).wrapping_add(c))
        }
        (Some(Width::Wide), Ty::U16) => {
            f.map3(|a: u16, b: u16, c: u32| (u32::from(a) * u32::from(b)).wrapping_add(c))
        }
        (Some(Width::Wide), Ty::U32) => {
            f.map3(|a: u32, b: u32, c: u64| (u64::from(a) * u64::from(b)).wrapping_add(c))
        }
        (Some(Width::Wide), Ty::S16) => {
            f.map3(|a: i16, b: i16, c: i32| (i32::from(a) * i32::from(b)).wrapping_add(c))
        }
        (Some(Width::Wide), Ty::S32) => {
            f.map3(|a: i32, b: i32, c: i64| (i64::from(a) * i64::from(b)).wrapping_add(c))
        }
        _ => Err(f.unsupported("needs .lo, .hi or .wide with an integer type")),
    }
}

fn mul24(f: &mut Form<'_>) -> Decoded {
    let high = f.require("`.hi` or `.lo`", &[("hi", true), ("lo", false)])?;
    let ty = f.ty()?;
    let shift = if high { 16 } else { 0 };
    let signed =
        move |a: i32, b: i32| ((i64::from(a << 8 >> 8) * i64::from(b << 8 >> 8)) >> shift) as i32;
    let unsigned = move |a: u32, b: u32| {
        ((u64::from(a & 0xFF_FFFF) * u64::from(b & 0xFF_FFFF)) >> shift) as u32
    };
    match (f.opcode(), ty) {
        ("mul24", Ty::S32) => f.map2(signed),
        ("mul24", Ty::U32) => f.map2(unsigned),
        ("mad24", Ty::S32) => f.map3(move |a: i32, b: i32, c: i32| signed(a, b).wrapping_add(c)),
        ("mad24", Ty::U32) => f.map3(move |a: u32, b: u32, c: u32| unsigned(a, b).wrapping_add(c)),
        _ => Err(f.unsupported("this type is not implemented")),
    }
}

fn bytes_of(signed: bool, word: u32) -> [i32; 4] {
    word.to_le_bytes().map(|b| {
        if signed {
            i32::from(b as i8)
        } else {
            i32::from(b)
        }
    })
}

fn dp4a(f: &mut Form<'_>) -> Decoded {
    let (a, b) = (f.ty()?.is_signed(), f.ty()?.is_signed());
    f.map3(move |x: u32, y: u32, c: u32| {
        let products = bytes_of(a, x)
            .into_iter()
            .zip(bytes_of(b, y))
            .map(|(x, y)| x * y);
        c.wrapping_add(products.sum::<i32>() as u32)
    })
}

fn dp2a(f: &mut Form<'_>) -> Decoded {
    let high = f.require("`.lo` or `.hi`", &[("lo", false), ("hi", true)])?;
    let (a, b) = (f.ty()?.is_signed(), f.ty()?.is_signed());
    f.map3(move |x: u32, y: u32, c: u32| {
        let half = |h: u32| {
            if a {
                i32::from(h as i16)
            } else {
                i32::from(h as u16)
            }
        };
        let bytes = bytes_of(b, y);
        let pair = if high {
            [bytes[2], bytes[3]]
        } else {
            [bytes[0], bytes[1]]
        };
        c.wrapping_add(
            half(x)
                .wrapping_mul(pair[0])
                .wrapping_add(half(x >> 16).wrapping_mul(pair[1])) as u32,
        )
    })
}

/// Extended-precision arithmetic with the carry flag of each thread (PTX ISA, 9.7.2).
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

fn carry_out(f: &mut Form<'_>, ty: Ty, width: Option<Width>) -> Decoded {
    let kind = match f.opcode() {
        "add" => CarryKind::Add,
        "sub" => CarryKind::Subtract,
        "mad" => multiply_kind(width, ty),
        _ => return Err(f.invalid("has no `.cc` form")),
    };
    carry_operation(f, ty, kind, false, true)
}

fn extended(f: &mut Form<'_>) -> Decoded {
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

/// Register slots of a list of destinations.
pub(super) fn slots(list: &[Dst]) -> Vec<Slot> {
    list.iter().map(|d| d.slot).collect()
}
