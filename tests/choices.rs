//! Every choice of a plan, executed: whatever the planner can be asked for computes the same.

use nvfp4gen::device::Schedule;
use nvfp4gen::emit;
use nvfp4gen::plan::schedule::Order;
use nvfp4gen::plan::sm_100a::{CacheHint, Choices, Reduction, plan};
use nvfp4gen::plan::target::SM_100A;
use nvfp4gen::plan::tiling::Widths;
use nvfp4gen::problem::{Group, OutputType, Set, Weights};
use nvfp4gen::trial;
use nvfp4gen::verify::Data;

/// Odd numbers of tokens, N off the tile, K that ends in the middle of every K block, tiles of very different widths.
fn set(weights: Weights) -> Set {
    let group = |m, n, k| Group { m, n, k };
    Set {
        name: "choices".into(),
        groups: vec![
            group(40, 136, 1344),
            group(0, 128, 256),
            group(233, 264, 1600),
            group(300, 128, 704),
        ],
        output: OutputType::F16,
        weights,
    }
}

fn base() -> Choices {
    Choices {
        k_block: 256,
        widths: Widths::Each(vec![48, 16, 256, 192]),
        accumulators: 2,
        order: Order::Balanced,
        ctas: 3,
        pair: false,
        multicast: false,
        split_k: 1,
        reduction: Reduction::Cluster,
        chunk: 32,
        prefetch: 0,
        weights_hint: CacheHint::Normal,
        tokens_hint: CacheHint::Normal,
    }
}

fn is_right(set: &Set, choices: Choices) {
    let what = format!("{choices:?}");
    let plan = plan(set, SM_100A, choices).unwrap_or_else(|e| panic!("{what}: {e}"));
    let kernel = emit::kernel(&plan).unwrap();
    let inputs = trial::inputs(set, 5, Data::FullRange).unwrap();
    for schedule in [Schedule::Eager, Schedule::Lazy, Schedule::Random(3)] {
        let outputs = trial::execute(&kernel, &inputs, schedule)
            .unwrap_or_else(|e| panic!("{what}, {schedule:?}: {e}"));
        let verdict = trial::judge(&kernel, set, &inputs, &outputs).unwrap();
        assert!(verdict.passed(), "{what}, {schedule:?}: {verdict:?}");
    }
}

#[test]
fn k_blocks() {
    for weights in [Weights::Static, Weights::Dynamic] {
        for k_block in [128, 256, 512] {
            let widths = Widths::Each(vec![48, 16, 128, 128]);
            is_right(
                &set(weights),
                Choices {
                    k_block,
                    widths,
                    ..base()
                },
            );
        }
    }
}

#[test]
fn widths() {
    for widths in [[64, 16, 128, 64], [48, 16, 240, 256], [256, 256, 256, 128]] {
        let widths = Widths::Each(widths.to_vec());
        is_right(&set(Weights::Static), Choices { widths, ..base() });
    }
}

#[test]
fn accumulators_and_chunks() {
    for accumulators in [1, 2, 3, 8] {
        is_right(
            &set(Weights::Static),
            Choices {
                accumulators,
                ..base()
            },
        );
    }
    for chunk in [16, 64] {
        is_right(&set(Weights::Static), Choices { chunk, ..base() });
    }
}

#[test]
fn orders_and_numbers_of_ctas() {
    for order in Order::ALL {
        for ctas in [1, 2, 148] {
            is_right(
                &set(Weights::Static),
                Choices {
                    order,
                    ctas,
                    ..base()
                },
            );
        }
    }
}

#[test]
fn cache_hints() {
    for hint in CacheHint::ALL {
        let choices = Choices {
            weights_hint: hint,
            tokens_hint: hint,
            ..base()
        };
        is_right(&set(Weights::Dynamic), choices);
    }
}
