//! Hopper's kernels: one team or two, tokens in units of eight or of 32, K blocks of any number.

mod variants;

use nvfp4gen::emit;
use nvfp4gen::plan::sm_90a::{self, Choices};
use nvfp4gen::plan::target::SM_90A;
use nvfp4gen::plan::{Plan, Target, TargetPlan};
use nvfp4gen::problem::{Group, OutputType, Set, Weights};
use nvfp4gen::trial::{self, Finding};
use nvfp4gen::verify::Data;
use variants::{every_mutant_shows, is_right, schedules};

/// Few, so that each CTA has several tiles and every ring wraps.
const TARGET: Target = Target { sms: 2, ..SM_90A };

fn set(name: &str, groups: &[(u32, u32, u32)]) -> Set {
    Set {
        name: name.to_owned(),
        groups: groups.iter().map(|&(m, n, k)| Group { m, n, k }).collect(),
        output: OutputType::F16,
        weights: Weights::Dynamic,
    }
}

/// Teams and tokens of a unit, with sets that get them: an odd and an even number of K blocks, only one, and half of one.
fn kinds() -> [((u32, u32), Set); 3] {
    [
        (
            (2, 8),
            set("eights", &[(9, 136, 576), (24, 8, 64), (1, 264, 1280)]),
        ),
        (
            (2, 32),
            set("two-teams", &[(40, 136, 576), (9, 8, 64), (56, 136, 1408)]),
        ),
        (
            (1, 32),
            set("one-team", &[(130, 136, 576), (9, 8, 64), (72, 136, 1408)]),
        ),
    ]
}

fn planned(set: &Set, ctas: u32) -> Plan {
    let choices = Choices {
        max_width: 192,
        ctas,
    };
    sm_90a::plan(set, TARGET, choices).unwrap()
}

#[test]
fn the_widest_tile_decides_who_does_what() {
    for ((teams, unit_tokens), set) in kinds() {
        let TargetPlan::Sm90a(kernel) = planned(&set, 2).kernel else {
            panic!("planned for sm_90a");
        };
        let roles = &kernel.roles;
        assert_eq!(
            (roles.teams, roles.unit_tokens),
            (teams, unit_tokens),
            "{}",
            set.name
        );
    }
}

#[test]
fn right_under_many_schedules() {
    for (roles, set) in kinds() {
        let kernel = emit::kernel(&planned(&set, 2)).unwrap();
        is_right(&kernel, &set, 4, &format!("{roles:?}"));
    }
}

/// Sums do not depend on which team was quicker.
#[test]
fn the_same_bits_under_every_schedule() {
    let (_, set) = &kinds()[0];
    let kernel = emit::kernel(&planned(set, 2)).unwrap();
    let inputs = trial::inputs(set, 7, Data::FullRange).unwrap();
    let mut outputs: Vec<_> = schedules(6)
        .into_iter()
        .map(|schedule| trial::execute(&kernel, &inputs, schedule).unwrap())
        .collect();
    outputs.dedup();
    assert_eq!(outputs.len(), 1);
}

/// Each kind with little to do, but for one CTA, so that every ring wraps: the emulator takes its time over wgmma.
#[test]
fn no_mutant_survives_here() {
    let sets = [
        set("eights", &[(9, 392, 896), (16, 8, 64)]),
        set("two-teams", &[(40, 392, 896), (40, 8, 64)]),
        set("one-team", &[(72, 264, 896), (72, 8, 64)]),
    ];
    for set in sets {
        let kernel = emit::kernel(&planned(&set, 1)).unwrap();
        let mutants = every_mutant_shows(&kernel, &set, 4, "one CTA");
        assert!(mutants > 50, "{}: only {mutants} mutants", set.name);
    }
}

/// Where a set ends before a ring does, nobody can tell what becomes of its end; but everybody counts what arrives.
#[test]
fn what_nobody_executes_is_told_apart() {
    let set = set("short", &[(9, 136, 192)]);
    let kernel = emit::kernel(&planned(&set, 2)).unwrap();
    let inputs = trial::inputs(&set, 1, Data::FullRange).unwrap();
    let verdicts = trial::try_mutants(&kernel, &set, &inputs, &schedules(1)).unwrap();
    let of = |start: &str| {
        let found: Vec<&Finding> = verdicts
            .iter()
            .filter(|v| v.mutant.instruction.starts_with(start))
            .map(|v| &v.finding)
            .collect();
        assert!(!found.is_empty(), "{start}");
        found
    };
    let idle = Finding::Equivalent("no thread executes it in this set");
    assert!(of("xor.b32 %parity").iter().all(|&found| *found == idle));
    let inits = of("mbarrier.init");
    assert!(inits.contains(&&Finding::Survived) && !inits.contains(&&idle));
}

#[test]
fn ptx() {
    let (_, set) = &kinds()[0];
    let kernel = emit::kernel(&planned(set, 2)).unwrap();
    insta::assert_snapshot!(kernel.ptx);
}
