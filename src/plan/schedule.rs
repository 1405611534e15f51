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

/// Gives every tile to a CTA so that the most loaded one has as little as first-fit can manage (MULTIFIT: first fit of the
/// tiles, costliest first, under the least load for which `ctas` CTAs are enough). For tiles of unequal cost; each CTA
/// takes its costliest tile first.
pub fn balanced(
    tilings: &[GroupTiling],
    token_tiles: &[TokenTile],
    ctas: u32,
    cost: impl Fn(&Tile) -> u64,
) -> Schedule {
    let one_by_one = schedule(tilings, token_tiles, u32::MAX);
    let mut tiles: Vec<(u64, Tile)> = one_by_one.tiles.iter().map(|t| (cost(t), *t)).collect();
    tiles.sort_by_key(|(cost, _)| std::cmp::Reverse(*cost));
    let total: u64 = tiles.iter().map(|(cost, _)| cost).sum();
    let largest = tiles.first().map_or(0, |(cost, _)| *cost);
    let ctas = ctas.max(1) as usize;
    let mut low = largest.max(total.div_ceil(ctas as u64));
    // Twice the bound is always enough: then all bins but one are more than half full.
    let mut high = 2 * low;
    while low < high {
        let middle = low + (high - low) / 2;
        if first_fit(&tiles, middle).len() <= ctas {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    let mut schedule = Schedule {
        tiles: Vec::new(),
        ctas: Vec::new(),
    };
    for bin in first_fit(&tiles, high) {
        let start = schedule.tiles.len() as u32;
        schedule.tiles.extend(bin);
        schedule.ctas.push(start..schedule.tiles.len() as u32);
    }
    schedule
}

/// Puts each tile into the first bin that it does not overfill.
fn first_fit(tiles: &[(u64, Tile)], capacity: u64) -> Vec<Vec<Tile>> {
    let mut bins: Vec<(u64, Vec<Tile>)> = Vec::new();
    for (cost, tile) in tiles {
        match bins.iter_mut().find(|(load, _)| load + cost <= capacity) {
            Some((load, bin)) => {
                *load += cost;
                bin.push(*tile);
            }
            None => bins.push((*cost, vec![*tile])),
        }
    }
    bins.into_iter().map(|(_, bin)| bin).collect()
}
