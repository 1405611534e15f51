//! Who does what in a CTA, and with how many registers.
//!
//! A *team* is two warpgroups that multiply, 64 weight rows each. Wide tiles need the registers for one team's sums.
//! Where tiles are narrow a K block costs little but waiting, one step for the other: barriers, shared memory, the
//! conversion of a few tokens, short MMAs. There two teams take K blocks in turn, and add their sums in the end.

/// Warps of a team.
pub const TEAM_WARPS: u32 = 8;
/// Widest tile that two teams share. At 64 they gain nothing any more.
const WIDEST_OF_TWO: u32 = 56;
/// Widest tile whose tokens are dequantised eight at a time; at 32 the stores cost more than is gained.
const WIDEST_OF_EIGHTS: u32 = 24;
/// Widest tile beside which two other widths may have code, with one team and with two. Beyond, ptxas 13.0 finds
/// "insufficient register resources" (C7512) for the function and waits for every single MMA, though each path alone has
/// enough; so will the drivers of its time. 13.5 takes all that this would allow for, but four wide ones.
const WIDEST_OF_THREE: [u32; 2] = [184, 24];

/// Registers a thread, by role. What all roles get together is there when the CTA starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registers {
    /// Of the teams.
    pub multiply: u32,
    /// Of the warps that load and dequantise tokens.
    pub token: u32,
}

/// The warps of a CTA: teams first, then those that dequantise tokens, last the one that issues loads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Roles {
    /// Teams that multiply.
    pub teams: u32,
    /// The first of the warps that dequantise tokens.
    pub token_warp: u32,
    /// Warps that dequantise tokens.
    pub token_warps: u32,
    /// Tokens that a warp dequantises at a time: 32, a token a lane, or eight, four lanes a token.
    pub unit_tokens: u32,
    /// The warp that issues loads.
    pub load_warp: u32,
    /// Threads of a CTA.
    pub threads: u32,
    /// Registers a thread.
    pub registers: Registers,
    /// Most widths of tiles that get code of their own.
    pub widths: usize,
}

impl Roles {
    /// The roles for tiles of up to so many tokens.
    pub fn of(widest: u32) -> Self {
        let (teams, token_warps, multiply, token, widest_of_three) = if widest <= WIDEST_OF_TWO {
            (2, 3, 104, 64, WIDEST_OF_THREE[1])
        } else {
            (1, 7, 184, 72, WIDEST_OF_THREE[0])
        };
        let token_warp = teams * TEAM_WARPS;
        let load_warp = token_warp + token_warps;
        Roles {
            teams,
            token_warp,
            token_warps,
            unit_tokens: if widest <= WIDEST_OF_EIGHTS { 8 } else { 32 },
            load_warp,
            threads: 32 * (load_warp + 1),
            registers: Registers { multiply, token },
            widths: if widest <= widest_of_three { 3 } else { 2 },
        }
    }

    /// Threads of all teams together.
    pub fn multiply_threads(&self) -> u32 {
        32 * self.token_warp
    }

    /// Slots that are worth having. One team frees a slot when it is in the next one; two hold twice as many.
    pub fn slots(&self) -> u32 {
        3 * self.teams
    }

    /// Cycles of a K block of 128 in a tile of so many tokens, measured: see the tables of [`super`].
    pub fn k_block_cycles(&self, width: u32) -> u32 {
        match self.teams {
            1 => (600 + 21 * width / 2).max(960 + 9 * width / 2),
            _ => 640 + 10 * width,
        }
    }

    /// Cycles that a tile takes.
    pub fn tile_cycles(&self, width: u32, k_blocks: u32) -> u64 {
        // First loads, first dequantisation, the epilogue.
        let ends = 1500 + 6 * width;
        u64::from(k_blocks) * u64::from(self.k_block_cycles(width)) + u64::from(ends)
    }
}
