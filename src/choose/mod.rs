//! Which plan is best for a set.
//!
//! A short list of candidates, priced by the bytes that they load: the problem is bound by memory, so a weight tile
//! that is fetched twice costs more than anything an accumulator can hide. Ties go to the candidate that overlaps the
//! epilogue with the next tile.

mod sm_90a;

use crate::plan::sm_100a::{Choices, plan};
use crate::plan::target::Family;
use crate::plan::{Illegal, Plan, Target};
use crate::problem::Set;
use std::cmp::Reverse;

/// Widths and accumulator counts worth trying. One accumulator of 256 columns, or two that leave room for scales.
const CANDIDATES: [(u32, u32); 4] = [(256, 1), (256, 2), (224, 2), (192, 2)];

/// Plans the set in every candidate way and keeps the cheapest. If none is legal, says why of the last.
pub fn choose(set: &Set, target: Target) -> Result<Plan, Illegal> {
    if target.family == Family::Hopper {
        return sm_90a::choose(set, target);
    }
    let mut plans = Vec::new();
    let mut refused = None;
    for (max_width, accumulators) in CANDIDATES {
        let mut choices = Choices {
            k_block: 256,
            max_width,
            accumulators,
            ctas: target.sms,
            pair: false,
            multicast: false,
            chunk: 32,
        };
        match plan(set, target, choices) {
            Ok(made) => {
                choices.ctas = balanced(&made);
                plans.push((accumulators, plan(set, target, choices)?));
            }
            Err(illegal) => refused = Some(illegal),
        }
    }
    let best = plans
        .into_iter()
        .min_by_key(|(accumulators, plan)| (loaded_bytes(plan), Reverse(*accumulators)));
    match (best, refused) {
        (Some((_, plan)), _) => Ok(plan),
        (None, Some(illegal)) => Err(illegal),
        (None, None) => unreachable!("the list of candidates is not empty"),
    }
}

/// As many CTAs as finish at the same time: with 256 tiles on 148 SMs every CTA of 128 has two, none waits for another.
fn balanced(plan: &Plan) -> u32 {
    let tiles = plan.schedule.tiles.len() as u32;
    let waves = tiles.div_ceil(plan.target.sms).max(1);
    tiles.div_ceil(waves)
}

/// Bytes of operands and scales that all tiles together request.
fn loaded_bytes(plan: &Plan) -> u64 {
    let tile_bytes = |tile: &crate::plan::schedule::Tile| {
        let token_tile = &plan.token_tiles[tile.token_tile];
        let group = &plan.tilings[token_tile.tiling];
        let rows = u64::from(128 + token_tile.width);
        let scale_rows = u64::from(128 * (1 + token_tile.slabs));
        u64::from(group.k) * (rows / 2 + scale_rows / 16)
    };
    plan.schedule.tiles.iter().map(tile_bytes).sum()
}
