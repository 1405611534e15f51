//! The K = 64 steps of one stage: what each scale copy and each MMA reads and where.

use super::descriptors::matrix_low;
use super::shared_memory::Stage;
use super::tensor_memory::TensorMemory;
use crate::plan::{SCALE_BLOCK_BYTES, STEP_K, WEIGHT_ROWS};

/// One K = 64 step. Sources are descriptor distances (16-byte units) from the start of the stage, that of the tokens from
/// the start of the step's sub-tile of tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Index in the K block.
    pub index: u32,
    /// The weights' operand.
    pub weights: u32,
    /// The sub-tile of tokens.
    pub subtile: u32,
    /// The tokens' operand.
    pub tokens: u32,
    /// One 512-byte block of weight scales.
    pub weight_scales: u32,
    /// Its column, from the start of the weight scales.
    pub weight_scale_column: u32,
    /// One 512-byte block of token scales for each slab.
    pub token_scales: Vec<ScaleCopy>,
    /// The step's column, from the start of the token scales.
    pub token_scale_column: u32,
}

/// The copy of one block of token scales to tensor memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScaleCopy {
    /// Index of the slab in the tile.
    pub slab: u32,
    /// Descriptor distance from the start of the stage.
    pub source: u32,
    /// Column, from the start of the token scales.
    pub column: u32,
}

/// The steps of a full K block.
pub fn steps(stage: &Stage, tensor: &TensorMemory) -> Vec<Step> {
    (0..stage.row_bytes / (STEP_K / 2))
        .map(|index| step(index, stage, tensor))
        .collect()
}

fn step(index: u32, stage: &Stage, tensor: &TensorMemory) -> Step {
    let along = index * STEP_K / 2;
    let (subtile, within) = (along / stage.span, along % stage.span);
    let scales = index * SCALE_BLOCK_BYTES;
    let token_scale_column = index * tensor.token_scale_step;
    let copy = |slab| ScaleCopy {
        slab,
        source: matrix_low(stage.token_scales + slab * stage.slab_bytes + scales),
        column: token_scale_column + 4 * slab,
    };
    Step {
        index,
        weights: matrix_low(subtile * WEIGHT_ROWS * stage.span + within),
        subtile,
        tokens: matrix_low(stage.tokens + within),
        weight_scales: matrix_low(stage.weight_scales + scales),
        weight_scale_column: index * tensor.weight_scale_step,
        token_scales: (0..stage.slabs).map(copy).collect(),
        token_scale_column,
    }
}
