//! Every constant that the kernel must know of a tile.

use super::shared_memory::Stage;
use crate::plan::parameters::Offsets;
use crate::plan::table::{Constant, Row, Table};
use crate::plan::tiling::{GroupTiling, TokenTile};
use crate::plan::{SCALE_BLOCK_BYTES, SCALE_ROWS, STEP_K, WEIGHT_ROWS};

/// Every constant that a tile's code needs. Sizes in bytes unless said otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Constants {
    /// Rows of the table from this tile to the CTA's next; 0 at the last.
    pub next: Constant,
    /// First weight row of the tile.
    pub weight_row: Constant,
    /// Offset of the group's tensor maps in the parameter block.
    pub maps: Constant,
    /// Offset of the group's pointers in the parameter block.
    pub pointers: Constant,
    /// First token of the tile.
    pub first_token: Constant,
    /// Tokens in the tile.
    pub rows: Constant,
    /// Tokens that are dequantised.
    pub width: Constant,
    /// Tokens that are multiplied, N of the MMAs: those beyond `width` are what the slot held before, and nobody stores
    /// their sums.
    pub code_width: Constant,
    /// Weight rows of the group.
    pub n: Constant,
    /// Distance of two rows of C.
    pub c_pitch: Constant,
    /// K blocks, the last one included.
    pub k_blocks: Constant,
    /// 1 if only the first half of the last K block is there.
    pub half_tail: Constant,
    /// Bytes that arrive for a full K block.
    pub stage_bytes: Constant,
    /// Bytes that arrive for the last K block.
    pub tail_bytes: Constant,
    /// Bytes of one slab of scales in the last K block.
    pub tail_scale_bytes: Constant,
    /// Distance of two slabs of scales in memory.
    pub slab_pitch: Constant,
    /// Offset of the tile's first slab of token scales.
    pub token_scale_offset: Constant,
    /// Slabs of token scales.
    pub slabs: Constant,
    /// Row of the first slab at which the tile's first token is.
    pub slab_row: Constant,
    /// The least slabs that any tile has.
    pub fewest_slabs: u32,
}

/// Computes all constants; those that differ are columns of the table.
///
/// The last K block's constants take part only if `k_tail`: else it is like the others and the code does not ask.
pub fn constants(
    rows: &[Row<'_>],
    offsets: &[Offsets],
    stage: &Stage,
    widths: &[u32],
    k_tail: bool,
) -> (Constants, Table) {
    let mut table = Table::default();
    let mut each =
        |name, value: &dyn Fn(&Row<'_>) -> u32| table.place(name, rows.iter().map(value).collect());
    let arriving = |t: &TokenTile, g: &GroupTiling, slab_bytes: u32| {
        (WEIGHT_ROWS + g.width) * stage.row_bytes + (1 + t.slabs) * slab_bytes
    };
    let of_tail = |value: u32| if k_tail { value } else { 0 };
    let tail_scale_bytes = |g: &GroupTiling| g.tail_steps * SCALE_BLOCK_BYTES;
    let slab_pitch = |g: &GroupTiling| g.k / STEP_K * SCALE_BLOCK_BYTES;
    let constants = Constants {
        next: each("next", &|r| r.next),
        weight_row: each("weight_row", &|r| r.tile.weight_tile * WEIGHT_ROWS),
        maps: each("maps", &|r| offsets[r.tiling_index as usize].weight_map),
        pointers: each("pointers", &|r| offsets[r.tiling_index as usize].pointers),
        first_token: each("first_token", &|r| r.token_tile.first),
        rows: each("rows", &|r| r.token_tile.rows),
        width: each("width", &|r| r.token_tile.width),
        code_width: each("code_width", &|r| {
            super::widths::of_code(widths, r.token_tile.width)
        }),
        n: each("n", &|r| r.tiling.n),
        c_pitch: each("c_pitch", &|r| r.tiling.n * 2),
        k_blocks: each("k_blocks", &|r| r.tiling.k_blocks),
        half_tail: each("half_tail", &|r| {
            u32::from(k_tail && r.tiling.tail_steps == 1)
        }),
        stage_bytes: each("stage_bytes", &|r| {
            arriving(r.token_tile, r.tiling, stage.slab_bytes)
        }),
        tail_bytes: each("tail_bytes", &|r| {
            of_tail(arriving(r.token_tile, r.tiling, tail_scale_bytes(r.tiling)))
        }),
        tail_scale_bytes: each("tail_scale_bytes", &|r| of_tail(tail_scale_bytes(r.tiling))),
        slab_pitch: each("slab_pitch", &|r| slab_pitch(r.tiling)),
        token_scale_offset: each("token_scale_offset", &|r| {
            r.token_tile.first_slab() * slab_pitch(r.tiling)
        }),
        slabs: each("slabs", &|r| r.token_tile.slabs),
        slab_row: each("slab_row", &|r| r.token_tile.first % SCALE_ROWS),
        fewest_slabs: rows.iter().map(|r| r.token_tile.slabs).min().unwrap_or(1),
    };
    (constants, table)
}
