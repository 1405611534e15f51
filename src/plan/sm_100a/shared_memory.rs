//! The map of a CTA's shared memory: the ring of stages, the epilogue's staging buffers, the barriers.

use super::{Choices, EPILOGUE_WARPS};
use crate::plan::tiling::{GroupTiling, TokenTile};
use crate::plan::{Illegal, Rule, SCALE_BLOCK_BYTES, STEP_K, Target, WEIGHT_ROWS};

/// One stage of the ring: the operands of one K block. Offsets and sizes in bytes from the start of the stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stage {
    /// Offset of the tokens' box. The weights' box is at 0; both lie in 128-byte swizzle.
    pub tokens: u32,
    /// Offset of the weight scales, one slab.
    pub weight_scales: u32,
    /// Offset of the token scales, slab after slab.
    pub token_scales: u32,
    /// Bytes of one row of an operand for one K block.
    pub row_bytes: u32,
    /// Bytes of one slab of scales for one K block.
    pub slab_bytes: u32,
    /// Slabs of token scales that a stage has room for.
    pub slabs: u32,
    /// Bytes of the whole stage, a multiple of 1,024 so that swizzle patterns start on their natural boundary.
    pub bytes: u32,
}

/// Where everything lies. Offsets in bytes from the start of dynamic shared memory, which is 1,024-byte aligned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharedMap {
    /// The layout of each stage; stage s starts at `s * stage.bytes`.
    pub stage: Stage,
    /// Number of stages.
    pub stages: u32,
    /// The epilogue's staging buffers, one a warp.
    pub staging: u32,
    /// Bytes of one warp's staging buffer.
    pub staging_bytes: u32,
    /// Barriers that TMA completes: stage full.
    pub full: u32,
    /// Barriers that the MMA's commit completes: stage empty.
    pub empty: u32,
    /// Barriers that the MMA's commit completes: accumulator full.
    pub accumulator_full: u32,
    /// Barriers that the epilogue completes: accumulator empty.
    pub accumulator_empty: u32,
    /// A barrier between the CTAs of a cluster: the other CTA of a pair has its tensor memory.
    pub peer_ready: u32,
    /// Where `tcgen05.alloc` writes the address of tensor memory.
    pub tensor_slot: u32,
    /// Dynamic shared memory in all.
    pub bytes: u32,
}

/// More stages than this hide no more latency: the bytes in flight are bounded by the memory, not by the ring.
const MAX_STAGES: u32 = 12;
const BARRIER_BYTES: u32 = 8;

/// Lays out shared memory with as many stages as fit.
pub fn map(
    tilings: &[GroupTiling],
    token_tiles: &[TokenTile],
    target: &Target,
    choices: &Choices,
) -> Result<SharedMap, Illegal> {
    let stage = stage(tilings, token_tiles, choices);
    let staging_bytes = choices.chunk * 32 * 2;
    let fixed = EPILOGUE_WARPS * staging_bytes + 2 * choices.accumulators * BARRIER_BYTES + 16;
    let stages = (target.shared_bytes - fixed) / (stage.bytes + 2 * BARRIER_BYTES);
    if stages < 2 {
        let detail = format!(
            "two stages of {} bytes and {fixed} more exceed {}",
            stage.bytes, target.shared_bytes
        );
        return Err(Illegal::new(Rule::SharedMemory, detail));
    }
    let stages = stages.min(MAX_STAGES);
    let staging = stages * stage.bytes;
    let full = staging + EPILOGUE_WARPS * staging_bytes;
    let empty = full + stages * BARRIER_BYTES;
    let accumulator_full = empty + stages * BARRIER_BYTES;
    let accumulator_empty = accumulator_full + choices.accumulators * BARRIER_BYTES;
    let tensor_slot = accumulator_empty + choices.accumulators * BARRIER_BYTES;
    let peer_ready = tensor_slot + 8;
    let bytes = tensor_slot + 16;
    Ok(SharedMap {
        stage,
        stages,
        staging,
        staging_bytes,
        full,
        empty,
        accumulator_full,
        accumulator_empty,
        peer_ready,
        tensor_slot,
        bytes,
    })
}

fn stage(tilings: &[GroupTiling], token_tiles: &[TokenTile], choices: &Choices) -> Stage {
    let row_bytes = choices.k_block / 2;
    let slab_bytes = choices.k_block / STEP_K * SCALE_BLOCK_BYTES;
    let width = tilings.iter().map(|t| t.width).max().unwrap_or(16);
    let token_rows = width / choices.mma_ctas();
    let slabs = token_tiles.iter().map(|t| t.slabs).max().unwrap_or(1);
    let weight_bytes = WEIGHT_ROWS * row_bytes;
    let weight_scales = weight_bytes + token_rows * row_bytes;
    let token_scales = weight_scales + slab_bytes;
    let bytes = (token_scales + slabs * slab_bytes).next_multiple_of(1024);
    Stage {
        tokens: weight_bytes,
        weight_scales,
        token_scales,
        row_bytes,
        slab_bytes,
        slabs,
        bytes,
    }
}
