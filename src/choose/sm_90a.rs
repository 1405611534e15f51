//! Hopper: the width of token tiles that keeps the most loaded CTA shortest.

use crate::plan::sm_90a::{Choices, plan, tile_cost};
use crate::plan::{Illegal, Plan, Target};
use crate::problem::Set;
use std::cmp::Reverse;

/// Widest tiles worth trying: wide ones dequantise weights less often, narrow ones balance better.
const WIDTHS: [u32; 7] = [192, 160, 128, 112, 96, 80, 64];

/// Plans the set for every width and keeps the one that is done first. If none is legal, says why of the last.
pub(super) fn choose(set: &Set, target: Target) -> Result<Plan, Illegal> {
    let mut best: Option<Plan> = None;
    let mut refused = None;
    for max_width in WIDTHS {
        let choices = Choices {
            max_width,
            ctas: target.sms,
        };
        match plan(set, target, choices) {
            Ok(plan) => {
                let is_better = best.as_ref().is_none_or(|best| price(&plan) < price(best));
                if is_better {
                    best = Some(plan);
                }
            }
            Err(illegal) => refused = Some(illegal),
        }
    }
    match (best, refused) {
        (Some(plan), _) => Ok(plan),
        (None, Some(illegal)) => Err(illegal),
        (None, None) => unreachable!("the list of widths is not empty"),
    }
}

/// Predicted cycles of the most loaded CTA; of equals the one with more CTAs.
fn price(plan: &Plan) -> (u64, Reverse<usize>) {
    let cost = |index: u32| {
        let token_tile = &plan.token_tiles[plan.schedule.tiles[index as usize].token_tile];
        tile_cost(token_tile.width, plan.tilings[token_tile.tiling].k_blocks)
    };
    let loads = plan.schedule.ctas.iter().map(|r| r.clone().map(cost).sum());
    (loads.max().unwrap_or(0), Reverse(plan.schedule.ctas.len()))
}
