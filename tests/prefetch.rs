//! Weights that CTAs without tiles fetch into L2 while the others still work on what comes before.

mod variants;

use nvfp4gen::artifact::Kernel;
use nvfp4gen::assemble::{Ptxas, nvdisasm};
use nvfp4gen::device::Schedule;
use nvfp4gen::model::Workload;
use nvfp4gen::plan::schedule::Order;
use nvfp4gen::plan::sm_100a::{self, Choices, Reduction, plan};
use nvfp4gen::plan::target::SM_100A;
use nvfp4gen::plan::{Plan, Rule, TargetPlan};
use nvfp4gen::problem::{Group, OutputType, Set, Weights};
use nvfp4gen::trial;
use nvfp4gen::verify::Data;
use nvfp4gen::{choose, emit};
use std::process::Command;
use variants::*;

/// Alone, in pairs, side by side, with sums in a workspace; each with CTAs to spare among the four of the target.
fn every_way() -> Vec<Choices> {
    let alone = Choices {
        prefetch: 3,
        ctas: 2,
        ..alone()
    };
    let together = |pair, multicast| Choices {
        pair,
        multicast,
        ctas: 1,
        ..alone.clone()
    };
    let split = Choices {
        split_k: 2,
        reduction: Reduction::Workspace,
        ..alone.clone()
    };
    let wide = Choices {
        k_block: 512,
        prefetch: 2,
        ..alone.clone()
    };
    vec![
        together(true, false),
        together(true, true),
        together(false, true),
        split,
        wide,
        alone,
    ]
}

/// N that is no multiple of a tile, K with a tail, empty groups.
fn uneven(weights: Weights) -> Set {
    let group = |m, n, k| Group { m, n, k };
    Set {
        name: "uneven".to_owned(),
        groups: vec![
            group(40, 136, 1088),
            group(0, 128, 64),
            group(200, 264, 1344),
            group(9, 8, 2112),
        ],
        output: OutputType::F16,
        weights,
    }
}

fn sets() -> [Set; 4] {
    [
        uneven(Weights::Static),
        uneven(Weights::Dynamic),
        uniform("alike", &[64, 64], 512, 1024),
        uniform("one-long-tile-each", &[16], 264, 6144),
    ]
}

fn inside(plan: &Plan) -> &sm_100a::Kernel {
    match &plan.kernel {
        TargetPlan::Sm100a(kernel) => kernel,
        TargetPlan::Sm90a(_) => panic!("planned for sm_100a"),
    }
}

#[test]
fn right_under_many_schedules() {
    let mut ran = 0;
    for choices in every_way() {
        for set in sets() {
            if plan(&set, TARGET, choices.clone()).is_ok() {
                holds(&set, &choices, 6);
                ran += 1;
            }
        }
    }
    assert!(ran >= 20, "{ran}");
}

#[test]
fn right_where_the_block_is_in_device_memory() {
    let set = uniform("crowd", &[3; 120], 64, 1024);
    holds(&set, &every_way()[0], 1);
    holds(&set, &every_way()[5], 1);
}

#[test]
fn no_mutant_survives_here() {
    let group = |m, n, k| Group { m, n, k };
    let set = Set {
        name: "worn".to_owned(),
        groups: vec![group(300, 136, 3136), group(40, 264, 4160)],
        output: OutputType::F16,
        weights: Weights::Dynamic,
    };
    let choices = Choices {
        prefetch: 3,
        ..one_worker(&alone())
    };
    let mutants = no_mutant_survives(&set, &choices, 4);
    assert!(mutants > 90, "{mutants}");
}

/// A prefetch beyond the end of an operand is a fault, so that those above are known to stay inside.
#[test]
fn what_is_prefetched_exists() {
    let set = uniform("alike", &[64, 64], 512, 1024);
    let inputs = trial::inputs(&set, 1, Data::FullRange).unwrap();
    let kernel = emit::kernel(&planned(&set, &every_way()[5])).unwrap();
    let line = "    cp.async.bulk.prefetch.L2.global [%ahead_scales], %ahead_bytes;";
    assert_eq!(kernel.ptx.matches(line).count(), 1);
    let further = format!("    add.u64 %ahead_scales, %ahead_scales, 32768;\n{line}");
    let broken = Kernel::new(kernel.entry.clone(), kernel.ptx.replace(line, &further));
    let fault = trial::execute(&broken, &inputs, Schedule::Eager).unwrap_err();
    assert!(fault.is_fault(), "{fault}");
    assert!(fault.to_string().contains("out of bounds"), "{fault}");
}

/// Only weights that nobody may still be writing are touched before the previous kernel has finished.
#[test]
fn dynamic_weights_are_waited_for() {
    for (weights, waits) in [(Weights::Static, 0), (Weights::Dynamic, 1)] {
        let kernel = emit::kernel(&planned(&uneven(weights), &every_way()[5])).unwrap();
        let prefetching = kernel.ptx.split("PREFETCH:").nth(1).unwrap();
        let prefetching = prefetching.split("EPILOGUE:").next().unwrap();
        assert_eq!(
            prefetching.matches("griddepcontrol.wait").count(),
            waits,
            "{weights}"
        );
    }
}

/// The bytes that the model prices are those of the weight rows that exist and of their scales, K block by K block.
#[test]
fn the_model_prices_the_bytes_that_are_prefetched() {
    for choices in every_way() {
        for set in sets() {
            let Ok(with) = plan(&set, TARGET, choices.clone()) else {
                continue;
            };
            let without = planned(
                &set,
                &Choices {
                    prefetch: 0,
                    ..choices.clone()
                },
            );
            let requested = |plan: &Plan| Workload::from(plan).requested_bytes();
            let mut expected = 0;
            for end in inside(&with).prefetches.iter().flatten() {
                let tile = with.schedule.tiles[end.index];
                let tiling = &with.tilings[with.token_tiles[tile.token_tile].tiling];
                let first_row = tile.weight_tile * choices.tile_rows();
                let rows = choices.tile_rows().min(tiling.n - first_row);
                let first_k = end.part.first * choices.k_block;
                let end_k = tiling.k.min(first_k + end.part.k_blocks * choices.k_block);
                let scale_rows = rows.next_multiple_of(128);
                expected += u64::from((end_k - first_k) * rows / 2);
                expected += u64::from((end_k - first_k) * scale_rows / 16);
            }
            assert!(expected > 0);
            assert_eq!(
                requested(&with) - requested(&without),
                expected,
                "{}, {choices:?}",
                set.name
            );
        }
    }
}

/// P3 and P4 leave 20 SMs and more without tiles. The machine code of every way holds the prefetches once, in a loop.
#[test]
fn machine_code_prefetches_and_spills_nothing() {
    for set in shipped("leaderboard.toml").iter().skip(2) {
        for (pair, multicast, prefetches) in [
            (false, false, ["UTMAPF.L2.2D", "UBLKPF.L2"]),
            (true, true, ["UTMAPF.L2.2D", "UTMAPF.L2.3D"]),
        ] {
            let choices = Choices {
                pair,
                multicast,
                prefetch: 16,
                order: Order::Balanced,
                k_block: if pair { 256 } else { 128 },
                ctas: if pair { 30 } else { 60 },
                ..alone()
            };
            assembles(set, &choices);
            let plan = plan(set, SM_100A, choices).unwrap();
            let cubin = Ptxas::find()
                .expect("run scripts/fetch-tools")
                .assemble(&emit::kernel(&plan).unwrap().ptx, SM_100A.name)
                .unwrap()
                .cubin;
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), cubin).unwrap();
            let tool = nvdisasm().expect("run scripts/fetch-tools");
            let output = Command::new(tool).arg("-c").arg(file.path()).output();
            let sass = String::from_utf8(output.unwrap().stdout).unwrap();
            let count = |opcode: &str| sass.lines().filter(|l| l.contains(opcode)).count();
            for opcode in prefetches {
                assert_eq!(count(opcode), 1, "{}: {opcode}", set.name);
            }
            assert_eq!(count("UTMAPF") + count("UBLKPF"), 2, "{}", set.name);
        }
    }
}

#[test]
fn what_cannot_be_prefetched_is_refused_by_name() {
    let rule = |set: &Set, choices: Choices| plan(set, TARGET, choices).unwrap_err().rule;
    let set = uniform("alike", &[64, 64], 512, 1024);
    let wanted = Choices {
        prefetch: 3,
        ..alone()
    };
    let all = Choices {
        ctas: 4,
        ..wanted.clone()
    };
    assert_eq!(rule(&set, all), Rule::Prefetch);
    let in_cluster = Choices {
        split_k: 2,
        ..wanted.clone()
    };
    assert_eq!(rule(&set, in_cluster), Rule::Prefetch);
    // One short tile for each of two CTAs: the first rings hold both.
    let short = uniform("short", &[16], 256, 512);
    assert_eq!(rule(&short, wanted), Rule::Prefetch);
}

/// The kernel as it is without the choice, but for the SMs that were idle.
#[test]
fn prefetching_changes_nothing_for_ctas_with_tiles() {
    let set = uniform("alike", &[64, 64], 512, 1024);
    let with = planned(&set, &every_way()[5]);
    let without = planned(&set, &alone());
    assert_eq!(with.schedule, without.schedule);
    assert_eq!(with.launch.grid[0], 4);
    assert_eq!(without.launch.grid[0], 2);
    assert_eq!(with.launch.dynamic_shared, without.launch.dynamic_shared);
    insta::assert_snapshot!(with);
}

/// What the model says of it, plan by plan: the chosen ones with and without.
#[test]
fn prices_with_and_without() {
    let mut lines = Vec::new();
    for set in shipped("leaderboard.toml") {
        let chosen = choose::best(&set, SM_100A).unwrap();
        for prefetch in [0, 4, 16, 64] {
            let choices = Choices {
                prefetch,
                ..inside(&chosen).choices.clone()
            };
            let machine = choose::machine(&SM_100A);
            let priced = plan(&set, SM_100A, choices).map(|plan| {
                let price = nvfp4gen::model::price(&Workload::from(&plan), &machine);
                format!("{:.3} us", price.total_us)
            });
            let said = priced.unwrap_or_else(|illegal| illegal.to_string());
            lines.push(format!("{}, {prefetch:>2} K blocks: {said}", set.name));
        }
    }
    insta::assert_snapshot!(lines.join("\n"));
}
