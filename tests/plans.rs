//! Plans and PTX of the shipped shape files, held by reviewed snapshots.

use nvfp4gen::artifact::Location;
use nvfp4gen::choose;
use nvfp4gen::emit;
use nvfp4gen::plan::schedule::Order;
use nvfp4gen::plan::sm_100a::{CacheHint, Choices, Reduction, plan};
use nvfp4gen::plan::target::{SM_100A, TARGETS};
use nvfp4gen::plan::tiling::{self, Widths};
use nvfp4gen::plan::{Plan, Target, TargetPlan, sm_100a};
use nvfp4gen::problem::{Group, OutputType, Set, ShapeFile, Weights};
use std::path::Path;

fn sets(file: &str) -> Vec<Set> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("shapes")
        .join(file);
    ShapeFile::read(&path)
        .unwrap_or_else(|e| panic!("{e}"))
        .sets
}

fn uniform(name: &str, m: &[u32], n: u32, k: u32) -> Set {
    Set {
        name: name.to_owned(),
        groups: m.iter().map(|&m| Group { m, n, k }).collect(),
        output: OutputType::F16,
        weights: Weights::Dynamic,
    }
}

fn planned(set: &Set, target: Target) -> Plan {
    choose::best(set, target).unwrap_or_else(|e| panic!("{}: {e}", set.name))
}

#[test]
fn plans_of_every_shipped_set() {
    for file in ["leaderboard.toml", "contest-tests.toml", "edge.toml"] {
        let plans: Vec<_> = sets(file)
            .iter()
            .map(|set| planned(set, SM_100A).to_string())
            .collect();
        let name = format!("plans_{}", file.trim_end_matches(".toml"));
        insta::assert_snapshot!(name, plans.join("\n----\n\n"));
    }
}

#[test]
fn ptx_of_the_leaderboard() {
    for set in sets("leaderboard.toml") {
        let kernel = emit::kernel(&planned(&set, SM_100A)).unwrap();
        insta::assert_snapshot!(format!("ptx_{}", set.name), kernel.ptx);
    }
}

/// The kernel with every guard: K tails, token scales of one to three slabs, N and K by group.
#[test]
fn ptx_of_a_set_where_everything_differs() {
    let set = sets("edge.toml").into_iter().max_by_key(guards).unwrap();
    let kernel = emit::kernel(&planned(&set, SM_100A)).unwrap();
    insta::assert_snapshot!("ptx_all_guards", kernel.ptx);
}

fn guards(set: &Set) -> usize {
    let plan = planned(set, SM_100A);
    plan.table.columns.len()
}

#[test]
fn tiles_cover_every_output_once() {
    for file in ["leaderboard.toml", "contest-tests.toml", "edge.toml"] {
        for set in sets(file) {
            let plan = planned(&set, SM_100A);
            let TargetPlan::Sm100a(inside) = &plan.kernel else {
                panic!("planned for another target")
            };
            let tile_rows = inside.choices.tile_rows();
            let mut covered: u64 = 0;
            let mut seen = std::collections::HashSet::new();
            for tile in &plan.schedule.tiles {
                let token_tile = &plan.token_tiles[tile.token_tile];
                let group = &plan.tilings[token_tile.tiling];
                assert!(
                    seen.insert((tile.token_tile, tile.weight_tile)),
                    "{}: a tile twice",
                    set.name
                );
                covered += u64::from(token_tile.rows)
                    * u64::from((group.n - tile.weight_tile * tile_rows).min(tile_rows));
            }
            let wanted: u64 = set
                .groups
                .iter()
                .map(|g| u64::from(g.m) * u64::from(g.n))
                .sum();
            assert_eq!(covered, wanted, "{}", set.name);
            let ends: Vec<_> = plan
                .schedule
                .ctas
                .iter()
                .map(|r| (r.start, r.end))
                .collect();
            assert!(
                ends.windows(2).all(|w| w[0].1 == w[1].0),
                "{}: CTAs leave gaps",
                set.name
            );
        }
    }
}

#[test]
fn token_tiles_cost_what_they_hold() {
    let width = |m: u32| {
        let set = uniform("width", &[m], 4096, 7168);
        let (_, token_tiles) = tiling::tile(&set, 256, &Widths::UpTo(256), &SM_100A, 128);
        token_tiles.iter().map(|t| t.width).collect::<Vec<_>>()
    };
    assert_eq!(width(40), [48]);
    assert_eq!(width(248), [256]);
    assert_eq!(width(320), [192, 128]);
    assert_eq!(width(384), [192, 192]);
    assert_eq!(width(1), [16]);
    assert_eq!(width(257), [192, 80]);
}

/// Choices that break a rule are refused by its name.
#[test]
fn impossible_choices_are_refused() {
    let set = uniform("refused", &[300, 40], 256, 512);
    let choices = || choices(Widths::Each(vec![192, 48]));
    let refusal = |choices| plan(&set, SM_100A, choices).unwrap_err().to_string();
    assert!(plan(&set, SM_100A, choices()).is_ok());
    let refusals = [
        Choices {
            widths: Widths::Each(vec![192]),
            ..choices()
        },
        Choices {
            widths: Widths::Each(vec![160, 48]),
            ..choices()
        },
        Choices {
            widths: Widths::Each(vec![192, 40]),
            ..choices()
        },
        Choices {
            widths: Widths::Each(vec![320, 48]),
            ..choices()
        },
        Choices {
            widths: Widths::UpTo(512),
            ..choices()
        },
        Choices {
            pair: true,
            k_block: 512,
            widths: Widths::UpTo(64),
            ..choices()
        },
        Choices {
            k_block: 64,
            ..choices()
        },
        Choices {
            chunk: 48,
            ..choices()
        },
        Choices {
            accumulators: 0,
            ..choices()
        },
        Choices {
            k_block: 512,
            widths: Widths::Each(vec![256, 48]),
            chunk: 64,
            ..choices()
        },
    ];
    insta::assert_snapshot!(refusals.map(refusal).join("\n"));
}

fn choices(widths: Widths) -> Choices {
    Choices {
        k_block: 256,
        widths,
        accumulators: 2,
        order: Order::Balanced,
        ctas: 4,
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

#[test]
fn generation_is_deterministic_for_every_target() {
    for target in TARGETS {
        for set in sets("edge.toml") {
            let once = emit::kernel(&planned(&set, target)).unwrap();
            assert_eq!(
                once,
                emit::kernel(&planned(&set, target)).unwrap(),
                "{}",
                set.name
            );
            assert!(once.ptx.contains(&format!(".target {}\n", target.name)));
        }
    }
}

#[test]
fn what_does_not_fit_the_parameters_is_a_table_in_device_memory() {
    let kernel = |groups| {
        let set = uniform("crowd", &vec![16; groups], 128, 256);
        // CTAs that work together have twice as many maps.
        let alone = sm_100a::plan(&set, SM_100A, choices(Widths::UpTo(256))).unwrap();
        emit::kernel(&alone).unwrap()
    };
    let (small, large) = (kernel(117), kernel(118));
    let (by_value, by_address) = (&small.entry.parameters, &large.entry.parameters);
    assert_eq!(
        (by_value.location, by_value.bytes),
        (Location::Parameter, 32_760)
    );
    assert_eq!(
        (by_address.location, by_address.bytes),
        (Location::Device, 33_040)
    );
    assert_eq!(
        (by_value.parameter_bytes(), by_address.parameter_bytes()),
        (32_760, 8)
    );
    assert!(!small.ptx.contains("fence.proxy.tensormap"));
    assert!(
        large
            .ptx
            .contains("fence.proxy.tensormap::generic.acquire.sys")
    );
}

/// `generated/` is committed, so that its kernels can be read and used without building anything.
#[test]
fn the_committed_library_is_what_the_leaderboard_gives() {
    let kernels: Vec<_> = sets("leaderboard.toml")
        .iter()
        .map(|set| emit::kernel(&planned(set, SM_100A)).unwrap())
        .collect();
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("generated/sm_100a");
    let stale = nvfp4gen::artifact::store::check(&directory, SM_100A.name, &kernels).unwrap();
    let remedy = "run `cargo run --release -- build shapes/leaderboard.toml`";
    assert!(stale.is_empty(), "{stale:?}: {remedy}");
}
