//! Weights that CTAs without tiles fetch into L2: those that the others come to last.
//!
//! Where a schedule uses fewer CTAs than the device has SMs, the rest can ask memory for bytes that no ring has room for
//! yet. Each of them takes the ends of some workers' last tiles, as far as they are not in the first ring, which the
//! worker fetches at once by itself.

use super::Choices;
use super::shared_memory::Ring;
use crate::plan::schedule::{Part, Schedule};
use crate::plan::table::Visit;
use crate::plan::tiling::TokenTile;
use crate::plan::{Illegal, Rule, Target};
use std::collections::HashSet;

impl Choices {
    /// Workers for which the device has room beside those of the schedule.
    fn idle_workers(&self, schedule: &Schedule, target: &Target) -> u32 {
        let places = target.sms / self.side_by_side();
        places.saturating_sub(schedule.ctas.len() as u32)
    }
}

/// What each CTA without tiles fetches, or each two that stand side by side. Empty if the choices want none.
pub fn prefetches(
    schedule: &Schedule,
    token_tiles: &[TokenTile],
    rings: &[Ring],
    target: &Target,
    choices: &Choices,
) -> Result<Vec<Vec<Visit>>, Illegal> {
    if choices.prefetch == 0 {
        return Ok(Vec::new());
    }
    let refuse = |detail: String| Err(Illegal::new(Rule::Prefetch, detail));
    if choices.splits_in_cluster() {
        return refuse("all CTAs of a cluster share a sum".to_owned());
    }
    let idle = choices.idle_workers(schedule, target) as usize;
    if idle == 0 {
        return refuse(format!("every one of {} SMs has tiles", target.sms));
    }
    let ends = ends(schedule, token_tiles, rings, choices.prefetch);
    if ends.is_empty() {
        return refuse("the first rings hold all weights".to_owned());
    }
    let mut dealt = vec![Vec::new(); idle.min(ends.len())];
    let hands = dealt.len();
    for (index, end) in ends.into_iter().enumerate() {
        dealt[index % hands].push(end);
    }
    Ok(dealt)
}

/// The last K blocks of each worker's last tile that its first ring does not hold, each weight tile once.
fn ends(schedule: &Schedule, token_tiles: &[TokenTile], rings: &[Ring], most: u32) -> Vec<Visit> {
    let mut seen = HashSet::new();
    let mut ends = Vec::new();
    for (cta, (range, ring)) in schedule.ctas.iter().zip(rings).enumerate() {
        let index = range.end as usize - 1;
        let tile = schedule.tiles[index];
        let in_first_ring = if range.len() == 1 { ring.stages } else { 0 };
        let k_blocks = tile.part.k_blocks.saturating_sub(in_first_ring).min(most);
        let end = Part {
            first: tile.part.first + tile.part.k_blocks - k_blocks,
            k_blocks,
            ..tile.part
        };
        let weights = (
            token_tiles[tile.token_tile].tiling,
            tile.weight_tile,
            end.first,
        );
        if k_blocks > 0 && seen.insert(weights) {
            ends.push(Visit {
                cta,
                index,
                part: end,
            });
        }
    }
    ends
}
