//! What a plan of this crate asks of the machine.

use super::workload::{
    Early, Kernel, Mma, Operand, Programmatic, Reduction, Stream, Tile, Worker, Workload,
};
use crate::artifact::Location;
use crate::plan::schedule::Tile as Scheduled;
use crate::plan::tiling::TokenTile;
use crate::plan::{Plan, SCALE_BLOCK_BYTES, SCALE_ROWS, STEP_K, TargetPlan, WEIGHT_ROWS, sm_100a};
use crate::problem::Weights;

/// Bytes of one operand row in one K = 64 step.
const STEP_BYTES: u32 = STEP_K / 2;

impl From<&Plan> for Workload {
    fn from(plan: &Plan) -> Workload {
        let chunks = Chunks::new(plan);
        let TargetPlan::Sm100a(inside) = &plan.kernel else {
            todo!()
        };
        let tile = |scheduled: &Scheduled| tile(plan, inside, &chunks, scheduled);
        let rings = &inside.shared.rings;
        let least = least_stages(inside);
        let workers = plan
            .schedule
            .by_cta()
            .zip(rings)
            .map(|(tiles, ring)| Worker {
                tiles: tiles.iter().map(tile).collect(),
                extra_stages: ring.stages - least,
            });
        Workload {
            name: plan.set.name.clone(),
            chunks: chunks.count,
            workers: workers.collect(),
            kernel: kernel(plan, inside),
        }
    }
}

/// What the template does: the load warp starts before tensor memory is there, and does not wait for stages that nobody
/// has used. Two CTAs side by side are one worker.
fn kernel(plan: &Plan, inside: &sm_100a::Kernel) -> Kernel {
    Kernel {
        sms: inside.choices.side_by_side(),
        parameter_bytes: plan.parameters.parameter_bytes(),
        stages: least_stages(inside),
        accumulators: accumulators(inside),
        release_after: None,
        slice: inside.choices.chunk,
        unconditional_start: true,
        allocate_first: false,
        prefetch_maps: plan.parameters.location == Location::Parameter,
        programmatic: Some(Programmatic {
            early: match plan.set.weights {
                Weights::Static => Early::Weights,
                Weights::Dynamic => Early::Nothing,
            },
            beside: inside.has_room_beside(&plan.target),
        }),
        reduction: match &inside.choices {
            choices if choices.splits_in_cluster() => Reduction::Cluster(choices.split_k),
            // Each part is written as f32 and read again: about what atomics to memory take.
            choices if choices.splits_in_workspace() => Reduction::Atomics,
            _ => Reduction::None,
        },
    }
}

fn least_stages(inside: &sm_100a::Kernel) -> u32 {
    inside
        .shared
        .rings
        .iter()
        .map(|r| r.stages)
        .min()
        .unwrap_or(1)
}

/// Tiles differ in how long ago their columns must have been read; the model knows one number for all.
fn accumulators(inside: &sm_100a::Kernel) -> u32 {
    let soonest = inside.tensor.places.iter().filter_map(|p| p.after).min();
    soonest.unwrap_or(inside.tensor.accumulators)
}

fn tile(plan: &Plan, inside: &sm_100a::Kernel, chunks: &Chunks, scheduled: &Scheduled) -> Tile {
    let choices = &inside.choices;
    let token_tile = &plan.token_tiles[scheduled.token_tile];
    let tiling = &plan.tilings[token_tile.tiling];
    let tile_rows = choices.tile_rows();
    let weight_rows = tile_rows.min(tiling.n - scheduled.weight_tile * tile_rows);
    let (steps, slabs) = (choices.steps(), token_tile.slabs);
    let subtiles = inside.shared.stage.row_bytes / inside.shared.stage.span;
    let part = scheduled.part;
    let last_steps = if part.first + part.k_blocks == tiling.k_blocks {
        tiling.tail_steps
    } else {
        steps
    };
    let stream = |operand, chunk: u32, step: u32| Stream {
        operand,
        first_chunk: chunk + part.first,
        bytes: steps * step,
        last_bytes: last_steps * step,
    };
    let weights = chunks.weights[token_tile.tiling] + scheduled.weight_tile * tiling.k_blocks;
    let tokens = chunks.tokens[scheduled.token_tile];
    // A pair that does not multicast fetches its token scales twice, and each of its CTAs half of the tokens.
    let requested_slabs = if choices.pair && !choices.multicast {
        2 * slabs
    } else {
        slabs
    };
    let own_tokens = token_tile.rows / choices.mma_ctas();
    let weight_slabs = weight_rows.div_ceil(SCALE_ROWS);
    Tile {
        k_blocks: part.k_blocks,
        steps,
        last_steps,
        fill_bytes: steps * step_bytes(weight_rows.min(WEIGHT_ROWS) + own_tokens, 1 + slabs),
        streams: vec![
            stream(
                Operand::Weights,
                weights,
                step_bytes(weight_rows, weight_slabs),
            ),
            stream(
                Operand::Tokens,
                tokens,
                step_bytes(token_tile.rows, requested_slabs),
            ),
        ],
        copies: 2 * subtiles + 1 + slabs,
        mma: Mma {
            rows: WEIGHT_ROWS * choices.mma_ctas(),
            columns: token_tile.width,
            ctas: choices.mma_ctas(),
        },
        mmas: 1,
        scale_copies: 1 + slabs,
        // The epilogue reads whole chunks.
        columns: token_tile.rows.next_multiple_of(choices.chunk),
        store_bytes: token_tile.rows * weight_rows * plan.set.output.bytes() as u32 / part.of,
        sum: (choices.splits_in_cluster()).then(|| chunks.sum(plan, scheduled)),
    }
}

/// Bytes of so many operand rows and slabs of scales in one K = 64 step. Rows that do not exist are not fetched; slabs
/// are whole.
fn step_bytes(rows: u32, slabs: u32) -> u32 {
    rows * STEP_BYTES + slabs * SCALE_BLOCK_BYTES
}

/// First chunk of each tiling's weights and of each token tile.
struct Chunks {
    weights: Vec<u32>,
    tokens: Vec<u32>,
    count: u32,
}

impl Chunks {
    fn new(plan: &Plan) -> Self {
        let mut count = 0;
        let mut next = |blocks: u32| {
            let first = count;
            count += blocks;
            first
        };
        let weights = plan
            .tilings
            .iter()
            .map(|t| next(t.weight_tiles * t.k_blocks))
            .collect();
        let k_blocks = |t: &TokenTile| plan.tilings[t.tiling].k_blocks;
        let tokens = plan.token_tiles.iter().map(|t| next(k_blocks(t))).collect();
        Chunks {
            weights,
            tokens,
            count,
        }
    }

    /// A number for each tile of the output.
    fn sum(&self, plan: &Plan, tile: &Scheduled) -> u32 {
        let tiles = |t: &TokenTile| plan.tilings[t.tiling].weight_tiles;
        let before: u32 = plan.token_tiles[..tile.token_tile].iter().map(tiles).sum();
        before + tile.weight_tile
    }
}
