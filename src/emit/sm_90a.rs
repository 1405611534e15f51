//! The sm_90a kernel: the template's fields, filled from the plan.

mod operands;

use super::function_name;
use super::ring::{Barrier, Slab};
use super::table::{Bring, TileTable};
use crate::artifact::Location;
use crate::plan::sm_90a::Kernel;
use crate::plan::sm_90a::constants::Constants;
use crate::plan::sm_90a::roles::{Roles, TEAM_WARPS};
use crate::plan::sm_90a::shared_memory::{SharedMap, Stage};
use crate::plan::table::Constant;
use crate::plan::{Plan, SCALE_BLOCK_BYTES, parameters, tiling};
use askama::Template;
use operands::{TokenHalf, TokenStep, TokenUnit, TokenWord, WeightHalf};

/// Both halves 2^7: what scales are multiplied with.
const SCALE_FACTOR: &str = "0x58005800";
/// f32 2^14: what sums are multiplied with, since both operands carry 2^-7.
const UNSCALE: &str = "0f46800000";

#[derive(Template)]
#[template(
    path = "sm_90a/grouped_gemm.ptx",
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
    roles: &'a Roles,
    multiply_threads: u32,
    last_team_warp: u32,
    short_k: bool,
    block_bytes: u32,
    block_alignment: u32,
    block_in_memory: bool,
    block_space: &'static str,
    token_map: u32,
    table: TileTable,
    constants: &'a Constants,
    shared: &'a SharedMap,
    stage: &'a Stage,
    full_to_empty: u32,
    slot_full_to_empty: u32,
    barriers: Vec<Barrier>,
    slabs: Vec<Slab>,
    uneven_slabs: bool,
    k_tail: bool,
    scale_factor: &'static str,
    unscale: &'static str,
    second_token_scales: u32,
    token_units: Vec<TokenUnit>,
    unit_tokens: u32,
    token_halves: Vec<TokenHalf>,
    token_words: Vec<TokenWord>,
    lower_row_weights: u32,
    lower_row_scales: u32,
    sums: u32,
    tokens_high: String,
    token_steps: Vec<TokenStep>,
    weight_halves: [WeightHalf; 2],
    variants: Vec<Variant>,
    output: &'static str,
    output_bytes: u32,
    packed_type: &'static str,
}

/// Renders the kernel.
pub fn render(plan: &Plan, kernel: &Kernel) -> Result<String, askama::Error> {
    let key = plan.set.key();
    let shared = &kernel.shared;
    let stage = &shared.stage;
    let block_in_memory = plan.parameters.location == Location::Device;
    GroupedGemm {
        name: &plan.set.name,
        summary: plan.summary(),
        target: plan.target.name,
        ptx_version: plan.target.ptx_version,
        function: function_name(&key),
        key: &key,
        roles: &kernel.roles,
        multiply_threads: kernel.roles.multiply_threads(),
        last_team_warp: TEAM_WARPS - 1,
        short_k: kernel.has_idle_team(plan),
        block_bytes: plan.parameters.bytes,
        block_alignment: plan.parameters.alignment,
        block_in_memory,
        block_space: match plan.parameters.location {
            Location::Parameter => "param",
            Location::Device => "global",
        },
        token_map: parameters::TOKEN_MAP,
        table: TileTable::new(&plan.table),
        constants: &kernel.constants,
        shared,
        stage,
        full_to_empty: shared.empty - shared.full,
        slot_full_to_empty: shared.slot_empty - shared.slot_full,
        barriers: barriers(shared, &kernel.roles),
        slabs: Slab::all(stage.slabs, stage.token_scales, stage.slab_bytes, |slab| {
            kernel.slab_is_optional(slab)
        }),
        uneven_slabs: matches!(kernel.constants.slabs, Constant::Column(_)),
        k_tail: tiling::has_k_tail(&plan.tilings, crate::plan::sm_90a::K_BLOCK),
        scale_factor: SCALE_FACTOR,
        unscale: UNSCALE,
        second_token_scales: stage.token_scales + SCALE_BLOCK_BYTES,
        token_units: (0..4).map(TokenUnit::new).collect(),
        token_halves: [0, 1]
            .into_iter()
            .flat_map(|half| [0, 1].map(|word| TokenHalf::new(half, word, shared)))
            .collect(),
        unit_tokens: kernel.roles.unit_tokens,
        token_words: (0..4).map(|i| TokenWord::new(i, shared)).collect(),
        lower_row_weights: 8 * stage.row_bytes,
        lower_row_scales: stage.weight_scales + 8 * 16,
        sums: kernel.widths.last().copied().unwrap_or(8) / 2,
        tokens_high: format!("{TOKENS_HIGH:#010x}"),
        token_steps: (0..8).map(|i| TokenStep::new(i, shared)).collect(),
        weight_halves: [0, 1].map(WeightHalf::new),
        variants: kernel.widths.iter().map(|&w| Variant::new(w)).collect(),
        output: "f16",
        output_bytes: 2,
        packed_type: "f16x2",
    }
    .render()
}

/// Upper word of the tokens' matrix descriptor: 128-byte swizzle, eight rows every 1,024 bytes (brief, 5.1).
const TOKENS_HIGH: u32 = 1 << (62 - 32) | 1024 >> 4;

fn barriers(shared: &SharedMap, roles: &Roles) -> Vec<Barrier> {
    let readers = TEAM_WARPS + roles.token_warps;
    Barrier::row("stage full", shared.full, shared.stages, 1)
        .chain(Barrier::row(
            "stage empty",
            shared.empty,
            shared.stages,
            readers,
        ))
        .chain(Barrier::row(
            "slot full",
            shared.slot_full,
            shared.slots,
            roles.token_warps,
        ))
        .chain(Barrier::row(
            "slot empty",
            shared.slot_empty,
            shared.slots,
            TEAM_WARPS,
        ))
        .collect()
}

/// The code of tiles of one width.
struct Variant {
    width: u32,
    label: String,
    sums: String,
    each_sum: Vec<String>,
    fours: Vec<Four>,
    pairs: Vec<Pair>,
}

/// Four sums of a thread that one team leaves for the other.
struct Four {
    each: Vec<String>,
    sums: String,
    offset: u32,
}

/// Bytes that the threads of a team leave at a time, 16 each.
const FOURS_BYTES: u32 = 32 * TEAM_WARPS * 16;

impl Four {
    fn new((index, each): (u32, &[String])) -> Self {
        Four {
            each: each.to_vec(),
            sums: list(each.to_vec()),
            offset: index * FOURS_BYTES,
        }
    }
}

/// Sixteen tokens of the epilogue, or the last eight.
struct Pair {
    scaled: Vec<Scaled>,
    packed: Vec<Packed>,
    matrices: String,
    staging: u32,
}

struct Scaled {
    to: u32,
    sum: String,
}

struct Packed {
    to: u32,
    low: u32,
    high: u32,
}

impl Variant {
    fn new(width: u32) -> Self {
        let each_sum: Vec<String> = (0..width / 2).map(|i| format!("%sum{i}")).collect();
        Variant {
            width,
            label: format!("MULTIPLY_{width}"),
            sums: list(each_sum.clone()),
            fours: (0..).zip(each_sum.chunks(4)).map(Four::new).collect(),
            each_sum,
            pairs: (0..width.div_ceil(16))
                .map(|i| Pair::new(i, width))
                .collect(),
        }
    }
}

impl Pair {
    fn new(index: u32, width: u32) -> Self {
        let sums = (width / 2 - 8 * index).min(8);
        let matrices = sums / 2;
        Pair {
            scaled: (0..sums)
                .map(|to| Scaled {
                    to,
                    sum: format!("%sum{}", 8 * index + to),
                })
                .collect(),
            packed: (0..matrices)
                .map(|to| Packed {
                    to,
                    low: 2 * to,
                    high: 2 * to + 1,
                })
                .collect(),
            // Of the last eight tokens alone, the other two matrices are rows that nobody stores.
            matrices: list((0..4).map(|i| format!("%packed{}", i % matrices))),
            staging: index % 2 * 16 * 32,
        }
    }
}

fn list(registers: impl IntoIterator<Item = String>) -> String {
    registers.into_iter().collect::<Vec<_>>().join(", ")
}
