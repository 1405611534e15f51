//! Which plan is best for a set.
//!
//! A short list of candidates, priced by the model; the cheapest is taken, of equals the first.

use crate::model::{B200, Workload, price};
use crate::plan::schedule::Order;
use crate::plan::sm_100a::{CacheHint, Choices, plan};
use crate::plan::{Illegal, Plan, Target, tiling};
use crate::problem::Set;

/// Widest token tiles worth trying.
const WIDTHS: [u32; 4] = [256, 192, 160, 128];

/// Plans the set in every candidate way and keeps the cheapest. If none is legal, says why of the last.
pub fn choose(set: &Set, target: Target) -> Result<Plan, Illegal> {
    let mut best: Option<(f64, Plan)> = None;
    let mut refused = None;
    for choices in candidates(set, &target) {
        match plan(set, target, choices) {
            Ok(plan) => {
                let us = price(&Workload::from(&plan), &B200).total_us;
                if best.as_ref().is_none_or(|(least, _)| us < *least) {
                    best = Some((us, plan));
                }
            }
            Err(illegal) => refused = Some(illegal),
        }
    }
    match (best, refused) {
        (Some((_, plan)), _) => Ok(plan),
        (None, Some(illegal)) => Err(illegal),
        (None, None) => unreachable!("the list of candidates is not empty"),
    }
}

fn candidates(set: &Set, target: &Target) -> Vec<Choices> {
    let mut candidates: Vec<Choices> = Vec::new();
    for max_width in WIDTHS {
        let width =
            |g: &crate::problem::Group| tiling::even_width(g.m, max_width, target.token_start_step);
        let widths: Vec<u32> = set.groups.iter().map(width).collect();
        for order in [Order::Columns, Order::Balanced] {
            for ctas in cta_counts(set, &widths, target) {
                let choices = Choices {
                    k_block: 256,
                    widths: widths.clone(),
                    accumulators: 2,
                    order,
                    ctas,
                    chunk: 32,
                    weights_hint: CacheHint::EvictFirst,
                    tokens_hint: CacheHint::EvictLast,
                };
                if !candidates.contains(&choices) {
                    candidates.push(choices);
                }
            }
        }
    }
    candidates
}

/// Every SM, or as many as finish at the same time if all tiles are alike: with 256 tiles on 148 SMs every CTA of 128
/// has two, none waits for another.
fn cta_counts(set: &Set, widths: &[u32], target: &Target) -> [u32; 2] {
    let tiles = |(group, width): (&crate::problem::Group, &u32)| {
        group.m.div_ceil(*width) * group.n.div_ceil(crate::plan::WEIGHT_ROWS)
    };
    let tiles: u32 = set.groups.iter().zip(widths).map(tiles).sum();
    let waves = tiles.div_ceil(target.sms).max(1);
    [target.sms, tiles.div_ceil(waves)]
}
