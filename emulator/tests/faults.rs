//! Wrong kernels and their correct twins (faults/README.md): each wrong one must be reported as its header says, each
//! correct one must run under every schedule and give the right output, and all must assemble.
//!
//! `FAULTS=race-shared/` restricts a run to the cases whose name begins so.

use std::collections::BTreeSet;
use std::path::PathBuf;

#[path = "faults/harness/mod.rs"]
mod harness;

use harness::case::{Case, Expect, discover};
use harness::{assemble, verdict};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/faults")
}

fn cases() -> Vec<Case> {
    let only = std::env::var("FAULTS").unwrap_or_default();
    discover(&folder())
        .into_iter()
        .filter(|c| c.name.starts_with(&only))
        .collect()
}

fn read(name: &str) -> String {
    std::fs::read_to_string(folder().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn check(cases: impl Iterator<Item = Case>) {
    let (mut misses, mut ran) = (Vec::new(), 0);
    for case in cases {
        ran += 1;
        misses.extend(verdict::miss(&case).map(|why| format!("{:<44} {why}", case.name)));
    }
    assert!(
        misses.is_empty(),
        "{} of {ran} cases:\n{}",
        misses.len(),
        misses.join("\n")
    );
}

#[test]
fn wrong_kernels_are_reported() {
    check(cases().into_iter().filter(Case::is_fail));
}

#[test]
fn correct_kernels_pass() {
    check(cases().into_iter().filter(|c| !c.is_fail()));
}

#[test]
fn every_case_assembles() {
    let refusals = assemble::refusals(&assemble::find_ptxas(), &cases());
    assert!(refusals.is_empty(), "{}", refusals.join("\n"));
}

/// README.md lists each kind as "- `name`: rule".
#[test]
fn every_kind_has_cases_and_every_wrong_kernel_a_twin() {
    let readme = read("README.md");
    let listed: BTreeSet<&str> = readme
        .lines()
        .filter_map(|l| Some(l.strip_prefix("- `")?.split_once('`')?.0))
        .collect();
    let all = discover(&folder());
    let names: BTreeSet<&str> = all.iter().map(|c| c.name.as_str()).collect();
    let mut expected = BTreeSet::new();
    for case in &all {
        let faulty = match &case.expect {
            Expect::Fault(fault) => {
                expected.extend(fault.kinds.iter().map(String::as_str));
                true
            }
            Expect::Values(values) => {
                assert!(!values.is_empty(), "{}: expects nothing", case.name);
                false
            }
        };
        assert_eq!(
            faulty,
            case.is_fail(),
            "{}: name and expectation differ",
            case.name
        );
        if faulty {
            let twin = case.name.replace(".fail", ".pass");
            assert!(names.contains(twin.as_str()), "{}: no twin", case.name);
        }
    }
    assert_eq!(
        listed, expected,
        "kinds in README.md and kinds in the cases"
    );
}
