//! Hopper's kernels: one team or two, tokens in units of eight or of 32, K blocks of any number.

use nvfp4gen::device::Schedule;
use nvfp4gen::emit;
use nvfp4gen::plan::sm_90a::{self, Choices};
use nvfp4gen::plan::target::SM_90A;
use nvfp4gen::plan::{Plan, Target, TargetPlan};
use nvfp4gen::problem::{Group, OutputType, Set, Weights};
use nvfp4gen::trial::{self, Finding};
use nvfp4gen::verify::Data;

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

fn schedules(random: u64) -> Vec<Schedule> {
    [Schedule::Eager, Schedule::Lazy]
        .into_iter()
        .chain((0..random).map(Schedule::Random))
        .collect()
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
    for (_, set) in kinds() {
        let kernel = emit::kernel(&planned(&set, 2)).unwrap();
        let inputs = trial::inputs(&set, 1, Data::FullRange).unwrap();
        for schedule in schedules(4) {
            let outputs = trial::execute(&kernel, &inputs, schedule)
                .unwrap_or_else(|e| panic!("{}, {schedule:?}: {e}", set.name));
            let verdict = trial::judge(&kernel, &set, &inputs, &outputs).unwrap();
            assert!(verdict.passed(), "{}, {schedule:?}:\n{verdict:?}", set.name);
        }
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
        let inputs = trial::inputs(&set, 1, Data::FullRange).unwrap();
        let verdicts = trial::try_mutants(&kernel, &set, &inputs, &schedules(4)).unwrap();
        let survivors: Vec<String> = verdicts
            .iter()
            .filter(|v| v.finding == Finding::Survived)
            .map(ToString::to_string)
            .collect();
        assert!(
            survivors.is_empty(),
            "{}:\n{}",
            set.name,
            survivors.join("\n")
        );
        assert!(verdicts.len() > 50, "{}: {}", set.name, verdicts.len());
    }
}

#[test]
fn ptx() {
    let (_, set) = &kinds()[0];
    let kernel = emit::kernel(&planned(set, 2)).unwrap();
    insta::assert_snapshot!(kernel.ptx);
}
