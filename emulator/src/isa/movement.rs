//! Moving values and addresses between registers: `mov`, `cvta`, `isspacep`, `mapa`, `getctarank` (PTX ISA, 9.7.9).

use super::form::{Dst, Form};
use super::types::Ty;
use super::{Execute, Op, Special, Src, Taint, lanes, truncate};
use crate::error::LoadError;
use crate::machine::window::{self, Window};
use crate::machine::{FaultKind, Flow, Step};
use crate::ptx::ast::Operand;

type Decoded = Result<Op, LoadError>;

pub(super) fn decode(f: &mut Form<'_>) -> Decoded {
    match f.opcode() {
        "mov" => mov(f),
        "cvta" => convert_address(f),
        "isspacep" => is_space(f),
        "mapa" => map_address(f),
        _ => {
            // Shared addresses, generic or not, have the rank in the same bits of their lower word.
            f.take("shared::cluster");
            let ty = f.ty()?;
            let (d, a) = (f.dst(0)?, f.src(1, ty)?);
            Ok(lanes::map1(d, a, |a: u64| {
                window::rank(window::to_shared(a))
            }))
        }
    }
}

fn mov(f: &mut Form<'_>) -> Decoded {
    let ty = f.ty()?;
    match (f.operand(0)?, f.operand(1)?) {
        (Operand::Vector(parts), _) => unpack(f, parts, ty),
        (_, Operand::Vector(parts)) => pack(f, parts, ty),
        (_, Operand::Name(name)) if Special::parse(name) == Some(Special::Clock) => {
            Ok(Box::new(Clock { d: f.dst(0)? }))
        }
        _ if ty == Ty::B128 => {
            let (d, a) = (f.dst_as(0, ty)?, f.src(1, ty)?);
            let Src::Reg(slot) = a else {
                return Err(f.invalid("needs a 128-bit register"));
            };
            Ok(Box::new(super::compare::Both {
                first: lanes::map1(d, a, |a: u64| a),
                second: lanes::map1(second(d), Src::Reg(slot + 1), |a: u64| a),
            }))
        }
        _ => {
            let (d, a) = (f.dst_as(0, ty)?, f.src(1, ty)?);
            let bits = ty.bits();
            let op = lanes::map1(d, a, move |a: u64| truncate(a, bits));
            match ty {
                Ty::Pred => Ok(op),
                _ => Ok(lanes::bytewise(op, d, &[a])),
            }
        }
    }
}

/// The upper word of a 128-bit register.
fn second(d: Dst) -> Dst {
    Dst {
        slot: d.slot + 1,
        bits: 64,
    }
}

struct Pack {
    d: Dst,
    parts: Vec<Src>,
    /// Bits of each part, 64 at most.
    bits: u32,
}

impl Execute for Pack {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        let per_word = (64 / self.bits) as usize;
        for (i, chunk) in self.parts.chunks(per_word).enumerate() {
            let mut words = [0u64; 32];
            for (j, part) in chunk.iter().enumerate() {
                let values = step.get(*part);
                for lane in 0..32 {
                    words[lane] |= truncate(values[lane], self.bits) << (j as u32 * self.bits);
                }
            }
            step.set(self.d.slot + i as u32, &words);
        }
        Ok(Flow::Next)
    }

    fn taint(&self) -> Taint {
        let each = (self.bits / 8) as u8;
        let words = self.parts.chunks((64 / self.bits) as usize).enumerate();
        let word = |(i, parts): (usize, &[Src])| {
            let bytes = parts
                .iter()
                .flat_map(|part| (0..each).map(move |b| (part, b)));
            let bytes = bytes.map(|(part, b)| match part {
                Src::Reg(slot) => vec![(*slot, 1 << b)],
                _ => Vec::new(),
            });
            (self.d.slot + i as u32, bytes.collect())
        };
        Taint::Bytes(words.map(word).collect())
    }
}

fn part_type(bits: u32) -> Option<Ty> {
    match bits {
        8 => Some(Ty::B8),
        16 => Some(Ty::B16),
        32 => Some(Ty::B32),
        64 => Some(Ty::B64),
        _ => None,
    }
}

fn pack(f: &mut Form<'_>, parts: &[Operand], ty: Ty) -> Decoded {
    let bits = ty.bits() / parts.len().max(1) as u32;
    let part = part_type(bits)
        .filter(|_| matches!(parts.len(), 2 | 4))
        .ok_or_else(|| f.invalid("needs 2 or 4 parts"))?;
    let parts = parts
        .iter()
        .map(|p| f.src_of(p, part))
        .collect::<Result<_, _>>()?;
    Ok(Box::new(Pack {
        d: f.dst_as(0, ty)?,
        parts,
        bits,
    }))
}

struct Unpack {
    parts: Vec<Dst>,
    a: Src,
    bits: u32,
}

impl Execute for Unpack {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        let per_word = (64 / self.bits) as usize;
        // All reads come before the writes: a part may be the source itself.
        let words: Vec<[u64; 32]> = match self.a {
            Src::Reg(slot) => (0..self.parts.len().div_ceil(per_word))
                .map(|i| step.get(Src::Reg(slot + i as u32)))
                .collect(),
            other => vec![step.get(other); 2],
        };
        for (i, part) in self.parts.iter().enumerate() {
            let shift = (i % per_word) as u32 * self.bits;
            step.set(
                part.slot,
                &words[i / per_word].map(|w| truncate(w >> shift, self.bits)),
            );
        }
        Ok(Flow::Next)
    }

    fn taint(&self) -> Taint {
        let Src::Reg(source) = self.a else {
            return Taint::Lanewise;
        };
        let each = (self.bits / 8) as usize;
        let part = |(i, d): (usize, &Dst)| {
            let from = i * each..(i + 1) * each;
            let bytes = from.map(|b| vec![(source + b as u32 / 8, 1 << (b % 8))]);
            (d.slot, bytes.collect())
        };
        Taint::Bytes(self.parts.iter().enumerate().map(part).collect())
    }
}

fn unpack(f: &mut Form<'_>, parts: &[Operand], ty: Ty) -> Decoded {
    let bits = ty.bits() / parts.len().max(1) as u32;
    part_type(bits)
        .filter(|_| matches!(parts.len(), 2 | 4))
        .ok_or_else(|| f.invalid("needs 2 or 4 parts"))?;
    let parts = parts
        .iter()
        .map(|p| f.dst_of(p))
        .collect::<Result<_, _>>()?;
    Ok(Box::new(Unpack {
        parts,
        a: f.src(1, ty)?,
        bits,
    }))
}

/// Reads `%clock` and its kin: there is no time here, only progress.
struct Clock {
    d: Dst,
}

impl Execute for Clock {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        let now = step.state.counts.instructions;
        step.set(self.d.slot, &[truncate(now, self.d.bits); 32]);
        Ok(Flow::Next)
    }
}

const WINDOWS: [(&str, Window); 8] = [
    ("global", Window::Global),
    ("shared", Window::Shared),
    ("shared::cta", Window::Shared),
    ("shared::cluster", Window::Shared),
    ("const", Window::Const),
    ("local", Window::Local),
    ("param", Window::Param),
    ("param::entry", Window::Param),
];

/// `cvta.space` to generic, `cvta.to.space` from generic (PTX ISA, 9.7.9.20).
fn convert_address(f: &mut Form<'_>) -> Decoded {
    let to_space = f.take("to");
    let window = f.require("a state space", &WINDOWS)?;
    let bits = f.ty()?.bits();
    if bits != 64 {
        return Err(f.unsupported("only 64-bit generic addresses exist"));
    }
    let base = window.base();
    if to_space {
        f.map1(move |a: u64| a.wrapping_sub(base))
    } else {
        f.map1(move |a: u64| a.wrapping_add(base))
    }
}

/// `isspacep.space p, a`.
struct IsSpace {
    p: Dst,
    a: Src,
    window: Window,
    own_only: bool,
}

impl Execute for IsSpace {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        let own = step.warp.rank;
        let inside = |a: u64| {
            let window = Window::of(a);
            window == self.window && (!self.own_only || window::rank(window::to_shared(a)) == own)
        };
        let answers = step.get(self.a).map(|a| u64::from(inside(a)));
        step.set(self.p.slot, &answers);
        Ok(Flow::Next)
    }
}

fn is_space(f: &mut Form<'_>) -> Decoded {
    let (window, own_only) = match f.choose(&[("shared", ()), ("shared::cta", ())]) {
        Some(()) => (Window::Shared, true),
        None => (f.require("a state space", &WINDOWS)?, false),
    };
    Ok(Box::new(IsSpace {
        p: f.dst(0)?,
        a: f.src(1, Ty::U64)?,
        window,
        own_only,
    }))
}

/// `mapa d, a, rank`: the same offset in another CTA of the cluster (PTX ISA, 9.7.9.23; brief, 4.2).
fn map_address(f: &mut Form<'_>) -> Decoded {
    let shared = f.take("shared::cluster");
    let ty = f.ty()?;
    let bits = ty.bits();
    let (d, a, rank) = (f.dst(0)?, f.src(1, ty)?, f.src(2, Ty::U32)?);
    Ok(lanes::map2(d, a, rank, move |a: u64, rank: u32| {
        let (base, address) = if shared {
            (0, a as u32)
        } else {
            (Window::Shared.base(), window::to_shared(a))
        };
        truncate(base + u64::from(window::with_rank(address, rank)), bits)
    }))
}
