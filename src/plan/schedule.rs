//! Which CTA computes which tiles, in which order. Static: the kernel reads it from a constant table.

use super::tiling::{GroupTiling, TokenTile};
use std::ops::Range;

/// One tile of one output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tile {
    /// Index into the list of token tiles.
    pub token_tile: usize,
    /// Index of the tile's weight rows in the group.
    pub weight_tile: u32,
}

/// All tiles, CTA by CTA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// The tiles in the order in which CTAs take them.
    pub tiles: Vec<Tile>,
    /// The range of `tiles` of each CTA, or of each two CTAs that stand side by side.
    pub ctas: Vec<Range<u32>>,
}

/// Cuts the list of tiles into runs of equal length. The list runs over groups, then weight tiles, then token tiles,
/// so that a CTA stays in its group and on its weight rows as long as it can.
pub fn schedule(tilings: &[GroupTiling], token_tiles: &[TokenTile], ctas: u32) -> Schedule {
    let mut tiles = Vec::new();
    for (index, tiling) in tilings.iter().enumerate() {
        let of_group = || {
            token_tiles
                .iter()
                .enumerate()
                .filter(move |(_, t)| t.tiling == index)
                .map(|(i, _)| i)
        };
        for weight_tile in 0..tiling.weight_tiles {
            tiles.extend(of_group().map(|token_tile| Tile {
                token_tile,
                weight_tile,
            }));
        }
    }
    let ctas = split(tiles.len() as u32, ctas);
    Schedule { tiles, ctas }
}

/// Splits `0..tiles` into at most `ctas` non-empty runs whose lengths differ by at most one.
fn split(tiles: u32, ctas: u32) -> Vec<Range<u32>> {
    let ctas = ctas.min(tiles);
    let bound = |cta: u32| (u64::from(cta) * u64::from(tiles) / u64::from(ctas)) as u32;
    (0..ctas).map(|cta| bound(cta)..bound(cta + 1)).collect()
}
