//! `tune` over the emulated driver: plans are checked, prices decide, and shape files are changed with care.

mod desk;
mod gpu;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Stdio;

use desk::{Desk, texts};
use nvfp4gen::choose::{self, Choices};
use nvfp4gen::plan::target::{SM_90A, SM_100A};
use nvfp4gen::problem::{Found, PinningError, Pins, Setting, ShapeFile, pinned_text};

const SHAPES: &str = r#"# Shapes of somebody   with odd   spacing
weights = "static" # nobody writes them

[[set]]
name = "small"   # two groups
m = [40, 7]
n = 136
k = 192

[[set]]
name = "v1.5"
m = [3, 70]
n = 264
k = 320

[tuning.small.sm_90a] # of a Hopper GPU
device = "NVIDIA H200"
date = 2026-01-01
measured_us = 2.5 # slow
choices = { widths = 64 }
"#;

fn tune(desk: &Desk, line: &str, environment: &[(&str, &str)]) -> (i32, String, String) {
    let mut command = desk.command(&format!("tune shapes.toml {line}"));
    command.env("LD_LIBRARY_PATH", gpu::driver_folder());
    command.envs(environment.iter().copied());
    texts(command.output().unwrap())
}

fn content(desk: &Desk) -> String {
    fs::read_to_string(desk.path("shapes.toml")).unwrap()
}

fn pins(desk: &Desk) -> (ShapeFile, Pins) {
    let path = desk.path("shapes.toml");
    let file = ShapeFile::read(&path).unwrap();
    let mut pins = Pins::default();
    pins.add(&path, file.pins.clone());
    (file, pins)
}

#[test]
fn winners_are_pinned_and_the_rest_of_the_file_stays() {
    let desk = Desk::new(SHAPES);
    let (code, text, message) = tune(&desk, "--top 3 --write", &[]);
    assert_eq!(code, 0, "{message}");
    for words in [
        "EMULATED",
        "nothing was timed",
        "prices decide",
        "right, wins",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let new = content(&desk);
    let added = new.strip_prefix(SHAPES).expect("everything as it was");
    assert!(text.ends_with(added.trim_start()), "{text}");
    assert_eq!(added.matches("model of B200, not measured").count(), 2);
    let (file, pins) = pins(&desk);
    assert_eq!(file.pins.len(), 3);
    for set in &file.sets {
        let (plan, measured) = choose::pinned(set, SM_100A, &pins).unwrap().unwrap();
        let (best, price) = &choose::cheapest(set, SM_100A, 1).unwrap()[0];
        assert_eq!(&plan, best, "the model's choice");
        assert!((measured.us - price.total_us).abs() < 1e-3);
    }
    // Tuned again, nothing is there twice; and the other commands take the file.
    let (code, text, _) = tune(&desk, "--top 3 --write", &[]);
    assert_eq!((code, content(&desk)), (0, new));
    assert!(text.contains("right, wins, was pinned"), "{text}");
    assert_eq!(desk.run_without_ptxas("build shapes.toml").0, 0);
}

#[test]
fn without_write_the_entries_are_printed() {
    let desk = Desk::new(SHAPES);
    let (code, text, _) = tune(&desk, "--set small --top 1", &[]);
    assert_eq!((code, content(&desk)), (0, SHAPES.to_owned()));
    assert!(text.contains("--write would pin in shapes.toml:"), "{text}");
    assert!(
        text.contains("\n[tuning.small.sm_100a]\ndevice ="),
        "{text}"
    );
    assert!(!text.contains("v1.5"), "{text}");
    let (_, text, _) = tune(&desk, "--set small --top 2 --json", &[]);
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["emulated"], true);
    assert_eq!(report["sets"][0]["winner"], 0);
    let tried = report["sets"][0]["tried"].as_array().unwrap();
    assert_eq!(tried.len(), 2);
    assert!(
        tried
            .iter()
            .all(|t| t["result"] == "right" && t["measured_us"].is_null())
    );
}

#[test]
fn no_price_replaces_a_measurement() {
    let desk = Desk::new(SHAPES);
    let (code, text, _) = tune(&desk, "--top 2 --write", &[("PTXEMU_CAPABILITY", "9.0")]);
    assert_eq!(code, 0);
    assert!(
        text.contains("small: its entry was measured and stays"),
        "{text}"
    );
    assert!(text.contains("right, was pinned"), "it takes part: {text}");
    let (file, pins) = pins(&desk);
    let [small, other] = &file.sets[..] else {
        panic!("two sets")
    };
    let pinned = |set| choose::pinned(set, SM_90A, &pins).unwrap().unwrap();
    let (plan, measured) = pinned(small);
    assert_eq!(
        (measured.us, measured.device.as_str()),
        (2.5, "NVIDIA H200")
    );
    let widths = Choices::of(&plan).settings()[0].clone();
    assert_eq!(widths, ("widths", Setting::Number(64)));
    assert_eq!(pinned(other).1.device, "model of H200, not measured");
}

#[test]
fn what_is_wrong_cannot_win() {
    let desk = Desk::new(SHAPES);
    // Nothing is executed in null mode: no output is ever right.
    let (code, text, message) = tune(&desk, "--top 2 --write", &[("PTXEMU_NULL", "1")]);
    assert_eq!(code, 1, "{message}");
    assert_eq!(content(&desk), SHAPES);
    assert!(text.contains("WRONG") && !text.contains("wins"), "{text}");
    for words in [
        "set `small`, plan 1: it computes wrong results",
        "set `v1.5`: no plan is right, so none was pinned",
    ] {
        assert!(message.contains(words), "{words}: {message}");
    }
    // One launch that the driver refuses costs one plan, not the set.
    let fault = [(
        "PTXEMU_FAIL",
        "cuLaunchKernelEx:1:CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES",
    )];
    let (code, text, message) = tune(&desk, "--set small --top 2 --write", &fault);
    assert_eq!(code, 1, "{message}");
    assert!(text.contains("STOPPED"), "{text}");
    assert!(message.contains("plan 1: it does not run"), "{message}");
    let (file, pins) = pins(&desk);
    let (plan, _) = choose::pinned(&file.sets[0], SM_100A, &pins)
        .unwrap()
        .unwrap();
    let second = &choose::cheapest(&file.sets[0], SM_100A, 2).unwrap()[1].0;
    assert_eq!(&plan, second);
}

#[test]
fn errors_come_before_any_work_and_say_what_to_do() {
    let desk = Desk::new(SHAPES);
    let fails = |line: &str, environment: &[(&str, &str)], words: &str| {
        let (code, text, message) = tune(&desk, line, environment);
        assert_eq!((code, text.as_str()), (2, ""), "{line}: {message}");
        assert!(message.contains(words), "{words}: {message}");
        assert!(!message.contains("] tune"), "{message}");
        assert_eq!(content(&desk), SHAPES);
    };
    fails(
        "--target sm_90a",
        &[],
        "does not run kernels for sm_90a; it takes --target sm_100a",
    );
    fails("", &[("PTXEMU_DEVICES", "0")], "finds no GPU");
    // A driver that is none, for machines that have one elsewhere.
    let nothing = desk.path("nothing");
    fs::create_dir(&nothing).unwrap();
    for name in ["libcuda.so", "libcuda.so.1"] {
        fs::write(nothing.join(name), "").unwrap();
    }
    let nothing = [("LD_LIBRARY_PATH", nothing.to_str().unwrap())];
    fails("", &nothing, "there is no NVIDIA driver");
    fails("--gpu 7", &[], "7");
    fails("--set P9", &[], "no set is called `P9`");
    let mode = |mode| {
        let mode = fs::Permissions::from_mode(mode);
        fs::set_permissions(desk.path("shapes.toml"), mode).unwrap();
    };
    mode(0o444);
    fails(
        "--write",
        &[],
        "cannot write shapes.toml: it is read-only; make it writable",
    );
    mode(0o644);
    let (code, _, message) = desk.run("tune nowhere.toml --write");
    assert_eq!(code, 2);
    assert!(message.contains("cannot read nowhere.toml"), "{message}");
}

#[test]
fn links_and_permissions_stay() {
    let desk = Desk::new(SHAPES);
    fs::rename(desk.path("shapes.toml"), desk.path("real.toml")).unwrap();
    symlink("real.toml", desk.path("shapes.toml")).unwrap();
    let mode = fs::Permissions::from_mode(0o640);
    fs::set_permissions(desk.path("real.toml"), mode).unwrap();
    assert_eq!(tune(&desk, "--set small --top 1 --write", &[]).0, 0);
    assert!(desk.path("shapes.toml").is_symlink());
    let metadata = fs::metadata(desk.path("real.toml")).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o777, 0o640);
    assert!(content(&desk).contains("[tuning.small.sm_100a]"));
    let files = fs::read_dir(desk.path(".")).unwrap().count();
    assert_eq!(files, 2, "nothing is left behind");
}

#[test]
fn a_file_that_changes_meanwhile_is_left_alone() {
    let desk = Desk::new(SHAPES);
    let mut command = desk.command("tune shapes.toml --top 20 --write");
    command.env("LD_LIBRARY_PATH", gpu::driver_folder());
    command.stderr(Stdio::piped()).stdout(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut messages = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    messages.read_line(&mut line).unwrap();
    assert!(line.starts_with("[1/20] tune"), "{line}");
    let edited = format!("{SHAPES}\n# an edit\n");
    fs::write(desk.path("shapes.toml"), &edited).unwrap();
    messages.read_to_string(&mut line).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(2), "{line}");
    assert!(line.contains("it has changed since it was read"), "{line}");
    assert_eq!(content(&desk), edited);
}

/// Entries as people write them: under the key, in one line, twice.
#[test]
fn entries_are_found_however_they_are_written() {
    let file = ShapeFile::parse("it", SHAPES).unwrap();
    let set = &file.sets[0];
    let found = |us| Found {
        set,
        target: "sm_90a",
        choices: vec![("widths", Setting::Numbers(vec![64, 16]))],
        device: "a \"quoted\" GPU".to_owned(),
        date: (2026, 2, 3),
        measured_us: us,
    };
    let new = pinned_text(SHAPES, &[found(2.0)]).unwrap();
    let expected = SHAPES
        .replace("\"NVIDIA H200\"", "'a \"quoted\" GPU'")
        .replace("2026-01-01", "2026-02-03")
        .replace("2.5 # slow", "2.0 # slow")
        .replace("widths = 64", "widths = [64, 16]");
    assert_eq!(new, expected);
    assert_eq!(pinned_text(&new, &[found(2.0)]).unwrap(), new);
    let by_key = SHAPES.replace("tuning.small", &format!("tuning.{}", set.key()));
    let new = pinned_text(&by_key, &[found(3.25)]).unwrap();
    assert!(new.contains(&format!("[tuning.{}.sm_90a] # of", set.key())));
    assert!(new.contains("3.25 # slow") && !new.contains("tuning.small"));
    let (before, _) = SHAPES.split_once("[tuning").unwrap();
    let entry = "{ device = 'x', date = 2026-01-01, measured_us = 1, choices = {} }";
    let in_one = format!("tuning = {{ small = {{ sm_90a = {entry} }} }}\n{before}");
    let new = pinned_text(&in_one, &[found(3.25)]).unwrap();
    assert!(new.starts_with("tuning = { small = { sm_90a = {"), "{new}");
    assert!(new.contains("measured_us = 3.25"), "{new}");
    let twice = format!("{SHAPES}\n[tuning.{}]\nsm_90a = {entry}\n", set.key());
    let refused = pinned_text(&twice, &[found(1.0)]).unwrap_err();
    assert!(matches!(refused, PinningError::Unfaithful(_)), "{refused}");
    assert!(refused.to_string().contains("add them by hand"));
    let refused = pinned_text("[[set", &[found(1.0)]).unwrap_err();
    assert!(matches!(refused, PinningError::Syntax(_)), "{refused}");
}
