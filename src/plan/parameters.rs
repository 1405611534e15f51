//! The parameter block: what is left to say at run time (brief, design 4).

use super::tiling::GroupTiling;
use super::{SCALE_BLOCK_BYTES, SCALE_ROWS, STEP_K, WEIGHT_ROWS};
use crate::artifact::{
    Location, MAX_PARAMETER_BYTES, Operand, ParameterBlock, PointerSlot, TensorMapSlot,
};

/// Bytes of one tensor map.
const MAP_BYTES: u32 = 128;
/// The widest swizzle.
const MAX_SPAN: u32 = 128;
/// Bytes of a pointer.
const POINTER_BYTES: u32 = 8;

/// Offset of the tokens' map in the maps of a group, which start with the weights'.
pub const TOKEN_MAP: u32 = MAP_BYTES;
/// Offset of the weight scales' map, where there is one.
pub const WEIGHT_SCALE_MAP: u32 = 2 * MAP_BYTES;
/// Offset of the token scales' map, where there is one.
pub const TOKEN_SCALE_MAP: u32 = 3 * MAP_BYTES;

/// What is fetched through tensor maps, and in which boxes. C, and scales without a map, are reached by address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Maps {
    /// K elements of an operand's box.
    pub k_block: u32,
    /// Boxes that make up the rows of a token tile.
    pub token_shares: u32,
    /// K = 64 steps of a box of weight scales and of one of token scales, if scales have maps.
    pub scale_steps: Option<[u32; 2]>,
    /// Boxes of tokens have only rows that exist. Where a group's last tile has fewer, it has a map of its own.
    pub exact_rows: bool,
}

/// Where a group's tensor maps and pointers lie in the block, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offsets {
    /// The weights' map; those of tokens and scales follow.
    pub weight_map: u32,
    /// The map of the tokens of every tile but the last.
    pub token_map: u32,
    /// The map of the last tile's tokens; the same if the tiles are alike.
    pub last_token_map: u32,
    /// The pointers of those operands that have no map.
    pub pointers: u32,
}

impl Maps {
    /// Maps of weights and tokens only.
    pub fn of_operands(k_block: u32) -> Self {
        Maps {
            k_block,
            token_shares: 1,
            scale_steps: None,
            exact_rows: false,
        }
    }

    /// Bytes of a group's maps: weights, tokens, where they have maps weight scales and token scales, and last the last
    /// token tile's tokens.
    fn group_bytes(&self, tiling: &GroupTiling) -> u32 {
        let scales = if self.scale_steps.is_some() { 2 } else { 0 };
        let last = u32::from(self.has_last_map(tiling));
        (2 + scales + last) * MAP_BYTES
    }

    fn has_last_map(&self, tiling: &GroupTiling) -> bool {
        self.exact_rows && tiling.box_rows() != tiling.last_box_rows()
    }

    /// Bytes of a group's pointers: weight scales and token scales where they have no maps, output.
    fn group_pointer_bytes(&self) -> u32 {
        self.output_pointer() + POINTER_BYTES
    }

    /// Offset of the output's pointer among the pointers of a group.
    pub fn output_pointer(&self) -> u32 {
        let scales = if self.scale_steps.is_some() { 0 } else { 2 };
        scales * POINTER_BYTES
    }

    /// Offsets of every group's maps and pointers: pointers follow all maps.
    pub fn offsets(&self, tilings: &[GroupTiling]) -> Vec<Offsets> {
        let mut map = 0;
        let mut pointers: u32 = tilings.iter().map(|t| self.group_bytes(t)).sum();
        let of_group = |tiling: &GroupTiling| {
            let weight_map = map;
            map += self.group_bytes(tiling);
            pointers += self.group_pointer_bytes();
            let token_map = weight_map + TOKEN_MAP;
            Offsets {
                weight_map,
                token_map,
                last_token_map: if self.has_last_map(tiling) {
                    map - MAP_BYTES
                } else {
                    token_map
                },
                pointers: pointers - self.group_pointer_bytes(),
            }
        };
        tilings.iter().map(of_group).collect()
    }
}

/// The block's content; the address of the workspace, if there is one, comes last. What does not fit a kernel's parameters is a table in device memory.
pub fn layout(tilings: &[GroupTiling], maps: &Maps, workspace_bytes: u32) -> ParameterBlock {
    let offsets = maps.offsets(tilings);
    let end = |o: &Offsets| o.pointers + maps.group_pointer_bytes();
    // A parameter has at least one byte; a set without tokens launches nothing and reads none of it.
    let groups_end = offsets.last().map_or(0, end);
    let bytes = match workspace_bytes {
        0 => groups_end,
        _ => groups_end + POINTER_BYTES,
    };
    let bytes = bytes.max(MAP_BYTES);
    let groups = || tilings.iter().zip(&offsets);
    ParameterBlock {
        location: if bytes > MAX_PARAMETER_BYTES {
            Location::Device
        } else {
            Location::Parameter
        },
        bytes,
        alignment: MAP_BYTES,
        workspace_bytes,
        workspace_offset: if workspace_bytes > 0 { groups_end } else { 0 },
        tensor_maps: groups().flat_map(|(t, o)| group_maps(o, t, maps)).collect(),
        pointers: groups()
            .flat_map(|(t, o)| group_pointers(o.pointers, t, maps))
            .collect(),
    }
}

fn group_maps(offsets: &Offsets, tiling: &GroupTiling, maps: &Maps) -> Vec<TensorMapSlot> {
    let operand = |offset, operand, rows, box_rows| {
        operand_map(offset, tiling, operand, rows, box_rows, maps)
    };
    let tokens = |offset, box_rows| operand(offset, Operand::A, tiling.m, box_rows);
    let token_rows = if maps.exact_rows {
        tiling.box_rows()
    } else {
        tiling.width / maps.token_shares
    };
    let mut slots = vec![
        operand(offsets.weight_map, Operand::B, tiling.n, WEIGHT_ROWS),
        tokens(offsets.token_map, token_rows),
    ];
    if let Some([weights, tokens]) = maps.scale_steps {
        let scales = |map, operand, rows, steps| {
            scale_map(offsets.weight_map + map, tiling, operand, rows, steps)
        };
        slots.push(scales(WEIGHT_SCALE_MAP, Operand::Sfb, tiling.n, weights));
        slots.push(scales(TOKEN_SCALE_MAP, Operand::Sfa, tiling.m, tokens));
    }
    if maps.has_last_map(tiling) {
        slots.push(tokens(offsets.last_token_map, tiling.last_box_rows()));
    }
    slots
}

fn operand_map(
    offset: u32,
    tiling: &GroupTiling,
    operand: Operand,
    rows: u32,
    box_rows: u32,
    maps: &Maps,
) -> TensorMapSlot {
    // A box is one span of the swizzle wide, so that whoever reads rows meets no bank conflict; longer K blocks take
    // several boxes.
    let span = (maps.k_block / 2).min(MAX_SPAN);
    TensorMapSlot {
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
    }
}

/// Blocked scales: 64 words of eight bytes for 128 rows and one K = 64 step, step after step, slab after slab.
fn scale_map(
    offset: u32,
    tiling: &GroupTiling,
    operand: Operand,
    rows: u32,
    steps: u32,
) -> TensorMapSlot {
    const BLOCK_WORDS: u32 = SCALE_BLOCK_BYTES / 8;
    let (all_steps, slabs) = (tiling.k / STEP_K, rows.div_ceil(SCALE_ROWS));
    TensorMapSlot {
        offset,
        group: tiling.group,
        operand,
        element: "u64".to_owned(),
        dims: vec![BLOCK_WORDS.into(), all_steps.into(), slabs.into()],
        strides: vec![
            SCALE_BLOCK_BYTES.into(),
            u64::from(all_steps) * u64::from(SCALE_BLOCK_BYTES),
        ],
        tile: vec![BLOCK_WORDS, steps, 1],
        swizzle: 0,
        l2_promotion: 256,
    }
}

fn group_pointers(offset: u32, tiling: &GroupTiling, maps: &Maps) -> Vec<PointerSlot> {
    let operands: &[Operand] = if maps.scale_steps.is_some() {
        &[Operand::C]
    } else {
        &[Operand::Sfb, Operand::Sfa, Operand::C]
    };
    let slot = |(i, operand): (u32, &Operand)| PointerSlot {
        offset: offset + i * POINTER_BYTES,
        group: tiling.group,
        operand: *operand,
    };
    (0..).zip(operands).map(slot).collect()
}
