//! `cvt` (PTX ISA, 9.7.9.21): between integers, floats and the packed narrow formats.

use super::form::{Dst, Form};
use super::minifloat::{self, BF16, E2M1, E2M3, E3M2, E4M3, E5M2, F16, Format, TF32};
use super::rounding::{self, Rounding};
use super::types::{Ty, Value};
use super::{Op, Src, Taint, fixed_point, lanes, sign_extend, truncate};
use crate::error::LoadError;

type Decoded = Result<Op, LoadError>;

/// A type of `cvt`.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Plain(Ty),
    Tf32,
    /// Two values of a narrow format.
    Pair(Format),
    Ue8m0Pair,
    S2f6Pair,
}

fn kind(word: &str) -> Option<Kind> {
    Some(match word {
        "tf32" => Kind::Tf32,
        "f16x2" => Kind::Pair(F16),
        "bf16x2" => Kind::Pair(BF16),
        "e4m3x2" => Kind::Pair(E4M3),
        "e5m2x2" => Kind::Pair(E5M2),
        "e3m2x2" => Kind::Pair(E3M2),
        "e2m3x2" => Kind::Pair(E2M3),
        "e2m1x2" => Kind::Pair(E2M1),
        "ue8m0x2" => Kind::Ue8m0Pair,
        "s2f6x2" => Kind::S2f6Pair,
        _ => {
            Kind::Plain(Ty::parse(word).filter(|t| !matches!(t, Ty::B128 | Ty::Pred | Ty::F32x2))?)
        }
    })
}

/// Bits that one element of a pair takes.
pub(super) fn stride(format: Format) -> u32 {
    match format {
        E2M1 => 4,
        F16 | BF16 => 16,
        _ => 8,
    }
}

/// The register type of a pair.
fn pair_type(stride: u32) -> Ty {
    match stride {
        4 => Ty::B8,
        8 => Ty::B16,
        _ => Ty::B32,
    }
}

#[derive(Clone, Copy)]
pub(super) struct Style {
    rounding: Option<Rounding>,
    to_integer: Option<Rounding>,
    ftz: bool,
    sat: bool,
    satfinite: bool,
    relu: bool,
}

impl Style {
    /// Only what happens to large and to negative values.
    pub fn with_limits(satfinite: bool, relu: bool) -> Self {
        Style {
            rounding: None,
            to_integer: None,
            ftz: false,
            sat: false,
            satfinite,
            relu,
        }
    }
}

const FLOAT: [(&str, Rounding); 5] = [
    ("rn", Rounding::Nearest),
    ("rna", Rounding::NearestAway),
    ("rz", Rounding::Zero),
    ("rm", Rounding::Down),
    ("rp", Rounding::Up),
];
const INTEGER: [(&str, Rounding); 4] = [
    ("rni", Rounding::Nearest),
    ("rzi", Rounding::Zero),
    ("rmi", Rounding::Down),
    ("rpi", Rounding::Up),
];

pub(super) fn decode(f: &mut Form<'_>) -> Decoded {
    if f.take("pack") {
        return super::pack::decode(f);
    }
    if f.take("rs") {
        return super::stochastic::decode(f);
    }
    let style = Style {
        rounding: f.choose(&FLOAT),
        to_integer: f.choose(&INTEGER),
        ftz: f.take("ftz"),
        sat: f.take("sat"),
        satfinite: f.take("satfinite"),
        relu: f.take("relu"),
    };
    let unknown = |f: &Form<'_>| f.unsupported("conversion between these types is not implemented");
    let to = f.take_map(kind).ok_or_else(|| unknown(f))?;
    let from = f.take_map(kind).ok_or_else(|| unknown(f))?;
    match (to, from) {
        (Kind::Pair(format), Kind::Plain(Ty::F32)) => pack(f, format, style),
        (Kind::Pair(to), Kind::Pair(from))
            if matches!(to, F16 | BF16) || matches!(from, F16 | BF16) =>
        {
            repack(f, to, from, style)
        }
        (Kind::Ue8m0Pair, Kind::Plain(Ty::F32)) => pack_scales(f, style),
        (Kind::Pair(BF16), Kind::Ue8m0Pair) => {
            let one =
                |bits: u32| BF16.encode(minifloat::decode_ue8m0(bits), Rounding::Nearest, false);
            let (d, a) = (f.dst_as(0, Ty::B32)?, f.src(1, Ty::B16)?);
            Ok(lanes::map1(d, a, move |a: u32| one(a) | one(a >> 8) << 16))
        }
        (Kind::Tf32, Kind::Plain(Ty::F32)) => {
            let rounding = style.rounding.unwrap_or(Rounding::NearestAway);
            f.map1(move |a: f32| narrow(TF32, a.into(), rounding, style) << 13)
        }
        (Kind::S2f6Pair, Kind::Plain(Ty::F32)) => fixed_point::to(f, true, style.relu),
        (Kind::S2f6Pair, Kind::Pair(BF16)) => fixed_point::to(f, false, style.relu),
        (Kind::Pair(BF16), Kind::S2f6Pair) => fixed_point::from(f, style.satfinite, style.relu),
        (Kind::Plain(to), Kind::Plain(from)) => plain(f, to, from, style),
        _ => Err(unknown(f)),
    }
}

/// One value to a narrow format.
pub(super) fn narrow(format: Format, value: f64, rounding: Rounding, style: Style) -> u32 {
    let value = if style.relu && value < 0.0 {
        0.0
    } else {
        value
    };
    format.encode(value, rounding, style.satfinite)
}

/// `cvt.rn.f16x2.f32 d, a, b`: a goes to the upper half.
fn pack(f: &mut Form<'_>, format: Format, style: Style) -> Decoded {
    let rounding = style.rounding.unwrap_or(Rounding::Nearest);
    let shift = stride(format);
    if format == F16 && rounding == Rounding::Nearest && !style.relu && !style.satfinite {
        // The epilogue of nearly every kernel, so worth its own path; NaN is 0x7FFF as elsewhere.
        let half = |v: f32| {
            if v.is_nan() {
                0x7FFF
            } else {
                u32::from(half::f16::from_f32(v).to_bits())
            }
        };
        let op = f.map2(move |a: f32, b: f32| half(a) << 16 | half(b))?;
        let d = f.dst_as(0, Ty::B32)?;
        return Ok(side_by_side(
            op,
            d,
            f.src(1, Ty::F32)?,
            f.src(2, Ty::F32)?,
            2,
        ));
    }
    let (d, a, b) = (
        f.dst_as(0, pair_type(shift))?,
        f.src(1, Ty::F32)?,
        f.src(2, Ty::F32)?,
    );
    let one = move |value: f32| narrow(format, value.into(), rounding, style);
    let op = lanes::map2(d, a, b, move |a: f32, b: f32| one(a) << shift | one(b));
    Ok(match shift / 8 {
        0 => op,
        width => side_by_side(op, d, a, b, width as usize),
    })
}

/// The lower part of the result comes from `b`, the upper one from `a`.
fn side_by_side(op: Op, d: Dst, a: Src, b: Src, width: usize) -> Op {
    let part = |src| {
        let byte = match src {
            Src::Reg(slot) => vec![(slot, u8::MAX)],
            _ => Vec::new(),
        };
        std::iter::repeat_n(byte, width)
    };
    let bytes = part(b).chain(part(a)).collect();
    lanes::with_taint(op, Taint::Bytes(vec![(d.slot, bytes)]))
}

/// f16x2 or bf16x2 to a narrow pair, or back.
fn repack(f: &mut Form<'_>, to: Format, from: Format, style: Style) -> Decoded {
    let rounding = style.rounding.unwrap_or(Rounding::Nearest);
    let (step_from, step_to) = (stride(from), stride(to));
    let (d, a) = (
        f.dst_as(0, pair_type(step_to))?,
        f.src(1, pair_type(step_from))?,
    );
    let convert = move |a: u32| {
        let part = |i: u32| {
            narrow(
                to,
                from.decode(truncate((a >> (i * step_from)).into(), step_from) as u32),
                rounding,
                style,
            )
        };
        part(0) | part(1) << step_to
    };
    let op = lanes::map1(d, a, convert);
    let Src::Reg(slot) = a else {
        return Ok(op);
    };
    // Each of the two values depends on its own bits of the operand.
    let bytes_of = |part: u32| {
        let (first, last) = (part * step_from / 8, ((part + 1) * step_from - 1) / 8);
        (first..=last).fold(0u8, |mask, byte| mask | 1 << byte)
    };
    let byte = |i: u32| {
        let parts = 8 * i / step_to..=((8 * i + 7) / step_to).min(1);
        vec![(slot, parts.fold(0, |mask, part| mask | bytes_of(part)))]
    };
    let bytes = (0..(2 * step_to).div_ceil(8)).map(byte).collect();
    Ok(lanes::with_taint(op, Taint::Bytes(vec![(d.slot, bytes)])))
}

fn pack_scales(f: &mut Form<'_>, style: Style) -> Decoded {
    let up = style.rounding == Some(Rounding::Up);
    let (d, a, b) = (
        f.dst_as(0, Ty::B16)?,
        f.src(1, Ty::F32)?,
        f.src(2, Ty::F32)?,
    );
    let code = move |value: f32| minifloat::encode_ue8m0(value.into(), up);
    Ok(lanes::map2(d, a, b, move |a: f32, b: f32| {
        code(a) << 8 | code(b)
    }))
}

/// A value on its way through a conversion: exact in either form.
#[derive(Clone, Copy)]
enum Number {
    Integer(i128),
    Float(f64),
}

fn read(ty: Ty, ftz: bool) -> fn(u64, bool) -> Number {
    let _ = ftz;
    match ty {
        Ty::F32 => |w, ftz| {
            let value = f32::from_word(w);
            Number::Float(f64::from(if ftz { rounding::flush(value) } else { value }))
        },
        Ty::F64 => |w, _| Number::Float(f64::from_bits(w)),
        Ty::F16 => |w, _| Number::Float(F16.decode(w as u32 & 0xFFFF)),
        Ty::Bf16 => |w, _| Number::Float(BF16.decode(w as u32 & 0xFFFF)),
        Ty::S8 => |w, _| Number::Integer(i128::from(w as i8)),
        Ty::S16 => |w, _| Number::Integer(i128::from(w as i16)),
        Ty::S32 => |w, _| Number::Integer(i128::from(w as i32)),
        Ty::S64 => |w, _| Number::Integer(i128::from(w as i64)),
        Ty::U8 | Ty::B8 => |w, _| Number::Integer(i128::from(w as u8)),
        Ty::U16 | Ty::B16 => |w, _| Number::Integer(i128::from(w as u16)),
        Ty::U32 | Ty::B32 => |w, _| Number::Integer(i128::from(w as u32)),
        _ => |w, _| Number::Integer(i128::from(w)),
    }
}

fn plain(f: &mut Form<'_>, to: Ty, from: Ty, style: Style) -> Decoded {
    let (d, a) = (f.dst(0)?, f.src(1, from)?);
    if !to.is_float() && !from.is_float() {
        let op = integer_to_integer(d, a, to, from, style.sat);
        let Src::Reg(slot) = a else {
            return Ok(op);
        };
        if style.sat {
            return Ok(op);
        }
        let kept = to.bytes().min(from.bytes()) as u8;
        let sources = (0..8).map(|i: u8| match i {
            i if i < kept => Some((slot, i)),
            _ => from.is_signed().then_some((slot, kept - 1)),
        });
        return Ok(lanes::with_taint(op, lanes::bytes(d, sources)));
    }
    if to.is_float() && !from.is_float() && style.rounding.is_none() && to != Ty::F64 {
        return Err(f.invalid("needs a rounding modifier"));
    }
    let source = read(from, style.ftz);
    let ftz = style.ftz;
    if to.is_float() {
        return Ok(lanes::map1(d, a, move |w: u64| {
            to_float(source(w, ftz), to, style)
        }));
    }
    let bits = d.bits;
    let nan = if from == Ty::F64 && to.bits() == 64 {
        1 << 63
    } else {
        0
    };
    let rounding = style.to_integer.unwrap_or(Rounding::Zero);
    Ok(lanes::map1(d, a, move |w: u64| match source(w, ftz) {
        Number::Float(value) if value.is_nan() => nan,
        Number::Float(value) => widen(clamp(to_whole(value, rounding) as i128, to), to, bits),
        Number::Integer(value) => widen(value as u64, to, bits),
    }))
}

fn to_whole(value: f64, rounding: Rounding) -> f64 {
    match rounding {
        Rounding::Nearest | Rounding::NearestAway | Rounding::Stochastic(_) => {
            value.round_ties_even()
        }
        Rounding::Zero => value.trunc(),
        Rounding::Down => value.floor(),
        Rounding::Up => value.ceil(),
    }
}

/// The nearest value that the integer type holds.
fn clamp(value: i128, ty: Ty) -> u64 {
    let bits = ty.bits();
    let (low, high) = if ty.is_signed() {
        (-(1i128 << (bits - 1)), (1i128 << (bits - 1)) - 1)
    } else {
        (0, (1i128 << bits) - 1)
    };
    value.clamp(low, high) as u64
}

/// A result narrower than its register is extended by the sign of its type.
fn widen(value: u64, ty: Ty, register: u32) -> u64 {
    let value = truncate(value, ty.bits());
    if ty.is_signed() {
        truncate(sign_extend(value, ty.bits()), register)
    } else {
        value
    }
}

fn integer_to_integer(d: Dst, a: super::Src, to: Ty, from: Ty, sat: bool) -> Op {
    let register = d.bits;
    if sat {
        let source = read(from, false);
        return lanes::map1(d, a, move |w: u64| match source(w, false) {
            Number::Integer(value) => widen(clamp(value, to), to, register),
            Number::Float(_) => 0,
        });
    }
    let (bits, signed) = (from.bits(), from.is_signed());
    lanes::map1(d, a, move |w: u64| {
        let wide = if signed {
            sign_extend(w, bits)
        } else {
            truncate(w, bits)
        };
        widen(wide, to, register)
    })
}

fn to_float(number: Number, to: Ty, style: Style) -> u64 {
    let (value, error) = match number {
        Number::Float(value) => (value, 0.0),
        Number::Integer(value) => (value as f64, (value - (value as f64) as i128) as f64),
    };
    let value = match style.to_integer {
        Some(rounding) => to_whole(value, rounding),
        None => value,
    };
    let value = match () {
        () if style.sat && value.is_nan() => 0.0,
        () if style.sat => value.clamp(0.0, 1.0) + 0.0,
        () if style.relu && value < 0.0 => 0.0,
        () => value,
    };
    let rounding = style.rounding.unwrap_or(Rounding::Nearest);
    match to {
        Ty::F64 => value.to_bits(),
        Ty::F16 => F16.encode(value, rounding, style.satfinite).into(),
        Ty::Bf16 => BF16.encode(value, rounding, style.satfinite).into(),
        _ => {
            let single = super::float::canonical(rounding::to_f32(value, error, rounding));
            (if style.ftz {
                rounding::flush(single)
            } else {
                single
            })
            .word()
        }
    }
}
