//! Kernels planned by hand-made choices, and what every one of them must pass.
#![allow(dead_code)]

use nvfp4gen::artifact::Kernel;
use nvfp4gen::assemble::Ptxas;
use nvfp4gen::device::Schedule;
use nvfp4gen::emit;
use nvfp4gen::plan::schedule::Order;
use nvfp4gen::plan::sm_100a::{CacheHint, Choices, Reduction, plan};
use nvfp4gen::plan::target::{SM_100A, SM_103A};
use nvfp4gen::plan::tiling::Widths;
use nvfp4gen::plan::{Plan, Target};
use nvfp4gen::problem::{Group, OutputType, Set, ShapeFile, Weights};
use nvfp4gen::trial::{self, Finding};
use nvfp4gen::verify::Data;
use std::path::Path;

/// Few workers, so that each has several tiles and every ring wraps.
pub const TARGET: Target = Target { sms: 4, ..SM_100A };

/// One CTA for itself.
pub fn alone() -> Choices {
    Choices {
        k_block: 256,
        widths: Widths::UpTo(192),
        accumulators: 2,
        order: Order::Runs,
        ctas: 2,
        pair: false,
        multicast: false,
        split_k: 1,
        reduction: Reduction::Cluster,
        chunk: 32,
        prefetch: 0,
        weights_hint: CacheHint::EvictFirst,
        tokens_hint: CacheHint::EvictLast,
    }
}

/// The choices with all tiles on one worker: everything that is used again is used again.
pub fn one_worker(choices: &Choices) -> Choices {
    Choices {
        ctas: 1,
        ..choices.clone()
    }
}

pub fn shipped(file: &str) -> Vec<Set> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("shapes")
        .join(file);
    ShapeFile::read(&path).unwrap().sets
}

pub fn uniform(name: &str, m: &[u32], n: u32, k: u32) -> Set {
    Set {
        name: name.to_owned(),
        groups: m.iter().map(|&m| Group { m, n, k }).collect(),
        output: OutputType::F16,
        weights: Weights::Dynamic,
    }
}

pub fn planned(set: &Set, choices: &Choices) -> Plan {
    plan(set, TARGET, choices.clone()).unwrap_or_else(|e| panic!("{}: {e}", set.name))
}

pub fn schedules(random: u64) -> Vec<Schedule> {
    [Schedule::Eager, Schedule::Lazy]
        .into_iter()
        .chain((0..random).map(Schedule::Random))
        .collect()
}

/// Full-range data under every schedule, each element within its bound.
pub fn holds(set: &Set, choices: &Choices, random: u64) {
    let kernel = emit::kernel(&planned(set, choices)).unwrap();
    is_right(&kernel, set, random, &format!("{choices:?}"));
}

/// The same for a kernel; `what` says which.
pub fn is_right(kernel: &Kernel, set: &Set, random: u64, what: &str) {
    let inputs = trial::inputs(set, 1, Data::FullRange).unwrap();
    for schedule in schedules(random) {
        let at = || format!("{}, {what}, {schedule:?}", set.name);
        let outputs =
            trial::execute(kernel, &inputs, schedule).unwrap_or_else(|e| panic!("{}: {e}", at()));
        let verdict = trial::judge(kernel, set, &inputs, &outputs).unwrap();
        assert!(verdict.passed(), "{}:\n{verdict:?}", at());
    }
}

/// Every mutant shows, or is known to be no fault. Returns how many there were.
pub fn no_mutant_survives(set: &Set, choices: &Choices, random: u64) -> usize {
    let kernel = emit::kernel(&planned(set, choices)).unwrap();
    every_mutant_shows(&kernel, set, random, &format!("{choices:?}"))
}

/// The same for a kernel; `what` says which.
pub fn every_mutant_shows(kernel: &Kernel, set: &Set, random: u64, what: &str) -> usize {
    let inputs = trial::inputs(set, 1, Data::FullRange).unwrap();
    let verdicts = trial::try_mutants(kernel, set, &inputs, &schedules(random)).unwrap();
    let survivors: Vec<String> = verdicts
        .iter()
        .filter(|v| v.finding == Finding::Survived)
        .map(ToString::to_string)
        .collect();
    assert!(
        survivors.is_empty(),
        "{}, {what}:\n{}",
        set.name,
        survivors.join("\n")
    );
    verdicts.len()
}

/// ptxas takes it for both Blackwells, without a warning and without spills.
pub fn assembles(set: &Set, choices: &Choices) {
    let ptxas = Ptxas::find().expect("run scripts/fetch-tools");
    for target in [SM_100A, SM_103A] {
        let plan =
            plan(set, target, choices.clone()).unwrap_or_else(|e| panic!("{}: {e}", set.name));
        let kernel = emit::kernel(&plan).unwrap();
        let at = format!("{} on {target}, {choices:?}", set.name);
        let assembly = ptxas
            .assemble(&kernel.ptx, target.name)
            .unwrap_or_else(|e| panic!("{at}: {e}"));
        let registers = assembly.entries.first().map(|e| e.registers);
        assert_eq!(assembly.warnings, [], "{at}: {registers:?} registers");
        let entry = &assembly.entries[0];
        assert_eq!(
            (entry.spill_stores, entry.spill_loads, entry.local_bytes),
            (0, 0, 0),
            "{at}"
        );
        assert!(
            entry.registers <= 128,
            "{at}: {} registers",
            entry.registers
        );
    }
}
