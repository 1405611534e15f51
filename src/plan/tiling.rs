//! How the output of each group is cut into tiles.
//!
//! A tile is 128 weight rows, or 256 for two CTAs (the M side of the tensor core's operation), times one *token tile* (its
//! N side). All token tiles of a group but the last have the same width, so that at most two tensor maps with two boxes
//! serve the group.

use super::{SCALE_ROWS, STEP_K, Target};
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
    /// Tokens in every token tile but the last, which has at most as many.
    pub width: u32,
    /// Tiles along N.
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

impl GroupTiling {
    /// Rows of the box that fetches the tokens of every tile but the last.
    pub fn box_rows(&self) -> u32 {
        box_rows(self.width.min(self.m))
    }

    /// Rows of the box that fetches the last tile's tokens.
    pub fn last_box_rows(&self) -> u32 {
        box_rows((self.m - 1) % self.width + 1)
    }
}

impl TokenTile {
    /// Rows of the box that fetches the tile's tokens.
    pub fn box_rows(&self) -> u32 {
        box_rows(self.rows)
    }

    /// The first slab of token scales.
    pub fn first_slab(&self) -> u32 {
        self.first / SCALE_ROWS
    }

    /// Columns of tensor memory between the start of the first slab's scales and the tile's first token.
    pub fn scale_shift(&self) -> u32 {
        self.first % SCALE_ROWS / 32
    }
}

/// Rows that do not exist are not asked for: what an operation reads there only reaches outputs that are not stored. But
/// the epilogue converts neighbouring tokens in pairs, so the last one's neighbour is.
fn box_rows(rows: u32) -> u32 {
    rows.next_multiple_of(2)
}

/// How wide token tiles are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Widths {
    /// As few as possible for each group, none wider than this, all equally wide up to the grain of their starts.
    UpTo(u32),
    /// For each group of the set, the tokens of its token tiles; the last one has what is left.
    Each(Vec<u32>),
}

impl Widths {
    /// The width in a group of so many tokens.
    pub fn of(&self, group: usize, m: u32, target: &Target) -> u32 {
        let width = match self {
            Widths::UpTo(most) => even_width(m, *most, target),
            Widths::Each(widths) => widths[group],
        };
        width.min(m.next_multiple_of(target.token_grain))
    }
}

/// The even split.
fn even_width(m: u32, most: u32, target: &Target) -> u32 {
    let tiles = m.div_ceil(most).max(1);
    let grain = if tiles == 1 {
        target.token_grain
    } else {
        target.token_start_step
    };
    m.div_ceil(tiles).next_multiple_of(grain)
}

/// Cuts every group that has tokens into token tiles, and its weights into tiles of `tile_rows`.
pub fn tile(
    set: &Set,
    k_block: u32,
    widths: &Widths,
    target: &Target,
    tile_rows: u32,
) -> (Vec<GroupTiling>, Vec<TokenTile>) {
    let tilings: Vec<GroupTiling> = (0u32..)
        .zip(&set.groups)
        .filter(|(_, group)| group.m > 0)
        .map(|(index, group)| {
            let width = widths.of(index as usize, group.m, target);
            tile_group(index, group, k_block, width, tile_rows)
        })
        .collect();
    let token_tiles = tilings
        .iter()
        .enumerate()
        .flat_map(|(index, tiling)| token_tiles(index, tiling, target.token_grain))
        .collect();
    (tilings, token_tiles)
}

fn tile_group(index: u32, group: &Group, k_block: u32, width: u32, tile_rows: u32) -> GroupTiling {
    GroupTiling {
        group: index,
        m: group.m,
        n: group.n,
        k: group.k,
        width,
        weight_tiles: group.n.div_ceil(tile_rows),
        k_blocks: group.k.div_ceil(k_block),
        tail_steps: (group.k - 1) % k_block / STEP_K + 1,
    }
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
