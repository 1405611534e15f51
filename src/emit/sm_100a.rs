//! The sm_100a kernel: the template's fields, filled from the plan.

mod split;
mod team;

use super::function_name;
use super::ring::{Barrier, Slab};
use super::table::{Bring, TileTable};
use crate::artifact::Location;
use crate::plan::sm_100a::constants::Constants;
use crate::plan::sm_100a::descriptors::{Swizzle, matrix_high, operand_high};
use crate::plan::sm_100a::shared_memory::{SharedMap, Stage};
use crate::plan::sm_100a::tensor_memory::TensorMemory;
use crate::plan::sm_100a::{
    CacheHint, Choices, EPILOGUE_WARPS, Kernel, LOAD_WARP, MMA_WARP, THREADS, steps,
};
use crate::plan::table::Constant;
use crate::plan::{Plan, SCALE_BLOCK_BYTES, STEP_K, WEIGHT_ROWS, parameters, tiling};
use crate::problem::Weights;
use askama::Template;

/// Named barriers of the CTA.
const TEARDOWN_BARRIER: u32 = 0;
const SETUP_BARRIER: u32 = 1;

#[derive(Template)]
#[template(
    path = "sm_100a/grouped_gemm.ptx",
    config = "templates/askama.toml",
    syntax = "ptx"
)]
struct GroupedGemm<'a> {
    name: &'a str,
    key: &'a str,
    summary: String,
    target: &'a str,
    ptx_version: &'a str,
    function: String,
    threads: u32,
    load_warp: u32,
    mma_warp: u32,
    block_bytes: u32,
    block_alignment: u32,
    block_in_memory: bool,
    block_space: &'static str,
    weight_scale_map: u32,
    token_scale_map: u32,
    output_pointer: u32,
    cluster: u32,
    pair: bool,
    multicast: bool,
    side_by_side: bool,
    everyone: u32,
    split: bool,
    split_in_cluster: bool,
    split_in_workspace: bool,
    some_whole: bool,
    workspace_offset: u32,
    scale_bytes_per_row_byte: u32,
    quads: Vec<split::Quad>,
    eights: Vec<split::Eight>,
    later_parts: Vec<split::LaterPart>,
    chunk_bytes: u32,
    parts_bytes: u32,
    chunk_stride: u32,
    weight_rows: u32,
    mma_ctas: u32,
    mma_rows: u32,
    multicast_steps: u32,
    scale_block_bytes: u32,
    step_shift: u32,
    leader_guard: &'static str,
    signal: &'static str,
    own_copy: team::Copy,
    token_copy: team::Copy,
    scale_copy: team::Copy,
    commit_stage: String,
    commit_accumulator: String,
    early_weights: bool,
    prefetches: bool,
    /// CTAs with tiles, or two that stand side by side.
    workers: usize,
    prefetch_maps: bool,
    prefetch_next_maps: bool,
    setup_barrier: u32,
    teardown_barrier: u32,
    table: TileTable,
    constants: &'a Constants,
    /// The constants that say where a tile's tensor maps are.
    maps: [Constant; 2],
    shared: &'a SharedMap,
    full_to_empty: u32,
    accumulator_full_to_empty: u32,
    stage: &'a Stage,
    tensor: &'a TensorMemory,
    barriers: Vec<Barrier>,
    slabs: Vec<Slab>,
    uneven_slabs: bool,
    steps: Vec<Step<'a>>,
    k_tail: bool,
    load_tail: bool,
    operand_high: String,
    scale_high: String,
    subtiles: Vec<Subtile>,
    weights_hint: Hint,
    tokens_hint: Hint,
    output: &'a str,
    output_bytes: u32,
    packed_type: &'a str,
    chunk: u32,
    /// Repetitions of the shape that `tcgen05.ld` reads.
    chunk_repeats: u32,
    chunk_registers: u32,
    low_lanes: String,
    high_lanes: String,
    token_blocks: Vec<TokenBlock>,
}

/// Renders the kernel.
pub fn render(plan: &Plan, kernel: &Kernel) -> Result<String, askama::Error> {
    let key = plan.set.key();
    let uneven_slabs = matches!(kernel.constants.slabs, Constant::Column(_));
    let k_tail = tiling::has_k_tail(&plan.tilings, kernel.choices.k_block);
    let block_in_memory = plan.parameters.location == Location::Device;
    let (choices, shared) = (&kernel.choices, &kernel.shared);
    let chunk = choices.chunk;
    let registers = |name: &str| {
        (0..chunk / 2)
            .map(|i| format!("%{name}{i}"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    GroupedGemm {
        name: &plan.set.name,
        summary: plan.summary(),
        target: plan.target.name,
        ptx_version: plan.target.ptx_version,
        function: function_name(&key),
        key: &key,
        threads: THREADS,
        load_warp: LOAD_WARP,
        mma_warp: MMA_WARP,
        block_bytes: plan.parameters.bytes,
        block_alignment: plan.parameters.alignment,
        block_in_memory,
        block_space: match plan.parameters.location {
            Location::Parameter => "param",
            Location::Device => "global",
        },
        weight_scale_map: parameters::WEIGHT_SCALE_MAP,
        token_scale_map: parameters::TOKEN_SCALE_MAP,
        output_pointer: choices.maps().output_pointer(),
        cluster: choices.cluster(),
        pair: choices.pair,
        multicast: choices.multicast,
        side_by_side: choices.side_by_side() > 1,
        everyone: (1 << choices.cluster()) - 1,
        split: choices.splits_in_cluster() || choices.splits_in_workspace(),
        split_in_cluster: choices.splits_in_cluster(),
        split_in_workspace: choices.splits_in_workspace(),
        some_whole: plan.schedule.most_parts() == 1
            || plan.schedule.tiles.iter().any(|t| t.part.of == 1),
        workspace_offset: plan.parameters.workspace_offset,
        scale_bytes_per_row_byte: shared.stage.slab_bytes / shared.stage.row_bytes,
        quads: split::quads(chunk),
        eights: split::eights(chunk),
        later_parts: split::later_parts(choices),
        chunk_bytes: choices.chunk_bytes(),
        parts_bytes: choices.chunk_bytes() * choices.split_k,
        chunk_stride: if choices.splits_in_cluster() {
            chunk * choices.split_k
        } else {
            chunk
        },
        weight_rows: WEIGHT_ROWS,
        mma_ctas: choices.mma_ctas(),
        mma_rows: WEIGHT_ROWS * choices.mma_ctas(),
        multicast_steps: choices.steps() / 2,
        scale_block_bytes: SCALE_BLOCK_BYTES,
        step_shift: (STEP_K / 2).ilog2(),
        leader_guard: if choices.pair { "@%is_leader " } else { "" },
        signal: if choices.pair { "%signal" } else { "%full" },
        own_copy: team::Copy::own(choices),
        token_copy: team::Copy::tokens(choices),
        scale_copy: team::Copy::token_scales(choices),
        commit_stage: team::commit_stage(choices, "%slot_address"),
        commit_accumulator: team::commit_accumulator(choices, "%accumulator_full"),
        prefetches: !kernel.prefetches.is_empty(),
        workers: plan.schedule.ctas.len(),
        early_weights: plan.set.weights == Weights::Static,
        prefetch_maps: !block_in_memory,
        prefetch_next_maps: !block_in_memory
            && kernel.constants.next != Constant::Immediate(0)
            && matches!(kernel.constants.weight_map, Constant::Column(_)),
        setup_barrier: SETUP_BARRIER,
        teardown_barrier: TEARDOWN_BARRIER,
        table: TileTable::new(&plan.table),
        constants: &kernel.constants,
        maps: [kernel.constants.weight_map, kernel.constants.token_map],
        shared,
        full_to_empty: shared.empty - shared.full,
        accumulator_full_to_empty: shared.accumulator_empty - shared.accumulator_full,
        stage: &shared.stage,
        tensor: &kernel.tensor,
        barriers: barriers(shared, &kernel.tensor, choices),
        slabs: Slab::all(
            shared.stage.slabs,
            shared.stage.token_scales,
            shared.stage.slab_bytes,
            |slab| kernel.slab_is_optional(slab),
        ),
        uneven_slabs,
        steps: kernel
            .steps
            .iter()
            .map(|step| Step::new(step, k_tail, kernel))
            .collect(),
        k_tail,
        load_tail: k_tail && choices.side_by_side() == 1,
        operand_high: format!("{:#010x}", operand_high(shared.stage.span)),
        scale_high: format!("{:#010x}", matrix_high(128, Swizzle::None)),
        subtiles: subtiles(&shared.stage),
        weights_hint: Hint::new(choices.weights_hint, "%weights_policy"),
        tokens_hint: Hint::new(choices.tokens_hint, "%tokens_policy"),
        output: "f16",
        output_bytes: 2,
        packed_type: "f16x2",
        chunk,
        chunk_repeats: chunk / 8,
        chunk_registers: chunk / 2,
        low_lanes: registers("low_lanes"),
        high_lanes: registers("high_lanes"),
        token_blocks: (0..chunk / 8).map(TokenBlock::new).collect(),
    }
    .render()
}

fn barriers(shared: &SharedMap, tensor: &TensorMemory, choices: &Choices) -> Vec<Barrier> {
    Barrier::row("stage full", shared.full, shared.stages, 1)
        .chain(Barrier::row(
            "stage empty",
            shared.empty,
            shared.stages,
            choices.readers_of_a_stage(),
        ))
        .chain(Barrier::row(
            "accumulator full",
            shared.accumulator_full,
            tensor.accumulators,
            choices.mmas_of_a_sum(),
        ))
        .chain(Barrier::row(
            "accumulator empty",
            shared.accumulator_empty,
            if choices.splits_in_cluster() {
                0
            } else {
                tensor.accumulators
            },
            EPILOGUE_WARPS * choices.mma_ctas(),
        ))
        .chain(Barrier::row(
            "other CTA ready",
            shared.peer_ready,
            u32::from(choices.pair),
            1,
        ))
        .chain(Barrier::row(
            "parts here",
            shared.parts_here,
            u32::from(choices.splits_in_cluster()),
            EPILOGUE_WARPS * choices.split_k,
        ))
        .collect()
}

/// One sub-tile of a stage's operands: a span of the swizzle along K.
struct Subtile {
    index: u32,
    /// Distance along K.
    k_bytes: u32,
    /// Offset of the weights in the stage.
    weights: u32,
}

impl Subtile {
    fn is_first(&self) -> bool {
        self.index == 0
    }
}

fn subtiles(stage: &Stage) -> Vec<Subtile> {
    let subtile = |index| Subtile {
        index,
        k_bytes: index * stage.span,
        weights: index * WEIGHT_ROWS * stage.span,
    };
    (0..stage.row_bytes / stage.span).map(subtile).collect()
}

/// A cache hint as the parts of an instruction.
struct Hint {
    /// The policy that `createpolicy` would make (brief, 3.1); empty if there is none.
    policy: &'static str,
    qualifier: &'static str,
    operand: String,
}

impl Hint {
    fn new(hint: CacheHint, register: &str) -> Self {
        let policy = match hint {
            CacheHint::Normal => "",
            CacheHint::EvictFirst => "0x12F0000000000000",
            CacheHint::EvictLast => "0x14F0000000000000",
        };
        let given = !policy.is_empty();
        Hint {
            policy,
            qualifier: if given { ".L2::cache_hint" } else { "" },
            operand: if given {
                format!(", {register}")
            } else {
                String::new()
            },
        }
    }

    fn is_given(&self) -> bool {
        !self.policy.is_empty()
    }
}

/// One K = 64 step, with its guards. Only the last K block of a group can lack steps, and never the first.
struct Step<'a> {
    step: &'a steps::Step,
    guard: String,
    token_scales: Vec<ScaleCopy<'a>>,
}

/// One copy of token scales, guarded by its slab, its step, or both.
struct ScaleCopy<'a> {
    copy: &'a steps::ScaleCopy,
    predicate: String,
    guard: String,
    joint: bool,
}

impl<'a> Step<'a> {
    fn new(step: &'a steps::Step, k_tail: bool, kernel: &Kernel) -> Self {
        let optional = k_tail && step.index > 0;
        let copy = |copy: &'a steps::ScaleCopy| ScaleCopy::new(copy, step.index, optional, kernel);
        Step {
            step,
            guard: if optional {
                format!("@%step{} ", step.index)
            } else {
                String::new()
            },
            token_scales: step.token_scales.iter().map(copy).collect(),
        }
    }

    fn guarded(&self) -> bool {
        !self.guard.is_empty()
    }
}

impl<'a> ScaleCopy<'a> {
    fn new(copy: &'a steps::ScaleCopy, step: u32, optional_step: bool, kernel: &Kernel) -> Self {
        let predicate = match (kernel.slab_is_optional(copy.slab), optional_step) {
            (false, false) => String::new(),
            (true, false) => format!("%slab{}", copy.slab),
            (false, true) => format!("%step{step}"),
            (true, true) => format!("%slab{}_of_step{step}", copy.slab),
        };
        let guard = if predicate.is_empty() {
            String::new()
        } else {
            format!("@{predicate} ")
        };
        ScaleCopy {
            copy,
            joint: kernel.slab_is_optional(copy.slab) && optional_step,
            predicate,
            guard,
        }
    }
}

/// Eight tokens of a chunk: the registers that hold them and their rows in the staging buffer.
struct TokenBlock {
    r: [u32; 4],
    staging: u32,
}

impl TokenBlock {
    fn new(index: u32) -> Self {
        TokenBlock {
            r: [0, 1, 2, 3].map(|i| 4 * index + i),
            staging: index * 8 * 64,
        }
    }
}
