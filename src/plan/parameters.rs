//! The parameter block: what is left to say at run time (brief, design 4).

use super::tiling::GroupTiling;
use super::{SCALE_BLOCK_BYTES, SCALE_ROWS, STEP_K, WEIGHT_ROWS};
use crate::artifact::{
    Location, MAX_PARAMETER_BYTES, Operand, ParameterBlock, PointerSlot, TensorMapSlot,
};

/// Bytes of one tensor map.
const MAP_BYTES: u32 = 128;
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
}

impl Maps {
    /// Maps of weights and tokens only.
    pub fn of_operands(k_block: u32) -> Self {
        Maps {
            k_block,
            token_shares: 1,
            scale_steps: None,
        }
    }

    /// Bytes of a group's maps: weights, tokens, and where they have maps weight scales and token scales.
    pub fn group_bytes(&self) -> u32 {
        let scales = if self.scale_steps.is_some() { 2 } else { 0 };
        (2 + scales) * MAP_BYTES
    }

    /// Bytes of a group's pointers: weight scales and token scales where they have no maps, output.
    pub fn group_pointer_bytes(&self) -> u32 {
        self.output_pointer() + POINTER_BYTES
    }

    /// Offset of the output's pointer among the pointers of a group.
    pub fn output_pointer(&self) -> u32 {
        let scales = if self.scale_steps.is_some() { 0 } else { 2 };
        scales * POINTER_BYTES
    }

    /// Offset of the first pointer: they follow the tensor maps.
    pub fn pointers(&self, tilings: &[GroupTiling]) -> u32 {
        tilings.len() as u32 * self.group_bytes()
    }
}

/// The block's layout: the maps of every tiling, then the pointers of every tiling. What does not fit a kernel's
/// parameters is a table in device memory.
pub fn layout(tilings: &[GroupTiling], maps: &Maps) -> ParameterBlock {
    let count = tilings.len() as u32;
    let pointers = maps.pointers(tilings);
    // A parameter has at least one byte; a set without tokens launches nothing and reads none of it.
    let bytes = (pointers + count * maps.group_pointer_bytes()).max(MAP_BYTES);
    ParameterBlock {
        location: if bytes > MAX_PARAMETER_BYTES {
            Location::Device
        } else {
            Location::Parameter
        },
        bytes,
        alignment: MAP_BYTES,
        workspace_bytes: 0,
        workspace_offset: 0,
        tensor_maps: (0u32..)
            .zip(tilings)
            .flat_map(|(i, t)| group_maps(i * maps.group_bytes(), t, maps))
            .collect(),
        pointers: (0u32..)
            .zip(tilings)
            .flat_map(|(i, t)| group_pointers(pointers + i * maps.group_pointer_bytes(), t, maps))
            .collect(),
    }
}

fn group_maps(offset: u32, tiling: &GroupTiling, maps: &Maps) -> Vec<TensorMapSlot> {
    let token_rows = tiling.width / maps.token_shares;
    let mut slots = vec![
        operand_map(offset, tiling, Operand::B, tiling.n, WEIGHT_ROWS, maps),
        operand_map(
            offset + TOKEN_MAP,
            tiling,
            Operand::A,
            tiling.m,
            token_rows,
            maps,
        ),
    ];
    if let Some([weights, tokens]) = maps.scale_steps {
        let at = |map| offset + map;
        slots.push(scale_map(
            at(WEIGHT_SCALE_MAP),
            tiling,
            Operand::Sfb,
            tiling.n,
            weights,
        ));
        slots.push(scale_map(
            at(TOKEN_SCALE_MAP),
            tiling,
            Operand::Sfa,
            tiling.m,
            tokens,
        ));
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
    TensorMapSlot {
        offset,
        group: tiling.group,
        operand,
        // FP4 pairs as bytes: the same shared image as the 4-bit types, and known to every driver (brief, 3.2).
        element: "u8".to_owned(),
        dims: vec![u64::from(tiling.k / 2), u64::from(rows)],
        strides: vec![u64::from(tiling.k / 2)],
        tile: vec![maps.k_block / 2, box_rows],
        // A row of the box is one span, so that whoever reads rows meets no bank conflict.
        swizzle: maps.k_block / 2,
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
