//! Which CTA computes which tiles, in which order. Static: the kernel reads it from a constant table.

mod deal;

use super::tiling::{GroupTiling, TokenTile};
use deal::Deal;
use std::cmp::Reverse;
use std::ops::Range;

/// One tile of one output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tile {
    /// Index into the list of token tiles.
    pub token_tile: usize,
    /// Index of the tile's weight rows in the group.
    pub weight_tile: u32,
    /// What of the sum over K is meant.
    pub part: Part,
}

/// A part of the sum over K: consecutive K blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The first K block.
    pub first: u32,
    /// How many.
    pub k_blocks: u32,
    /// Which part it is, in the order of K.
    pub index: u32,
    /// How many parts the sum has.
    pub of: u32,
}

impl Part {
    /// The parts of an even split of `k_blocks`.
    fn split(k_blocks: u32, of: u32) -> impl Iterator<Item = Part> {
        let bound = move |index| (u64::from(k_blocks) * u64::from(index) / u64::from(of)) as u32;
        (0..of).map(move |index| Part {
            first: bound(index),
            k_blocks: bound(index + 1) - bound(index),
            index,
            of,
        })
    }
}

/// How tiles are dealt out to CTAs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Runs of equal length from one list: groups, then weight tiles, then token tiles.
    Runs,
    /// All token tiles of a weight tile go to one CTA; the heaviest such column first, to the CTA that has least.
    Columns,
    /// The heaviest tile first, to the CTA that has least; but to one that has the same weight tile already where that
    /// delays nobody.
    Balanced,
    /// The K blocks of all tiles in one list, cut into runs of equal cost: a tile at the end of a run is shared.
    Stream,
}

impl Order {
    /// Every order that does not cut sums by itself.
    pub const ALL: [Order; 3] = [Order::Runs, Order::Columns, Order::Balanced];
}

/// All tiles, CTA by CTA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// The tiles in the order in which CTAs take them.
    pub tiles: Vec<Tile>,
    /// The range of `tiles` of each CTA, or of each two CTAs that stand side by side.
    pub ctas: Vec<Range<u32>>,
}

impl Schedule {
    /// The tiles of each CTA.
    pub fn by_cta(&self) -> impl Iterator<Item = &[Tile]> {
        let tiles = |range: &Range<u32>| &self.tiles[range.start as usize..range.end as usize];
        self.ctas.iter().map(tiles)
    }

    /// Parts of the sum that has most of them; 1 if no sum is split.
    pub fn most_parts(&self) -> u32 {
        self.tiles.iter().map(|t| t.part.of).max().unwrap_or(1)
    }

    fn of(mut assigned: Vec<Vec<Tile>>) -> Self {
        assigned.retain(|tiles| !tiles.is_empty());
        let mut start = 0;
        let range = |tiles: &Vec<Tile>| {
            let end = start + tiles.len() as u32;
            std::mem::replace(&mut start, end)..end
        };
        let ctas = assigned.iter().map(range).collect();
        Schedule {
            tiles: assigned.concat(),
            ctas,
        }
    }
}

/// The parts of each tile go to CTAs that follow each other, one to each; the costliest tiles first.
pub fn clusters(
    tilings: &[GroupTiling],
    token_tiles: &[TokenTile],
    parts: u32,
    cost: &dyn Fn(Tile) -> u64,
) -> Schedule {
    let mut tiles = columns(tilings, token_tiles, parts).concat();
    // The cost of a tile's first part, which is as good as any: the parts stay together.
    let first = |tile: Tile| {
        Part::split(tilings[token_tiles[tile.token_tile].tiling].k_blocks, parts)
            .next()
            .map(|part| Tile { part, ..tile })
    };
    tiles.sort_by_key(|&tile| {
        (
            Reverse(first(tile).map_or(0, cost)),
            tile.token_tile,
            tile.weight_tile,
            tile.part.index,
        )
    });
    Schedule::of(tiles.into_iter().map(|tile| vec![tile]).collect())
}

/// Deals the tiles, each sum in `parts` parts, out to at most `ctas` CTAs. None is left without work.
pub fn schedule(
    tilings: &[GroupTiling],
    token_tiles: &[TokenTile],
    order: Order,
    ctas: u32,
    parts: u32,
    cost: &dyn Fn(Tile) -> u64,
) -> Schedule {
    let columns = columns(tilings, token_tiles, parts);
    let ctas = ctas as usize;
    Schedule::of(match order {
        Order::Runs => runs(&columns.concat(), ctas),
        Order::Stream => stream(&columns.concat(), ctas, cost),
        Order::Columns => {
            let jobs = columns.into_iter().enumerate().collect();
            Deal::new(ctas, None).all(jobs, cost)
        }
        Order::Balanced => {
            let of_column = |(column, tiles): (usize, Vec<Tile>)| {
                tiles.into_iter().map(move |tile| (column, vec![tile]))
            };
            let jobs: Vec<_> = columns
                .into_iter()
                .enumerate()
                .flat_map(of_column)
                .collect();
            let spread = Deal::new(ctas, None).all(jobs.clone(), cost);
            let budget = makespan(&spread, cost);
            let kept = Deal::new(ctas, Some(budget)).all(jobs, cost);
            if makespan(&kept, cost) > budget {
                spread
            } else {
                kept
            }
        }
    })
}

/// For each weight tile of each group, the tiles that need it, each in `parts` parts.
fn columns(tilings: &[GroupTiling], token_tiles: &[TokenTile], parts: u32) -> Vec<Vec<Tile>> {
    let of_group = |(index, tiling): (usize, &GroupTiling)| {
        let token_tiles = token_tiles.iter().enumerate();
        let token_tiles: Vec<_> = token_tiles
            .filter(|(_, t)| t.tiling == index)
            .map(|(token_tile, _)| token_tile)
            .collect();
        let tile = |token_tile, weight_tile| {
            Part::split(tiling.k_blocks, parts).map(move |part| Tile {
                token_tile,
                weight_tile,
                part,
            })
        };
        let column = |weight_tile| {
            let tiles = token_tiles.iter().flat_map(|&t| tile(t, weight_tile));
            tiles.collect()
        };
        (0..tiling.weight_tiles).map(column).collect::<Vec<_>>()
    };
    tilings.iter().enumerate().flat_map(of_group).collect()
}

/// Cuts a list into at most `ctas` runs whose lengths differ by at most one.
fn runs(tiles: &[Tile], ctas: usize) -> Vec<Vec<Tile>> {
    let ctas = ctas.min(tiles.len());
    let bound = |cta: usize| cta * tiles.len() / ctas;
    let run = |cta| tiles[bound(cta)..bound(cta + 1)].to_vec();
    (0..ctas).map(run).collect()
}

/// Cuts the K blocks of all tiles, in order, into at most `ctas` runs of equal cost.
fn stream(tiles: &[Tile], ctas: usize, cost: &dyn Fn(Tile) -> u64) -> Vec<Vec<Tile>> {
    let total: u64 = tiles.iter().map(|&t| cost(t)).sum();
    let blocks: u32 = tiles.iter().map(|t| t.part.k_blocks).sum();
    let ctas = (ctas as u64).min(u64::from(blocks)).max(1);
    let mut assigned = vec![Vec::new(); ctas as usize];
    let mut before = 0;
    for &tile in tiles {
        let all = u64::from(tile.part.k_blocks);
        let whole = cost(tile).max(1);
        // The run that a block belongs to is the one that its middle falls into.
        let run = |block: u64| {
            let middle = 2 * u128::from(before * all) + u128::from(whole * (2 * block + 1));
            let whole_list = 2 * u128::from(all) * u128::from(total.max(1));
            (middle * u128::from(ctas) / whole_list).min(u128::from(ctas) - 1) as usize
        };
        let mut pieces: Vec<(usize, Part)> = Vec::new();
        for block in 0..tile.part.k_blocks {
            let of = run(u64::from(block));
            match pieces.last_mut() {
                Some((last, part)) if *last == of => part.k_blocks += 1,
                _ => pieces.push((
                    of,
                    Part {
                        first: block,
                        k_blocks: 1,
                        index: pieces.len() as u32,
                        of: 0,
                    },
                )),
            }
        }
        let of = pieces.len() as u32;
        for (run, part) in pieces {
            let part = Part { of, ..part };
            assigned[run].push(Tile { part, ..tile });
        }
        before += whole;
    }
    assigned
}

fn makespan(assigned: &[Vec<Tile>], cost: &dyn Fn(Tile) -> u64) -> u64 {
    let load = |tiles: &Vec<Tile>| tiles.iter().map(|&t| cost(t)).sum();
    assigned.iter().map(load).max().unwrap_or(0)
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
    let one_by_one = columns(tilings, token_tiles, 1).concat();
    let mut tiles: Vec<(u64, Tile)> = one_by_one.iter().map(|t| (cost(t), *t)).collect();
    tiles.sort_by_key(|(cost, _)| Reverse(*cost));
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
    Schedule::of(first_fit(&tiles, high))
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

#[cfg(test)]
mod tests;
