//! How the output of each group is cut into tiles.
//!
//! A tile is 128 weight rows (the M side of the tensor core's operation) times one *token tile* (its N side). All token
//! tiles of a group but the last have the same width, so that one tensor map with one box serves the group.

use super::{SCALE_ROWS, STEP_K, Target, WEIGHT_ROWS};
use crate::problem::{Group, Set};

/// One group that has tokens. Groups with M = 0 have no tiles, no tensor maps and no pointers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupTiling {
    /// Index in the set.
    pub group: u32,
    /// Rows of A and C.
    pub m: u32,
    /// Rows of B, columns of C.
    pub n: u32,
    /// Length of the sum.
    pub k: u32,
    /// Tokens in every token tile but the last: the rows of the tensor map's box.
    pub width: u32,
    /// Tiles along N, of 128 weight rows each.
    pub weight_tiles: u32,
    /// K blocks of a tile.
    pub k_blocks: u32,
    /// K = 64 steps in the last K block, 1 to `k_block / 64`.
    pub tail_steps: u32,
}

/// One token tile: the rows of a group that share an accumulator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenTile {
    /// Index into the list of [`GroupTiling`]s.
    pub tiling: usize,
    /// First token of the group in this tile.
    pub first: u32,
    /// Tokens in this tile.
    pub rows: u32,
    /// Columns of the accumulator that are computed: `rows` rounded up to the target's grain.
    pub width: u32,
    /// 128-row slabs of token scales that the tile touches.
    pub slabs: u32,
}

impl TokenTile {
    /// The first slab of token scales.
    pub fn first_slab(&self) -> u32 {
        self.first / SCALE_ROWS
    }

    /// Columns of tensor memory between the start of the first slab's scales and the tile's first token.
    pub fn scale_shift(&self) -> u32 {
        self.first % SCALE_ROWS / 32
    }
}

/// Cuts every group that has tokens into token tiles of at most `max_width` rows, on the target's grain.
pub fn tile(
    set: &Set,
    k_block: u32,
    max_width: u32,
    target: &Target,
) -> (Vec<GroupTiling>, Vec<TokenTile>) {
    let tilings: Vec<GroupTiling> = (0u32..)
        .zip(&set.groups)
        .filter(|(_, group)| group.m > 0)
        .map(|(index, group)| {
            let width = token_width(group.m, max_width, target);
            tile_group(index, group, k_block, width)
        })
        .collect();
    let token_tiles = tilings
        .iter()
        .enumerate()
        .flat_map(|(index, tiling)| token_tiles(index, tiling, target.token_grain))
        .collect();
    (tilings, token_tiles)
}

fn tile_group(index: u32, group: &Group, k_block: u32, width: u32) -> GroupTiling {
    GroupTiling {
        group: index,
        m: group.m,
        n: group.n,
        k: group.k,
        width,
        weight_tiles: group.n.div_ceil(WEIGHT_ROWS),
        k_blocks: group.k.div_ceil(k_block),
        tail_steps: (group.k - 1) % k_block / STEP_K + 1,
    }
}

/// The even split: as few tiles as the widest allows, all equally wide up to the grain of their starts.
fn token_width(m: u32, max_width: u32, target: &Target) -> u32 {
    let tiles = m.div_ceil(max_width);
    let grain = if tiles == 1 {
        target.token_grain
    } else {
        target.token_start_step
    };
    m.div_ceil(tiles).next_multiple_of(grain)
}

fn token_tiles(index: usize, tiling: &GroupTiling, grain: u32) -> impl Iterator<Item = TokenTile> {
    let (m, step) = (tiling.m, tiling.width);
    (0..m.div_ceil(step)).map(move |i| {
        let first = i * step;
        let rows = step.min(m - first);
        let width = rows.next_multiple_of(grain);
        let slabs = (first % SCALE_ROWS + width).div_ceil(SCALE_ROWS);
        TokenTile {
            tiling: index,
            first,
            rows,
            width,
            slabs,
        }
    })
}

/// Whether some group's last K block has fewer K = 64 steps than the others.
pub fn has_k_tail(tilings: &[GroupTiling], k_block: u32) -> bool {
    tilings.iter().any(|t| t.k % k_block != 0)
}
