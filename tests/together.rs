//! What the model predicts for CTAs that work together, on the leaderboard: predictions, held by a snapshot for review.

mod variants;

use nvfp4gen::choose;
use nvfp4gen::model::{B200, Workload, price};
use nvfp4gen::plan::schedule::Order;
use nvfp4gen::plan::sm_100a::{Choices, Reduction, plan};
use nvfp4gen::plan::target::SM_100A;
use nvfp4gen::plan::tiling::Widths;
use nvfp4gen::problem::Set;
use variants::*;

/// The cheapest of a few widths and orders; none if no such plan is legal.
fn cheapest(set: &Set, way: &Choices) -> Option<f64> {
    let mut best: Option<f64> = None;
    for width in [256, 192, 128, 96, 64] {
        for order in [Order::Columns, Order::Balanced] {
            let choices = Choices {
                widths: Widths::UpTo(width),
                order: match way.order {
                    Order::Stream => Order::Stream,
                    _ => order,
                },
                ctas: SM_100A.sms / way.side_by_side(),
                ..way.clone()
            };
            if let Ok(plan) = plan(set, SM_100A, choices) {
                let us = price(&Workload::from(&plan), &B200).total_us;
                best = Some(best.map_or(us, |b| b.min(us)));
            }
        }
    }
    best
}

fn ways() -> Vec<(&'static str, Choices)> {
    let two = |pair, multicast| Choices {
        pair,
        multicast,
        ..alone()
    };
    let split = |split_k, reduction| Choices {
        split_k,
        reduction,
        ..alone()
    };
    let stream = Choices {
        order: Order::Stream,
        ..split(1, Reduction::Workspace)
    };
    vec![
        ("alone", alone()),
        ("pairs", two(true, false)),
        ("pairs, multicast", two(true, true)),
        ("multicast", two(false, true)),
        ("clusters of 2 share K", split(2, Reduction::Cluster)),
        ("clusters of 4 share K", split(4, Reduction::Cluster)),
        ("2 parts, workspace", split(2, Reduction::Workspace)),
        ("stream", stream),
    ]
}

#[test]
fn predictions_for_the_leaderboard() {
    let sets = shipped("leaderboard.toml");
    let mut text = format!("{:<22}", "us, predicted");
    sets.iter()
        .for_each(|set| text += &format!("{:>8}", set.name));
    text += "\n";
    let mut line = |name: &str, us: &dyn Fn(&Set) -> Option<f64>| {
        text += &format!("{name:<22}");
        for set in &sets {
            text += &us(set).map_or(format!("{:>8}", "-"), |us| format!("{us:>8.2}"));
        }
        text += "\n";
    };
    line("chosen", &|set| {
        Some(choose::choose(set, SM_100A).unwrap().price.total_us)
    });
    for (name, way) in ways() {
        line(name, &|set| cheapest(set, &way));
    }
    insta::assert_snapshot!(text);
}
