//! Two CTAs on one tile: pairs that multiply together, and CTAs side by side that fetch tokens for each other.

mod variants;

use nvfp4gen::plan::sm_100a::Choices;
use variants::*;

const PAIR: Choices = Choices {
    pair: true,
    ..ALONE
};
const PAIR_MULTICAST: Choices = Choices {
    multicast: true,
    ..PAIR
};
const MULTICAST: Choices = Choices {
    multicast: true,
    ..ALONE
};
const TWO_CTAS: [Choices; 3] = [PAIR, PAIR_MULTICAST, MULTICAST];

/// M = 0 and 1, N that is no multiple of 128 nor of 256 (so that the second CTA has no weights in the last tile), K tails.
#[test]
fn right_at_the_edges() {
    for choices in TWO_CTAS {
        for set in shipped("edge.toml") {
            holds(&set, choices, 1);
        }
    }
}

#[test]
fn right_under_many_schedules() {
    for choices in TWO_CTAS {
        for set in shipped("mutants.toml") {
            holds(&set, choices, 10);
        }
        let widest = Choices {
            max_width: 256,
            accumulators: 1,
            ..choices
        };
        holds(&uniform("widest", &[250, 24], 640, 1536), widest, 10);
    }
}

#[test]
fn right_where_the_block_is_in_device_memory() {
    for choices in TWO_CTAS {
        let plan = planned(&uniform("crowd", &[3; 64], 136, 320), choices);
        assert_eq!(
            plan.parameters.location,
            nvfp4gen::artifact::Location::Device
        );
        holds(&uniform("crowd", &[3; 64], 136, 320), choices, 1);
    }
}
