//! PTX that other people's compilers emitted, if it lies beside the repository.

use std::path::{Path, PathBuf};

use ptx_emulator::{Module, Schedule};
use recipe::Recipe;

mod recipe;

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

#[test]
fn every_recipe_computes_what_it_says_under_every_schedule() {
    let Some(root) = shared() else { return };
    let mut files = Vec::new();
    files_with("json", &root.join("oracle"), &mut files);
    let mut problems = Vec::new();
    let schedules = [Schedule::Eager, Schedule::Lazy]
        .into_iter()
        .chain((0..4).map(Schedule::Random))
        .collect::<Vec<_>>();
    for file in &files {
        let recipe = match Recipe::open(file) {
            Ok(recipe) => recipe,
            Err(e) => panic!("{e}"),
        };
        for schedule in &schedules {
            if let Err(e) = recipe.run(*schedule) {
                problems.push(e);
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
