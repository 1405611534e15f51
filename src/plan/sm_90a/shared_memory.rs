//! The map of a CTA's shared memory: the ring of stages, the ring of token slots, the teams' exchange,
//! the epilogue's staging, the barriers.

use super::K_BLOCK;
use super::roles::{Roles, TEAM_WARPS};
use crate::plan::tiling::{GroupTiling, TokenTile};
use crate::plan::{Illegal, Rule, SCALE_BLOCK_BYTES, STEP_K, Target, WEIGHT_ROWS};

/// One stage of the ring: the packed operands of one K block. Offsets and sizes in bytes from the start of the stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stage {
    /// Offset of the tokens' box. The weights' box is at 0; both lie in 64-byte swizzle.
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
    /// Offset of the first slot.
    pub slots_at: u32,
    /// Number of slots.
    pub slots: u32,
    /// Bytes of a slot: the tokens of one K block as f16, two halves of 64 of K, each in 128-byte swizzle.
    pub slot_bytes: u32,
    /// Bytes of half a slot.
    pub half_slot_bytes: u32,
    /// Where the second team leaves its sums for the first; empty if there is one team.
    pub exchange: u32,
    /// The epilogue's staging buffers, one a warp.
    pub staging: u32,
    /// Bytes of one warp's staging buffer: two of 16 tokens.
    pub staging_bytes: u32,
    /// Barriers that TMA completes: stage full.
    pub full: u32,
    /// Barriers that all who read a stage complete: stage empty.
    pub empty: u32,
    /// Barriers that the token warps complete: slot full.
    pub slot_full: u32,
    /// Barriers that the multiplying warps complete: slot empty.
    pub slot_empty: u32,
    /// Dynamic shared memory in all.
    pub bytes: u32,
}

/// More stages than this hide no more latency: the bytes in flight are bounded by the memory, not by the ring.
const MAX_STAGES: u32 = 8;
/// Stages that must be left if there is to be a third slot, or one more: a third is worth more than two more stages, 125 us
/// against 137 for P1 on an H100.
const STAGES_BESIDE_SLOTS: u32 = 3;
const BARRIER_BYTES: u32 = 8;
/// Sums are f32.
const SUM_BYTES: u32 = 4;
/// Two buffers of 16 tokens x 16 weight rows, f16.
const STAGING_BYTES: u32 = 2 * 16 * 32;
/// Bytes of the f16 of one token in half a slot.
const HALF_ROW_BYTES: u32 = STEP_K * 2;

/// Lays out shared memory: as many slots as are worth having and leave enough stages, else two; as many stages as then fit.
pub fn map(
    tilings: &[GroupTiling],
    token_tiles: &[TokenTile],
    roles: &Roles,
    target: &Target,
) -> Result<SharedMap, Illegal> {
    let stage = stage(tilings, token_tiles);
    let widest = token_tiles.iter().map(|t| t.width).max().unwrap_or(8);
    let slot_bytes = 2 * widest * HALF_ROW_BYTES;
    let exchange_bytes = (roles.teams - 1) * WEIGHT_ROWS * widest * SUM_BYTES;
    let beside = exchange_bytes + TEAM_WARPS * STAGING_BYTES;
    let fixed = |slots| beside + slots * (slot_bytes + 2 * BARRIER_BYTES);
    let fitting = |slots| {
        target.shared_bytes.saturating_sub(fixed(slots)) / (stage.bytes + 2 * BARRIER_BYTES)
    };
    let slots = (3..=roles.slots())
        .rev()
        .find(|&slots| fitting(slots) >= STAGES_BESIDE_SLOTS)
        .unwrap_or(2);
    let stages = fitting(slots).min(MAX_STAGES);
    if stages < 2 {
        let detail = format!(
            "two stages of {} bytes and {} more exceed {}",
            stage.bytes,
            fixed(slots),
            target.shared_bytes
        );
        return Err(Illegal::new(Rule::SharedMemory, detail));
    }
    let slots_at = stages * stage.bytes;
    let exchange = slots_at + slots * slot_bytes;
    let staging = exchange + exchange_bytes;
    let full = staging + TEAM_WARPS * STAGING_BYTES;
    let empty = full + stages * BARRIER_BYTES;
    let slot_full = empty + stages * BARRIER_BYTES;
    let slot_empty = slot_full + slots * BARRIER_BYTES;
    Ok(SharedMap {
        stage,
        stages,
        slots_at,
        slots,
        slot_bytes,
        half_slot_bytes: slot_bytes / 2,
        exchange,
        staging,
        staging_bytes: STAGING_BYTES,
        full,
        empty,
        slot_full,
        slot_empty,
        bytes: slot_empty + slots * BARRIER_BYTES,
    })
}

fn stage(tilings: &[GroupTiling], token_tiles: &[TokenTile]) -> Stage {
    let row_bytes = K_BLOCK / 2;
    let slab_bytes = K_BLOCK / STEP_K * SCALE_BLOCK_BYTES;
    let width = tilings.iter().map(|t| t.width).max().unwrap_or(8);
    let slabs = token_tiles.iter().map(|t| t.slabs).max().unwrap_or(1);
    let weight_bytes = WEIGHT_ROWS * row_bytes;
    let weight_scales = weight_bytes + (width * row_bytes).next_multiple_of(128);
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
