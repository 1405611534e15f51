//! One set on one target: everything that the emitter writes down, as plain printable data.
//!
//! A plan is made from a set, a target and a handful of choices; which choices are best is not known here. Every reason
//! for which choices cannot be planned is a [`Rule`] with a name.
//!
//! What all targets share is in this module: how outputs are cut into tiles, who computes which, the constant tables, the
//! parameter block. Each target has a module of its own for its choices, its memories and the planning itself; see
//! [`sm_100a::plan`] and [`sm_90a::plan`].

mod legality;
pub mod parameters;
mod print;
pub mod schedule;
pub mod sm_100a;
pub mod sm_90a;
pub mod table;
pub mod target;
pub mod tiling;

pub use legality::{Illegal, Rule};
pub use target::Target;

use crate::artifact::{LaunchShape, ParameterBlock};
use crate::problem::Set;
use schedule::Schedule;
use table::Table;
use tiling::{GroupTiling, TokenTile};

/// Weight rows of a tile.
pub const WEIGHT_ROWS: u32 = 128;
/// The grain of K: the K of one tensor-core operation of kind mxf4nvf4, and of one block of scales.
pub const STEP_K: u32 = 64;
/// Rows of a blocked scale slab.
pub const SCALE_ROWS: u32 = 128;
/// Bytes of one 128 x 4 block of scales: one slab, one K = 64 step.
pub const SCALE_BLOCK_BYTES: u32 = 512;

/// One set on one target.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The set.
    pub set: Set,
    /// The target.
    pub target: Target,
    /// The groups that have tokens.
    pub tilings: Vec<GroupTiling>,
    /// Their token tiles.
    pub token_tiles: Vec<TokenTile>,
    /// Who computes what.
    pub schedule: Schedule,
    /// What differs from one tile to the next.
    pub table: Table,
    /// The launch's parameter.
    pub parameters: ParameterBlock,
    /// Grid, block, cluster, dynamic shared memory.
    pub launch: LaunchShape,
    /// The kernel's insides.
    pub kernel: TargetPlan,
}

/// What a plan holds for its target alone.
#[derive(Clone, Debug, PartialEq)]
pub enum TargetPlan {
    /// Blackwell: tensor memory and block-scaled MMAs.
    Sm100a(Box<sm_100a::Kernel>),
    /// Hopper: FP4 dequantised to f16, accumulators in registers.
    Sm90a(Box<sm_90a::Kernel>),
}
