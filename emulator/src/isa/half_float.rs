//! Arithmetic in f16, bf16 and their pairs (PTX ISA, 9.7.4).
//!
//! Sums and products of two such values are rounded correctly when computed in f32 or f64 first, because those formats
//! have more than twice the bits.

use half::{bf16, f16};

use super::float::select_f32;
use super::form::Form;
use super::rounding::{ROUNDINGS, Rounding};
use super::types::{Two, Ty, Value};
use super::{Op, minifloat};
use crate::error::LoadError;

type Decoded = Result<Op, LoadError>;

/// What f16 and bf16 have in common here.
trait Half: Value + Send + Sync {
    fn wide(self) -> f64;
    fn narrow(value: f64) -> Self;
    fn flush(self) -> Self;
}

impl Half for f16 {
    fn wide(self) -> f64 {
        self.to_f64()
    }
    fn narrow(value: f64) -> Self {
        f16::from_bits(minifloat::F16.encode(value, Rounding::Nearest, false) as u16)
    }
    fn flush(self) -> Self {
        if self.classify() == std::num::FpCategory::Subnormal {
            f16::from_bits(self.to_bits() & 0x8000)
        } else {
            self
        }
    }
}

impl Half for bf16 {
    fn wide(self) -> f64 {
        self.to_f64()
    }
    fn narrow(value: f64) -> Self {
        bf16::from_bits(minifloat::BF16.encode(value, Rounding::Nearest, false) as u16)
    }
    fn flush(self) -> Self {
        self
    }
}

#[derive(Clone, Copy)]
struct Style {
    ftz: bool,
    sat: bool,
    relu: bool,
    nan: bool,
}

impl Style {
    fn input<T: Half>(self, value: T) -> f64 {
        if self.ftz {
            value.flush().wide()
        } else {
            value.wide()
        }
    }

    fn output<T: Half>(self, value: f64) -> T {
        let limited = match () {
            () if self.sat && value.is_nan() => 0.0,
            () if self.sat => value.clamp(0.0, 1.0),
            () if self.relu && value < 0.0 => 0.0,
            () => value,
        };
        let narrow = T::narrow(limited);
        if self.ftz { narrow.flush() } else { narrow }
    }
}

fn lift1<T: Half>(g: impl Fn(T) -> T + Send + Sync) -> impl Fn(Two<T>) -> Two<T> + Send + Sync {
    move |a| Two(g(a.0), g(a.1))
}

fn lift2<T: Half>(
    g: impl Fn(T, T) -> T + Send + Sync,
) -> impl Fn(Two<T>, Two<T>) -> Two<T> + Send + Sync {
    move |a, b| Two(g(a.0, b.0), g(a.1, b.1))
}

fn lift3<T: Half>(
    g: impl Fn(T, T, T) -> T + Send + Sync,
) -> impl Fn(Two<T>, Two<T>, Two<T>) -> Two<T> + Send + Sync {
    move |a, b, c| Two(g(a.0, b.0, c.0), g(a.1, b.1, c.1))
}

/// `add`, `sub`, `mul`, `fma`, `neg`, `abs`, `min`, `max`.
pub(super) fn arithmetic(f: &mut Form<'_>, ty: Ty) -> Decoded {
    if f.choose(&ROUNDINGS).is_some_and(|r| r != Rounding::Nearest) {
        return Err(f.unsupported("only .rn exists for half precision"));
    }
    let style = Style {
        ftz: f.take("ftz"),
        sat: f.take("sat"),
        relu: f.take("relu"),
        nan: f.take("NaN"),
    };
    match ty {
        Ty::F16 => one::<f16>(f, style),
        Ty::Bf16 => one::<bf16>(f, style),
        Ty::F16x2 => two::<f16>(f, style),
        Ty::Bf16x2 => two::<bf16>(f, style),
        _ => Err(f.unsupported("this type is not implemented")),
    }
}

type Binary<T> = Box<dyn Fn(T, T) -> T + Send + Sync>;

fn binary<T: Half>(f: &Form<'_>, s: Style) -> Option<Binary<T>> {
    let exact = move |g: fn(f64, f64) -> f64| -> Binary<T> {
        Box::new(move |a: T, b: T| s.output(g(s.input(a), s.input(b))))
    };
    Some(match f.opcode() {
        "add" => exact(|a, b| a + b),
        "sub" => exact(|a, b| a - b),
        "mul" => exact(|a, b| a * b),
        "min" | "max" => {
            let min = f.opcode() == "min";
            Box::new(move |a: T, b: T| {
                s.output(select_f32(s.input(a) as f32, s.input(b) as f32, min, s.nan).into())
            })
        }
        _ => return None,
    })
}

fn unary<T: Half>(f: &Form<'_>, s: Style) -> Option<fn(T, Style) -> T> {
    let _ = s;
    match f.opcode() {
        "neg" => Some(|a, s| s.output(-s.input(a))),
        "abs" => Some(|a, s| s.output(s.input(a).abs())),
        _ => None,
    }
}

fn one<T: Half>(f: &mut Form<'_>, s: Style) -> Decoded {
    if let Some(g) = binary::<T>(f, s) {
        return f.map2(g);
    }
    if let Some(g) = unary::<T>(f, s) {
        return f.map1(move |a| g(a, s));
    }
    match f.opcode() {
        "fma" => f.map3(move |a: T, b: T, c: T| {
            s.output::<T>(s.input(a).mul_add(s.input(b), s.input(c)))
        }),
        _ => Err(f.unsupported("not implemented for half precision")),
    }
}

fn two<T: Half>(f: &mut Form<'_>, s: Style) -> Decoded {
    if let Some(g) = binary::<T>(f, s) {
        return f.map2(lift2(g));
    }
    if let Some(g) = unary::<T>(f, s) {
        return f.map1(lift1(move |a| g(a, s)));
    }
    match f.opcode() {
        "fma" => f.map3(lift3(move |a: T, b: T, c: T| {
            s.output(s.input(a).mul_add(s.input(b), s.input(c)))
        })),
        _ => Err(f.unsupported("not implemented for half precision")),
    }
}

/// `ex2.approx` and `tanh.approx`.
pub(super) fn functions(f: &mut Form<'_>, ty: Ty) -> Decoded {
    let g: fn(f64) -> f64 = match f.opcode() {
        "ex2" => f64::exp2,
        "tanh" => f64::tanh,
        _ => return Err(f.unsupported("not implemented for half precision")),
    };
    let s = Style {
        ftz: f.take("ftz"),
        sat: false,
        relu: false,
        nan: false,
    };
    match ty {
        Ty::F16 => f.map1(move |a: f16| s.output::<f16>(g(s.input(a)))),
        Ty::Bf16 => f.map1(move |a: bf16| s.output::<bf16>(g(s.input(a)))),
        Ty::F16x2 => f.map1(lift1(move |a: f16| s.output(g(s.input(a))))),
        _ => f.map1(lift1(move |a: bf16| s.output(g(s.input(a))))),
    }
}
