//! Packed 16-bit integers: `.s16x2` and `.u16x2` of `add`, `min` and `max` (PTX ISA, 9.7.1.1, 9.7.1.12, 9.7.1.13).

use super::Op;
use super::form::Form;
use super::types::{Two, Value};
use crate::error::LoadError;

/// Takes `.s16x2` or `.u16x2`; true if signed.
pub(super) fn signedness(f: &mut Form<'_>) -> Option<bool> {
    f.choose(&[("s16x2", true), ("u16x2", false)])
}

pub(super) fn decode(f: &mut Form<'_>, signed: bool) -> Result<Op, LoadError> {
    let relu = f.take("relu");
    if relu && !(signed && matches!(f.opcode(), "min" | "max")) {
        return Err(f.invalid("`.relu` exists for `min` and `max` of .s16x2 only"));
    }
    match (f.opcode(), signed) {
        // Wraps alike for both.
        ("add", _) => halves(f, u16::wrapping_add),
        ("min", true) if relu => halves(f, |a: i16, b: i16| a.min(b).max(0)),
        ("max", true) if relu => halves(f, |a: i16, b: i16| a.max(b).max(0)),
        ("min", true) => halves(f, i16::min),
        ("max", true) => halves(f, i16::max),
        ("min", false) => halves(f, u16::min),
        ("max", false) => halves(f, u16::max),
        _ => Err(f.invalid("has no packed integer form")),
    }
}

/// Each half by itself.
fn halves<T: Value>(f: &mut Form<'_>, g: fn(T, T) -> T) -> Result<Op, LoadError> {
    f.map2(move |a: Two<T>, b: Two<T>| Two(g(a.0, b.0), g(a.1, b.1)))
}
