//! Communication inside a warp: `shfl`, `vote`, `match`, `elect`, `redux`, `activemask` (PTX ISA, 9.7.9.6 and 9.7.13).

use super::form::{Dst, Form};
use super::types::{Ty, Value};
use super::{Collective, Execute, Op, Src, Taint};
use crate::error::LoadError;
use crate::machine::{FaultKind, Flow, Step};

type Decoded = Result<Op, LoadError>;

pub(super) fn decode(f: &mut Form<'_>) -> Decoded {
    if f.opcode() == "activemask" {
        f.ty()?;
        return Ok(Box::new(ActiveMask { d: f.dst(0)? }));
    }
    f.require("`.sync` (the forms without it are gone)", &[("sync", ())])?;
    match f.opcode() {
        "shfl" => shuffle(f),
        "vote" => vote(f),
        "match" => matching(f),
        "elect" => elect(f),
        _ => reduce(f),
    }
}

struct ActiveMask {
    d: Dst,
}

impl Execute for ActiveMask {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        let mask = u64::from(step.mask);
        step.set(self.d.slot, &[mask; 32]);
        Ok(Flow::Next)
    }
}

/// An operation on one register of the members, whose result goes to one or two registers.
struct Exchange<G> {
    d: Dst,
    p: Option<Dst>,
    sources: Vec<Src>,
    members: Src,
    /// Moves its first source between lanes.
    moves: bool,
    g: G,
}

impl<G: Fn(&[[u64; 32]], u32) -> ([u64; 32], [u64; 32]) + Send + Sync> Execute for Exchange<G> {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        let sources: Vec<_> = self.sources.iter().map(|s| step.get(*s)).collect();
        if step.state.check.on {
            self.define(step, &sources);
        }
        let (d, p) = (self.g)(&sources, step.mask);
        step.set(self.d.slot, &d);
        if let Some(slot) = self.p {
            step.set(slot.slot, &p);
        }
        Ok(Flow::Next)
    }

    fn collective(&self) -> Collective {
        Collective::Members(self.members)
    }

    fn taint(&self) -> Taint {
        Taint::Own
    }
}

impl<G: Fn(&[[u64; 32]], u32) -> ([u64; 32], [u64; 32])> Exchange<G> {
    /// A shuffle passes undefined values from lane to lane as it passes the others; elsewhere one spoils all.
    fn define(&self, step: &mut Step<'_>, sources: &[[u64; 32]]) {
        let registers = &step.warp.defined;
        let (mut undefined, mut origin) = (0, 0);
        for src in &self.sources {
            let (lanes, from) = registers.undefined(*src);
            undefined |= lanes & step.mask;
            origin = origin.max(from);
        }
        let lanes = if self.moves && undefined != 0 {
            let mut moved = sources.to_vec();
            moved[0] = std::array::from_fn(|lane| u64::from(undefined >> lane & 1));
            let (d, _) = (self.g)(&moved, step.mask);
            (0..32).fold(0, |lanes, lane| lanes | u32::from(d[lane] != 0) << lane)
        } else if undefined != 0 {
            u32::MAX
        } else {
            0
        };
        let bytes = match self.sources.first() {
            Some(moved) if self.moves => registers.undefined_bytes(*moved, step.mask),
            _ => u8::MAX,
        };
        let slots = [Some((self.d, bytes)), self.p.map(|p| (p, u8::MAX))];
        for (d, bytes) in slots.into_iter().flatten() {
            step.warp
                .defined
                .define_bytes(d.slot, step.mask, lanes, origin, bytes);
        }
    }
}

/// What a shuffle gives when it reads a thread that does not take part.
const STRANGER: u64 = 0x7FFF_DEAD;

#[derive(Clone, Copy)]
enum Mode {
    Up,
    Down,
    Butterfly,
    Index,
}

/// `shfl.sync.mode.b32 d|p, a, b, c, members`: the lane arithmetic of PTX ISA, 9.7.9.6.
fn shuffle(f: &mut Form<'_>) -> Decoded {
    let modes = [
        ("up", Mode::Up),
        ("down", Mode::Down),
        ("bfly", Mode::Butterfly),
        ("idx", Mode::Index),
    ];
    let mode = f.require("a mode such as .idx", &modes)?;
    f.ty()?;
    let (d, p) = f.pair(0)?;
    let sources = vec![f.src(1, Ty::B32)?, f.src(2, Ty::B32)?, f.src(3, Ty::B32)?];
    let members = f.src(4, Ty::B32)?;
    let g = move |s: &[[u64; 32]], mask: u32| {
        let (mut values, mut inside) = ([0; 32], [0; 32]);
        for lane in 0..32usize {
            let (b, c) = (s[1][lane] as usize & 31, s[2][lane] as usize);
            let (clamp, segment) = (c & 31, c >> 8 & 31);
            let (least, most) = (lane & segment, lane & segment | clamp & !segment & 31);
            let (from, valid) = match mode {
                Mode::Up => (
                    lane.wrapping_sub(b),
                    lane >= b && (lane - b) as isize >= most as isize,
                ),
                Mode::Down => (lane + b, lane + b <= most),
                Mode::Butterfly => (lane ^ b, lane ^ b <= most),
                Mode::Index => (least | b & !segment, least | b & !segment <= most),
            };
            let from = if valid { from & 31 } else { lane };
            values[lane] = if mask >> from & 1 != 0 {
                s[0][from]
            } else {
                STRANGER
            };
            inside[lane] = u64::from(valid);
        }
        (values, inside)
    };
    Ok(Box::new(Exchange {
        d,
        p,
        sources,
        members,
        moves: true,
        g,
    }))
}

/// The lanes of a mask.
fn lanes(mask: u32) -> impl Iterator<Item = usize> {
    (0..32).filter(move |lane| mask >> lane & 1 != 0)
}

fn ballot(values: &[u64; 32], mask: u32, negated: bool) -> u32 {
    lanes(mask)
        .filter(|&lane| (values[lane] & 1 != 0) != negated)
        .fold(0, |votes, lane| votes | 1 << lane)
}

fn vote(f: &mut Form<'_>) -> Decoded {
    type Count = fn(u32, u32) -> u64;
    let modes: [(&str, Count); 4] = [
        ("all", |votes, mask| u64::from(votes == mask)),
        ("any", |votes, _| u64::from(votes != 0)),
        ("uni", |votes, mask| u64::from(votes == mask || votes == 0)),
        ("ballot", |votes, _| u64::from(votes)),
    ];
    let count = f.require("a mode such as .ballot", &modes)?;
    f.ty()?;
    let (d, (a, negated), members) = (f.dst(0)?, f.pred(1)?, f.src(2, Ty::B32)?);
    let g = move |s: &[[u64; 32]], mask: u32| {
        ([count(ballot(&s[0], mask, negated), mask); 32], [0; 32])
    };
    Ok(Box::new(Exchange {
        d,
        p: None,
        sources: vec![a],
        members,
        moves: false,
        g,
    }))
}

fn matching(f: &mut Form<'_>) -> Decoded {
    let all = f.require("`.any` or `.all`", &[("any", false), ("all", true)])?;
    let ty = f.ty()?;
    let (d, p) = f.pair(0)?;
    let (a, members) = (f.src(1, ty)?, f.src(2, Ty::B32)?);
    let g = move |s: &[[u64; 32]], mask: u32| {
        let equal = |lane: usize| {
            lanes(mask)
                .filter(|&other| s[0][other] == s[0][lane])
                .fold(0u32, |m, other| m | 1 << other)
        };
        let agree = |lane: usize| !all || equal(lane) == mask;
        let d = std::array::from_fn(|lane| {
            if agree(lane) {
                u64::from(equal(lane))
            } else {
                0
            }
        });
        (d, std::array::from_fn(|lane| u64::from(agree(lane))))
    };
    Ok(Box::new(Exchange {
        d,
        p,
        sources: vec![a],
        members,
        moves: false,
        g,
    }))
}

/// `elect.sync d|p, members`: always the lowest member here; hardware also elects the same lane for the same mask.
fn elect(f: &mut Form<'_>) -> Decoded {
    let (d, p) = f.pair(0)?;
    let members = f.src(1, Ty::B32)?;
    let g = move |_: &[[u64; 32]], mask: u32| {
        let leader = mask.trailing_zeros() as usize;
        (
            [leader as u64; 32],
            std::array::from_fn(|lane| u64::from(lane == leader)),
        )
    };
    Ok(Box::new(Exchange {
        d,
        p,
        sources: Vec::new(),
        members,
        moves: false,
        g,
    }))
}

fn reduce(f: &mut Form<'_>) -> Decoded {
    let operations = [
        ("add", "add"),
        ("min", "min"),
        ("max", "max"),
        ("and", "and"),
        ("or", "or"),
        ("xor", "xor"),
    ];
    let operation = f.require("an operation such as .add", &operations)?;
    let (abs, nan) = (f.take("abs"), f.take("NaN"));
    let ty = f.ty()?;
    let fold: fn(u64, u64) -> u64 = match (operation, ty) {
        ("add", Ty::U32 | Ty::S32) => |a, b| u64::from((a as u32).wrapping_add(b as u32)),
        ("min", Ty::U32) => |a, b| a.min(b),
        ("max", Ty::U32) => |a, b| a.max(b),
        ("min", Ty::S32) => |a, b| (a as i32).min(b as i32).word(),
        ("max", Ty::S32) => |a, b| (a as i32).max(b as i32).word(),
        ("and", Ty::B32) => |a, b| a & b,
        ("or", Ty::B32) => |a, b| a | b,
        ("xor", Ty::B32) => |a, b| a ^ b,
        ("min", Ty::F32) if nan => |a, b| select(a, b, true, true),
        ("max", Ty::F32) if nan => |a, b| select(a, b, false, true),
        ("min", Ty::F32) => |a, b| select(a, b, true, false),
        ("max", Ty::F32) => |a, b| select(a, b, false, false),
        _ => return Err(f.unsupported("this type is not implemented")),
    };
    let (d, a, members) = (f.dst(0)?, f.src(1, ty)?, f.src(2, Ty::B32)?);
    let g = move |s: &[[u64; 32]], mask: u32| {
        let value = |lane: usize| {
            if abs {
                s[0][lane] & 0x7FFF_FFFF
            } else {
                s[0][lane]
            }
        };
        (
            [lanes(mask).map(value).reduce(fold).unwrap_or(0); 32],
            [0; 32],
        )
    };
    Ok(Box::new(Exchange {
        d,
        p: None,
        sources: vec![a],
        members,
        moves: false,
        g,
    }))
}

fn select(a: u64, b: u64, min: bool, nan: bool) -> u64 {
    super::float::canonical(super::float::select_f32(
        f32::from_word(a),
        f32::from_word(b),
        min,
        nan,
    ))
    .word()
}
