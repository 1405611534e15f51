//! Comparison and selection (PTX ISA, 9.7.5 and 9.7.6).

use half::{bf16, f16};

use super::form::{Dst, Form};
use super::types::{Ty, Value};
use super::{Execute, Op, Src, Taint, lanes};
use crate::error::LoadError;
use crate::machine::{FaultKind, Flow, Step};

type Decoded = Result<Op, LoadError>;
type Test = Box<dyn Fn(u64, u64) -> bool + Send + Sync>;

pub(super) fn decode(f: &mut Form<'_>) -> Decoded {
    match f.opcode() {
        "selp" => select(f),
        "slct" => select_by_sign(f),
        "set" => set(f),
        _ => set_predicate(f),
    }
}

/// `selp d, a, b, p`.
fn select(f: &mut Form<'_>) -> Decoded {
    let ty = f.ty()?;
    let (d, a, b) = (f.dst(0)?, f.src(1, ty)?, f.src(2, ty)?);
    let (p, negated) = f.pred(3)?;
    let op = lanes::map3(
        d,
        a,
        b,
        p,
        move |a: u64, b: u64, p: bool| if p != negated { a } else { b },
    );
    Ok(lanes::with_taint(op, Taint::Select { a, b, p, negated }))
}

/// `slct d, a, b, c`: a if c >= 0.
fn select_by_sign(f: &mut Form<'_>) -> Decoded {
    f.ignore(&["ftz"]);
    let (ty, by) = (f.ty()?, f.ty()?);
    let (d, a, b, c) = (f.dst(0)?, f.src(1, ty)?, f.src(2, ty)?, f.src(3, by)?);
    match by {
        Ty::S32 => Ok(lanes::map3(
            d,
            a,
            b,
            c,
            |a: u64, b: u64, c: i32| if c >= 0 { a } else { b },
        )),
        Ty::F32 => Ok(lanes::map3(
            d,
            a,
            b,
            c,
            |a: u64, b: u64, c: f32| if c >= 0.0 { a } else { b },
        )),
        _ => Err(f.invalid("the third operand must be .s32 or .f32")),
    }
}

/// A comparison operator; `unordered` is the answer when an operand is NaN.
#[derive(Clone, Copy)]
struct Comparison {
    less: bool,
    equal: bool,
    greater: bool,
    unordered: bool,
    /// `lo`, `ls`, `hi`, `hs` compare as unsigned.
    unsigned: bool,
}

fn comparison(word: &str) -> Option<Comparison> {
    let make = |less, equal, greater| Comparison {
        less,
        equal,
        greater,
        unordered: false,
        unsigned: false,
    };
    Some(match word {
        "eq" => make(false, true, false),
        "ne" => make(true, false, true),
        "lt" => make(true, false, false),
        "le" => make(true, true, false),
        "gt" => make(false, false, true),
        "ge" => make(false, true, true),
        "num" => make(true, true, true),
        "nan" => Comparison {
            unordered: true,
            ..make(false, false, false)
        },
        "lo" => Comparison {
            unsigned: true,
            ..make(true, false, false)
        },
        "ls" => Comparison {
            unsigned: true,
            ..make(true, true, false)
        },
        "hi" => Comparison {
            unsigned: true,
            ..make(false, false, true)
        },
        "hs" => Comparison {
            unsigned: true,
            ..make(false, true, true)
        },
        "equ" | "neu" | "ltu" | "leu" | "gtu" | "geu" => Comparison {
            unordered: true,
            ..comparison(&word[..2])?
        },
        _ => return None,
    })
}

impl Comparison {
    fn holds(self, order: Option<std::cmp::Ordering>) -> bool {
        match order {
            Some(std::cmp::Ordering::Less) => self.less,
            Some(std::cmp::Ordering::Equal) => self.equal,
            Some(std::cmp::Ordering::Greater) => self.greater,
            None => self.unordered,
        }
    }

    fn on<T: Value + PartialOrd>(self) -> Test {
        Box::new(move |a, b| self.holds(T::from_word(a).partial_cmp(&T::from_word(b))))
    }

    fn test(self, ty: Ty, ftz: bool) -> Option<Test> {
        Some(match ty {
            Ty::U16 | Ty::B16 => self.on::<u16>(),
            Ty::U32 | Ty::B32 => self.on::<u32>(),
            Ty::U64 | Ty::B64 => self.on::<u64>(),
            Ty::S16 if self.unsigned => self.on::<u16>(),
            Ty::S32 if self.unsigned => self.on::<u32>(),
            Ty::S64 if self.unsigned => self.on::<u64>(),
            Ty::S16 => self.on::<i16>(),
            Ty::S32 => self.on::<i32>(),
            Ty::S64 => self.on::<i64>(),
            Ty::F16 if ftz => {
                let read = |word| flush(f16::from_word(word));
                Box::new(move |a, b| self.holds(read(a).partial_cmp(&read(b))))
            }
            Ty::F16 => self.on::<f16>(),
            Ty::Bf16 => self.on::<bf16>(),
            Ty::F32 if ftz => {
                let read = |word| super::rounding::flush(f32::from_word(word));
                Box::new(move |a, b| self.holds(read(a).partial_cmp(&read(b))))
            }
            Ty::F32 => self.on::<f32>(),
            Ty::F64 => self.on::<f64>(),
            _ => return None,
        })
    }
}

/// Subnormal numbers count as zero with `.ftz` (PTX ISA, 9.7.7).
fn flush(value: f16) -> f16 {
    match value.classify() {
        std::num::FpCategory::Subnormal => f16::ZERO,
        _ => value,
    }
}

#[derive(Clone, Copy)]
enum Combine {
    And,
    Or,
    Xor,
}

impl Combine {
    fn apply(self, a: bool, b: bool) -> bool {
        match self {
            Combine::And => a & b,
            Combine::Or => a | b,
            Combine::Xor => a ^ b,
        }
    }
}

struct SetPredicate {
    p: Dst,
    q: Option<Dst>,
    a: Src,
    b: Src,
    c: Option<(Src, bool, Combine)>,
    test: Test,
}

impl Execute for SetPredicate {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        let (a, b) = (step.get(self.a), step.get(self.b));
        let holds: [bool; 32] = std::array::from_fn(|i| (self.test)(a[i], b[i]));
        let c = self
            .c
            .map(|(src, negated, combine)| (step.get(src), negated, combine));
        let result = |i: usize, holds: bool| match &c {
            None => u64::from(holds),
            Some((c, negated, combine)) => {
                u64::from(combine.apply(holds, (c[i] & 1 != 0) != *negated))
            }
        };
        step.set(self.p.slot, &std::array::from_fn(|i| result(i, holds[i])));
        if let Some(q) = self.q {
            step.set(q.slot, &std::array::from_fn(|i| result(i, !holds[i])));
        }
        Ok(Flow::Next)
    }

    fn taint(&self) -> Taint {
        let (c, value) = match self.c {
            Some((c, negated, Combine::And)) => (c, u64::from(negated)),
            Some((c, negated, Combine::Or)) => (c, u64::from(!negated)),
            _ => return Taint::Lanewise,
        };
        Taint::Absorbing {
            a: c,
            b: c,
            value,
            bytewise: false,
        }
    }
}

const COMBINES: [(&str, Combine); 3] = [
    ("and", Combine::And),
    ("or", Combine::Or),
    ("xor", Combine::Xor),
];

fn set_predicate(f: &mut Form<'_>) -> Decoded {
    let comparison = f
        .take_map(comparison)
        .ok_or_else(|| f.unsupported("no comparison that is implemented"))?;
    let combine = f.choose(&COMBINES);
    let ftz = f.take("ftz");
    let ty = f.ty()?;
    if matches!(ty, Ty::F16x2 | Ty::Bf16x2) {
        return packed(f, comparison, ty, combine, ftz);
    }
    let test = comparison
        .test(ty, ftz)
        .ok_or_else(|| f.unsupported("this type is not implemented"))?;
    let (p, q) = f.pair(0)?;
    let (a, b) = (f.src(1, ty)?, f.src(2, ty)?);
    let c = match combine {
        Some(combine) => f
            .pred(3)
            .map(|(src, negated)| Some((src, negated, combine)))?,
        None => None,
    };
    Ok(Box::new(SetPredicate {
        p,
        q,
        a,
        b,
        c,
        test,
    }))
}

/// `setp.cmp.f16x2 p|q, a, b`: p from the low halves, q from the high ones.
fn packed(
    f: &mut Form<'_>,
    comparison: Comparison,
    ty: Ty,
    combine: Option<Combine>,
    ftz: bool,
) -> Decoded {
    let (p, Some(q)) = f.pair(0)? else {
        return Err(f.invalid("needs two predicates"));
    };
    let part = if ty == Ty::F16x2 { Ty::F16 } else { Ty::Bf16 };
    let test = |f: &Form<'_>| {
        comparison
            .test(part, ftz)
            .ok_or_else(|| f.unsupported("this type is not implemented"))
    };
    let (low, high) = (test(f)?, test(f)?);
    let (a, b) = (f.src(1, ty)?, f.src(2, ty)?);
    let (c, join) = third(f, combine)?;
    Ok(Box::new(Both {
        first: lanes::map3(p, a, b, c, move |a: u64, b: u64, c: bool| {
            join(low(a & 0xFFFF, b & 0xFFFF), c)
        }),
        second: lanes::map3(q, a, b, c, move |a: u64, b: u64, c: bool| {
            join(high(a >> 16, b >> 16), c)
        }),
    }))
}

/// The predicate that results are combined with, if there is one, and how.
fn third(
    f: &mut Form<'_>,
    combine: Option<Combine>,
) -> Result<
    (
        Src,
        impl Fn(bool, bool) -> bool + Copy + Send + Sync + 'static,
    ),
    LoadError,
> {
    let (c, negated) = match combine {
        Some(_) => f.pred(3)?,
        None => (Src::Imm(0), false),
    };
    let join = move |holds, c| combine.map_or(holds, |combine| combine.apply(holds, c != negated));
    Ok((c, join))
}

/// Two operations as one instruction.
pub(super) struct Both {
    pub first: Op,
    pub second: Op,
}

impl Execute for Both {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        self.first.execute(step)?;
        self.second.execute(step)
    }
}

/// `set.cmp.dtype.stype`: all ones or 1.0 where it holds.
fn set(f: &mut Form<'_>) -> Decoded {
    let comparison = f
        .take_map(comparison)
        .ok_or_else(|| f.unsupported("no comparison that is implemented"))?;
    let combine = f.choose(&COMBINES);
    let ftz = f.take("ftz");
    let (dty, ty) = (f.ty()?, f.ty()?);
    let yes = match dty {
        Ty::U32 | Ty::S32 => u64::from(u32::MAX),
        Ty::U16 | Ty::S16 => 0xFFFF,
        Ty::F32 => 1f32.word(),
        Ty::F16 => f16::ONE.word(),
        Ty::Bf16 => bf16::ONE.word(),
        Ty::F16x2 => 0x3C00,
        Ty::Bf16x2 => 0x3F80,
        _ => return Err(f.unsupported("this result type is not implemented")),
    };
    let part = match ty {
        Ty::F16x2 => Ty::F16,
        Ty::Bf16x2 => Ty::Bf16,
        _ => ty,
    };
    let test = comparison
        .test(part, ftz)
        .ok_or_else(|| f.unsupported("this type is not implemented"))?;
    let (d, a, b) = (f.dst(0)?, f.src(1, ty)?, f.src(2, ty)?);
    let (c, join) = third(f, combine)?;
    if part == ty {
        return Ok(lanes::map3(d, a, b, c, move |a: u64, b: u64, c: bool| {
            if join(test(a, b), c) { yes } else { 0 }
        }));
    }
    if !(dty == ty || matches!(dty, Ty::U32 | Ty::S32)) {
        return Err(f.invalid("the result is packed in the same type, or in 32 bits"));
    }
    // Each half by itself, and as all ones or 1.0 of 16 bits (PTX ISA, 9.7.7.1).
    let yes = yes & 0xFFFF;
    Ok(lanes::map3(d, a, b, c, move |a: u64, b: u64, c: bool| {
        let half = |a, b| if join(test(a, b), c) { yes } else { 0 };
        half(a & 0xFFFF, b & 0xFFFF) | half(a >> 16, b >> 16) << 16
    }))
}
