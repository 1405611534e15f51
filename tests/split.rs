//! Sums over K that several CTAs share: in clusters, through a workspace, and as a stream of K blocks.

mod variants;

use nvfp4gen::plan::schedule::Order;
use nvfp4gen::plan::sm_100a::{Choices, Reduction, plan};
use nvfp4gen::plan::{Rule, TargetPlan};
use nvfp4gen::problem::{Group, OutputType, Set, Weights};
use variants::*;

fn split(split_k: u32, reduction: Reduction) -> Choices {
    Choices {
        split_k,
        reduction,
        ctas: 3,
        ..alone()
    }
}

fn stream(ctas: u32) -> Choices {
    Choices {
        order: Order::Stream,
        reduction: Reduction::Workspace,
        ctas,
        ..alone()
    }
}

fn every_way() -> Vec<Choices> {
    let mut ways: Vec<Choices> = [2, 3, 4].map(|n| split(n, Reduction::Cluster)).to_vec();
    ways.extend([2, 3].map(|n| split(n, Reduction::Workspace)));
    ways.extend([2, 5].map(stream));
    ways
}

/// Groups of M = 0 and 1, N that is no multiple of 128, K of an odd number of blocks and with a tail.
fn uneven() -> Set {
    let group = |m, n, k| Group { m, n, k };
    Set {
        name: "uneven".to_owned(),
        groups: vec![
            group(1, 136, 1088),
            group(0, 128, 64),
            group(72, 264, 1344),
            group(300, 128, 1984),
        ],
        output: OutputType::F16,
        weights: Weights::Static,
    }
}

#[test]
fn right_at_the_edges() {
    let sets = [
        uniform("one-token", &[1], 8, 1024),
        uniform("one-tile", &[64], 128, 1280),
        uniform("long", &[33, 0, 7], 136, 4096),
        uneven(),
    ];
    for choices in every_way() {
        for set in &sets {
            holds(set, &choices, 1);
        }
    }
}

#[test]
fn right_under_many_schedules() {
    for choices in every_way() {
        holds(&uneven(), &choices, 10);
    }
}

#[test]
fn right_where_the_block_is_in_device_memory() {
    let set = uniform("crowd", &[3; 120], 64, 1024);
    for choices in [
        split(2, Reduction::Cluster),
        split(2, Reduction::Workspace),
        stream(4),
    ] {
        holds(&set, &choices, 1);
    }
}

#[test]
fn right_with_other_chunks_and_k_blocks() {
    for (chunk, k_block) in [(16, 128), (64, 256), (32, 512)] {
        for way in [
            split(2, Reduction::Cluster),
            split(2, Reduction::Workspace),
            stream(3),
        ] {
            let choices = Choices {
                chunk,
                k_block,
                ..way
            };
            holds(&uneven(), &choices, 1);
        }
    }
}

#[test]
fn the_same_bits_under_every_schedule() {
    use nvfp4gen::verify::Data;
    use nvfp4gen::{emit, trial};
    let set = uneven();
    let inputs = trial::inputs(&set, 7, Data::FullRange).unwrap();
    for choices in every_way() {
        let kernel = emit::kernel(&planned(&set, &choices)).unwrap();
        let mut outputs: Vec<_> = schedules(6)
            .into_iter()
            .map(|schedule| trial::execute(&kernel, &inputs, schedule).unwrap())
            .collect();
        outputs.dedup();
        assert_eq!(outputs.len(), 1, "{choices:?}");
    }
}

/// Everything that is used again is used again: the ring in every part, and a first tile has two slabs of scales.
#[test]
fn no_mutant_survives_here() {
    let group = |m, n, k| Group { m, n, k };
    let worn = |name: &str, groups| Set {
        name: name.to_owned(),
        groups,
        output: OutputType::F16,
        weights: Weights::Static,
    };
    let in_cluster = worn(
        "worn-cluster",
        vec![group(180, 136, 6208), group(40, 8, 6464)],
    );
    let in_workspace = worn(
        "worn-workspace",
        vec![group(300, 136, 3136), group(40, 264, 4160)],
    );
    for (set, choices) in [
        (&in_cluster, split(2, Reduction::Cluster)),
        (&in_workspace, split(2, Reduction::Workspace)),
        (&in_workspace, stream(2)),
    ] {
        let mutants = no_mutant_survives(set, &choices, 4);
        assert!(mutants > 90, "{mutants}");
    }
}

#[test]
fn every_shipped_set_that_can_be_split_assembles() {
    for file in ["leaderboard.toml", "contest-tests.toml"] {
        for set in shipped(file) {
            for choices in every_way() {
                if plan(&set, TARGET, choices.clone()).is_ok() {
                    assembles(&set, &choices);
                }
            }
        }
    }
}

#[test]
fn what_cannot_be_split_is_refused_by_name() {
    let short = uniform("short", &[16], 128, 512);
    let rule = |choices| plan(&short, TARGET, choices).unwrap_err().rule;
    assert_eq!(rule(split(3, Reduction::Cluster)), Rule::SplitK);
    assert_eq!(rule(split(3, Reduction::Workspace)), Rule::SplitK);
    assert_eq!(rule(split(0, Reduction::Workspace)), Rule::SplitK);
    let pair = Choices {
        pair: true,
        ..split(2, Reduction::Cluster)
    };
    assert_eq!(rule(pair), Rule::SplitK);
    let twice = Choices {
        split_k: 2,
        ..stream(2)
    };
    assert_eq!(rule(twice), Rule::SplitK);
}

#[test]
fn a_workspace_holds_what_is_split_and_no_more() {
    let set = uniform("two-tiles", &[64], 256, 2048);
    let bytes = |choices| {
        let plan = planned(&set, &choices);
        let TargetPlan::Sm100a(kernel) = &plan.kernel else {
            panic!("planned for another target")
        };
        assert_eq!(plan.parameters.workspace_bytes, kernel.workspace.bytes);
        kernel.workspace.bytes
    };
    // Counters of two tiles in their 128 bytes; two tiles of two parts of 64 tokens by 128 weights.
    let part = 64 * 128 * 4;
    assert_eq!(bytes(split(2, Reduction::Workspace)), 128 + 4 * part);
    assert_eq!(bytes(split(2, Reduction::Cluster)), 0);
    // Three CTAs: the second one has the end of one tile and the start of the other.
    assert_eq!(bytes(stream(3)), 128 + 4 * part);
    assert_eq!(bytes(stream(2)), 0);
}
