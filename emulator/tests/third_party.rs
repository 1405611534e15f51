//! PTX that other people's compilers emitted, if it lies beside the repository.

use std::path::{Path, PathBuf};

use ptx_emulator::recipe::Recipe;
use ptx_emulator::{DeviceConfig, Module, Schedule};

fn shared() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    if root.is_dir() {
        return Some(root);
    }
    println!("skipped: {} is absent", root.display());
    None
}

fn files_with(extension: &str, folder: &Path, out: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for path in entries.flatten().map(|e| e.path()) {
        if path.is_dir() {
            files_with(extension, &path, out);
        } else if path.extension().is_some_and(|e| e == extension) {
            out.push(path);
        }
    }
    out.sort();
}

#[test]
fn every_file_parses_and_loads() {
    let Some(root) = shared() else { return };
    let mut files = Vec::new();
    files_with("ptx", &root.join("oracle"), &mut files);
    files.push(root.join("brief/tile_sm100.ptx"));
    let mut problems = Vec::new();
    for file in &files {
        let text = std::fs::read_to_string(file).unwrap();
        match Module::load(&file.display().to_string(), &text) {
            Ok(module) => assert_eq!(module.entries().count(), 1),
            Err(e) => problems.push(e.to_string()),
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// Random schedules of each recipe, after the eager and the lazy one.
const SEEDS: u64 = 20;

fn failures(file: &Path) -> Vec<String> {
    let recipe = match Recipe::open(file) {
        Ok(recipe) => recipe,
        Err(e) => return vec![e.to_string()],
    };
    let schedules = [Schedule::Eager, Schedule::Lazy]
        .into_iter()
        .chain((0..SEEDS).map(Schedule::Random));
    let mut problems = Vec::new();
    for schedule in schedules {
        for (index, data) in recipe.runs().enumerate() {
            let problem = match recipe.run(index, schedule, &DeviceConfig::default()) {
                Ok(outcome) if outcome.is_right() => continue,
                Ok(outcome) => format!("{:?}", outcome.compared),
                Err(e) => e.to_string(),
            };
            problems.push(format!("{data} {schedule:?}: {problem}"));
        }
    }
    problems
}

#[test]
fn every_recipe_computes_what_it_says_under_every_schedule() {
    let Some(root) = shared() else { return };
    let mut files = Vec::new();
    files_with("json", &root.join("oracle"), &mut files);
    let problems: Vec<_> = files.iter().flat_map(|file| failures(file)).collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
