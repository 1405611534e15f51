//! The map of a CTA's shared memory: the ring of stages, the epilogue's staging buffers, the barriers.

use super::{Choices, EPILOGUE_WARPS};
use crate::plan::schedule::Schedule;
use crate::plan::tiling::{GroupTiling, TokenTile};
use crate::plan::{Illegal, Rule, SCALE_BLOCK_BYTES, STEP_K, Target, WEIGHT_ROWS};

/// One stage of a ring: the operands of one K block. Offsets and sizes in bytes from the start of the stage. Tokens come
/// last, so that only the size of a stage depends on their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stage {
    /// Bytes of one row of an operand for one K block.
    pub row_bytes: u32,
    /// Bytes of one row in a sub-tile: the span of the swizzle. A row of 256 bytes lies in two sub-tiles.
    pub span: u32,
    /// Offset of the weight scales, one slab. The weights are at 0.
    pub weight_scales: u32,
    /// Offset of the token scales, slab after slab.
    pub token_scales: u32,
    /// Bytes of one slab of scales for one K block.
    pub slab_bytes: u32,
    /// Slabs of token scales that a stage has room for.
    pub slabs: u32,
    /// Offset of the tokens.
    pub tokens: u32,
}

/// The ring of one CTA, as deep as its widest tile allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ring {
    /// Number of stages.
    pub stages: u32,
    /// Token rows that a stage has room for.
    pub rows: u32,
    /// Bytes from one stage to the next, a multiple of 1,024 so that swizzle patterns start on their natural boundary.
    pub pitch: u32,
}

/// Where everything lies. Offsets in bytes from the start of dynamic shared memory, which is 1,024-byte aligned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedMap {
    /// The layout of each stage.
    pub stage: Stage,
    /// The ring of each CTA, or of each of two CTAs side by side, which starts at 0.
    pub rings: Vec<Ring>,
    /// Stages of the deepest ring.
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
    /// Barrier that the CTAs of a cluster complete: the parts of the sums that this one makes are here.
    pub parts_here: u32,
    /// Where `tcgen05.alloc` writes the address of tensor memory.
    pub tensor_slot: u32,
    /// Dynamic shared memory in all.
    pub bytes: u32,
}

/// More stages than this hide no more latency: the bytes in flight are bounded by the memory, not by the ring.
const MAX_STAGES: u32 = 16;
const BARRIER_BYTES: u32 = 8;

/// Lays out shared memory with as many stages as fit.
pub fn map(
    tilings: &[GroupTiling],
    token_tiles: &[TokenTile],
    schedule: &Schedule,
    target: &Target,
    choices: &Choices,
) -> Result<SharedMap, Illegal> {
    let stage = stage(token_tiles, choices);
    let staging_bytes = choices.chunk * 32 * 2;
    let fixed =
        EPILOGUE_WARPS * staging_bytes + (2 * choices.accumulators + 1) * BARRIER_BYTES + 16;
    let room = target.shared_bytes - fixed;
    let rings = schedule.by_cta().map(|tiles| {
        let rows = tiles.iter().map(|tile| {
            let token_tile = &token_tiles[tile.token_tile];
            choices.stage_rows(&tilings[token_tile.tiling], token_tile)
        });
        ring(&stage, rows.max().unwrap_or(16), room)
    });
    let rings: Vec<Ring> = rings.collect::<Result<_, _>>()?;
    let stages = rings.iter().map(|r| r.stages).max().unwrap_or(2);
    let staging = rings.iter().map(|r| r.stages * r.pitch).max().unwrap_or(0);
    let full = staging + EPILOGUE_WARPS * staging_bytes;
    let empty = full + stages * BARRIER_BYTES;
    let accumulator_full = empty + stages * BARRIER_BYTES;
    let accumulator_empty = accumulator_full + choices.accumulators * BARRIER_BYTES;
    let peer_ready = accumulator_empty + choices.accumulators * BARRIER_BYTES;
    let parts_here = peer_ready + u32::from(choices.pair) * BARRIER_BYTES;
    let tensor_slot = parts_here + u32::from(choices.splits_in_cluster()) * BARRIER_BYTES;
    let bytes = tensor_slot + 16;
    Ok(SharedMap {
        stage,
        rings,
        stages,
        staging,
        staging_bytes,
        full,
        empty,
        accumulator_full,
        accumulator_empty,
        peer_ready,
        parts_here,
        tensor_slot,
        bytes,
    })
}

fn stage(token_tiles: &[TokenTile], choices: &Choices) -> Stage {
    let row_bytes = choices.k_block / 2;
    let slab_bytes = choices.k_block / STEP_K * SCALE_BLOCK_BYTES;
    let slabs = token_tiles.iter().map(|t| t.slabs).max().unwrap_or(1);
    let weight_scales = WEIGHT_ROWS * row_bytes;
    let token_scales = weight_scales + slab_bytes;
    Stage {
        row_bytes,
        span: row_bytes.min(128),
        weight_scales,
        token_scales,
        slab_bytes,
        slabs,
        tokens: (token_scales + slabs * slab_bytes).next_multiple_of(1024),
    }
}

/// The deepest ring for tiles of at most `rows` tokens. Barriers are set aside for the deepest of all.
fn ring(stage: &Stage, rows: u32, room: u32) -> Result<Ring, Illegal> {
    let pitch = (stage.tokens + rows * stage.row_bytes).next_multiple_of(1024);
    let room = room - 2 * MAX_STAGES * BARRIER_BYTES;
    let stages = room / pitch;
    if stages < 2 {
        let detail = format!("two stages of {pitch} bytes exceed {room}");
        return Err(Illegal::new(Rule::SharedMemory, detail));
    }
    Ok(Ring {
        stages: stages.min(MAX_STAGES),
        rows,
        pitch,
    })
}
