//! Expert layers of published models: the plans that are shipped for them, executed at a size that the emulator gets
//! through in seconds. The choices are those of the full size; groups, rows and K are fewer.

use nvfp4gen::choose::{self, Choices};
use nvfp4gen::device::Schedule;
use nvfp4gen::emit;
use nvfp4gen::plan::Target;
use nvfp4gen::plan::target::{SM_90A, SM_100A};
use nvfp4gen::problem::{Group, Set, Setting, ShapeFile};
use nvfp4gen::trial;
use nvfp4gen::verify::Data;
use rayon::prelude::*;

/// Few workers: each has several tiles, and every ring wraps.
const CTAS: u32 = 2;
const MOST_TOKENS: u32 = 400;
const MOST_ROWS: u32 = 640;
const MOST_K: u32 = 1024;

fn shipped() -> Vec<Set> {
    ShapeFile::read("shapes/moe.toml").unwrap().sets
}

/// The groups with the most, the middle and the fewest tokens.
fn small(set: &Set) -> Set {
    let mut groups = set.groups.clone();
    groups.sort_by_key(|group| group.m);
    let last = groups.len() - 1;
    let cut = |index: usize| Group {
        m: groups[index].m.min(MOST_TOKENS),
        n: groups[index].n.min(MOST_ROWS),
        k: groups[index].k.min(MOST_K),
    };
    Set {
        groups: [last, last / 2, 0].map(cut).to_vec(),
        ..set.clone()
    }
}

fn is_right(set: &Set, target: Target) {
    let at = format!("{} on {target}", set.name);
    let shipped = choose::best(set, target).unwrap();
    let choices = Choices::of(&shipped)
        .with("ctas", &Setting::Number(CTAS))
        .unwrap();
    let set = small(set);
    let plan = choices
        .plan(&set, target)
        .unwrap_or_else(|e| panic!("{at}: {e}"));
    let kernel = emit::kernel(&plan).unwrap();
    let inputs = trial::inputs(&set, 3, Data::FullRange).unwrap();
    for schedule in [Schedule::Eager, Schedule::Lazy] {
        let outputs = trial::execute(&kernel, &inputs, schedule)
            .unwrap_or_else(|e| panic!("{at}, {schedule:?}: {e}"));
        let verdict = trial::judge(&kernel, &set, &inputs, &outputs).unwrap();
        assert!(verdict.passed(), "{at}, {schedule:?}: {verdict:?}");
    }
}

#[test]
fn ten_sets_of_all_kinds() {
    let sets = shipped();
    assert_eq!(sets.len(), 10);
    let tokens = || sets.iter().flat_map(|set| &set.groups).map(|group| group.m);
    assert_eq!((tokens().min(), tokens().max()), (Some(1), Some(4096)));
    let experts = || sets.iter().map(|set| set.groups.len());
    assert_eq!((experts().min(), experts().max()), (Some(8), Some(64)));
}

#[test]
fn right_on_blackwell() {
    shipped().par_iter().for_each(|set| is_right(set, SM_100A));
}

#[test]
fn right_on_hopper() {
    shipped().par_iter().for_each(|set| is_right(set, SM_90A));
}
