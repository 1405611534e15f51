//! Every constant that the kernel must know of a tile.

use super::shared_memory::SharedMap;
use super::split::Workspace;
use super::tensor_memory::TensorMemory;
use super::{Choices, descriptors};
use crate::plan::parameters::Offsets;
use crate::plan::table::{Constant, Row, Table};
use crate::plan::{SCALE_BLOCK_BYTES, STEP_K, WEIGHT_ROWS};

/// Every constant that a tile's code needs. Sizes in bytes unless said otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Constants {
    /// Rows of the table from this tile to the CTA's next; 0 at the last.
    pub next: Constant,
    /// First weight row of the tile.
    pub weight_row: Constant,
    /// Offset of the weights' tensor map in the block.
    pub weight_map: Constant,
    /// Offset of the tokens' tensor map.
    pub token_map: Constant,
    /// Offset of the group's pointers in the block.
    pub pointers: Constant,
    /// First token of the tile.
    pub first_token: Constant,
    /// Tokens that the first of two CTAs fetches; 0 if one fetches all.
    pub token_half: Constant,
    /// First slab of token scales.
    pub first_slab: Constant,
    /// Tokens in the tile.
    pub rows: Constant,
    /// Weight rows of the group.
    pub n: Constant,
    /// Distance of two rows of C.
    pub c_pitch: Constant,
    /// First byte of the operands' rows.
    pub k_byte: Constant,
    /// K blocks, the last one included.
    pub k_blocks: Constant,
    /// K = 64 steps of the last K block.
    pub tail_steps: Constant,
    /// Bytes that arrive for a full K block.
    pub stage_bytes: Constant,
    /// Bytes that arrive for the last K block.
    pub tail_bytes: Constant,
    /// Bytes of one slab of scales in all of the tile's K blocks; 0 if nobody prefetches them.
    pub prefetch_bytes: Constant,
    /// Bytes of one slab of scales in the last K block.
    pub tail_scale_bytes: Constant,
    /// Distance of two slabs of scales in memory.
    pub slab_pitch: Constant,
    /// Offset of the tile's first slab of token scales.
    pub token_scale_offset: Constant,
    /// Slabs of token scales.
    pub slabs: Constant,
    /// Columns between the first slab's scales and the tile's first token.
    pub scale_shift: Constant,
    /// Instruction descriptor.
    pub instruction: Constant,
    /// First column of the accumulator.
    pub accumulator: Constant,
    /// The barrier and parity to wait for before it is used.
    pub accumulator_wait: Constant,
    /// Stages of the CTA's ring.
    pub ring_stages: Constant,
    /// Distance of two stages.
    pub stage_pitch: Constant,
    /// Bytes of one sub-tile of tokens in a stage.
    pub token_subtile: Constant,
    /// Parts of the tile's sum.
    pub parts: Constant,
    /// Offset of the tile's counters in the workspace.
    pub counters: Constant,
    /// Offset of the tile's first part.
    pub first_part: Constant,
    /// Offset of this part.
    pub own_part: Constant,
    /// Distance of two parts.
    pub part_pitch: Constant,
    /// The least that any token tile has.
    pub fewest_slabs: u32,
}

/// Computes all constants; those that differ are columns of the table.
///
/// The last K block's constants take part only if `k_tail`: else it is like the others and the code does not ask.
pub fn constants(
    rows: &[Row<'_>],
    offsets: &[Offsets],
    choices: &Choices,
    shared: &SharedMap,
    tensor: &TensorMemory,
    workspace: &Workspace,
    k_tail: bool,
) -> (Constants, Table) {
    let mut table = Table::default();
    let mut each =
        |name, value: &dyn Fn(&Row<'_>) -> u32| table.place(name, rows.iter().map(value).collect());
    let stage = &shared.stage;
    let offsets = |r: &Row<'_>| offsets[r.tiling_index as usize];
    let ring = |r: &Row<'_>| shared.rings[r.cta];
    let maps = choices.maps();
    // Boxes arrive whole, also where they reach beyond N.
    let arriving = |r: &Row<'_>, slab_bytes: u32| {
        let scales = (1 + r.token_tile.slabs) * slab_bytes;
        let token_rows = if maps.exact_rows {
            r.token_tile.box_rows()
        } else {
            r.tiling.width
        };
        // The barrier of a pair's leader counts what arrives in both CTAs.
        let ctas = choices.mma_ctas();
        (ctas * WEIGHT_ROWS + token_rows) * stage.row_bytes + ctas * scales
    };
    // Boxes of scales are whole, also where K ends.
    let box_tail = maps.scale_steps.is_some();
    let of_load_tail = |value: u32| if k_tail && !box_tail { value } else { 0 };
    let by_map = |value: u32| if box_tail { value } else { 0 };
    let by_address = |value: u32| if box_tail { 0 } else { value };
    let of_tail = |value: u32| if k_tail { value } else { 0 };
    // Of the parts of a sum only the last one ends where K does.
    let last_steps = |r: &Row<'_>| {
        let part = r.tile.part;
        if part.first + part.k_blocks == r.tiling.k_blocks {
            r.tiling.tail_steps
        } else {
            choices.steps()
        }
    };
    let tail_scale_bytes = |r: &Row<'_>| last_steps(r) * SCALE_BLOCK_BYTES;
    let place = |r: &Row<'_>| workspace.places.get(r.index).copied().unwrap_or_default();
    let slab_pitch = |r: &Row<'_>| r.tiling.k / STEP_K * SCALE_BLOCK_BYTES;
    let constants = Constants {
        next: each("next", &|r| r.next),
        weight_row: each("weight_row", &|r| r.tile.weight_tile * choices.tile_rows()),
        weight_map: each("weight_map", &|r| offsets(r).weight_map),
        token_map: each("token_map", &|r| {
            if r.token_tile.box_rows() == r.tiling.box_rows() {
                offsets(r).token_map
            } else {
                offsets(r).last_token_map
            }
        }),
        pointers: each("pointers", &|r| offsets(r).pointers),
        first_token: each("first_token", &|r| r.token_tile.first),
        token_half: each("token_half", &|r| match (choices.pair, choices.multicast) {
            // The MMA takes half of its columns from each CTA.
            (true, _) => r.token_tile.width / 2,
            // The box's rows, whatever the tile needs of them.
            (false, true) => r.tiling.width / 2,
            (false, false) => 0,
        }),
        first_slab: each("first_slab", &|r| by_map(r.token_tile.first_slab())),
        rows: each("rows", &|r| r.token_tile.rows),
        n: each("n", &|r| r.tiling.n),
        c_pitch: each("c_pitch", &|r| r.tiling.n * 2),
        k_byte: each("k_byte", &|r| r.tile.part.first * stage.row_bytes),
        k_blocks: each("k_blocks", &|r| r.tile.part.k_blocks),
        tail_steps: each("tail_steps", &|r| of_tail(last_steps(r))),
        stage_bytes: each("stage_bytes", &|r| arriving(r, stage.slab_bytes)),
        tail_bytes: each("tail_bytes", &|r| {
            of_load_tail(arriving(r, tail_scale_bytes(r)))
        }),
        prefetch_bytes: each("prefetch_bytes", &|r| {
            let full = (r.tile.part.k_blocks.max(1) - 1) * stage.slab_bytes;
            match choices.prefetch {
                0 => 0,
                _ => by_address(full + tail_scale_bytes(r)),
            }
        }),
        tail_scale_bytes: each("tail_scale_bytes", &|r| of_load_tail(tail_scale_bytes(r))),
        slab_pitch: each("slab_pitch", &|r| by_address(slab_pitch(r))),
        token_scale_offset: each("token_scale_offset", &|r| {
            by_address(r.token_tile.first_slab() * slab_pitch(r))
        }),
        slabs: each("slabs", &|r| r.token_tile.slabs),
        scale_shift: each("scale_shift", &|r| r.token_tile.scale_shift()),
        instruction: each("instruction", &|r| {
            descriptors::instruction(WEIGHT_ROWS * choices.mma_ctas(), r.token_tile.width)
        }),
        accumulator: each("accumulator", &|r| tensor.places[r.index].column),
        accumulator_wait: each("accumulator_wait", &|r| tensor.places[r.index].wait),
        ring_stages: each("ring_stages", &|r| ring(r).stages),
        stage_pitch: each("stage_pitch", &|r| ring(r).pitch),
        token_subtile: each("token_subtile", &|r| match stage.row_bytes / stage.span {
            1 => 0,
            _ => ring(r).rows * stage.span,
        }),
        parts: each("parts", &|r| r.tile.part.of),
        counters: each("counters", &|r| place(r).counters),
        first_part: each("first_part", &|r| place(r).parts),
        own_part: each("own_part", &|r| {
            place(r).parts + r.tile.part.index * place(r).pitch
        }),
        part_pitch: each("part_pitch", &|r| place(r).pitch),
        fewest_slabs: rows.iter().map(|r| r.token_tile.slabs).min().unwrap_or(1),
    };
    (constants, table)
}
