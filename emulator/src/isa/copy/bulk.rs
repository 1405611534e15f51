//! `cp.async.bulk` and `cp.reduce.async.bulk` (PTX ISA, 9.7.9.25.4).

use super::{Decoded, PLACES, Place};
use crate::error::LoadError;
use crate::isa::form::{Addr, Form};
use crate::isa::reduction::{OPERATIONS, Reduction};
use crate::isa::types::Ty;
use crate::isa::{Execute, Src};
use crate::machine::{FaultKind, Flow, Space, Step, Work};

/// `cp.reduce.async.bulk` (PTX ISA, 9.7.9.25.4.2).
pub(super) fn bulk_reduction(f: &mut Form<'_>) -> Decoded {
    let to = f.require("a destination space", &PLACES)?;
    let from = f.require("a source space", &PLACES)?;
    if to == Place::Global {
        bulk_store(f, from, true)
    } else {
        bulk_load(f, to, from, true)
    }
}

/// `.add.u32` and the like.
pub(super) fn reduction(f: &mut Form<'_>) -> Result<Reduction, LoadError> {
    let operation = f.require("an operation", &OPERATIONS.map(|o| (o, o)))?;
    f.ignore(&["noftz"]);
    let ty = f.ty()?;
    Reduction::new(operation, ty)
        .filter(|_| !matches!(operation, "cas" | "exch"))
        .ok_or_else(|| f.unsupported("this reduction is not implemented"))
}

struct BulkLoad {
    dst: Addr,
    to: Space,
    src: Addr,
    from: Space,
    bytes: Src,
    barrier: Addr,
    mask: Option<Src>,
    reduction: Option<Reduction>,
}

impl Execute for BulkLoad {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        let (dst, src, bytes) = (
            step.addresses(self.dst),
            step.addresses(self.src),
            step.get(self.bytes),
        );
        let (barrier, mask) = (step.addresses(self.barrier), self.mask.map(|m| step.get(m)));
        for lane in step.lanes() {
            let to = step.shared_address(lane, self.to, dst[lane])?;
            let barrier = step.shared_address(lane, self.to, barrier[lane])?;
            let (bytes, mask) = (bytes[lane] as u32, mask.map(|m| m[lane] as u16));
            let work = if self.from == Space::Global {
                Work::BulkLoad {
                    dst: to,
                    src: src[lane],
                    bytes,
                    barrier,
                    mask,
                }
            } else {
                let from = step.shared_address(lane, self.from, src[lane])?;
                Work::BulkShared {
                    dst: to,
                    src: from,
                    bytes,
                    barrier,
                    reduction: self.reduction,
                }
            };
            step.issue(lane, work)?;
        }
        Ok(Flow::Next)
    }
}

pub(super) fn bulk_load(f: &mut Form<'_>, to: Place, from: Place, reduces: bool) -> Decoded {
    f.require(
        "`.mbarrier::complete_tx::bytes`",
        &[("mbarrier::complete_tx::bytes", ())],
    )?;
    if reduces && from == Place::Global {
        return Err(f.invalid("reduces from .shared::cta only"));
    }
    let multicast = f.take("multicast::cluster");
    let policy = f.take("L2::cache_hint");
    let reduction = reduces.then(|| reduction(f)).transpose()?;
    let (dst, src, bytes, barrier) = (f.addr(0)?, f.addr(1)?, f.src(2, Ty::B32)?, f.addr(3)?);
    let mask = if multicast {
        Some(f.src(4, Ty::B16)?)
    } else {
        None
    };
    if policy {
        f.src(4 + usize::from(multicast), Ty::B64)?;
    }
    Ok(Box::new(BulkLoad {
        dst,
        to: to.space(),
        src,
        from: from.space(),
        bytes,
        barrier,
        mask,
        reduction,
    }))
}

struct BulkStore {
    dst: Addr,
    src: Addr,
    bytes: Src,
    reduction: Option<Reduction>,
    mask: Src,
}

impl Execute for BulkStore {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        let (dst, src, bytes) = (
            step.addresses(self.dst),
            step.addresses(self.src),
            step.get(self.bytes),
        );
        let mask = step.get(self.mask);
        for lane in step.lanes() {
            let from = step.shared_address(lane, Space::Shared, src[lane])?;
            step.issue(
                lane,
                Work::BulkStore {
                    dst: dst[lane],
                    src: from,
                    bytes: bytes[lane] as u32,
                    reduction: self.reduction,
                    mask: mask[lane] as u16,
                },
            )?;
        }
        Ok(Flow::Next)
    }

    fn couples_clusters(&self) -> bool {
        self.reduction.is_some()
    }
}

pub(super) fn bulk_store(f: &mut Form<'_>, from: Place, reduces: bool) -> Decoded {
    f.require("`.bulk_group`", &[("bulk_group", ())])?;
    let policy = f.take("L2::cache_hint");
    let masked = f.take("cp_mask");
    if from != Place::Cta {
        return Err(f.invalid("the source must be .shared::cta"));
    }
    let reduction = reduces.then(|| reduction(f)).transpose()?;
    let (dst, src, bytes) = (f.addr(0)?, f.addr(1)?, f.src(2, Ty::B32)?);
    if policy {
        f.src(3, Ty::B64)?;
    }
    let mask = match masked {
        true => f.src(3 + usize::from(policy), Ty::B16)?,
        false => Src::Imm(u16::MAX.into()),
    };
    Ok(Box::new(BulkStore {
        dst,
        src,
        bytes,
        reduction,
        mask,
    }))
}
