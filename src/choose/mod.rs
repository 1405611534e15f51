//! Which plan is best for a set.
//!
//! A short list of candidates, priced by the model; the cheapest is taken, of equals the first.

mod sm_90a;

use crate::model::{B200, Workload, price};
use crate::plan::schedule::Order;
use crate::plan::sm_100a::{CacheHint, Choices, Reduction, plan};
use crate::plan::target::Family;
use crate::plan::tiling::Widths;
use crate::plan::{Illegal, Plan, Target, WEIGHT_ROWS};
use crate::problem::{Group, Set};

/// Widest token tiles worth trying.
const WIDTHS: [u32; 4] = [256, 192, 160, 128];

/// Plans the set in every candidate way and keeps the cheapest. If none is legal, says why of the last.
pub fn choose(set: &Set, target: Target) -> Result<Plan, Illegal> {
    if target.family == Family::Hopper {
        return sm_90a::choose(set, target);
    }
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
    for most in WIDTHS {
        let widths = Widths::UpTo(most);
        for order in [Order::Columns, Order::Balanced] {
            for ctas in cta_counts(set, &widths, target) {
                candidates.push(Choices {
                    k_block: 256,
                    widths: widths.clone(),
                    accumulators: 2,
                    order,
                    ctas,
                    pair: false,
                    multicast: false,
                    split_k: 1,
                    reduction: Reduction::Cluster,
                    chunk: 32,
                    weights_hint: CacheHint::EvictFirst,
                    tokens_hint: CacheHint::EvictLast,
                });
            }
        }
    }
    candidates
}

/// Every SM, or as many as finish at the same time if all tiles are alike: with 256 tiles on 148 SMs every CTA of 128
/// has two, none waits for another.
fn cta_counts(set: &Set, widths: &Widths, target: &Target) -> [u32; 2] {
    let tiles = |(index, group): (usize, &Group)| {
        let width = widths.of(index, group.m, target).max(1);
        group.m.div_ceil(width) * group.n.div_ceil(WEIGHT_ROWS)
    };
    let tiles: u32 = set.groups.iter().enumerate().map(tiles).sum();
    let waves = tiles.div_ceil(target.sms).max(1);
    [target.sms, tiles.div_ceil(waves)]
}
