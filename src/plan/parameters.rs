//! The parameter block: what is left to say at run time (brief, design 4).

use super::WEIGHT_ROWS;
use super::tiling::GroupTiling;
use crate::artifact::{
    Location, MAX_PARAMETER_BYTES, Operand, ParameterBlock, PointerSlot, TensorMapSlot,
};

/// Bytes of one tensor map.
const MAP_BYTES: u32 = 128;

/// Bytes of the pair of tensor maps of a group: weights, then tokens.
pub const GROUP_MAP_BYTES: u32 = 2 * MAP_BYTES;
/// Offset of the tokens' map in the pair.
pub const TOKEN_MAP: u32 = MAP_BYTES;
/// Bytes of the three pointers of a group: weight scales, token scales, output.
pub const GROUP_POINTER_BYTES: u32 = 24;

/// Offset of the first pointer: they follow the tensor maps.
pub fn pointers(tilings: &[GroupTiling]) -> u32 {
    tilings.len() as u32 * GROUP_MAP_BYTES
}

/// The block's layout: for tiling i, maps at `i * 256`, pointers at `pointers + i * 24`. What does not fit a kernel's
/// parameters is a table in device memory.
pub fn layout(tilings: &[GroupTiling], k_block: u32) -> ParameterBlock {
    let count = tilings.len() as u32;
    let pointers = pointers(tilings);
    // A parameter has at least one byte; a set without tokens launches nothing and reads none of it.
    let bytes = (pointers + count * GROUP_POINTER_BYTES).max(MAP_BYTES);
    ParameterBlock {
        location: if bytes > MAX_PARAMETER_BYTES {
            Location::Device
        } else {
            Location::Parameter
        },
        bytes,
        alignment: MAP_BYTES,
        tensor_maps: (0u32..)
            .zip(tilings)
            .flat_map(|(i, t)| group_maps(i * GROUP_MAP_BYTES, t, k_block))
            .collect(),
        pointers: (0u32..)
            .zip(tilings)
            .flat_map(|(i, t)| group_pointers(pointers + i * GROUP_POINTER_BYTES, t))
            .collect(),
    }
}

fn group_maps(offset: u32, tiling: &GroupTiling, k_block: u32) -> [TensorMapSlot; 2] {
    let map = |offset, operand, rows, box_rows| TensorMapSlot {
        offset,
        group: tiling.group,
        operand,
        // FP4 pairs as bytes: the same shared image as the 4-bit types, and known to every driver (brief, 3.2).
        element: "u8".to_owned(),
        dims: vec![u64::from(tiling.k / 2), u64::from(rows)],
        strides: vec![u64::from(tiling.k / 2)],
        tile: vec![k_block / 2, box_rows],
        // A row of the box is one span, so that whoever reads rows meets no bank conflict.
        swizzle: k_block / 2,
        l2_promotion: 256,
    };
    [
        map(offset, Operand::B, tiling.n, WEIGHT_ROWS),
        map(offset + TOKEN_MAP, Operand::A, tiling.m, tiling.width),
    ]
}

fn group_pointers(offset: u32, tiling: &GroupTiling) -> [PointerSlot; 3] {
    let slot = |i: u32, operand| PointerSlot {
        offset: offset + 8 * i,
        group: tiling.group,
        operand,
    };
    [
        slot(0, Operand::Sfb),
        slot(1, Operand::Sfa),
        slot(2, Operand::C),
    ]
}
