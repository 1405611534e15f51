//! Two CTAs on one tile: pairs that multiply together, and CTAs side by side that fetch tokens for each other.

mod variants;

use nvfp4gen::plan::sm_100a::Choices;
use nvfp4gen::plan::tiling::Widths;
use nvfp4gen::problem::{Group, OutputType, Set, Weights};
use variants::*;

/// Pairs, pairs with multicast, multicast without pairs.
fn two_ctas() -> [Choices; 3] {
    [(true, false), (true, true), (false, true)].map(|(pair, multicast)| Choices {
        pair,
        multicast,
        ..alone()
    })
}

/// One accumulator as wide as can be.
fn widest(choices: &Choices) -> Choices {
    Choices {
        widths: Widths::UpTo(256),
        accumulators: 1,
        ..choices.clone()
    }
}

/// Everything is used again: each of two workers has three tiles or more, each ring wraps within a tile, the first tile
/// of one of them has two slabs of token scales, the last K block lacks steps, the last weights are one CTA's only.
fn worn() -> Set {
    Set {
        name: "worn".to_owned(),
        groups: vec![
            Group {
                m: 40,
                n: 520,
                k: 1344,
            },
            Group {
                m: 300,
                n: 392,
                k: 1984,
            },
        ],
        output: OutputType::F16,
        weights: Weights::Static,
    }
}

/// M = 0 and 1, N that is no multiple of 128 nor of 256 (so that the second CTA has no weights in the last tile), K tails.
#[test]
fn right_at_the_edges() {
    for choices in two_ctas() {
        for set in shipped("edge.toml") {
            holds(&set, &choices, 1);
        }
    }
}

#[test]
fn right_under_many_schedules() {
    for choices in two_ctas() {
        for set in shipped("mutants.toml").into_iter().chain([worn()]) {
            holds(&set, &choices, 10);
        }
        holds(
            &uniform("widest", &[250, 24], 640, 1536),
            &widest(&choices),
            10,
        );
    }
}

#[test]
fn right_where_the_block_is_in_device_memory() {
    for choices in two_ctas() {
        let plan = planned(&uniform("crowd", &[3; 64], 136, 320), &choices);
        assert_eq!(
            plan.parameters.location,
            nvfp4gen::artifact::Location::Device
        );
        holds(&uniform("crowd", &[3; 64], 136, 320), &choices, 1);
    }
}

#[test]
fn no_mutant_survives_here() {
    for choices in two_ctas() {
        let mutants = no_mutant_survives(&worn(), &choices, 4);
        assert!(mutants > 90, "{mutants}");
        // All constants but the token tiles are immediates.
        no_mutant_survives(
            &uniform("one-by-one", &[250, 24], 264, 1536),
            &one_worker(&widest(&choices)),
            4,
        );
    }
}

#[test]
fn every_shipped_set_assembles() {
    for choices in two_ctas() {
        for file in ["leaderboard.toml", "contest-tests.toml", "edge.toml"] {
            for set in shipped(file) {
                assembles(&set, &choices);
            }
        }
    }
}
