//! The parameter block: what is left to say at run time (brief, design 4).

use super::WEIGHT_ROWS;
use super::tiling::GroupTiling;
use crate::artifact::{
    Location, MAX_PARAMETER_BYTES, Operand, ParameterBlock, PointerSlot, TensorMapSlot,
};

/// Bytes of one tensor map.
const MAP_BYTES: u32 = 128;

/// Bytes of the three pointers of a group: weight scales, token scales, output.
const GROUP_POINTER_BYTES: u32 = 24;

/// Where a group's tensor maps and pointers lie in the block, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offsets {
    /// The weights' map.
    pub weight_map: u32,
    /// The map of the tokens of every tile but the last.
    pub token_map: u32,
    /// The map of the last tile's tokens: its box has only the rows that exist. The same as `token_map` if the tiles are
    /// alike.
    pub last_token_map: u32,
    /// Weight scales, token scales, output.
    pub pointers: u32,
}

/// Tensor maps first, group after group; pointers follow.
pub fn offsets(tilings: &[GroupTiling]) -> Vec<Offsets> {
    let maps = |t: &GroupTiling| {
        if t.box_rows() == t.last_box_rows() {
            2
        } else {
            3
        }
    };
    let mut pointers = tilings.iter().map(maps).sum::<u32>() * MAP_BYTES;
    let mut map = 0;
    let mut of_group = |tiling| {
        let weight_map = map;
        map += maps(tiling) * MAP_BYTES;
        pointers += GROUP_POINTER_BYTES;
        Offsets {
            weight_map,
            token_map: weight_map + MAP_BYTES,
            last_token_map: map - MAP_BYTES,
            pointers: pointers - GROUP_POINTER_BYTES,
        }
    };
    tilings.iter().map(&mut of_group).collect()
}

/// The block's content. What does not fit a kernel's parameters is a table in device memory.
pub fn layout(tilings: &[GroupTiling], offsets: &[Offsets], k_block: u32) -> ParameterBlock {
    let end = offsets
        .last()
        .map_or(0, |o| o.pointers + GROUP_POINTER_BYTES);
    // A parameter has at least one byte; a set without tokens launches nothing and reads none of it.
    let bytes = end.max(MAP_BYTES);
    let groups = || tilings.iter().zip(offsets);
    ParameterBlock {
        location: if bytes > MAX_PARAMETER_BYTES {
            Location::Device
        } else {
            Location::Parameter
        },
        bytes,
        alignment: MAP_BYTES,
        tensor_maps: groups()
            .flat_map(|(t, o)| group_maps(t, o, k_block))
            .collect(),
        pointers: groups()
            .flat_map(|(t, o)| group_pointers(o.pointers, t))
            .collect(),
    }
}

fn group_maps(tiling: &GroupTiling, offsets: &Offsets, k_block: u32) -> Vec<TensorMapSlot> {
    // A box is one span of the swizzle wide; longer K blocks take several boxes.
    let span = (k_block / 2).min(128);
    let map = |offset, operand, rows, box_rows| TensorMapSlot {
        offset,
        group: tiling.group,
        operand,
        // FP4 pairs as bytes: the same shared image as the 4-bit types, and known to every driver (brief, 3.2).
        element: "u8".to_owned(),
        dims: vec![u64::from(tiling.k / 2), u64::from(rows)],
        strides: vec![u64::from(tiling.k / 2)],
        tile: vec![span, box_rows],
        swizzle: span,
        l2_promotion: 256,
    };
    let tokens = |offset, box_rows| map(offset, Operand::A, tiling.m, box_rows);
    let mut maps = vec![
        map(offsets.weight_map, Operand::B, tiling.n, WEIGHT_ROWS),
        tokens(offsets.token_map, tiling.box_rows()),
    ];
    if offsets.last_token_map != offsets.token_map {
        maps.push(tokens(offsets.last_token_map, tiling.last_box_rows()));
    }
    maps
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
