//! Integer arithmetic (PTX ISA, 9.7.1 and 9.7.2). The opcodes shared with floating point hand over to [`float`](super::float).

use super::form::{Dst, Form};
use super::types::Ty;
use super::{Op, Slot, float, packed};
use crate::error::LoadError;

mod carry;

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
        "addc" | "subc" | "madc" => return carry::extended(f),
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
        return carry::carry_out(f, ty, width);
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

/// Register slots of a list of destinations.
pub(super) fn slots(list: &[Dst]) -> Vec<Slot> {
    list.iter().map(|d| d.slot).collect()
}
