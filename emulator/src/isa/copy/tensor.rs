//! `cp.async.bulk.tensor` and `cp.reduce.async.bulk.tensor` (PTX ISA, 9.7.9.27).

use super::{Decoded, PLACES, Place, prefetch};
use crate::error::LoadError;
use crate::isa::form::{Addr, Form};
use crate::isa::reduction::OPERATIONS;
use crate::isa::types::Ty;
use crate::isa::{Execute, Src};
use crate::machine::{BoxMode, FaultKind, Flow, SharedAddress, Space, Step, Work};

struct TensorLoad {
    dst: Addr,
    to: Space,
    map: Addr,
    coordinates: Vec<Src>,
    mode: BoxMode,
    /// Of an im2col copy.
    offsets: Vec<Src>,
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

/// An im2col copy with the offsets of a lane.
pub(super) fn with_offsets(mode: BoxMode, offsets: &[[u64; 32]], lane: usize) -> BoxMode {
    match mode {
        BoxMode::Im2col(_) => {
            let [w, h, d, ..] = of_lane(offsets, lane);
            BoxMode::Im2col([w as u16, h as u16, d as u16])
        }
        other => other,
    }
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
        let offsets = coordinates_of(step, &self.offsets);
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
                mode: with_offsets(self.mode, &offsets, lane),
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

pub(super) fn tensor(f: &mut Form<'_>, prefetches: bool, reduces: bool) -> Decoded {
    let dimensions = [("1d", 1), ("2d", 2), ("3d", 3), ("4d", 4), ("5d", 5)];
    let rank = f.require("the number of dimensions", &dimensions)?;
    let modes = [
        ("tile", BoxMode::Tile),
        ("tile::gather4", BoxMode::FourRows),
        ("tile::scatter4", BoxMode::FourRows),
        ("im2col", BoxMode::Im2col([0; 3])),
        ("im2col_no_offs", BoxMode::Im2col([0; 3])),
    ];
    // A reduction names its operation in front of the mode.
    let mode = f.choose(&modes).unwrap_or(BoxMode::Tile);
    let count = if mode == BoxMode::FourRows { 5 } else { rank };
    let unrolls = matches!(mode, BoxMode::Im2col(_));
    if unrolls && rank < 3 {
        return Err(f.invalid("im2col needs three dimensions or more"));
    }
    if prefetches {
        let offsets = if unrolls { rank - 2 } else { 0 };
        return prefetch::tile(f, mode, offsets, |f| map_operand(f, 0, count));
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
    let offsets = if unrolls {
        f.srcs(3, Ty::B16)?
    } else {
        Vec::new()
    };
    if unrolls && offsets.len() != rank - 2 {
        return Err(f.invalid(format!("needs {} offsets", rank - 2)));
    }
    let next = 3 + usize::from(unrolls);
    let mask = if multicast {
        Some(f.src(next, Ty::B16)?)
    } else {
        None
    };
    if policy {
        f.src(next + usize::from(multicast), Ty::B64)?;
    }
    Ok(Box::new(TensorLoad {
        dst,
        to: to.space(),
        map,
        coordinates,
        mode,
        offsets,
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
