//! Video instructions of one value: `vadd`, `vsub`, `vabsdiff`, `vmin`, `vmax`, `vshl`, `vshr`, `vmad`, `vset` (PTX ISA,
//! 9.7.18.1).
//!
//! Sources are words or parts of them, extended to 33 bits. Here everything is computed in 128 bits and only cut where the
//! ISA says so.

mod simd;

use super::form::{Dst, Form};
use super::types::Ty;
use super::{Op, Src, lanes};
use crate::error::LoadError;
use crate::ptx::ast::Operand;

type Decoded = Result<Op, LoadError>;

pub(super) fn decode(f: &mut Form<'_>) -> Decoded {
    match f.opcode() {
        "vmad" => multiply(f),
        "vadd" | "vsub" | "vabsdiff" | "vmin" | "vmax" | "vshl" | "vshr" | "vset" => scalar(f),
        _ => simd::decode(f),
    }
}

/// `.u32` or `.s32`; true if signed.
fn signedness(f: &mut Form<'_>) -> Result<bool, LoadError> {
    f.require("`.u32` or `.s32`", &[("u32", false), ("s32", true)])
}

/// What is behind the dot of an operand, and the operand without it.
fn split(operand: &Operand) -> (Operand, Option<&str>) {
    match operand {
        Operand::Name(name) => match name.split_once('.') {
            Some((name, part)) if !name.starts_with("%tid") => {
                (Operand::Name(name.into()), Some(part))
            }
            _ => (operand.clone(), None),
        },
        _ => (operand.clone(), None),
    }
}

type Comparison = fn(i128, i128) -> bool;

/// The comparisons of `vset`.
fn comparison(f: &mut Form<'_>) -> Result<Comparison, LoadError> {
    let choices: [(&str, Comparison); 6] = [
        ("eq", |a, b| a == b),
        ("ne", |a, b| a != b),
        ("lt", |a, b| a < b),
        ("le", |a, b| a <= b),
        ("gt", |a, b| a > b),
        ("ge", |a, b| a >= b),
    ];
    f.require("a comparison", &choices)
}

/// A word, or which byte or half of it: first bit and width.
#[derive(Clone, Copy)]
struct Part {
    shift: u32,
    bits: u32,
}

impl Part {
    fn parse(f: &Form<'_>, word: Option<&str>) -> Result<Part, LoadError> {
        let (shift, bits) = match word {
            None => (0, 32),
            Some("b0") => (0, 8),
            Some("b1") => (8, 8),
            Some("b2") => (16, 8),
            Some("b3") => (24, 8),
            Some("h0") => (0, 16),
            Some("h1") => (16, 16),
            Some(other) => return Err(f.invalid(format!("`.{other}` selects no part of a word"))),
        };
        Ok(Part { shift, bits })
    }

    fn extract(self, word: u32, signed: bool) -> i128 {
        extend(u64::from(word >> self.shift), self.bits, signed)
    }

    /// Puts the low bits of a value into its place in `other`.
    fn merge(self, value: i128, other: u32) -> u32 {
        let mask = (u32::MAX >> (32 - self.bits)) << self.shift;
        (value as u32) << self.shift & mask | other & !mask
    }
}

/// The low bits of a word as a number.
fn extend(word: u64, bits: u32, signed: bool) -> i128 {
    let value = i128::from(super::truncate(word, bits));
    let negative = signed && value >> (bits - 1) & 1 != 0;
    value - if negative { 1 << bits } else { 0 }
}

/// The nearest value of so many bits.
fn saturate(value: i128, bits: u32, signed: bool) -> i128 {
    match signed {
        true => value.clamp(-(1 << (bits - 1)), (1 << (bits - 1)) - 1),
        false => value.clamp(0, (1 << bits) - 1),
    }
}

/// A source, which may be negated with `-`, and its part.
fn source(f: &mut Form<'_>, i: usize) -> Result<(Src, Part, bool), LoadError> {
    let written = f.operand(i)?;
    let (plain, negated) = match written {
        Operand::Negative(name) => (Operand::Name(name.clone()), true),
        other => (other.clone(), false),
    };
    let (plain, part) = split(&plain);
    Ok((f.src_of(&plain, Ty::B32)?, Part::parse(f, part)?, negated))
}

/// The destination and the part of it that is written.
fn destination(f: &mut Form<'_>) -> Result<(Dst, Part), LoadError> {
    let (plain, part) = split(f.operand(0)?);
    Ok((f.dst_of(&plain)?, Part::parse(f, part)?))
}

/// `vop.dtype.atype.btype{.sat}{.op2} d{.dsel}, a{.asel}, b{.bsel}{, c}`.
fn scalar(f: &mut Form<'_>) -> Decoded {
    let compares = f.opcode() == "vset";
    let signed_d = !compares && signedness(f)?;
    let (signed_a, signed_b) = (signedness(f)?, signedness(f)?);
    let operation = operation(f)?;
    let sat = !compares && f.take("sat");
    type Second = fn(i128, i128) -> i128;
    let seconds: [(&str, Second); 3] = [
        ("add", |t, c| t + c),
        ("min", |t, c| t.min(c)),
        ("max", |t, c| t.max(c)),
    ];
    let second = f.choose(&seconds);
    let (d, to) = destination(f)?;
    let ((a, part_a, negated_a), (b, part_b, negated_b)) = (source(f, 1)?, source(f, 2)?);
    if negated_a || negated_b {
        return Err(f.invalid("only `vmad` negates"));
    }
    let merges = to.bits < 32;
    if merges && second.is_some() || (merges || second.is_some()) != (f.count() == 4) {
        return Err(f.invalid("a third source belongs to a part of d or to a second operation"));
    }
    let c = match merges || second.is_some() {
        true => f.src(3, Ty::B32)?,
        false => Src::Imm(0),
    };
    let compute = move |a: u32, b: u32, c: u32| {
        let (a, b) = (part_a.extract(a, signed_a), part_b.extract(b, signed_b));
        let mut value = operation(a, b);
        if sat {
            value = saturate(value, to.bits, signed_d);
        }
        match second {
            Some(second) => second(value, extend(c.into(), 32, signed_d)) as u32,
            None => to.merge(value, c),
        }
    };
    Ok(lanes::map3(d, a, b, c, compute))
}

type Operation = Box<dyn Fn(i128, i128) -> i128 + Send + Sync>;

fn operation(f: &mut Form<'_>) -> Result<Operation, LoadError> {
    Ok(match f.opcode() {
        "vadd" => Box::new(|a, b| a + b),
        "vsub" => Box::new(|a, b| a - b),
        "vabsdiff" => Box::new(|a, b| (a - b).abs()),
        "vmin" => Box::new(i128::min),
        "vmax" => Box::new(i128::max),
        "vset" => {
            let holds = comparison(f)?;
            Box::new(move |a, b| holds(a, b).into())
        }
        _ => {
            let left = f.opcode() == "vshl";
            let wraps = f.require("`.clamp` or `.wrap`", &[("clamp", false), ("wrap", true)])?;
            Box::new(move |a, b| {
                let by = if wraps { b & 31 } else { b.clamp(0, 32) };
                if left { a << by } else { a >> by }
            })
        }
    })
}

/// `vmad`: the product or the addend may be negated, or one be added (PTX ISA, 9.7.18.1.3).
fn multiply(f: &mut Form<'_>) -> Decoded {
    signedness(f)?;
    let (signed_a, signed_b) = (signedness(f)?, signedness(f)?);
    let plus_one = f.take("po");
    let sat = f.take("sat");
    let scale = f.choose(&[("shr7", 7), ("shr15", 15)]).unwrap_or(0);
    let (d, to) = destination(f)?;
    let (a, part_a, negated_a) = source(f, 1)?;
    let (b, part_b, negated_b) = source(f, 2)?;
    let (c, part_c, negated_c) = source(f, 3)?;
    let negated = negated_a != negated_b;
    if to.bits < 32 || part_c.bits < 32 || negated && negated_c {
        return Err(f.invalid("d and c are words, and either the product or c is negated"));
    }
    if plus_one && (negated_a || negated_b || negated_c) {
        return Err(f.invalid("`.po` negates nothing"));
    }
    let signed = signed_a || signed_b || negated || negated_c;
    let compute = move |a: u32, b: u32, c: u32| {
        let product = part_a.extract(a, signed_a) * part_b.extract(b, signed_b);
        // The complement of c is taken of its 32 bits.
        let c = if negated_c { !c } else { c };
        let c = extend(c.into(), 32, signed);
        let product = if negated { !product } else { product };
        let one = i128::from(plus_one || negated || negated_c);
        let value = (product + c + one) >> scale;
        match sat {
            true => saturate(value, 32, signed) as u32,
            false => value as u32,
        }
    };
    Ok(lanes::map3(d, a, b, c, compute))
}
