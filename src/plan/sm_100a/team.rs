//! CTAs that work on one tile together: which they are, and the rules that bind them.
//!
//! Two CTAs of a cluster can stand side by side along the weights: a tile then has 256 weight rows, 128 for each. As a
//! *pair* they multiply with one MMA over both (`cta_group::2`; brief, 1.6): the even CTA leads, each holds its own weight
//! rows and half of the tokens. With *multicast* and no pair, each multiplies for itself, and each fetches half of the
//! tokens for both. Token scales are needed by both in either case; with multicast each fetches half of them for both.

use super::Choices;
use crate::plan::parameters::Maps;
use crate::plan::tiling::{GroupTiling, TokenTile};
use crate::plan::{Illegal, Rule, STEP_K, WEIGHT_ROWS};

impl Choices {
    /// CTAs that stand side by side along the weights of a tile.
    pub fn side_by_side(&self) -> u32 {
        if self.pair || self.multicast { 2 } else { 1 }
    }

    /// Weight rows of a tile.
    pub fn tile_rows(&self) -> u32 {
        WEIGHT_ROWS * self.side_by_side()
    }

    /// CTAs of a cluster.
    pub fn cluster(&self) -> u32 {
        if self.splits_in_cluster() {
            self.split_k
        } else {
            self.side_by_side()
        }
    }

    /// CTAs that one MMA runs on.
    pub fn mma_ctas(&self) -> u32 {
        if self.pair { 2 } else { 1 }
    }

    /// MMA warps that must be through before an accumulator may be read: where parts are exchanged in the rings' place, all
    /// of the cluster.
    pub fn mmas_of_a_sum(&self) -> u32 {
        if self.splits_in_cluster() {
            self.split_k
        } else {
            1
        }
    }

    /// MMA warps that must be through with a stage before anyone writes to it.
    pub fn readers_of_a_stage(&self) -> u32 {
        self.side_by_side() / self.mma_ctas()
    }

    /// Token rows that a stage of a CTA must have room for: what its MMAs read, and what boxes bring.
    pub fn stage_rows(&self, tiling: &GroupTiling, token_tile: &TokenTile) -> u32 {
        if self.maps().exact_rows {
            token_tile.width
        } else {
            tiling.width / self.mma_ctas()
        }
    }

    /// K = 64 steps of a K block.
    pub fn steps(&self) -> u32 {
        self.k_block / STEP_K
    }

    /// What tensor maps fetch. CTAs side by side fetch scales through maps too: a plain bulk copy can neither signal
    /// the barrier of the pair's other CTA nor stop at the last 128 rows of an odd number of them.
    pub fn maps(&self) -> Maps {
        if self.side_by_side() == 1 {
            return Maps {
                // A part is stored by eights of tokens, so all of them must be there.
                exact_rows: !self.splits_in_workspace(),
                ..Maps::of_operands(self.k_block)
            };
        }
        let token_scales = if self.multicast {
            self.steps() / 2
        } else {
            self.steps()
        };
        Maps {
            k_block: self.k_block,
            token_shares: 2,
            scale_steps: Some([self.steps(), token_scales]),
            exact_rows: false,
        }
    }

    /// Who works together, in words; empty where every CTA works alone.
    pub(super) fn together(&self) -> &'static str {
        match (self.pair, self.multicast) {
            _ if self.splits_in_cluster() => ", clusters that share sums",
            _ if self.splits_in_workspace() => ", sums shared in a workspace",
            (false, false) => "",
            (true, false) => ", CTAs in pairs",
            (false, true) => ", two CTAs side by side that multicast tokens",
            (true, true) => ", CTAs in pairs that multicast token scales",
        }
    }

    /// Refuses what cannot go together.
    pub(super) fn check(&self) -> Result<(), Illegal> {
        if self.multicast && self.steps() < 2 {
            let detail = format!("a K block of {} has one step of scales", self.k_block);
            return Err(Illegal::new(Rule::Multicast, detail));
        }
        if self.side_by_side() > 1 && self.k_block > 256 {
            let detail = format!("a K block of {} for two CTAs side by side", self.k_block);
            return Err(Illegal::new(Rule::KBlock, detail));
        }
        Ok(())
    }
}
