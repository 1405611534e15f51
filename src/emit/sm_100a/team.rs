//! How the copies and commits of CTAs that work together are written.

use crate::plan::sm_100a::Choices;

/// A tensor copy: what follows `cp.async.bulk.tensor.Nd.`, and the operand that names the receiving CTAs.
pub struct Copy {
    pub suffix: String,
    pub mask: &'static str,
    pub multicast: bool,
}

impl Copy {
    /// What only this CTA needs.
    pub fn own(choices: &Choices) -> Self {
        Copy::new(choices, false)
    }

    /// Tokens: a pair's MMA takes half of them from each CTA; two that multiply apart need all.
    pub fn tokens(choices: &Choices) -> Self {
        Copy::new(choices, choices.multicast && !choices.pair)
    }

    /// Token scales: every CTA needs all.
    pub fn token_scales(choices: &Choices) -> Self {
        Copy::new(choices, choices.multicast)
    }

    fn new(choices: &Choices, multicast: bool) -> Self {
        let space = if multicast || choices.pair {
            "shared::cluster"
        } else {
            "shared::cta"
        };
        let cast = if multicast { ".multicast::cluster" } else { "" };
        let group = if choices.pair { ".cta_group::2" } else { "" };
        Copy {
            suffix: format!("{space}.global.tile.mbarrier::complete_tx::bytes{cast}{group}"),
            mask: if multicast { ", %everyone" } else { "" },
            multicast,
        }
    }
}

/// Frees a stage, in every CTA that writes to it.
pub fn commit_stage(choices: &Choices, barrier: &str) -> String {
    commit(choices, barrier, choices.side_by_side() > 1)
}

/// Hands over an accumulator, to every CTA that holds rows of it or a part of its sum.
pub fn commit_accumulator(choices: &Choices, barrier: &str) -> String {
    commit(
        choices,
        barrier,
        choices.pair || choices.splits_in_cluster(),
    )
}

fn commit(choices: &Choices, barrier: &str, multicast: bool) -> String {
    let opcode = format!(
        "tcgen05.commit.cta_group::{}.mbarrier::arrive::one.shared::cluster",
        choices.mma_ctas()
    );
    if multicast {
        format!("{opcode}.multicast::cluster.b64 [{barrier}], %everyone;")
    } else {
        format!("{opcode}.b64 [{barrier}];")
    }
}
