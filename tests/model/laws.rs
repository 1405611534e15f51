//! What must hold of every price.

use super::*;
use nvfp4gen::model::speed_of_light;
use nvfp4gen::model::timeline::Activity;
use nvfp4gen::problem::{Group, OutputType, Weights};

#[test]
fn speed_of_light_is_that_of_the_brief() {
    // Megabytes, GFLOP, and microseconds at 7.68, 7.2 and 5.915 TB/s and of FP4 math at 1.5 GHz.
    let expected = [
        [144.6, 60.1, 18.833, 20.1, 24.45, 8.3],
        [81.9, 30.1, 10.667, 11.4, 13.85, 4.1],
        [18.5, 12.9, 2.406, 2.57, 3.13, 1.8],
        [11.7, 6.4, 1.525, 1.63, 1.98, 0.9],
    ];
    for (set, expected) in leaderboard().iter().zip(expected) {
        let memory = |tb_s| speed_of_light::memory_us(set, tb_s);
        let found = [
            set.bytes_moved() as f64 * 1e-6,
            set.flops() as f64 * 1e-9,
            memory(speed_of_light::CONTEST_TB_S),
            memory(speed_of_light::MEASURED_TB_S),
            memory(speed_of_light::ENTRANT_TB_S),
            speed_of_light::math_us(set, &B200, 1.5),
        ];
        for (found, expected) in found.into_iter().zip(expected) {
            // The brief gives math to one decimal.
            let allowed = f64::max(0.006 * expected, 0.06);
            assert!(
                (found - expected).abs() < allowed,
                "{}: {found} {expected}",
                set.name
            );
        }
    }
}

#[test]
fn no_price_is_below_its_bounds() {
    for workload in all_workloads() {
        let price = price(&workload, &B200);
        let overlapped = price.programmatic.is_some();
        for bound in [
            price.fill_us,
            price.tensor_us,
            price.read_bytes as f64 * 1e-6 / B200.dram_tb_s.value,
        ] {
            assert!(overlapped || price.total_us > bound, "{price}");
        }
    }
}

#[test]
fn bytes_in_are_bytes_priced() {
    for workload in all_workloads() {
        let price = price(&workload, &B200);
        assert_eq!(
            price.requested_bytes,
            workload.requested_bytes(),
            "{}",
            workload.name
        );
        assert_eq!(
            price.read_bytes,
            workload.distinct_bytes(),
            "{}",
            workload.name
        );
        assert_eq!(
            price.stored_bytes,
            workload.stored_bytes(),
            "{}",
            workload.name
        );
    }
}

/// Only the padding of the scales to slabs of 128 rows comes on top of what must be moved; a slab that two token tiles
/// share counts for both.
#[test]
fn a_plan_reads_its_operands_once() {
    for plan in plans() {
        let workload = Workload::from(&plan);
        let moved = workload.distinct_bytes() + workload.stored_bytes();
        let slab = |t: &nvfp4gen::plan::tiling::TokenTile| {
            let k = u64::from(plan.tilings[t.tiling].k);
            (u64::from(t.slabs) * 128 - u64::from(t.rows)) * k / 16
        };
        let padding: u64 = plan.token_tiles.iter().map(slab).sum();
        assert_eq!(moved, plan.set.bytes_moved() + padding, "{}", plan.set.name);
    }
}

#[test]
fn prices_are_the_same_every_time() {
    for workload in workloads() {
        assert_eq!(price(&workload, &B200), price(&workload, &B200));
    }
}

#[test]
fn parts_sum_up_to_the_total() {
    for mut workload in all_workloads() {
        for early in [
            None,
            Some(Early::Nothing),
            Some(Early::Weights),
            Some(Early::Everything),
        ] {
            workload.kernel.programmatic = early.map(|early| Programmatic {
                early,
                beside: false,
            });
            let price = price(&workload, &B200);
            assert!((price.parts.sum() - price.total_us).abs() < 1e-6, "{price}");
        }
    }
}

/// All workloads, launched one after the other: who is served first by memory changes with everything, and launches that
/// overlap pass it on to the next.
fn workloads_apart() -> Vec<Workload> {
    all_workloads().into_iter().map(alone).collect()
}

fn alone(mut workload: Workload) -> Workload {
    workload.kernel.programmatic = None;
    workload
}

#[test]
fn better_machines_are_never_slower() {
    let rising = ["dram_tb_s", "sm_fill_gb_s", "clock_ghz"];
    let falling = [
        "dram_latency_us",
        "column_cycles",
        "launch_gap_us",
        "drain_us",
        "scale_copy_cycles",
    ];
    for workload in workloads_apart() {
        for name in rising.iter().chain(&falling) {
            let c = B200
                .constants()
                .into_iter()
                .find(|(n, _)| n == name)
                .expect("a constant")
                .1;
            let at = |step: f64| {
                us(
                    &workload,
                    &with(&B200, name, c.low + step * (c.high - c.low)),
                )
            };
            let mut prices: Vec<f64> = (0..=8).map(|i| at(f64::from(i) / 8.0)).collect();
            if falling.contains(name) {
                prices.reverse();
            }
            // Half a per cent is noise.
            for pair in prices.windows(2) {
                assert!(
                    pair[1] <= pair[0] * 1.005,
                    "{} {name}: {prices:?}",
                    workload.name
                );
            }
        }
    }
}

#[test]
fn more_stages_are_never_slower() {
    for mut workload in workloads_apart() {
        let mut last = f64::INFINITY;
        for stages in 2..=12 {
            workload.kernel.stages = stages;
            let now = us(&workload, &B200);
            assert!(
                now <= last * 1.01,
                "{} at {stages} stages: {now} after {last}",
                workload.name
            );
            last = now;
        }
    }
}

#[test]
fn overlap_is_worth_what_is_loaded_early() {
    for mut workload in published::winner().into_iter().map(|p| p.workload) {
        let mut last = us(&workload, &B200);
        for early in [Early::Nothing, Early::Weights, Early::Everything] {
            workload.kernel.programmatic = Some(Programmatic {
                early,
                beside: false,
            });
            let now = us(&workload, &B200);
            assert!(
                now < last,
                "{} with {early:?}: {now} after {last}",
                workload.name
            );
            last = now;
        }
    }
}

#[test]
fn lanes_are_in_order_and_inside_their_span() {
    for workload in workloads().into_iter().flat_map(|w| [w.clone(), alone(w)]) {
        let price = price(&workload, &B200);
        assert_eq!(price.lanes.len(), workload.workers.len());
        for lane in &price.lanes {
            let (start, end) = lane.span;
            // A launch that overlaps the one before it starts before that one's end.
            let overlaps = workload.kernel.programmatic.is_some();
            assert!(start < end && (overlaps || 0.0 < start && end <= price.total_us));
            for activity in [
                Activity::Prologue,
                Activity::Load,
                Activity::Mma,
                Activity::Epilogue,
            ] {
                let of: Vec<_> = lane
                    .intervals
                    .iter()
                    .filter(|i| i.activity == activity)
                    .collect();
                assert!(!of.is_empty());
                assert!(
                    of.iter()
                        .all(|i| start <= i.start && i.start <= i.end && i.end <= end)
                );
                assert!(of.windows(2).all(|w| w[0].end <= w[1].start));
            }
        }
    }
}

#[test]
fn constants_are_inside_their_ranges() {
    for machine in [B200, H200] {
        for (name, c) in machine.constants() {
            assert!(
                c.low <= c.value && c.value <= c.high,
                "{} {name}",
                machine.name
            );
            assert!(!c.source.is_empty(), "{} {name}", machine.name);
        }
    }
}

#[test]
fn an_empty_launch_costs_nothing_but_does_not_fail() {
    let set = Set {
        name: "none".to_owned(),
        groups: vec![Group {
            m: 0,
            n: 256,
            k: 256,
        }],
        output: OutputType::F16,
        weights: Weights::Static,
    };
    let plan = choose::best(&set, SM_100A).expect("a plan");
    assert_eq!(us(&Workload::from(&plan), &B200), 0.0);
}
