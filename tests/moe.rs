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

/// Few workers: each has several tiles, and every ring wraps.
const CTAS: u32 = 2;
/// Most tokens, rows and K. Hopper's kernels dequantise, which takes the emulator ten times as long.
const BLACKWELL: [u32; 3] = [140, 392, 576];
const HOPPER: [u32; 3] = [70, 136, 320];

fn shipped() -> Vec<Set> {
    ShapeFile::read("shapes/moe.toml").unwrap().sets
}

/// The groups with the most, the middle and the fewest tokens.
fn small(set: &Set, [m, n, k]: [u32; 3]) -> Set {
    let mut groups = set.groups.clone();
    groups.sort_by_key(|group| group.m);
    let last = groups.len() - 1;
    let cut = |index: usize| Group {
        m: groups[index].m.min(m),
        n: groups[index].n.min(n),
        k: groups[index].k.min(k),
    };
    Set {
        groups: [last, last / 2, 0].map(cut).to_vec(),
        ..set.clone()
    }
}

fn is_right(name: &str, target: Target, most: [u32; 3]) {
    let sets = shipped();
    let set = sets.iter().find(|set| set.name == name).expect(name);
    let at = format!("{} on {target}", set.name);
    let shipped = choose::best(set, target).unwrap();
    let choices = Choices::of(&shipped)
        .with("ctas", &Setting::Number(CTAS))
        .unwrap();
    let set = small(set, most);
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
    let names: Vec<&str> = sets.iter().map(|set| set.name.as_str()).collect();
    assert_eq!(names, TESTED);
    let tokens = || sets.iter().flat_map(|set| &set.groups).map(|group| group.m);
    assert_eq!((tokens().min(), tokens().max()), (Some(1), Some(4096)));
    let experts = || sets.iter().map(|set| set.groups.len());
    assert_eq!((experts().min(), experts().max()), (Some(8), Some(64)));
}

macro_rules! right {
    ($($test:ident $name:literal)*) => {
        mod blackwell {
            $(#[test] fn $test() { super::is_right($name, super::SM_100A, super::BLACKWELL); })*
        }
        mod hopper {
            $(#[test] fn $test() { super::is_right($name, super::SM_90A, super::HOPPER); })*
        }
        const TESTED: &[&str] = &[$($name),*];
    };
}

right! {
    deepseek_v3_up_ep4_decode "deepseek-v3-up-ep4-decode"
    deepseek_v3_down_ep8_decode "deepseek-v3-down-ep8-decode"
    deepseek_v3_up_ep32_decode "deepseek-v3-up-ep32-decode"
    deepseek_v3_up_ep32_prefill "deepseek-v3-up-ep32-prefill"
    deepseek_v3_down_ep32_prefill "deepseek-v3-down-ep32-prefill"
    qwen3_235b_up_ep8_decode "qwen3-235b-up-ep8-decode"
    qwen3_235b_down_ep8_prefill "qwen3-235b-down-ep8-prefill"
    qwen3_30b_up_ep2_decode "qwen3-30b-up-ep2-decode"
    mixtral_8x7b_up_tp4_prefill "mixtral-8x7b-up-tp4-prefill"
    mixtral_8x22b_down_tp8_decode "mixtral-8x22b-down-tp8-decode"
}
