//! `cp.async.bulk.prefetch` into L2 (PTX ISA, 9.7.9.25.4.3 and 9.7.9.27.1.4): no value is read, but what is named must
//! exist as if it were copied.

use super::Decoded;
use super::tensor::with_offsets;
use crate::engine::tma::Direction;
use crate::error::LoadError;
use crate::isa::form::{Addr, Form};
use crate::isa::types::Ty;
use crate::isa::{Execute, Src};
use crate::machine::{BoxMode, FaultKind, Flow, Step, box_copy};

/// A stretch of memory.
struct Stretch {
    from: Addr,
    bytes: Src,
}

/// A box of a tensor map.
struct Tile {
    map: Addr,
    coordinates: Vec<Src>,
    mode: BoxMode,
    /// Of an im2col copy.
    offsets: Vec<Src>,
}

/// `.L2.global [address], bytes`.
pub(super) fn stretch(f: &mut Form<'_>) -> Decoded {
    f.ignore(&["L2", "global"]);
    let policy = f.take("L2::cache_hint");
    let (from, bytes) = (f.addr(0)?, f.src(1, Ty::B32)?);
    if policy {
        f.src(2, Ty::B64)?;
    }
    Ok(Box::new(Stretch { from, bytes }))
}

/// `.L2.global.tile [map, {coordinates}]`, behind the number of dimensions and the mode.
pub(super) fn tile(
    f: &mut Form<'_>,
    mode: BoxMode,
    offsets: usize,
    operand: impl FnOnce(&mut Form<'_>) -> Result<(Addr, Vec<Src>), LoadError>,
) -> Decoded {
    f.ignore(&["L2", "global"]);
    let policy = f.take("L2::cache_hint");
    let (map, coordinates) = operand(f)?;
    let given = if offsets > 0 {
        f.srcs(1, Ty::B16)?
    } else {
        Vec::new()
    };
    if given.len() != offsets {
        return Err(f.invalid(format!("needs {offsets} offsets")));
    }
    if policy {
        f.src(1 + usize::from(offsets > 0), Ty::B64)?;
    }
    Ok(Box::new(Tile {
        map,
        coordinates,
        mode,
        offsets: given,
    }))
}

impl Execute for Stretch {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        let (from, bytes) = (step.addresses(self.from), step.get(self.bytes));
        for lane in step.lanes() {
            step.lane = Some(lane as u32);
            let (address, bytes) = (from[lane], bytes[lane] as u32);
            if !address.is_multiple_of(16) {
                return Err(FaultKind::Misaligned {
                    space: "global",
                    address,
                    needed: 16,
                });
            }
            if !bytes.is_multiple_of(16) {
                let what = format!("bulk prefetch of {bytes} bytes, not a multiple of 16");
                return Err(FaultKind::Operand(what));
            }
            exists(step, address, bytes)?;
        }
        Ok(Flow::Next)
    }
}

impl Execute for Tile {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        let maps = step.addresses(self.map);
        let coordinates: Vec<_> = self.coordinates.iter().map(|s| step.get(*s)).collect();
        let offsets: Vec<_> = self.offsets.iter().map(|s| step.get(*s)).collect();
        for lane in step.lanes() {
            let map = step.tensor_map(lane, maps[lane])?;
            let of_lane: Vec<i32> = coordinates.iter().map(|c| c[lane] as i32).collect();
            // Nothing reaches shared memory: any place in a window that is large enough will do.
            let mode = with_offsets(self.mode, &offsets, lane);
            let copy = box_copy(&map, &of_lane, mode, 0, u32::MAX, Direction::Load)?;
            for piece in copy.pieces() {
                if let Some(address) = piece.global {
                    exists(step, address, piece.len)?;
                }
            }
        }
        Ok(Flow::Next)
    }
}

fn exists(step: &Step<'_>, address: u64, bytes: u32) -> Result<(), FaultKind> {
    step.grid.global.contains(address, u64::from(bytes))
}
