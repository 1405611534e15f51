//! Every constant that the kernel must know of a token tile.

use super::descriptors;
use super::shared_memory::Stage;
use crate::plan::parameters::{GROUP_MAP_BYTES, GROUP_POINTER_BYTES};
use crate::plan::table::{Constant, Table};
use crate::plan::tiling::{GroupTiling, TokenTile};
use crate::plan::{SCALE_BLOCK_BYTES, STEP_K, WEIGHT_ROWS};

/// Every constant that a tile's code needs. Sizes in bytes unless said otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Constants {
    /// Offset of the group's tensor maps in the parameter block.
    pub maps: Constant,
    /// Offset of the group's pointers in the parameter block.
    pub pointers: Constant,
    /// First token of the tile.
    pub first_token: Constant,
    /// Tokens in the tile.
    pub rows: Constant,
    /// Weight rows of the group.
    pub n: Constant,
    /// Distance of two rows of C.
    pub c_pitch: Constant,
    /// K blocks, the last one included.
    pub k_blocks: Constant,
    /// K = 64 steps of the last K block.
    pub tail_steps: Constant,
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
    /// Columns between the first slab's scales and the tile's first token.
    pub scale_shift: Constant,
    /// Instruction descriptor.
    pub instruction: Constant,
    /// The least that any token tile has.
    pub fewest_slabs: u32,
}

/// Computes all constants; those that differ are columns of the table.
///
/// The last K block's constants take part only if `k_tail`: else it is like the others and the code does not ask.
pub fn constants(
    tilings: &[GroupTiling],
    token_tiles: &[TokenTile],
    stage: &Stage,
    pointers: u32,
    k_tail: bool,
) -> (Constants, Table) {
    let mut table = Table::default();
    let mut each = |name, value: &dyn Fn(&TokenTile, &GroupTiling, u32) -> u32| {
        let values = token_tiles
            .iter()
            .map(|t| value(t, &tilings[t.tiling], t.tiling as u32))
            .collect();
        table.place(name, values)
    };
    let arriving = |t: &TokenTile, g: &GroupTiling, slab_bytes: u32| {
        (WEIGHT_ROWS + g.width) * stage.row_bytes + (1 + t.slabs) * slab_bytes
    };
    let tail_scale_bytes = |g: &GroupTiling| {
        if k_tail {
            g.tail_steps * SCALE_BLOCK_BYTES
        } else {
            0
        }
    };
    let slab_pitch = |g: &GroupTiling| g.k / STEP_K * SCALE_BLOCK_BYTES;
    let constants = Constants {
        maps: each("maps", &|_, _, i| i * GROUP_MAP_BYTES),
        pointers: each("pointers", &|_, _, i| pointers + i * GROUP_POINTER_BYTES),
        first_token: each("first_token", &|t, _, _| t.first),
        rows: each("rows", &|t, _, _| t.rows),
        n: each("n", &|_, g, _| g.n),
        c_pitch: each("c_pitch", &|_, g, _| g.n * 2),
        k_blocks: each("k_blocks", &|_, g, _| g.k_blocks),
        tail_steps: each("tail_steps", &|_, g, _| {
            if k_tail { g.tail_steps } else { 0 }
        }),
        stage_bytes: each("stage_bytes", &|t, g, _| arriving(t, g, stage.slab_bytes)),
        tail_bytes: each("tail_bytes", &|t, g, _| {
            if k_tail {
                arriving(t, g, tail_scale_bytes(g))
            } else {
                0
            }
        }),
        tail_scale_bytes: each("tail_scale_bytes", &|_, g, _| tail_scale_bytes(g)),
        slab_pitch: each("slab_pitch", &|_, g, _| slab_pitch(g)),
        token_scale_offset: each("token_scale_offset", &|t, g, _| {
            t.first_slab() * slab_pitch(g)
        }),
        slabs: each("slabs", &|t, _, _| t.slabs),
        scale_shift: each("scale_shift", &|t, _, _| t.scale_shift()),
        instruction: each("instruction", &|t, _, _| {
            descriptors::instruction(WEIGHT_ROWS, t.width)
        }),
        fewest_slabs: token_tiles.iter().map(|t| t.slabs).min().unwrap_or(1),
    };
    (constants, table)
}
