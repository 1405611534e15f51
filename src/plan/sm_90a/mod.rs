//! Plans for Hopper, which has no FP4 tensor core: operands are dequantised to f16, exactly, and multiplied by `wgmma`.
//!
//! A tile is 128 weight rows x a token tile, and its sums are the registers of two warpgroups, 64 weight rows each, or of
//! two such teams where tiles are narrow, each of every other K block ([`roles`]). The
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
//! # Narrow tiles (an H200 at 1.98 GHz, 8 groups of N = K = 4096, us; every K block the same 9.2 KB)
//! | tokens | one team | tokens in units of 8 | two teams, 3 slots | 6 slots | 6 slots, units of 8 |
//! |---|---|---|---|---|---|
//! | 8 | 37.9 | 33.8 | 44.1 | 30.8 | **28.1** |
//! | 16 | 38.6 | 34.1 | 45.6 | 32.4 | **30.4** |
//! | 32 | 40.5 | 37.9 | 47.1 | **34.6** | 36.2 |
//! | 48 | 45.1 | 42.8 | 51.5 | 43.1 | 42.0 |
//! | 64 | 47.5 | 46.6 | 54.4 | 46.3 | 50.1 |
//!
//! Below W = 64 the time of one team hardly depends on W: it is one step waiting for the other, the longest of them a warp
//! that dequantises 32 tokens of a K block. Two teams alone are slower, since each holds a slot while it waits for the
//! next; with twice the slots they are faster. More than 6 slots, more than 8 stages, or 7 token warps beside two teams
//! change nothing. A copy of the same bytes takes 18 us.
//!
//! # Why the parts of wide tiles add up
//! The parts add up where they were expected to overlap. It is not for waiting: without the waits for slots the kernel
//! is as slow. Fewer instructions on the ALU (shifts as multiplications) change nothing, nor does unpacking
//! before waiting for the MMAs before; units of eight tokens and more token warps are slower, by their stores. A cluster
//! of two whose CTAs store half of the tokens in each other's shared memory takes twice as long. A third slot gains 10 %
//! on P1, since wide tiles dequantise weights less often.

pub mod constants;
mod print;
pub mod roles;
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
use roles::Roles;
use shared_memory::SharedMap;

/// K elements of a stage: what one lane in four reads of a row is one 16-byte unit.
pub const K_BLOCK: u32 = 128;
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
    /// Who does what.
    pub roles: Roles,
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
    let roles = Roles::of(tilings.iter().map(|t| t.width).max().unwrap_or(8));
    let widths = widths::few(&tilings, &token_tiles, roles.widths);
    let cost = |tile: &schedule::Tile| {
        let token_tile = &token_tiles[tile.token_tile];
        let width = widths::of_code(&widths, token_tile.width);
        roles.tile_cycles(width, tilings[token_tile.tiling].k_blocks)
    };
    let schedule = schedule::balanced(&tilings, &token_tiles, choices.ctas, cost);
    let shared = shared_memory::map(&tilings, &token_tiles, &roles, &target)?;
    let k_tail = tiling::has_k_tail(&tilings, K_BLOCK);
    let maps = Maps::of_operands(K_BLOCK);
    let offsets = maps.offsets(&tilings);
    let rows = table::rows(&schedule, &[], &token_tiles, &tilings);
    let (constants, table) = constants::constants(&rows, &offsets, &shared.stage, &widths, k_tail);
    let parameters = parameters::layout(&tilings, &maps, 0);
    let launch = LaunchShape {
        grid: [schedule.ctas.len() as u32, 1, 1],
        block: [roles.threads, 1, 1],
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
            roles,
            shared,
            widths,
            constants,
        })),
    })
}

impl Kernel {
    /// Whether some tile has so few K blocks that a team may have none of it.
    pub fn has_idle_team(&self, plan: &Plan) -> bool {
        let fewest = plan.tilings.iter().map(|t| t.k_blocks).min();
        fewest.is_some_and(|k_blocks| k_blocks < self.roles.teams)
    }

    /// Whether some tile lacks this slab of token scales.
    pub fn slab_is_optional(&self, slab: u32) -> bool {
        self.constants.fewest_slabs <= slab
    }
}
