//! The choices worth pricing.
//!
//! Not every combination: first the *shapes* (widths of token tiles, CTAs that work together, their number, who computes
//! what), all with the same insides, each with as many CTAs as there are or as finish together; then, around the best
//! shapes, every value of every inner choice, one at a time.

use super::settings::Choices;
use crate::plan::schedule::Order;
use crate::plan::target::Family;
use crate::plan::tiling::Widths;
use crate::plan::{Target, WEIGHT_ROWS, sm_90a, sm_100a};
use crate::problem::{Group, Set};

const BLACKWELL_WIDTHS: [u32; 8] = [256, 224, 192, 160, 128, 112, 96, 64];
/// Wide tiles dequantise weights less often, narrow ones balance better, and up to 56 two teams share them. MMAs of wider
/// ones do not fit the registers that ptxas counts with, which are those at entry.
const HOPPER_WIDTHS: [u32; 8] = [192, 160, 128, 112, 96, 80, 64, 56];
const K_BLOCKS: [u32; 3] = [128, 256, 512];
const ACCUMULATORS: [u32; 5] = [1, 2, 3, 4, 6];
const CHUNKS: [u32; 3] = [16, 32, 64];
/// How far ahead CTAs without tiles fetch.
const PREFETCHES: [u32; 2] = [4, 16];
/// Alone; in pairs; in pairs that multicast scales; side by side.
const TEAMS: [(bool, bool); 4] = [(false, false), (true, false), (true, true), (false, true)];

/// The shapes. Those that come to the same tiles on the same CTAs are there once.
pub(super) fn shapes(set: &Set, target: &Target) -> Vec<Choices> {
    let mut shapes = Vec::new();
    let mut seen = Vec::new();
    let teams = match target.family {
        Family::Blackwell => &TEAMS[..],
        Family::Hopper => &TEAMS[..1],
    };
    for &most in widths(target) {
        let cut = Widths::UpTo(most);
        let each: Vec<u32> = (0..)
            .zip(&set.groups)
            .map(|(index, group)| cut.of(index, group.m, target))
            .collect();
        for &(pair, multicast) in teams {
            let side_by_side = if pair || multicast { 2 } else { 1 };
            for ctas in worker_counts(set, &each, target, side_by_side) {
                let shape = (each.clone(), pair, multicast, ctas);
                if !seen.contains(&shape) {
                    shapes.extend(of_shape(most, pair, multicast, ctas, target));
                    seen.push(shape);
                }
            }
        }
    }
    shapes
}

fn widths(target: &Target) -> &'static [u32] {
    match target.family {
        Family::Blackwell => &BLACKWELL_WIDTHS,
        Family::Hopper => &HOPPER_WIDTHS,
    }
}

fn of_shape(most: u32, pair: bool, multicast: bool, ctas: u32, target: &Target) -> Vec<Choices> {
    if target.family == Family::Hopper {
        return vec![Choices::Hopper(sm_90a::Choices {
            max_width: most,
            ctas,
        })];
    }
    let choices = |order| {
        Choices::Blackwell(sm_100a::Choices {
            k_block: 256,
            widths: Widths::UpTo(most),
            accumulators: 2,
            order,
            ctas,
            pair,
            multicast,
            split_k: 1,
            reduction: sm_100a::Reduction::Cluster,
            chunk: 32,
            prefetch: 0,
            weights_hint: sm_100a::CacheHint::EvictFirst,
            tokens_hint: sm_100a::CacheHint::EvictLast,
        })
    };
    [Order::Balanced, Order::Columns].map(choices).to_vec()
}

/// Every SM, or as many as finish at the same time if all tiles are alike: with 256 tiles on 148 SMs every CTA of 128
/// has two, none waits for another. In workers: CTAs, or two that stand side by side.
fn worker_counts(set: &Set, widths: &[u32], target: &Target, side_by_side: u32) -> Vec<u32> {
    let tiles = |(group, &width): (&Group, &u32)| {
        group.m.div_ceil(width.max(1)) * group.n.div_ceil(WEIGHT_ROWS * side_by_side)
    };
    let tiles: u32 = set.groups.iter().zip(widths).map(tiles).sum();
    let most = target.sms / side_by_side;
    let waves = tiles.div_ceil(most).max(1);
    let even = tiles.div_ceil(waves).max(1);
    let all = most.min(tiles).max(1);
    if all == even {
        vec![all]
    } else {
        vec![even, all]
    }
}

/// The same choices with CTAs that prefetch, where CTAs are idle.
pub(super) fn prefetching(choices: &Choices) -> Vec<Choices> {
    let Choices::Blackwell(c) = choices else {
        return Vec::new();
    };
    let with = |prefetch| {
        Choices::Blackwell(sm_100a::Choices {
            prefetch,
            ..c.clone()
        })
    };
    PREFETCHES.map(with).to_vec()
}

/// Every value of every inner choice, one at a time.
pub(super) fn neighbours(choices: &Choices) -> Vec<Choices> {
    let Choices::Blackwell(c) = choices else {
        return Vec::new();
    };
    let mut all = Vec::new();
    all.extend(K_BLOCKS.map(|k_block| sm_100a::Choices {
        k_block,
        ..c.clone()
    }));
    all.extend(ACCUMULATORS.map(|accumulators| sm_100a::Choices {
        accumulators,
        ..c.clone()
    }));
    all.extend(CHUNKS.map(|chunk| sm_100a::Choices { chunk, ..c.clone() }));
    all.extend(Order::ALL.map(|order| sm_100a::Choices { order, ..c.clone() }));
    all.retain(|near| near != c);
    all.into_iter().map(Choices::Blackwell).collect()
}
