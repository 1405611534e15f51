//! The map of a CTA's tensor memory: accumulators first, then the scales of one K block.

use super::Choices;
use crate::plan::tiling::TokenTile;
use crate::plan::{Illegal, Rule, STEP_K};

/// Columns of tensor memory of an SM.
pub const COLUMNS: u32 = 512;

/// Columns of tensor memory, counted from the allocation's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TensorMemory {
    /// Number of accumulators; accumulator a starts at column `a * pitch`.
    pub accumulators: u32,
    /// Columns from one accumulator to the next.
    pub pitch: u32,
    /// First column of the weight scales.
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

/// Lays out tensor memory. One slab of scales (128 rows) takes four columns for each K = 64 step (brief, 2.2).
pub fn map(token_tiles: &[TokenTile], choices: &Choices) -> Result<TensorMemory, Illegal> {
    let width = token_tiles.iter().map(|t| t.width).max().unwrap_or(16);
    let slabs = token_tiles.iter().map(|t| t.slabs).max().unwrap_or(1);
    let steps = choices.k_block / STEP_K;
    // The epilogue reads whole chunks, so an accumulator owns whole chunks.
    let pitch = width.next_multiple_of(choices.chunk);
    let weight_scales = choices.accumulators * pitch;
    let token_scales = weight_scales + 4 * steps;
    let used = token_scales + 4 * slabs * steps;
    let columns = used.next_power_of_two().max(32);
    if columns > COLUMNS {
        let detail = format!(
            "{} accumulators of {pitch} columns and {} of scales exceed {}",
            choices.accumulators,
            used - weight_scales,
            COLUMNS
        );
        return Err(Illegal::new(Rule::TensorMemory, detail));
    }
    Ok(TensorMemory {
        accumulators: choices.accumulators,
        pitch,
        weight_scales,
        weight_scale_step: 4,
        token_scales,
        token_scale_step: 4 * slabs,
        columns,
    })
}
