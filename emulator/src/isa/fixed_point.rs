//! `cvt` to and from `.s2f6x2`: two signed bytes in units of 2^-6, scaled by powers of two (PTX ISA, 9.7.9.21 and 5.2.4).

use super::form::Form;
use super::minifloat::{BF16, decode_ue8m0};
use super::rounding::Rounding;
use super::types::{Two, Ty};
use super::{Op, Src, lanes};
use crate::error::LoadError;
use half::bf16;

/// Scale factors of both values: two `.ue8m0`, 1 each without `.scaled::n2::ue8m0`.
fn scales(f: &mut Form<'_>, i: usize, scaled: bool) -> Result<Src, LoadError> {
    match scaled {
        true => f.src(i, Ty::B16),
        false => Ok(Src::Imm(0x7F7F)),
    }
}

/// The byte of a value: to nearest even, and to the largest where it is none.
fn byte(value: f64, scale: u32, relu: bool) -> u32 {
    let units = (value / decode_ue8m0(scale) * 64.0).round_ties_even();
    let least = if relu { 0.0 } else { -128.0 };
    let clamped = if units.is_nan() {
        127.0
    } else {
        units.clamp(least, 127.0)
    };
    u32::from(clamped as i8 as u8)
}

/// `cvt.rn.satfinite{.relu}{.scaled::n2::ue8m0}.s2f6x2.f32 d, a, b{, scales}`, or of a `.bf16x2`.
pub(super) fn to(f: &mut Form<'_>, single: bool, relu: bool) -> Result<Op, LoadError> {
    let scaled = f.take("scaled::n2::ue8m0");
    let d = f.dst_as(0, Ty::B16)?;
    if single {
        let (a, b) = (f.src(1, Ty::F32)?, f.src(2, Ty::F32)?);
        let scales = scales(f, 3, scaled)?;
        return Ok(lanes::map3(
            d,
            a,
            b,
            scales,
            move |a: f32, b: f32, s: u32| {
                byte(a.into(), s >> 8, relu) << 8 | byte(b.into(), s & 0xFF, relu)
            },
        ));
    }
    let (a, scales) = (f.src(1, Ty::B32)?, scales(f, 2, scaled)?);
    Ok(lanes::map2(d, a, scales, move |a: Two<bf16>, s: u32| {
        byte(a.1.into(), s >> 8, relu) << 8 | byte(a.0.into(), s & 0xFF, relu)
    }))
}

/// `cvt.rn{.satfinite}{.relu}{.scaled::n2::ue8m0}.bf16x2.s2f6x2 d, a{, scales}`.
pub(super) fn from(f: &mut Form<'_>, satfinite: bool, relu: bool) -> Result<Op, LoadError> {
    let scaled = f.take("scaled::n2::ue8m0");
    let (d, a) = (f.dst_as(0, Ty::B32)?, f.src(1, Ty::B16)?);
    let scales = scales(f, 2, scaled)?;
    let value = move |byte: u32, scale: u32| {
        let value = f64::from(byte as u8 as i8) / 64.0 * decode_ue8m0(scale);
        let value = if relu && value < 0.0 { 0.0 } else { value };
        BF16.encode(value, Rounding::Nearest, satfinite)
    };
    Ok(lanes::map2(d, a, scales, move |a: u32, s: u32| {
        value(a >> 8, s >> 8) << 16 | value(a, s & 0xFF)
    }))
}
