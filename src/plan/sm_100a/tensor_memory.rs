//! The map of a CTA's tensor memory: accumulators first, then the scales of one K block.

use super::Choices;
use crate::plan::schedule::{Schedule, Tile};
use crate::plan::tiling::TokenTile;
use crate::plan::{Illegal, Rule, STEP_K};
use std::collections::VecDeque;
use std::ops::Range;

/// Columns of tensor memory of an SM.
pub const COLUMNS: u32 = 512;

/// Columns of tensor memory, counted from the allocation's start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorMemory {
    /// Most accumulators in use at a time. Each has its pair of barriers, which a CTA's tiles take in turn.
    pub accumulators: u32,
    /// The accumulator of each tile of the schedule.
    pub places: Vec<Place>,
    /// First column of the weight scales: the end of the accumulators.
    pub weight_scales: u32,
    /// Columns of weight scales for one K = 64 step.
    pub weight_scale_step: u32,
    /// First column of the token scales.
    pub token_scales: u32,
    /// Columns of token scales for one K = 64 step.
    pub token_scale_step: u32,
    /// Columns to allocate, a power of two.
    pub columns: u32,
}

/// The accumulator of one tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its first column.
    pub column: u32,
    /// How many tiles of its CTA ago the columns and the barriers were last in use: that tile must have been read. None
    /// if nobody had them before.
    pub after: Option<u32>,
    /// The barrier and the parity to wait for until then: `8 * barrier + parity`.
    pub wait: u32,
}

/// Lays out tensor memory. One slab of scales (128 rows) takes four columns for each K = 64 step (brief, 2.2).
pub fn map(
    token_tiles: &[TokenTile],
    schedule: &Schedule,
    choices: &Choices,
) -> Result<TensorMemory, Illegal> {
    // The epilogue reads whole chunks, so an accumulator owns whole chunks.
    let pitch = |t: &TokenTile| t.width.next_multiple_of(choices.chunk);
    let slabs = token_tiles.iter().map(|t| t.slabs).max().unwrap_or(1);
    let steps = choices.k_block / STEP_K;
    let scales = 4 * steps * (1 + slabs);
    let widest = token_tiles.iter().map(pitch).max().unwrap_or(16);
    if widest + scales > COLUMNS {
        let detail =
            format!("an accumulator of {widest} columns and {scales} of scales exceed {COLUMNS}");
        return Err(Illegal::new(Rule::TensorMemory, detail));
    }
    let wanted = choices.accumulators * widest + scales;
    let columns = wanted.next_power_of_two().clamp(32, COLUMNS);
    let weight_scales = columns - scales;
    let pitch_of = |tile: &Tile| pitch(&token_tiles[tile.token_tile]);
    let places = schedule.by_cta().flat_map(|tiles| {
        let pitches: Vec<u32> = tiles.iter().map(pitch_of).collect();
        places(&pitches, weight_scales, choices.accumulators)
    });
    Ok(TensorMemory {
        accumulators: choices.accumulators,
        places: places.collect(),
        weight_scales,
        weight_scale_step: 4,
        token_scales: weight_scales + 4 * steps,
        token_scale_step: 4 * slabs,
        columns,
    })
}

/// Places the accumulators of a CTA's tiles so that each waits for a tile as long ago as possible: the epilogue reads them
/// in order, so whoever waits for a tile waits for all before it.
fn places(pitches: &[u32], columns: u32, accumulators: u32) -> Vec<Place> {
    let mut live: VecDeque<Range<u32>> = VecDeque::new();
    let place = |(index, &pitch): (usize, &u32)| {
        let index = index as u32;
        if live.len() as u32 == accumulators {
            live.pop_front();
        }
        let column = loop {
            match gap(&live, pitch, columns) {
                Some(column) => break column,
                None => drop(live.pop_front()),
            }
        };
        // The tiles still alive are the last ones; the one before them must be through.
        let ago = live.len() as u32 + 1;
        live.push_back(column..column + pitch);
        let after = (index >= ago).then_some(ago);
        let wait = match after {
            Some(ago) => {
                let tile = index - ago;
                8 * (tile % accumulators) + tile / accumulators % 2
            }
            // A barrier that was never used lets everyone pass who asks for the phase before its first.
            None => 8 * index + 1,
        };
        Place {
            column,
            after,
            wait,
        }
    };
    pitches.iter().enumerate().map(place).collect()
}

/// Where `pitch` columns are free: at the left end, at the right end, or else between others.
fn gap(live: &VecDeque<Range<u32>>, pitch: u32, columns: u32) -> Option<u32> {
    let is_free = |&column: &u32| {
        let end = column + pitch;
        end <= columns && live.iter().all(|l| l.end <= column || end <= l.start)
    };
    let ends = [Some(0), columns.checked_sub(pitch)].into_iter().flatten();
    ends.chain(live.iter().map(|l| l.end)).find(is_free)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(pitches: &[u32], accumulators: u32) -> Vec<(u32, Option<u32>)> {
        let places = places(pitches, 464, accumulators);
        places.iter().map(|p| (p.column, p.after)).collect()
    }

    #[test]
    fn neighbours_of_different_widths_take_both_ends() {
        let placed = columns(&[256, 208, 256, 208], 2);
        assert_eq!(
            placed,
            [(0, None), (256, None), (0, Some(2)), (256, Some(2))]
        );
    }

    #[test]
    fn where_two_do_not_fit_the_second_waits_for_the_first() {
        let placed = columns(&[256, 256, 64], 2);
        assert_eq!(placed, [(0, None), (0, Some(1)), (400, Some(2))]);
    }

    #[test]
    fn as_many_as_fit() {
        let placed = columns(&[96; 6], 4);
        let expected = [0, 368, 96, 192, 0, 368];
        assert_eq!(placed.iter().map(|p| p.0).collect::<Vec<_>>(), expected);
        assert_eq!(placed[4].1, Some(4));
    }

    #[test]
    fn what_is_waited_for_covers_all_that_overlap() {
        let mut state = 7u32;
        let mut random = |n: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) % n
        };
        for _ in 0..200 {
            let accumulators = 1 + random(6);
            let pitches: Vec<u32> = (0..12).map(|_| 32 * (1 + random(8))).collect();
            let places = places(&pitches, 464, accumulators);
            for (i, place) in places.iter().enumerate() {
                assert!(place.after.is_none_or(|ago| ago <= accumulators));
                assert!(place.column + pitches[i] <= 464);
                let alive = place.after.map_or(0, |ago| i + 1 - ago as usize);
                for j in alive..i {
                    let (from, to) = (places[j].column, places[j].column + pitches[j]);
                    assert!(to <= place.column || place.column + pitches[i] <= from);
                }
            }
        }
    }
}
