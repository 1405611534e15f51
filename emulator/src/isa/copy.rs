//! Asynchronous copies: `cp.async`, `cp.async.bulk` and `cp.async.bulk.tensor` (PTX ISA, 9.7.9.25 and 9.7.9.27; brief, 3).

use super::form::{Addr, Form};
use super::memory::cache_hints;
use super::reduction::{OPERATIONS, Reduction};
use super::types::Ty;
use super::{Execute, Op, Src};
use crate::error::LoadError;
use crate::machine::{BoxMode, FaultKind, Flow, SharedAddress, Space, Step, Work};

type Decoded = Result<Op, LoadError>;

pub(super) fn decode(f: &mut Form<'_>) -> Decoded {
    let reduce = f.take("reduce");
    f.require("`.async`", &[("async", ())])?;
    if reduce {
        f.require("`.bulk`", &[("bulk", ())])?;
        return match f.take("tensor") {
            true => tensor(f, false, true),
            false => bulk_reduction(f),
        };
    }
    if f.take("bulk") {
        return bulk(f);
    }
    if f.take("commit_group") {
        return Ok(Box::new(Group {
            action: GroupAction::Commit,
            bulk: false,
        }));
    }
    if f.take("wait_all") {
        return Ok(Box::new(Group {
            action: GroupAction::WaitAll,
            bulk: false,
        }));
    }
    if f.take("wait_group") {
        let keep = f.immediate(0)? as u32;
        return Ok(Box::new(Group {
            action: GroupAction::Wait { keep, read: false },
            bulk: false,
        }));
    }
    if f.take("mbarrier") {
        return arrive(f);
    }
    small(f)
}

// ---- groups

#[derive(Clone, Copy)]
enum GroupAction {
    Commit,
    /// Everything, groups that are still open included.
    WaitAll,
    /// At most `keep` of the youngest groups may stay incomplete.
    Wait {
        keep: u32,
        read: bool,
    },
}

struct Group {
    action: GroupAction,
    bulk: bool,
}

impl Execute for Group {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        for lane in step.lanes() {
            let agent = step.agent(lane);
            match self.action {
                GroupAction::Commit => step.state.commit_group(agent, self.bulk),
                GroupAction::WaitAll => step.state.wait_all(step.grid, agent)?,
                GroupAction::Wait { keep, read } => step
                    .state
                    .wait_group(step.grid, agent, self.bulk, keep, read)?,
            }
        }
        Ok(Flow::Next)
    }
}

// ---- cp.async of 4, 8 or 16 bytes

struct Small {
    dst: Addr,
    src: Addr,
    size: u32,
    /// Bytes that are read; the rest becomes zero.
    valid: Src,
}

impl Execute for Small {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        let (dst, src, valid) = (
            step.addresses(self.dst),
            step.addresses(self.src),
            step.get(self.valid),
        );
        for lane in step.lanes() {
            let to = step.shared_address(lane, Space::Shared, dst[lane])?;
            let valid = (valid[lane] as u32).min(self.size);
            step.issue(
                lane,
                Work::Small {
                    dst: to,
                    src: src[lane],
                    size: self.size,
                    valid,
                },
            )?;
        }
        Ok(Flow::Next)
    }
}

fn small(f: &mut Form<'_>) -> Decoded {
    let bypass = f.require("`.ca` or `.cg`", &[("ca", false), ("cg", true)])?;
    f.require("`.shared`", &[("shared", ()), ("shared::cta", ())])?;
    f.require("`.global`", &[("global", ())])?;
    let policy = cache_hints(f);
    let (dst, src, size) = (f.addr(0)?, f.addr(1)?, f.immediate(2)? as u32);
    if !(size == 16 || !bypass && matches!(size, 4 | 8)) {
        return Err(f.invalid("copies 4, 8 or 16 bytes; `.cg` only 16"));
    }
    let operands = f.count().saturating_sub(usize::from(policy));
    let valid = if operands > 3 && f.is_predicate(3) {
        return Err(f.unsupported("a predicate that ignores the source is not implemented"));
    } else if operands > 3 {
        f.src(3, Ty::B32)?
    } else {
        Src::Imm(size.into())
    };
    if policy {
        f.src(operands, Ty::B64)?;
    }
    Ok(Box::new(Small {
        dst,
        src,
        size,
        valid,
    }))
}

struct Arrive {
    addr: Addr,
    space: Space,
    no_increment: bool,
}

impl Execute for Arrive {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        let addresses = step.addresses(self.addr);
        for lane in step.lanes() {
            let barrier = step.shared_address(lane, self.space, addresses[lane])?;
            let agent = step.agent(lane);
            if !self.no_increment {
                step.state.barrier_add_pending(agent, barrier)?;
            }
            step.issue(lane, Work::SmallArrive { barrier })?;
        }
        Ok(Flow::Next)
    }
}

/// `cp.async.mbarrier.arrive`: arrives when all earlier `cp.async` of the thread are complete.
fn arrive(f: &mut Form<'_>) -> Decoded {
    f.require("`.arrive`", &[("arrive", ())])?;
    let no_increment = f.take("noinc");
    let shared = f.choose(&[("shared", ()), ("shared::cta", ())]).is_some();
    f.ty()?;
    let space = if shared {
        Space::Shared
    } else {
        Space::Generic
    };
    Ok(Box::new(Arrive {
        addr: f.addr(0)?,
        space,
        no_increment,
    }))
}

// ---- bulk copies

#[derive(Clone, Copy, PartialEq)]
enum Place {
    Global,
    Cta,
    Cluster,
}

const PLACES: [(&str, Place); 4] = [
    ("global", Place::Global),
    ("shared::cta", Place::Cta),
    ("shared::cluster", Place::Cluster),
    ("shared", Place::Cta),
];

impl Place {
    fn space(self) -> Space {
        match self {
            Place::Global => Space::Global,
            Place::Cta => Space::Shared,
            Place::Cluster => Space::SharedCluster,
        }
    }
}

fn bulk(f: &mut Form<'_>) -> Decoded {
    if f.take("commit_group") {
        return Ok(Box::new(Group {
            action: GroupAction::Commit,
            bulk: true,
        }));
    }
    if f.take("wait_group") {
        let read = f.take("read");
        let keep = f.immediate(0)? as u32;
        return Ok(Box::new(Group {
            action: GroupAction::Wait { keep, read },
            bulk: true,
        }));
    }
    let prefetch = f.take("prefetch");
    if f.take("tensor") {
        return tensor(f, prefetch, false);
    }
    if prefetch {
        return super::prefetch::stretch(f);
    }
    let to = f.require("a destination space", &PLACES)?;
    let from = f.require("a source space", &PLACES)?;
    if to == Place::Global {
        bulk_store(f, from, false)
    } else {
        bulk_load(f, to, from, false)
    }
}

/// `cp.reduce.async.bulk` (PTX ISA, 9.7.9.25.4.2).
fn bulk_reduction(f: &mut Form<'_>) -> Decoded {
    let to = f.require("a destination space", &PLACES)?;
    let from = f.require("a source space", &PLACES)?;
    if to == Place::Global {
        bulk_store(f, from, true)
    } else {
        bulk_load(f, to, from, true)
    }
}

/// `.add.u32` and the like.
fn reduction(f: &mut Form<'_>) -> Result<Reduction, LoadError> {
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

fn bulk_load(f: &mut Form<'_>, to: Place, from: Place, reduces: bool) -> Decoded {
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
}

impl Execute for BulkStore {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        let (dst, src, bytes) = (
            step.addresses(self.dst),
            step.addresses(self.src),
            step.get(self.bytes),
        );
        for lane in step.lanes() {
            let from = step.shared_address(lane, Space::Shared, src[lane])?;
            step.issue(
                lane,
                Work::BulkStore {
                    dst: dst[lane],
                    src: from,
                    bytes: bytes[lane] as u32,
                    reduction: self.reduction,
                },
            )?;
        }
        Ok(Flow::Next)
    }

    fn couples_clusters(&self) -> bool {
        self.reduction.is_some()
    }
}

fn bulk_store(f: &mut Form<'_>, from: Place, reduces: bool) -> Decoded {
    f.require("`.bulk_group`", &[("bulk_group", ())])?;
    let policy = f.take("L2::cache_hint");
    if from != Place::Cta {
        return Err(f.invalid("the source must be .shared::cta"));
    }
    let reduction = reduces.then(|| reduction(f)).transpose()?;
    let (dst, src, bytes) = (f.addr(0)?, f.addr(1)?, f.src(2, Ty::B32)?);
    if policy {
        f.src(3, Ty::B64)?;
    }
    Ok(Box::new(BulkStore {
        dst,
        src,
        bytes,
        reduction,
    }))
}

// ---- tensor copies

struct TensorLoad {
    dst: Addr,
    to: Space,
    map: Addr,
    coordinates: Vec<Src>,
    mode: BoxMode,
    barrier: Addr,
    mask: Option<Src>,
    pair: bool,
}

struct TensorStore {
    map: Addr,
    coordinates: Vec<Src>,
    mode: BoxMode,
    src: Addr,
    /// What a reduction does; the type comes from the tensor map.
    operation: Option<&'static str>,
}

fn coordinates_of(step: &Step<'_>, sources: &[Src]) -> Vec<[u64; 32]> {
    sources.iter().map(|s| step.get(*s)).collect()
}

fn of_lane(coordinates: &[[u64; 32]], lane: usize) -> [i32; 5] {
    std::array::from_fn(|i| coordinates.get(i).map_or(0, |c| c[lane] as i32))
}

impl Execute for TensorLoad {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        let (dst, map, barrier) = (
            step.addresses(self.dst),
            step.addresses(self.map),
            step.addresses(self.barrier),
        );
        let coordinates = coordinates_of(step, &self.coordinates);
        let mask = self.mask.map(|m| step.get(m));
        for lane in step.lanes() {
            let to = step.shared_address(lane, self.to, dst[lane])?;
            // With .cta_group::2 the barrier may lie in the peer CTA, whatever the destination says (brief, 3.1).
            let space = if self.pair {
                Space::SharedCluster
            } else {
                self.to
            };
            let barrier = step.shared_address(lane, space, barrier[lane])?;
            let work = Work::TensorLoad {
                map: step.tensor_map(lane, map[lane])?,
                coordinates: of_lane(&coordinates, lane),
                count: self.coordinates.len(),
                mode: self.mode,
                dst: to,
                barrier,
                mask: mask.map(|m| m[lane] as u16),
                pair: self.pair,
            };
            step.issue(lane, work)?;
        }
        Ok(Flow::Next)
    }
}

impl Execute for TensorStore {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        let (src, map) = (step.addresses(self.src), step.addresses(self.map));
        let coordinates = coordinates_of(step, &self.coordinates);
        for lane in step.lanes() {
            let from: SharedAddress = step.shared_address(lane, Space::Shared, src[lane])?;
            let work = Work::TensorStore {
                map: step.tensor_map(lane, map[lane])?,
                coordinates: of_lane(&coordinates, lane),
                count: self.coordinates.len(),
                mode: self.mode,
                src: from,
                operation: self.operation,
            };
            step.issue(lane, work)?;
        }
        Ok(Flow::Next)
    }

    fn couples_clusters(&self) -> bool {
        self.operation.is_some()
    }
}

/// `[map, {c0, c1}]`.
fn map_operand(f: &mut Form<'_>, i: usize, count: usize) -> Result<(Addr, Vec<Src>), LoadError> {
    let (addr, extra) = f.addr_with(i)?;
    let [crate::ptx::ast::Operand::Vector(parts)] = extra else {
        return Err(f.unsupported("needs one list of coordinates behind the tensor map"));
    };
    if parts.len() != count {
        return Err(f.invalid(format!("needs {count} coordinates, has {}", parts.len())));
    }
    let coordinates = parts
        .iter()
        .map(|p| f.src_of(p, Ty::B32))
        .collect::<Result<_, _>>()?;
    Ok((addr, coordinates))
}

fn tensor(f: &mut Form<'_>, prefetch: bool, reduces: bool) -> Decoded {
    let dimensions = [("1d", 1), ("2d", 2), ("3d", 3), ("4d", 4), ("5d", 5)];
    let rank = f.require("the number of dimensions", &dimensions)?;
    let modes = [
        ("tile", BoxMode::Tile),
        ("tile::gather4", BoxMode::FourRows),
        ("tile::scatter4", BoxMode::FourRows),
    ];
    // A reduction names its operation in front of the mode.
    let mode = f.choose(&modes).unwrap_or(BoxMode::Tile);
    let count = if mode == BoxMode::FourRows { 5 } else { rank };
    if prefetch {
        return super::prefetch::tile(f, mode, |f| map_operand(f, 0, count));
    }
    let to = f.require("a destination space", &PLACES)?;
    f.require("a source space", &PLACES)?;
    if to == Place::Global {
        return tensor_store(f, mode, count, reduces);
    }
    if reduces {
        return Err(f.invalid("reduces into .global only"));
    }
    f.require(
        "`.mbarrier::complete_tx::bytes`",
        &[("mbarrier::complete_tx::bytes", ())],
    )?;
    let multicast = f.take("multicast::cluster");
    let pair = f
        .choose(&[("cta_group::1", false), ("cta_group::2", true)])
        .unwrap_or(false);
    let policy = f.take("L2::cache_hint");
    let dst = f.addr(0)?;
    let (map, coordinates) = map_operand(f, 1, count)?;
    let barrier = f.addr(2)?;
    let mask = if multicast {
        Some(f.src(3, Ty::B16)?)
    } else {
        None
    };
    if policy {
        f.src(3 + usize::from(multicast), Ty::B64)?;
    }
    Ok(Box::new(TensorLoad {
        dst,
        to: to.space(),
        map,
        coordinates,
        mode,
        barrier,
        mask,
        pair,
    }))
}

fn tensor_store(f: &mut Form<'_>, mode: BoxMode, count: usize, reduces: bool) -> Decoded {
    let operations = OPERATIONS.map(|o| (o, o));
    let operation = reduces
        .then(|| f.require("an operation", &operations))
        .transpose()?;
    if matches!(operation, Some("cas" | "exch")) {
        return Err(f.invalid("this is no reduction"));
    }
    f.require("`.bulk_group`", &[("bulk_group", ())])?;
    let policy = f.take("L2::cache_hint");
    let (map, coordinates) = map_operand(f, 0, count)?;
    let src = f.addr(1)?;
    if policy {
        f.src(2, Ty::B64)?;
    }
    Ok(Box::new(TensorStore {
        map,
        coordinates,
        mode,
        src,
        operation,
    }))
}
