//! Plans and PTX of the shipped shape files, held by reviewed snapshots.

use nvfp4gen::choose::choose;
use nvfp4gen::emit;
use nvfp4gen::plan::target::{SM_100A, TARGETS};
use nvfp4gen::plan::{Plan, Target};
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
    choose(set, target).unwrap_or_else(|e| panic!("{}: {e}", set.name))
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
                    * u64::from((group.n - tile.weight_tile * 128).min(128));
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
        let widths: Vec<_> = planned(&set, SM_100A)
            .token_tiles
            .iter()
            .map(|t| t.width)
            .collect();
        widths
    };
    assert_eq!(width(40), [48]);
    assert_eq!(width(320), [192, 128]);
    assert_eq!(width(384), [192, 192]);
    assert_eq!(width(1), [16]);
    assert_eq!(width(257), [192, 80]);
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
fn too_many_groups_break_a_named_rule() {
    let refusal = |groups| {
        let set = uniform("crowd", &vec![16; groups], 128, 256);
        choose(&set, SM_100A).err().map(|e| e.to_string())
    };
    assert_eq!(refusal(117), None);
    insta::assert_snapshot!(refusal(118).unwrap(), @"rule `parameter-block`: 118 groups with tokens need 33040 bytes of parameters, the limit is 32764; split the set into several sets of fewer groups");
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
