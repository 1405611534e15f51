//! Plans for Blackwell: weights on the M side of block-scaled MMAs, accumulators in tensor memory.

pub mod constants;
pub mod descriptors;
mod print;
pub mod shared_memory;
pub mod steps;
pub mod tensor_memory;

use super::{Illegal, Plan, Target, TargetPlan, legality, parameters, schedule, table, tiling};
use crate::artifact::LaunchShape;
use crate::problem::Set;
use constants::Constants;
use shared_memory::SharedMap;
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
    /// What the code must know of each tile.
    pub constants: Constants,
}

/// Makes the plan, or says which rule the choices break.
pub fn plan(set: &Set, target: Target, choices: Choices) -> Result<Plan, Illegal> {
    legality::check_sizes(set)?;
    let (tilings, token_tiles) = tiling::tile(set, choices.k_block, choices.max_width, &target);
    let schedule = schedule::schedule(&tilings, &token_tiles, choices.ctas);
    let shared = shared_memory::map(&tilings, &token_tiles, &target, &choices)?;
    let tensor = tensor_memory::map(&token_tiles, &choices)?;
    let steps = steps::steps(&shared.stage, &tensor, &choices);
    let k_tail = tiling::has_k_tail(&tilings, choices.k_block);
    let pointers = parameters::pointers(&tilings);
    let rows = table::rows(&schedule, &token_tiles, &tilings);
    let (constants, table) = constants::constants(&rows, &shared.stage, pointers, k_tail);
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
        tilings,
        token_tiles,
        schedule,
        table,
        parameters,
        launch,
        kernel: TargetPlan::Sm100a(Kernel {
            choices,
            shared,
            tensor,
            steps,
            constants,
        }),
    })
}

impl Kernel {
    /// Whether some tile lacks this slab of token scales.
    pub fn slab_is_optional(&self, slab: u32) -> bool {
        self.constants.fewest_slabs <= slab
    }
}
