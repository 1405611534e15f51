//! One set on one target: everything that the emitter writes down, as plain printable data.
//!
//! A plan is made from a set, a target and a handful of [`Choices`]; which choices are best is not known here. Every
//! reason for which choices cannot be planned is a [`Rule`] with a name.

pub mod descriptors;
mod legality;
pub mod parameters;
mod print;
pub mod schedule;
pub mod shared_memory;
pub mod steps;
pub mod table;
mod tables;
pub mod target;
pub mod tensor_memory;
pub mod tiling;

pub use legality::{Illegal, Rule};
pub use target::Target;

use crate::artifact::{LaunchShape, ParameterBlock};
use crate::problem::Set;
use schedule::Schedule;
use shared_memory::{SharedMap, Stage};
use steps::Step;
use table::Constants;
use tensor_memory::TensorMemory;
use tiling::{GroupTiling, TokenTile};

/// Weight rows of a tile: the M of one tensor-core operation.
pub const WEIGHT_ROWS: u32 = 128;
/// K of one tensor-core operation of kind mxf4nvf4.
pub const STEP_K: u32 = 64;
/// Rows of a blocked scale slab.
pub const SCALE_ROWS: u32 = 128;
/// Bytes of one 128 x 4 block of scales: one slab, one K = 64 step.
pub const SCALE_BLOCK_BYTES: u32 = 512;
/// Warps of the epilogue: each may touch only its own 32 lanes of tensor memory (brief, 2.1).
pub const EPILOGUE_WARPS: u32 = 4;
/// The warp that issues loads.
pub const LOAD_WARP: u32 = 4;
/// The warp that issues scale copies and MMAs, and owns the tensor memory.
pub const MMA_WARP: u32 = 5;
/// Threads of a CTA.
pub const THREADS: u32 = 192;

/// The free choices of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choices {
    /// K elements in a stage.
    pub k_block: u32,
    /// Widest token tile.
    pub max_width: u32,
    /// Accumulators in tensor memory: two let one tile's epilogue overlap the next tile's MMAs.
    pub accumulators: u32,
    /// Most CTAs to launch.
    pub ctas: u32,
    /// CTAs of a cluster.
    pub cluster: u32,
    /// Accumulator columns that the epilogue handles at a time.
    pub chunk: u32,
}

/// One set on one target.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The set.
    pub set: Set,
    /// The target.
    pub target: Target,
    /// The choices that led here.
    pub choices: Choices,
    /// The groups that have tokens.
    pub tilings: Vec<GroupTiling>,
    /// Their token tiles.
    pub token_tiles: Vec<TokenTile>,
    /// Who computes what.
    pub schedule: Schedule,
    /// Shared memory.
    pub shared: SharedMap,
    /// Tensor memory.
    pub tensor: TensorMemory,
    /// The K = 64 steps of a stage.
    pub steps: Vec<Step>,
    /// What the code must know of each token tile.
    pub constants: Constants,
    /// The launch's parameter.
    pub parameters: ParameterBlock,
    /// Grid, block, cluster, dynamic shared memory.
    pub launch: LaunchShape,
}

/// Makes the plan, or says which rule the choices break.
pub fn plan(set: &Set, target: Target, choices: Choices) -> Result<Plan, Illegal> {
    legality::check_sizes(set)?;
    let (tilings, token_tiles) = tiling::tile(set, &target, &choices);
    let schedule = schedule::schedule(&tilings, &token_tiles, &choices);
    let shared = shared_memory::map(&tilings, &token_tiles, &target, &choices)?;
    let tensor = tensor_memory::map(&token_tiles, &target, &choices)?;
    let steps = steps::steps(&shared.stage, &tensor, &choices);
    let k_tail = tiling::has_k_tail(&tilings, choices.k_block);
    let pointers = parameters::pointers(&tilings);
    let constants = table::constants(&tilings, &token_tiles, &shared.stage, pointers, k_tail);
    let parameters = parameters::layout(&tilings, choices.k_block);
    let launch = LaunchShape {
        grid: [schedule.ctas.len() as u32, 1, 1],
        block: [THREADS, 1, 1],
        cluster: [choices.cluster, 1, 1],
        dynamic_shared: shared.bytes,
    };
    Ok(Plan {
        set: set.clone(),
        target,
        choices,
        tilings,
        token_tiles,
        schedule,
        shared,
        tensor,
        steps,
        constants,
        parameters,
        launch,
    })
}
