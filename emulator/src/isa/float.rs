//! Floating-point arithmetic in f32 and f64 (PTX ISA, 9.7.3), and its `.approx` functions.
//!
//! The approximate functions are computed in f64 and rounded once: closer to the truth than any device, and therefore
//! within the documented error, but not bit-equal to hardware.

use super::form::Form;
use super::rounding::{self, ROUNDINGS, Rounding, flush, saturate};
use super::types::{Two, Ty, Value};
use super::{Op, half_float};
use crate::error::LoadError;

type Decoded = Result<Op, LoadError>;

/// The opcodes that exist for integers too; the type is known already.
pub(super) fn arithmetic(f: &mut Form<'_>, ty: Ty) -> Decoded {
    match ty {
        Ty::F32 => single(f),
        Ty::F64 => double(f),
        Ty::F32x2 => packed(f),
        _ => half_float::arithmetic(f, ty),
    }
}

/// What modifies every f32 operation.
#[derive(Clone, Copy)]
struct Style {
    rounding: Rounding,
    ftz: bool,
    sat: bool,
}

impl Style {
    fn take(f: &mut Form<'_>) -> Self {
        Style {
            rounding: f.choose(&ROUNDINGS).unwrap_or(Rounding::Nearest),
            ftz: f.take("ftz"),
            sat: f.take("sat"),
        }
    }

    fn input(self, value: f32) -> f32 {
        if self.ftz { flush(value) } else { value }
    }

    fn output(self, value: f32) -> f32 {
        let value = canonical(self.input(value));
        if self.sat { saturate(value) } else { value }
    }
}

/// Every NaN that an f32 operation makes is 0x7FFFFFFF.
pub(in crate::isa) fn canonical(value: f32) -> f32 {
    if value.is_nan() {
        f32::from_bits(0x7FFF_FFFF)
    } else {
        value
    }
}

fn single(f: &mut Form<'_>) -> Decoded {
    let s = Style::take(f);
    let r = s.rounding;
    match f.optional_ty() {
        Some(Ty::F16) => return mixed(f, s, |a: half::f16| a.to_f32()),
        Some(Ty::Bf16) => return mixed(f, s, |a: half::bf16| a.to_f32()),
        Some(_) => return Err(f.unsupported("not implemented for two types")),
        None => {}
    }
    let two = move |g: fn(f32, f32, Rounding) -> f32| {
        move |a: f32, b: f32| s.output(g(s.input(a), s.input(b), r))
    };
    match f.opcode() {
        "add" => f.map2(two(rounding::add)),
        "sub" => f.map2(two(|a, b, r| rounding::add(a, -b, r))),
        "mul" => f.map2(two(rounding::mul)),
        "fma" | "mad" => f.map3(move |a: f32, b: f32, c: f32| {
            s.output(rounding::fma(s.input(a), s.input(b), s.input(c), r))
        }),
        "div" => {
            f.ignore(&["approx", "full"]);
            f.map2(two(rounding::div))
        }
        "abs" => f.map1(move |a: f32| s.output(s.input(a).abs())),
        "neg" => f.map1(move |a: f32| s.output(-s.input(a))),
        "min" | "max" => min_max(f, s),
        _ => Err(f.unsupported("not implemented for .f32")),
    }
}

/// `add`, `sub` and `fma` of f32 with factors, or a first term, of half the width (PTX ISA, mixed precision
/// floating-point instructions).
fn mixed<T: Value>(f: &mut Form<'_>, s: Style, wide: fn(T) -> f32) -> Decoded {
    let r = s.rounding;
    match f.opcode() {
        "add" => f.map2(move |a: T, c: f32| s.output(rounding::add(wide(a), c, r))),
        "sub" => f.map2(move |a: T, c: f32| s.output(rounding::add(wide(a), -c, r))),
        "fma" => f.map3(move |a: T, b: T, c: f32| s.output(rounding::fma(wide(a), wide(b), c, r))),
        _ => Err(f.unsupported("not implemented for two types")),
    }
}

/// `min` and `max`: -0 < +0; a NaN loses unless `.NaN` is given (PTX ISA, 9.7.3.11).
fn min_max(f: &mut Form<'_>, s: Style) -> Decoded {
    let (min, nan) = (f.opcode() == "min", f.take("NaN"));
    let xorsign = f
        .choose(&[("xorsign.abs", true), ("xorsign", true)])
        .is_some()
        | f.take("abs");
    let pick = move |a: f32, b: f32| select_f32(a, b, min, nan);
    let g = move |a: f32, b: f32| {
        let (a, b) = (s.input(a), s.input(b));
        if xorsign {
            let negative = a.is_sign_negative() ^ b.is_sign_negative();
            let value = pick(a.abs(), b.abs());
            return s.output(if negative { -value } else { value });
        }
        s.output(pick(a, b))
    };
    if f.count() == 4 {
        return f.map3(move |a: f32, b: f32, c: f32| g(g(a, b), c));
    }
    f.map2(g)
}

/// The smaller or larger of two f32.
pub(in crate::isa) fn select_f32(a: f32, b: f32, min: bool, nan: bool) -> f32 {
    match (a.is_nan(), b.is_nan()) {
        (true, true) => f32::NAN,
        (true, false) | (false, true) if nan => f32::NAN,
        (true, false) => b,
        (false, true) => a,
        _ if (a.total_cmp(&b).is_lt()) == min => a,
        _ => b,
    }
}

fn packed(f: &mut Form<'_>) -> Decoded {
    let s = Style::take(f);
    let r = s.rounding;
    let both = move |g: fn(f32, f32, Rounding) -> f32| {
        let one = move |a: f32, b: f32| s.output(g(s.input(a), s.input(b), r));
        move |a: Two<f32>, b: Two<f32>| Two(one(a.0, b.0), one(a.1, b.1))
    };
    match f.opcode() {
        "add" => f.map2(both(rounding::add)),
        "sub" => f.map2(both(|a, b, r| rounding::add(a, -b, r))),
        "mul" => f.map2(both(rounding::mul)),
        "fma" => {
            let one = move |a: f32, b: f32, c: f32| {
                s.output(rounding::fma(s.input(a), s.input(b), s.input(c), r))
            };
            f.map3(move |a: Two<f32>, b: Two<f32>, c: Two<f32>| {
                Two(one(a.0, b.0, c.0), one(a.1, b.1, c.1))
            })
        }
        _ => Err(f.unsupported("not implemented for .f32x2")),
    }
}

fn double(f: &mut Form<'_>) -> Decoded {
    if f.choose(&ROUNDINGS).is_some_and(|r| r != Rounding::Nearest) {
        return Err(f.unsupported("only .rn is implemented for .f64"));
    }
    match f.opcode() {
        "add" => f.map2(|a: f64, b: f64| a + b),
        "sub" => f.map2(|a: f64, b: f64| a - b),
        "mul" => f.map2(|a: f64, b: f64| a * b),
        "div" => f.map2(|a: f64, b: f64| a / b),
        "fma" | "mad" => f.map3(|a: f64, b: f64, c: f64| a.mul_add(b, c)),
        "abs" => f.map1(|a: f64| a.abs()),
        "neg" => f.map1(|a: f64| -a),
        "min" | "max" => {
            let min = f.opcode() == "min";
            f.map2(move |a: f64, b: f64| match (a.is_nan(), b.is_nan()) {
                (true, _) => b,
                (_, true) => a,
                _ if a.total_cmp(&b).is_lt() == min => a,
                _ => b,
            })
        }
        _ => Err(f.unsupported("not implemented for .f64")),
    }
}

/// Opcodes that exist for floating point only.
pub(super) fn decode(f: &mut Form<'_>) -> Decoded {
    match f.opcode() {
        "copysign" => return copysign(f),
        "testp" => return test(f),
        _ => {}
    }
    let approximate = f.take("approx");
    let ty = f.ty()?;
    if matches!(ty, Ty::F16 | Ty::F16x2 | Ty::Bf16 | Ty::Bf16x2) {
        return half_float::functions(f, ty);
    }
    if ty == Ty::F64 {
        return double_functions(f);
    }
    let s = Style::take(f);
    let one = move |g: fn(f64) -> f64| move |a: f32| s.output(g(s.input(a).into()) as f32);
    match f.opcode() {
        "rcp" => f.map1(move |a: f32| s.output(rounding::div(1.0, s.input(a), s.rounding))),
        "sqrt" => f.map1(move |a: f32| s.output(rounding::sqrt(s.input(a), s.rounding))),
        _ if !approximate => Err(f.invalid("exists with .approx only")),
        "rsqrt" => f.map1(one(|a| a.sqrt().recip())),
        "sin" => f.map1(one(f64::sin)),
        "cos" => f.map1(one(f64::cos)),
        "lg2" => f.map1(one(f64::log2)),
        "ex2" => f.map1(one(f64::exp2)),
        "tanh" => f.map1(one(f64::tanh)),
        _ => Err(f.unsupported("not implemented for .f32")),
    }
}

fn double_functions(f: &mut Form<'_>) -> Decoded {
    f.ignore(&["ftz"]);
    if f.choose(&ROUNDINGS).is_some_and(|r| r != Rounding::Nearest) {
        return Err(f.unsupported("only .rn is implemented for .f64"));
    }
    match f.opcode() {
        "rcp" => f.map1(|a: f64| a.recip()),
        "sqrt" => f.map1(|a: f64| a.sqrt()),
        "rsqrt" => f.map1(|a: f64| a.sqrt().recip()),
        _ => Err(f.unsupported("not implemented for .f64")),
    }
}

/// `copysign d, a, b`: the sign of a on the magnitude of b (PTX ISA, 9.7.3.2).
fn copysign(f: &mut Form<'_>) -> Decoded {
    match f.ty()? {
        Ty::F32 => f.map2(|a: f32, b: f32| b.copysign(a)),
        Ty::F64 => f.map2(|a: f64, b: f64| b.copysign(a)),
        _ => Err(f.unsupported("this type is not implemented")),
    }
}

fn test(f: &mut Form<'_>) -> Decoded {
    use std::num::FpCategory::{Infinite, Nan, Normal, Subnormal};
    type Test = fn(f64, std::num::FpCategory) -> bool;
    let tests: [(&str, Test); 6] = [
        ("finite", |a, _| a.is_finite()),
        ("infinite", |_, c| c == Infinite),
        ("number", |_, c| c != Nan),
        ("notanumber", |_, c| c == Nan),
        ("normal", |_, c| c == Normal),
        ("subnormal", |_, c| c == Subnormal),
    ];
    let test = f.require("a class such as .finite", &tests)?;
    match f.ty()? {
        Ty::F32 => f.map1(move |a: f32| test(a.into(), a.classify())),
        Ty::F64 => f.map1(move |a: f64| test(a, a.classify())),
        _ => Err(f.unsupported("this type is not implemented")),
    }
}
