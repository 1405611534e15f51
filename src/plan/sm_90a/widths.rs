//! Which widths of token tiles get code of their own.

use crate::plan::tiling::{GroupTiling, TokenTile};
use std::collections::BTreeMap;

/// The width that the code for a tile of this width has.
pub fn of_code(widths: &[u32], width: u32) -> u32 {
    let fitting = widths.iter().find(|&&code| width <= code);
    fitting.copied().unwrap_or(width)
}

/// At most `most` widths, ascending, the widest tile's among them, with which the tensor cores have least to do.
pub fn few(tilings: &[GroupTiling], token_tiles: &[TokenTile], most: usize) -> Vec<u32> {
    let mut work: BTreeMap<u32, u64> = BTreeMap::new();
    for tile in token_tiles {
        let tiling = &tilings[tile.tiling];
        *work.entry(tile.width).or_default() +=
            u64::from(tiling.weight_tiles) * u64::from(tiling.k_blocks);
    }
    let work: Vec<(u32, u64)> = work.into_iter().collect();
    let most = most.clamp(1, work.len().max(1));
    // best[i]: the least columns that tiles up to the i-th width cost if that has code, and the widths that have.
    let cost = |from: usize, to: usize| -> u64 {
        let tiles: u64 = work[from..=to].iter().map(|(_, tiles)| tiles).sum();
        tiles * u64::from(work[to].0)
    };
    let mut best: Vec<(u64, Vec<u32>)> = (0..work.len())
        .map(|to| (cost(0, to), vec![work[to].0]))
        .collect();
    for _ in 1..most {
        best = (0..work.len())
            .map(|to| {
                let longer = (0..to).map(|below| {
                    let (columns, widths) = &best[below];
                    let widths = widths.iter().copied().chain([work[to].0]).collect();
                    (columns + cost(below + 1, to), widths)
                });
                let alone = std::iter::once(best[to].clone());
                alone.chain(longer).min().unwrap_or_default()
            })
            .collect();
    }
    best.pop().map(|(_, widths)| widths).unwrap_or_default()
}
