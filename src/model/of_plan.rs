//! What a plan of this crate asks of the machine.

use super::workload::{
    Early, Kernel, Mma, Operand, Prefetch, Programmatic, Reduction, Stream, Tile, Worker, Workload,
};
use crate::artifact::Location;
use crate::plan::schedule::Tile as Scheduled;
use crate::plan::sm_90a::roles::Roles;
use crate::plan::table::Visit;
use crate::plan::tiling::TokenTile;
use crate::plan::{
    Plan, SCALE_BLOCK_BYTES, SCALE_ROWS, STEP_K, TargetPlan, WEIGHT_ROWS, sm_90a, sm_100a,
};
use crate::problem::Weights;

/// Bytes of one operand row in one K = 64 step.
const STEP_BYTES: u32 = STEP_K / 2;

impl From<&Plan> for Workload {
    fn from(plan: &Plan) -> Workload {
        let work = match &plan.kernel {
            TargetPlan::Sm100a(inside) => blackwell(plan, inside),
            TargetPlan::Sm90a(inside) => hopper(plan, inside),
        };
        let chunks = Chunks::new(plan);
        let tiles = |tiles: &[Scheduled]| {
            tiles
                .iter()
                .map(|t| tile(plan, &work, &chunks, t))
                .collect()
        };
        let workers = plan.schedule.by_cta().zip(&work.extra_stages);
        let workers = workers.map(|(scheduled, &extra_stages)| Worker {
            tiles: tiles(scheduled),
            extra_stages,
        });
        Workload {
            name: plan.set.name.clone(),
            chunks: chunks.count,
            workers: workers.collect(),
            prefetches: match &plan.kernel {
                TargetPlan::Sm100a(inside) => prefetches(plan, inside, &chunks),
                TargetPlan::Sm90a(_) => Vec::new(),
            },
            kernel: work.kernel,
        }
    }
}

/// What a target's kernels do in the same way for every tile.
struct Work {
    kernel: Kernel,
    /// For each worker, stages beyond those that all have.
    extra_stages: Vec<u32>,
    k_block: u32,
    /// SMs that one MMA runs on.
    mma_ctas: u32,
    /// How often a worker fetches a tile's token scales.
    token_scale_loads: u32,
    /// Boxes that make up a row of an operand.
    boxes: u32,
    /// Whether scales are copied to tensor memory.
    copies_scales: bool,
    /// Who dequantises the operands, where that is done.
    dequantises: Option<Roles>,
    /// The epilogue reads whole chunks of so many columns.
    chunk: u32,
}

/// The load warps start before tensor memory is there, and do not wait for stages that nobody has used.
fn blackwell(plan: &Plan, inside: &sm_100a::Kernel) -> Work {
    let choices = &inside.choices;
    let rings = inside.shared.rings.iter().map(|ring| ring.stages);
    let stages = rings.clone().min().unwrap_or(2);
    let fetched_by_both = choices.pair && !choices.multicast;
    Work {
        kernel: Kernel {
            sms: choices.side_by_side(),
            stages,
            accumulators: accumulators(inside),
            slice: choices.chunk,
            reduction: match () {
                _ if choices.splits_in_cluster() => Reduction::Cluster(choices.split_k),
                // Each part is written as f32 and read again: about what atomics to memory take.
                _ if choices.splits_in_workspace() => Reduction::Atomics,
                _ => Reduction::None,
            },
            programmatic: (!in_memory(plan)).then(|| Programmatic {
                early: match plan.set.weights {
                    Weights::Static => Early::Weights,
                    Weights::Dynamic => Early::Nothing,
                },
                beside: inside.has_room_beside(&plan.target),
            }),
            ..kernel(plan)
        },
        extra_stages: rings.map(|ring| ring - stages).collect(),
        k_block: choices.k_block,
        mma_ctas: choices.mma_ctas(),
        token_scale_loads: if fetched_by_both { 2 } else { 1 },
        boxes: inside.shared.stage.row_bytes / inside.shared.stage.span,
        copies_scales: true,
        dequantises: None,
        chunk: choices.chunk,
    }
}

/// Weights and their scales that workers without tiles fetch into L2.
fn prefetches(plan: &Plan, inside: &sm_100a::Kernel, chunks: &Chunks) -> Vec<Vec<Prefetch>> {
    let choices = &inside.choices;
    let tile_rows = choices.tile_rows();
    let of_end = |end: &Visit| {
        let tile = plan.schedule.tiles[end.index];
        let tiling_index = plan.token_tiles[tile.token_tile].tiling;
        let tiling = &plan.tilings[tiling_index];
        let rows = tile_rows.min(tiling.n - tile.weight_tile * tile_rows);
        let step = rows * STEP_BYTES + rows.div_ceil(SCALE_ROWS) * SCALE_BLOCK_BYTES;
        let last_steps = if end.part.first + end.part.k_blocks == tiling.k_blocks {
            tiling.tail_steps
        } else {
            choices.steps()
        };
        let first = chunks.weights[tiling_index] + tile.weight_tile * tiling.k_blocks;
        Prefetch {
            first_chunk: first + end.part.first,
            chunks: end.part.k_blocks,
            bytes: choices.steps() * step,
            last_bytes: last_steps * step,
        }
    };
    let of_worker = |ends: &Vec<Visit>| ends.iter().map(of_end).collect();
    inside.prefetches.iter().map(of_worker).collect()
}

/// Sums are in the registers of the warps that multiply, which store them before they go on.
fn hopper(plan: &Plan, inside: &sm_90a::Kernel) -> Work {
    Work {
        kernel: Kernel {
            stages: inside.shared.stages,
            programmatic: (!in_memory(plan)).then_some(Programmatic {
                early: Early::Nothing,
                beside: false,
            }),
            ..kernel(plan)
        },
        extra_stages: vec![0; plan.schedule.ctas.len()],
        k_block: sm_90a::K_BLOCK,
        mma_ctas: 1,
        token_scale_loads: 1,
        boxes: 1,
        copies_scales: false,
        dequantises: Some(inside.roles),
        chunk: 8,
    }
}

/// Whether addresses are a table in device memory. Every launch has new ones, as the contest times them: each is
/// behind a copy on its stream, and programmatic launch overlaps kernels with kernels only.
fn in_memory(plan: &Plan) -> bool {
    plan.parameters.location == Location::Device
}

/// What all kernels have in common.
fn kernel(plan: &Plan) -> Kernel {
    Kernel {
        sms: 1,
        parameter_bytes: plan.parameters.parameter_bytes(),
        uploads: in_memory(plan),
        stages: 2,
        accumulators: 1,
        release_after: None,
        slice: 16,
        unconditional_start: true,
        allocate_first: false,
        prefetch_maps: !in_memory(plan),
        programmatic: None,
        reduction: Reduction::None,
    }
}

/// Tiles differ in how long ago their columns must have been read; the model knows one number for all.
fn accumulators(inside: &sm_100a::Kernel) -> u32 {
    let soonest = inside.tensor.places.iter().filter_map(|p| p.after).min();
    soonest.unwrap_or(inside.tensor.accumulators)
}

fn tile(plan: &Plan, work: &Work, chunks: &Chunks, scheduled: &Scheduled) -> Tile {
    let token_tile = &plan.token_tiles[scheduled.token_tile];
    let tiling = &plan.tilings[token_tile.tiling];
    let sms = work.kernel.sms;
    let tile_rows = WEIGHT_ROWS * sms;
    let weight_rows = tile_rows.min(tiling.n - scheduled.weight_tile * tile_rows);
    let weight_slabs = weight_rows.div_ceil(SCALE_ROWS);
    let steps = work.k_block / STEP_K;
    let weights = chunks.weights[token_tile.tiling] + scheduled.weight_tile * tiling.k_blocks;
    let tokens = chunks.tokens[scheduled.token_tile];
    let (rows, slabs) = (token_tile.rows, token_tile.slabs);
    // Of the parts of a sum only the last one ends where K does.
    let part = scheduled.part;
    let last_steps = if part.first + part.k_blocks == tiling.k_blocks {
        tiling.tail_steps
    } else {
        steps
    };
    let load = |operand, chunk: u32, rows, slabs| {
        stream(
            operand,
            chunk + part.first,
            rows,
            slabs,
            (steps, last_steps),
        )
    };
    let mut streams = vec![
        load(Operand::Weights, weights, weight_rows, weight_slabs),
        load(Operand::Tokens, tokens, rows, slabs),
    ];
    for _ in 1..work.token_scale_loads {
        streams.push(load(Operand::Tokens, tokens, 0, slabs));
    }
    let own_tokens = rows.div_ceil(work.mma_ctas);
    let own_rows = WEIGHT_ROWS.min(weight_rows) + own_tokens;
    let fill_step = own_rows * STEP_BYTES + (1 + slabs) * SCALE_BLOCK_BYTES;
    let width = match &plan.kernel {
        TargetPlan::Sm100a(_) => token_tile.width,
        TargetPlan::Sm90a(inside) => sm_90a::widths::of_code(&inside.widths, token_tile.width),
    };
    Tile {
        k_blocks: part.k_blocks,
        steps,
        last_steps,
        fill_bytes: steps * fill_step,
        streams,
        copies: 2 * work.boxes + 1 + slabs,
        mma: Mma {
            rows: WEIGHT_ROWS * work.mma_ctas,
            columns: width,
            ctas: work.mma_ctas,
        },
        mmas: 1,
        scale_copies: if work.copies_scales { 1 + slabs } else { 0 },
        dequantise_cycles: work.dequantises.map_or(0.0, |roles| {
            f64::from(roles.k_block_cycles(width)) / f64::from(steps)
        }),
        columns: rows.next_multiple_of(work.chunk),
        // Who stores the sum stores all of it; each has its share of the time.
        store_bytes: rows * weight_rows * plan.set.output.bytes() as u32 / part.of,
        sum: matches!(work.kernel.reduction, Reduction::Cluster(_))
            .then(|| chunks.sum(plan, scheduled)),
    }
}

/// Rows that do not exist are not fetched; slabs of scales are whole.
fn stream(
    operand: Operand,
    first_chunk: u32,
    rows: u32,
    slabs: u32,
    (steps, last_steps): (u32, u32),
) -> Stream {
    let step = rows * STEP_BYTES + slabs * SCALE_BLOCK_BYTES;
    Stream {
        operand,
        first_chunk,
        bytes: steps * step,
        last_bytes: last_steps * step,
    }
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
