//! Plans for Blackwell: weights on the M side of block-scaled MMAs, accumulators in tensor memory.

pub mod constants;
pub mod descriptors;
pub mod prefetch;
mod print;
pub mod shared_memory;
pub mod split;
pub mod steps;
mod team;
pub mod tensor_memory;

use super::schedule::{Order, Tile};
use super::tiling::{GroupTiling, TokenTile, Widths};
use super::{
    Illegal, Plan, Rule, SCALE_ROWS, Target, TargetPlan, WEIGHT_ROWS, legality, parameters,
    schedule, table, tiling,
};
use crate::artifact::LaunchShape;
use crate::plan::table::Visit;
use crate::problem::Set;
use constants::Constants;
use shared_memory::SharedMap;
pub use split::Reduction;
use split::Workspace;
use steps::Step;
use tensor_memory::TensorMemory;

/// Warps of the epilogue: each may touch only its own 32 lanes of tensor memory (brief, 2.1).
pub const EPILOGUE_WARPS: u32 = 4;
/// The warp that issues loads.
pub const LOAD_WARP: u32 = 4;
/// The warp that issues scale copies and MMAs, and owns the tensor memory.
pub const MMA_WARP: u32 = 5;
/// Threads of a CTA.
pub const THREADS: u32 = 192;

/// The free choices of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choices {
    /// K elements in a stage: 128, 256 or 512.
    pub k_block: u32,
    /// How wide token tiles are: 16 to 256, a multiple of 16; of the target's `token_start_step` where a group has several.
    pub widths: Widths,
    /// Most accumulators in tensor memory, 1 to 8: with two and more, a tile's epilogue overlaps the next tile's MMAs.
    pub accumulators: u32,
    /// Who computes what: [`Order::ALL`].
    pub order: Order,
    /// Most workers to launch: CTAs, or clusters of two that stand side by side. Up to as many as the target's `sms` hold,
    /// or as many as make all equally busy.
    pub ctas: u32,
    /// Two CTAs multiply together, 256 weight rows at a time.
    pub pair: bool,
    /// Two CTAs side by side fetch for each other what both need: token scales, and without a pair tokens as well.
    pub multicast: bool,
    /// Parts that each sum over K is cut into; 1 for none.
    pub split_k: u32,
    /// How parts are brought together.
    pub reduction: Reduction,
    /// Accumulator columns that the epilogue handles at a time: 16, 32 or 64.
    pub chunk: u32,
    /// K blocks at the end of each worker's tiles whose weights CTAs without tiles fetch into L2; 0 for none.
    pub prefetch: u32,
    /// What L2 is told of weights and their scales: [`CacheHint::ALL`].
    pub weights_hint: CacheHint,
    /// What L2 is told of tokens and their scales: [`CacheHint::ALL`].
    pub tokens_hint: CacheHint,
}

/// What L2 is told of loaded bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheHint {
    /// Nothing.
    Normal,
    /// They are not needed again.
    EvictFirst,
    /// They are needed again.
    EvictLast,
}

impl CacheHint {
    /// Every hint.
    pub const ALL: [CacheHint; 3] = [
        CacheHint::Normal,
        CacheHint::EvictFirst,
        CacheHint::EvictLast,
    ];
}

/// The insides of a kernel.
#[derive(Clone, Debug, PartialEq)]
pub struct Kernel {
    /// The choices that led here.
    pub choices: Choices,
    /// Shared memory.
    pub shared: SharedMap,
    /// Tensor memory.
    pub tensor: TensorMemory,
    /// The K = 64 steps of a stage.
    pub steps: Vec<Step>,
    /// What each CTA without tiles fetches into L2, or each two that stand side by side.
    pub prefetches: Vec<Vec<Visit>>,
    /// Where split sums are brought together in device memory.
    pub workspace: Workspace,
    /// What the code must know of each tile.
    pub constants: Constants,
}

/// Makes the plan, or says which rule the choices break.
pub fn plan(set: &Set, target: Target, mut choices: Choices) -> Result<Plan, Illegal> {
    if choices.splits_in_cluster() {
        // Its CTAs have one tile each.
        choices.accumulators = 1;
    }
    legality::check_sizes(set)?;
    legality::check_widths(set, &choices.widths, &target)?;
    check_candidates(&choices)?;
    choices.check()?;
    let (tilings, token_tiles) = tiling::tile(
        set,
        choices.k_block,
        &choices.widths,
        &target,
        choices.tile_rows(),
    );
    let cost = |tile| cost(tile, &tilings, &token_tiles);
    choices.check_split(&tilings)?;
    let schedule = if choices.splits_in_cluster() {
        schedule::clusters(&tilings, &token_tiles, choices.split_k, &cost)
    } else {
        let (order, parts) = (choices.order, choices.split_k);
        schedule::schedule(&tilings, &token_tiles, order, choices.ctas, parts, &cost)
    };
    let shared = shared_memory::map(&tilings, &token_tiles, &schedule, &target, &choices)?;
    choices.check_exchange(&token_tiles, shared.staging)?;
    let workspace = split::workspace(&schedule, &token_tiles, &choices)?;
    let tensor = tensor_memory::map(&token_tiles, &schedule, &choices)?;
    let steps = steps::steps(&shared.stage, &tensor);
    let k_tail = tiling::has_k_tail(&tilings, choices.k_block);
    let maps = choices.maps();
    let prefetches =
        prefetch::prefetches(&schedule, &token_tiles, &shared.rings, &target, &choices)?;
    let rows = table::rows(&schedule, &prefetches, &token_tiles, &tilings);
    let offsets = maps.offsets(&tilings);
    let (constants, table) = constants::constants(
        &rows, &offsets, &choices, &shared, &tensor, &workspace, k_tail,
    );
    let parameters = parameters::layout(&tilings, &maps, workspace.bytes);
    let workers = schedule.ctas.len() + prefetches.len();
    let launch = LaunchShape {
        grid: [workers as u32 * choices.side_by_side(), 1, 1],
        block: [THREADS, 1, 1],
        cluster: [choices.cluster(), 1, 1],
        dynamic_shared: shared.bytes,
    };
    Ok(Plan {
        set: set.clone(),
        target,
        tilings,
        token_tiles,
        schedule,
        table,
        parameters,
        launch,
        kernel: TargetPlan::Sm100a(Box::new(Kernel {
            choices,
            shared,
            tensor,
            steps,
            prefetches,
            workspace,
            constants,
        })),
    })
}

/// Choices for which there is code.
fn check_candidates(choices: &Choices) -> Result<(), Illegal> {
    if ![128, 256, 512].contains(&choices.k_block) {
        let detail = format!("a K block of {}", choices.k_block);
        return Err(Illegal::new(Rule::KBlock, detail));
    }
    if ![16, 32, 64].contains(&choices.chunk) {
        let detail = format!("chunks of {} columns", choices.chunk);
        return Err(Illegal::new(Rule::Chunk, detail));
    }
    if !(1..=8).contains(&choices.accumulators) {
        let detail = format!("{} accumulators", choices.accumulators);
        return Err(Illegal::new(Rule::TensorMemory, detail));
    }
    Ok(())
}

/// What a tile costs each of its CTAs, as far as the schedule is concerned: the bytes that it loads. Memory is the bottleneck.
fn cost(tile: Tile, tilings: &[GroupTiling], token_tiles: &[TokenTile]) -> u64 {
    let token_tile = &token_tiles[tile.token_tile];
    let rows = u64::from(WEIGHT_ROWS + token_tile.rows);
    let scale_rows = u64::from(SCALE_ROWS * (1 + token_tile.slabs));
    let tiling = &tilings[token_tile.tiling];
    let whole = u64::from(tiling.k) * (8 * rows + scale_rows) / 16;
    whole * u64::from(tile.part.k_blocks) / u64::from(tiling.k_blocks)
}

impl Kernel {
    /// Whether an SM holds two CTAs at once, so that the next launch's can start while this one's still runs.
    pub fn has_room_beside(&self, target: &Target) -> bool {
        2 * self.shared.bytes <= target.shared_bytes
            && 2 * self.tensor.columns <= tensor_memory::COLUMNS
    }

    /// Whether some tile lacks this slab of token scales.
    pub fn slab_is_optional(&self, slab: u32) -> bool {
        self.constants.fewest_slabs <= slab
    }
}
