//! Plans for Hopper, which has no FP4 tensor core: operands are dequantised to f16, exactly, and multiplied by `wgmma`.
//!
//! A tile is 128 weight rows x a token tile, and its sums are the registers of two warpgroups, 64 weight rows each. The
//! packed operands and their scales come by bulk copies as they are. Weights are dequantised in the registers of the
//! warpgroup that multiplies (they are wgmma's operand A); tokens once a tile, by a warpgroup of their own, into swizzled
//! shared memory (operand B), from where both multiply.
//!
//! # Arithmetic
//! An E2M1 nibble `s e e m` moved to the bits 15, 11, 10, 9 of an f16 is its value times 2^-14, for all 16 codes. One
//! multiplication with the scale times 2^7 makes it value * scale * 2^-7, which f16 holds exactly (at most six significant
//! bits, a multiple of 2^-17); both operands carry 2^-7, so sums are multiplied by 2^14 before they are rounded
//! (brief, 5.2). How far the tensor core's f32 sums may be from the exact ones is derived in `verify::bound`.
//!
//! # The order of K
//! Within a K block of 128 the order is free as long as both operands have the same. Lane l of a warp takes the 16-byte
//! unit l % 4 of a row, that is two whole scale blocks, so one load brings its part and one conversion its scales. The
//! first four MMAs (64 of K) go over the even scale blocks, the other four over the odd ones; see `templates/sm_90a`.
//!
//! # What a K block of 128 should cost, before any measurement (cycles of one SM, W tokens wide)
//! | part | weights | tokens | of the tensor core's 8 W |
//! |---|---|---|---|
//! | tensor core: 2 x 8 `m64nWk16`, W/2 each | | | 8 W |
//! | dequantisation: 15 instructions for 8 elements, 9 of them on the half-rate ALU: 18 cycles a warp and word | 2 x 8 words: 290 | 16 words a token row, W / 128 warps' rows a scheduler: 2.3 W | 65 % at W = 128 |
//! | shared memory, 128 bytes a cycle | 64 in, 64 out | 0.5 W in, 0.5 W out, 2 W back as f16, 4 W read by wgmma (once a warpgroup) | 100 % at W = 128, 94 % at 256 |
//!
//! So it was expected that below W = 56 dequantisation is the limit, that above it shared memory and the tensor core are
//! nearly even, and that 80 to 85 % of the tensor core's peak can be had.
//!
//! # What it costs (an H100 at 1.98 GHz, driver 580.159; kernels with parts taken out)
//! Half of that: a K block takes about `600 + 10.5 W` cycles, within 15 % in 15 plans of P1 to P4 (W is that of the
//! code). For P3 (W = 96 and 112, 32 K blocks a CTA, 31.5 us):
//!
//! | left in the kernel | us | |
//! |---|---|---|
//! | barriers alone | 7.4 | 270 cycles a K block from barrier to barrier; 3 us for the launch and both ends |
//! | loads | 13.7 | 5.5 TB/s out of L2: every CTA fetches its tokens itself |
//! | MMAs | 18.4 | 950 cycles a K block, 6 % above the tensor core's |
//! | MMAs, weights | 23.5 | with loads |
//! | MMAs, weights, tokens loaded and stored but not computed | 26.7 | stores to shared memory compete with wgmma's reads |
//! | all | 31.5 | |
//!
//! The parts add up where they were expected to overlap. It is not for waiting: without the waits for slots the kernel
//! is as slow. Fewer instructions on the ALU (shifts as multiplications) change nothing, nor does unpacking
//! before waiting for the MMAs before; units of eight tokens and more token warps are slower, by their stores. A cluster
//! of two whose CTAs store half of the tokens in each other's shared memory takes twice as long. A third slot gains 10 %
//! on P1, since wide tiles dequantise weights less often.

pub mod constants;
mod print;
pub mod shared_memory;
pub mod widths;

use super::parameters::Maps;
use super::tiling::Widths;
use super::{
    Illegal, Plan, Target, TargetPlan, WEIGHT_ROWS, legality, parameters, schedule, table, tiling,
};
use crate::artifact::LaunchShape;
use crate::problem::Set;
use constants::Constants;
use shared_memory::SharedMap;

/// K elements of a stage: what one lane in four reads of a row is one 16-byte unit.
pub const K_BLOCK: u32 = 128;
/// Warps that multiply: two warpgroups.
pub const MULTIPLY_WARPS: u32 = 8;
/// The first of the warps that dequantise tokens.
pub const TOKEN_WARP: u32 = 8;
/// Warps that dequantise tokens.
pub const TOKEN_WARPS: u32 = 7;
/// The warp that issues loads, the last one.
pub const LOAD_WARP: u32 = 15;
/// Threads of a CTA.
pub const THREADS: u32 = 512;

/// Registers a thread, by role. Together 128 times 512, which is all that an SM has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registers {
    /// Of the warpgroups that multiply: sums of up to 256 tokens take 128.
    pub multiply: u32,
    /// Of the others.
    pub token: u32,
}

/// Widths with code of their own. With four wide ones ptxas (13.0, 13.5) finds "insufficient register resources" for the
/// function and waits for every single MMA, though each path alone has enough.
pub const MOST_WIDTHS: usize = 3;

/// The one share that fits the widest tile.
pub const REGISTERS: Registers = Registers {
    multiply: 184,
    token: 72,
};

/// The free choices of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choices {
    /// Widest token tile, at most 256.
    pub max_width: u32,
    /// Most CTAs to launch.
    pub ctas: u32,
}

/// The insides of a kernel.
#[derive(Clone, Debug, PartialEq)]
pub struct Kernel {
    /// The choices that led here.
    pub choices: Choices,
    /// Shared memory.
    pub shared: SharedMap,
    /// The widths that there is code for: N is part of wgmma's opcode. A tile takes the next that is not less than its own.
    pub widths: Vec<u32>,
    /// What the code must know of each tile.
    pub constants: Constants,
}

/// Makes the plan, or says which rule the choices break.
pub fn plan(set: &Set, target: Target, choices: Choices) -> Result<Plan, Illegal> {
    legality::check_sizes(set)?;
    let widths = Widths::UpTo(choices.max_width);
    let (tilings, token_tiles) = tiling::tile(set, K_BLOCK, &widths, &target, WEIGHT_ROWS);
    let widths = widths::few(&tilings, &token_tiles, MOST_WIDTHS);
    let cost = |tile: &schedule::Tile| {
        let token_tile = &token_tiles[tile.token_tile];
        let width = widths::of_code(&widths, token_tile.width);
        tile_cost(width, tilings[token_tile.tiling].k_blocks)
    };
    let schedule = schedule::balanced(&tilings, &token_tiles, choices.ctas, cost);
    let shared = shared_memory::map(&tilings, &token_tiles, &target)?;
    let k_tail = tiling::has_k_tail(&tilings, K_BLOCK);
    let maps = Maps::of_operands(K_BLOCK);
    let offsets = maps.offsets(&tilings);
    let rows = table::rows(&schedule, &[], &token_tiles, &tilings);
    let (constants, table) = constants::constants(&rows, &offsets, &shared.stage, &widths, k_tail);
    let parameters = parameters::layout(&tilings, &maps, 0);
    let launch = LaunchShape {
        grid: [schedule.ctas.len() as u32, 1, 1],
        block: [THREADS, 1, 1],
        cluster: [1, 1, 1],
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
        kernel: TargetPlan::Sm90a(Box::new(Kernel {
            choices,
            shared,
            widths,
            constants,
        })),
    })
}

/// Cycles of a K block of 128, measured: see the module's second table. A constant and what each column adds.
pub const K_BLOCK_CYCLES: (f64, f64) = (600.0, 10.5);

/// Cycles that a tile takes.
pub fn tile_cost(width: u32, k_blocks: u32) -> u64 {
    let (constant, each) = K_BLOCK_CYCLES;
    let k_block = constant + each * f64::from(width);
    // First loads, first dequantisation, the epilogue.
    let ends = 1500 + 6 * width;
    u64::from(k_blocks) * k_block as u64 + u64::from(ends)
}

impl Kernel {
    /// Whether some tile lacks this slab of token scales.
    pub fn slab_is_optional(&self, slab: u32) -> bool {
        self.constants.fewest_slabs <= slab
    }
}
