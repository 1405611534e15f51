//! The fifth-generation tensor core: allocation, transfers, MMA and commit (PTX ISA, 9.7.16; brief, 1 and 2).
//!
//! What the operations compute is the engine's; when they happen is the machine's; this file reads their text.

mod allocation;
mod multiply;
mod reduce;
mod transfer;

use super::form::{Addr, Form};
use super::types::Ty;
use super::{Execute, Op, Src};
use crate::check::Fence;
use crate::engine::descriptor::CtaGroup;
use crate::engine::tensor_memory::CopyShape;
use crate::error::LoadError;
use crate::machine::{FaultKind, Flow, Space, Step, Work};
use allocation::{alloc, dealloc, relinquish};
use multiply::mma;
pub(crate) use reduce::LoadReduction;
use transfer::{load, store, wait};

type Decoded = Result<Op, LoadError>;

pub(super) fn decode(f: &mut Form<'_>) -> Decoded {
    let fences = [
        ("fence::before_thread_sync", Fence::TensorBefore),
        ("fence::after_thread_sync", Fence::TensorAfter),
    ];
    if let Some(fence) = f.choose(&fences) {
        return Ok(super::fence::of(fence));
    }
    type Decode = fn(&mut Form<'_>) -> Decoded;
    let kinds: [(&str, Decode); 10] = [
        ("alloc", alloc),
        ("dealloc", dealloc),
        ("relinquish_alloc_permit", relinquish),
        ("ld", load),
        ("st", store),
        ("wait::ld", |f| wait(f, false)),
        ("wait::st", |f| wait(f, true)),
        ("cp", copy),
        ("mma", mma),
        ("commit", commit),
    ];
    if f.take("shift") {
        return Err(f.unsupported("which rows move is not documented"));
    }
    match f.choose(&kinds) {
        Some(decode) => decode(f),
        None => Err(f.unsupported("unknown instruction")),
    }
}

fn group(f: &mut Form<'_>) -> Result<CtaGroup, LoadError> {
    f.require(
        "`.cta_group::1` or `.cta_group::2`",
        &[
            ("cta_group::1", CtaGroup::One),
            ("cta_group::2", CtaGroup::Two),
        ],
    )
}

fn warp_wide(f: &mut Form<'_>) -> Result<(), LoadError> {
    f.require("`.sync`", &[("sync", ())])?;
    f.require("`.aligned`", &[("aligned", ())])
}

// ---- asynchronous operations of one thread

struct Copy {
    group: CtaGroup,
    shape: CopyShape,
    addr: Addr,
    matrix: Src,
    /// `.b8x16.b4x16_p64`
    expands: bool,
}

impl Execute for Copy {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        let (addresses, matrices) = (step.addresses(self.addr), step.get(self.matrix));
        for lane in step.lanes() {
            let work = Work::TensorCopy {
                group: self.group,
                shape: self.shape,
                address: addresses[lane] as u32,
                matrix: matrices[lane],
                expands: self.expands,
            };
            step.issue(lane, work)?;
        }
        Ok(Flow::Next)
    }
}

fn copy(f: &mut Form<'_>) -> Decoded {
    let group = group(f)?;
    let shapes = [
        ("128x256b", 0),
        ("4x256b", 1),
        ("128x128b", 2),
        ("64x128b", 3),
        ("32x128b", 4),
    ];
    let shape = f.require("a shape", &shapes)?;
    let multicast = f
        .choose(&[("warpx2::02_13", 1), ("warpx2::01_23", 2), ("warpx4", 3)])
        .unwrap_or(0);
    let shape = match (shape, multicast) {
        (0, 0) => CopyShape::S128x256b,
        (1, 0) => CopyShape::S4x256b,
        (2, 0) => CopyShape::S128x128b,
        (3, 1) => CopyShape::S64x128bWarpx2_02_13,
        (3, 2) => CopyShape::S64x128bWarpx2_01_23,
        (4, 3) => CopyShape::S32x128bWarpx4,
        _ => return Err(f.invalid("the shape and the multicast do not fit")),
    };
    let wide = f.take("b8x16");
    let expands = f.take("b4x16_p64");
    if f.take("b6x16_p32") {
        return Err(f.unsupported("which bits of a byte the six go to is told in different ways"));
    }
    if wide != expands {
        return Err(f.invalid("`.b8x16` needs a source format, and the other way round"));
    }
    Ok(Box::new(Copy {
        group,
        shape,
        addr: f.addr(0)?,
        matrix: f.src(1, Ty::B64)?,
        expands,
    }))
}

struct Commit {
    addr: Addr,
    space: Space,
    mask: Option<Src>,
}

impl Execute for Commit {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        let (addresses, mask) = (step.addresses(self.addr), self.mask.map(|m| step.get(m)));
        for lane in step.lanes() {
            let barrier = step.shared_address(lane, self.space, addresses[lane])?;
            let mask = mask.map(|m| m[lane] as u16);
            step.issue(lane, Work::Commit { barrier, mask })?;
        }
        Ok(Flow::Next)
    }
}

fn commit(f: &mut Form<'_>) -> Decoded {
    group(f)?;
    f.require("`.mbarrier::arrive::one`", &[("mbarrier::arrive::one", ())])?;
    let cluster = f.take("shared::cluster");
    let multicast = f.take("multicast::cluster");
    f.ty()?;
    let addr = f.addr(0)?;
    let mask = if multicast {
        Some(f.src(1, Ty::B16)?)
    } else {
        None
    };
    // Without a space the address is generic; compilers pass shared addresses there too (see `shared_address`).
    let space = if cluster {
        Space::SharedCluster
    } else {
        Space::Generic
    };
    Ok(Box::new(Commit { addr, space, mask }))
}
