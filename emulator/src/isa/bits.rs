//! Logic, shifts, bit fields and byte permutation (PTX ISA, 9.7.1.14 on and 9.7.8).

use super::form::Form;
use super::integer::each;
use super::types::Ty;
use super::{Op, Src, Taint, lanes};
use crate::error::LoadError;

type Decoded = Result<Op, LoadError>;

pub(super) fn decode(f: &mut Form<'_>) -> Decoded {
    match f.opcode() {
        "lop3" => super::lop3::decode(f),
        "shf" => funnel_shift(f),
        "prmt" => permute(f),
        "bmsk" => mask(f),
        "szext" => extend_at(f),
        "bfind" => find_leading(f),
        "fns" => {
            f.ty()?;
            f.map3(|mask: u32, base: u32, offset: i32| nth_set(mask, base, offset))
        }
        "and" | "or" | "xor" | "not" | "cnot" => logic(f),
        _ => fields(f),
    }
}

/// Logic; zero decides `and` and all ones decide `or`, whatever is undefined in the other operand.
fn logic(f: &mut Form<'_>) -> Decoded {
    let (opcode, ty) = (f.opcode(), f.ty()?);
    let op = bitwise(f, ty)?;
    let (d, bytewise) = (f.dst_as(0, ty)?, ty != Ty::Pred);
    let value = match opcode {
        "and" => 0,
        "or" => super::truncate(u64::MAX, ty.bits()),
        "not" if bytewise => return Ok(lanes::bytewise(op, d, &[f.src(1, ty)?])),
        "xor" if bytewise => {
            return Ok(lanes::bytewise(op, d, &[f.src(1, ty)?, f.src(2, ty)?]));
        }
        _ => return Ok(op),
    };
    let (a, b) = (f.src(1, ty)?, f.src(2, ty)?);
    let taint = match (opcode, a, b) {
        ("and", Src::Reg(slot), Src::Imm(mask)) | ("and", Src::Imm(mask), Src::Reg(slot)) => {
            let kept = |i: u8| (mask >> (8 * i) & 0xFF != 0).then_some((slot, i));
            lanes::bytes(d, (0..8).map(kept))
        }
        _ => Taint::Absorbing {
            a,
            b,
            value,
            bytewise,
        },
    };
    Ok(lanes::with_taint(op, taint))
}

fn bitwise(f: &mut Form<'_>, ty: Ty) -> Decoded {
    match (f.opcode(), ty) {
        ("and", Ty::Pred) => f.map2(|a: bool, b: bool| a & b),
        ("or", Ty::Pred) => f.map2(|a: bool, b: bool| a | b),
        ("xor", Ty::Pred) => f.map2(|a: bool, b: bool| a ^ b),
        ("not", Ty::Pred) => f.map1(|a: bool| !a),
        (_, ty) if !ty.is_untyped() => Err(f.invalid("needs an untyped size such as .b32")),
        ("and", _) => each!(f, ty, map2, T, |a: T, b: T| a & b),
        ("or", _) => each!(f, ty, map2, T, |a: T, b: T| a | b),
        ("xor", _) => each!(f, ty, map2, T, |a: T, b: T| a ^ b),
        ("not", _) => each!(f, ty, map1, T, |a: T| !a),
        _ => each!(f, ty, map1, T, |a: T| T::from(a == 0)),
    }
}

fn fields(f: &mut Form<'_>) -> Decoded {
    let ty = f.ty()?;
    match (f.opcode(), ty) {
        // Shift amounts are unsigned 32-bit and clamp at the width.
        ("shl" | "shr", _) => shift(f, ty),
        ("popc", Ty::B32) => f.map1(|a: u32| a.count_ones()),
        ("popc", Ty::B64) => f.map1(|a: u64| a.count_ones()),
        ("clz", Ty::B32) => f.map1(|a: u32| a.leading_zeros()),
        ("clz", Ty::B64) => f.map1(|a: u64| a.leading_zeros()),
        ("brev", Ty::B32) => f.map1(|a: u32| a.reverse_bits()),
        ("brev", Ty::B64) => f.map1(|a: u64| a.reverse_bits()),
        ("bfe", Ty::U32 | Ty::S32 | Ty::U64 | Ty::S64) => {
            let (bits, signed) = (ty.bits(), ty.is_signed());
            let (d, a, b, c) = (
                f.dst(0)?,
                f.src(1, ty)?,
                f.src(2, Ty::U32)?,
                f.src(3, Ty::U32)?,
            );
            Ok(lanes::map3(d, a, b, c, move |a: u64, b: u32, c: u32| {
                extract(a, b & 0xFF, c & 0xFF, bits, signed)
            }))
        }
        ("bfi", Ty::B32 | Ty::B64) => insert(f, ty.bits()),
        _ => Err(f.unsupported("this type is not implemented")),
    }
}

fn shift(f: &mut Form<'_>, ty: Ty) -> Decoded {
    let left = f.opcode() == "shl";
    let op = if left {
        each!(f, ty, map2, T, |a: T, b: u32| a.checked_shl(b).unwrap_or(0))
    } else {
        each!(f, ty, map2, T, |a: T, b: u32| a
            >> b.min(T::BITS - 1)
            >> u32::from(b >= T::BITS))
    }?;
    let (Src::Reg(slot), Src::Imm(amount @ 0..64)) = (f.src(1, ty)?, f.src(2, Ty::U32)?) else {
        return Ok(op);
    };
    Ok(lanes::with_taint(
        op,
        shifted(f.dst_as(0, ty)?, slot, ty, left, amount as u32),
    ))
}

/// The bytes behind a shift by a constant; zeros that move in are defined, signs are as defined as the topmost byte.
fn shifted(d: super::form::Dst, slot: super::Slot, ty: Ty, left: bool, amount: u32) -> Taint {
    let bits = ty.bits();
    let from = |bit: u32| match (left, bit) {
        (true, bit) => bit.checked_sub(amount),
        (false, bit) if bit + amount < bits => Some(bit + amount),
        _ => ty.is_signed().then_some(bits - 1),
    };
    let byte = |i: u32| {
        let ends = [from(8 * i), from(8 * i + 7)].into_iter().flatten();
        ends.map(|bit| (slot, 1 << (bit / 8))).collect()
    };
    Taint::Bytes(vec![(d.slot, (0..ty.bytes()).map(byte).collect())])
}

/// `bfe`: beyond the word the sign (or zero) continues.
fn extract(a: u64, position: u32, length: u32, bits: u32, signed: bool) -> u64 {
    let a = super::truncate(a, bits);
    let last = (position + length).saturating_sub(1).min(bits - 1);
    let sign = signed && length != 0 && a >> last & 1 != 0;
    let field = if position < bits {
        super::truncate(a >> position, length)
    } else {
        0
    };
    let valid = bits.saturating_sub(position).min(length);
    let filled = if sign && valid < bits {
        field | super::truncate(u64::MAX, bits) & !super::truncate(u64::MAX, valid)
    } else {
        field
    };
    super::truncate(filled, bits)
}

fn insert(f: &mut Form<'_>, bits: u32) -> Decoded {
    let d = f.dst(0)?;
    let ty = if bits == 64 { Ty::B64 } else { Ty::B32 };
    let (a, b) = (f.src(1, ty)?, f.src(2, ty)?);
    let (position, length) = (f.src(3, Ty::U32)?, f.src(4, Ty::U32)?);
    let combine = move |field: u64, under: u64, position: u64, length: u64| {
        let (position, length) = (position as u32 & 0xFF, length as u32 & 0xFF);
        let mask = if position < bits {
            super::truncate(u64::MAX, length) << position
        } else {
            0
        };
        let field = if position < bits {
            field << position
        } else {
            0
        };
        super::truncate(under & !mask | field & mask, bits)
    };
    Ok(Box::new(Four {
        d,
        sources: [a, b, position, length],
        g: combine,
    }))
}

struct Four<G> {
    d: super::form::Dst,
    sources: [super::Src; 4],
    g: G,
}

impl<G: Fn(u64, u64, u64, u64) -> u64 + Send + Sync> super::Execute for Four<G> {
    fn execute(
        &self,
        step: &mut crate::machine::Step<'_>,
    ) -> Result<crate::machine::Flow, crate::machine::FaultKind> {
        let [a, b, c, e] = self.sources.map(|s| step.get(s));
        step.set(
            self.d.slot,
            &std::array::from_fn(|i| (self.g)(a[i], b[i], c[i], e[i])),
        );
        Ok(crate::machine::Flow::Next)
    }
}

fn funnel_shift(f: &mut Form<'_>) -> Decoded {
    let left = f.require("`.l` or `.r`", &[("l", true), ("r", false)])?;
    let wrap = f.require("`.wrap` or `.clamp`", &[("wrap", true), ("clamp", false)])?;
    if f.ty()? != Ty::B32 {
        return Err(f.invalid("exists for .b32 only"));
    }
    f.map3(move |a: u32, b: u32, c: u32| {
        let amount = if wrap { c & 31 } else { c.min(32) };
        let wide = u64::from(b) << 32 | u64::from(a);
        if left {
            ((wide << amount) >> 32) as u32
        } else {
            (wide >> amount) as u32
        }
    })
}

#[derive(Clone, Copy)]
enum Permute {
    Index,
    F4e,
    B4e,
    Rc8,
    Ecl,
    Ecr,
    Rc16,
}

/// The four selectors of a `prmt` mode (PTX ISA, 9.7.8.7).
fn selectors(mode: Permute, c: u32) -> [u32; 4] {
    let n = c & 3;
    match mode {
        Permute::Index => [c & 15, c >> 4 & 15, c >> 8 & 15, c >> 12 & 15],
        Permute::F4e => [n, n + 1, n + 2, n + 3],
        Permute::B4e => [n, (n + 7) & 7, (n + 6) & 7, (n + 5) & 7],
        Permute::Rc8 => [n; 4],
        Permute::Ecl => [n, n.max(1), n.max(2), 3],
        Permute::Ecr => [0, n.min(1), n.min(2), n.min(3)],
        Permute::Rc16 => [(n & 1) * 2, (n & 1) * 2 + 1, (n & 1) * 2, (n & 1) * 2 + 1],
    }
}

fn permute(f: &mut Form<'_>) -> Decoded {
    f.ty()?;
    let modes = [
        ("f4e", Permute::F4e),
        ("b4e", Permute::B4e),
        ("rc8", Permute::Rc8),
        ("ecl", Permute::Ecl),
        ("ecr", Permute::Ecr),
        ("rc16", Permute::Rc16),
    ];
    let mode = f.choose(&modes).unwrap_or(Permute::Index);
    let op = f.map3(move |a: u32, b: u32, c: u32| {
        let bytes = u64::from(b) << 32 | u64::from(a);
        let pick = |selector: u32| {
            let byte = (bytes >> ((selector & 7) * 8)) as u8;
            if selector & 8 != 0 {
                ((byte as i8) >> 7) as u8
            } else {
                byte
            }
        };
        u32::from_le_bytes(selectors(mode, c).map(pick))
    })?;
    let Src::Imm(control) = f.src(3, Ty::B32)? else {
        return Ok(op);
    };
    let sources = [f.src(1, Ty::B32)?, f.src(2, Ty::B32)?];
    let picked = selectors(mode, control as u32).map(|selector| {
        let byte = selector & 7;
        match sources[byte as usize / 4] {
            Src::Reg(slot) => Some((slot, byte as u8 % 4)),
            _ => None,
        }
    });
    let taint = lanes::bytes(f.dst_as(0, Ty::B32)?, picked.into_iter());
    Ok(lanes::with_taint(op, taint))
}

fn mask(f: &mut Form<'_>) -> Decoded {
    let wrap = f.require("`.wrap` or `.clamp`", &[("wrap", true), ("clamp", false)])?;
    f.ty()?;
    f.map2(move |a: u32, b: u32| {
        let (a, b) = if wrap {
            (a & 31, b & 31)
        } else {
            (a, b.min(32))
        };
        let ones = super::truncate(u64::MAX, b);
        if a < 32 { (ones << a) as u32 } else { 0 }
    })
}

fn extend_at(f: &mut Form<'_>) -> Decoded {
    let wrap = f.require("`.wrap` or `.clamp`", &[("wrap", true), ("clamp", false)])?;
    let signed = f.ty()?.is_signed();
    f.map2(move |a: u32, b: u32| {
        let b = if wrap { b & 31 } else { b.min(32) };
        match (b, signed) {
            (0, _) => 0,
            (b, true) => super::sign_extend(a.into(), b) as u32,
            (b, false) => super::truncate(a.into(), b) as u32,
        }
    })
}

/// `bfind`: position of the highest bit that is set (that differs from the sign), or all ones.
fn find_leading(f: &mut Form<'_>) -> Decoded {
    let shift_amount = f.take("shiftamt");
    let ty = f.ty()?;
    let bits = ty.bits();
    let (d, a) = (f.dst(0)?, f.src(1, ty)?);
    Ok(lanes::map1(d, a, move |a: u64| {
        let a = if ty.is_signed() && a >> (bits - 1) & 1 != 0 {
            super::truncate(!a, bits)
        } else {
            super::truncate(a, bits)
        };
        match a.checked_ilog2() {
            None => u32::MAX,
            Some(position) if shift_amount => bits - 1 - position,
            Some(position) => position,
        }
    }))
}

/// `fns`: the position of the n-th set bit from `base` (PTX ISA, 9.7.1.18).
fn nth_set(mask: u32, base: u32, offset: i32) -> u32 {
    let set = |i: i64| (0..32).contains(&i) && mask >> i & 1 != 0;
    let base = i64::from(base);
    if offset == 0 {
        return if set(base) { base as u32 } else { u32::MAX };
    }
    let (step, mut left, mut at) = (i64::from(offset.signum()), offset.unsigned_abs(), base);
    while (0..32).contains(&at) {
        left -= u32::from(set(at));
        if left == 0 {
            return at as u32;
        }
        at += step;
    }
    u32::MAX
}
