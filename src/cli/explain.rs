//! `explain`: what a plan does, why it was chosen, and where its time should go.

use std::io::{Write, stdout};
use std::path::{Path, PathBuf};

use clap::Args;
use nvfp4gen::artifact::{KernelEntry, Listing};
use nvfp4gen::choose::{self, Choice};
use nvfp4gen::emit;
use nvfp4gen::explain::{self, Report, html, json, text};
use nvfp4gen::plan::Target;
use nvfp4gen::problem::{Group, OutputType, Pins, Set, ShapeFile, Weights};

use super::failure::Failure;
use super::file;
use super::request;

const EXAMPLES: &str = "\
Every argument with a dot or a slash in it is a shape file. Anything else names a
set: by its name, its key, or its number in the files, the first being 1. Without
shape files the set is looked up in a library that `build` wrote. Without a set,
all sets of the files are explained.

All times are predictions of the model, but for published ones.

Examples:
  nvfp4gen explain shapes/leaderboard.toml --set P3
  nvfp4gen explain shapes/leaderboard.toml 3 --target sm_90a
  nvfp4gen explain g2_m192-320_n3072_k4096_f16_static    # out of generated/
  nvfp4gen explain shapes/leaderboard.toml --html plans.html
  nvfp4gen explain P3 --json | jq '.sets[0].time'";

/// Show a plan: in words, as pictures, why it was chosen, where its time should go
#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
pub struct ExplainArgs {
    /// Shape files (TOML), and names, keys or numbers of sets
    #[arg(value_name = "FILE|SET", required = true)]
    what: Vec<String>,
    /// Only the set of this name, key or number; may be repeated
    #[arg(long = "set", value_name = "NAME")]
    sets: Vec<String>,
    /// Directory that `build --out` wrote, to look sets up in if there is no shape file
    #[arg(long, value_name = "DIR", default_value = "generated")]
    dir: PathBuf,
    /// GPU architecture to plan for
    #[arg(long, value_name = "TARGET", default_value = "sm_100a")]
    target: Target,
    /// Print JSON instead of text
    #[arg(long, conflicts_with = "html")]
    json: bool,
    /// Write one HTML page instead, which needs no network and no script; replaced in one step
    #[arg(long, value_name = "OUT")]
    html: Option<PathBuf>,
}

/// A set to be explained, and what is known of where it comes from.
struct Asked {
    set: Set,
    pins: Pins,
    source: String,
    /// What a library says of it.
    built: Option<KernelEntry>,
}

pub fn explain(args: &ExplainArgs) -> Result<(), Failure> {
    let (files, names) = split(args);
    let known = if files.is_empty() {
        of_library(&args.dir, args.target)?
    } else {
        of_files(&files)?
    };
    let reports = named(known, &names)?
        .iter()
        .map(|asked| report(asked, args.target))
        .collect();
    let reports: Vec<Report> = request::all(reports)?;
    match &args.html {
        Some(path) => {
            let page = html::page(&reports).map_err(Failure::check)?;
            file::write(path, page.as_bytes()).map_err(Failure::Input)
        }
        None => {
            let text = if args.json {
                json::text(&reports).map_err(Failure::check)?
            } else {
                let texts: Vec<String> = reports.iter().map(text::text).collect();
                texts.join("\n\n")
            };
            Ok(stdout().write_all(text.as_bytes())?)
        }
    }
}

/// Shape files, and names of sets: a name in a file may have any characters, but as an argument by itself it has no dots.
fn split(args: &ExplainArgs) -> (Vec<PathBuf>, Vec<String>) {
    let is_file = |word: &&String| word.contains(['.', '/']);
    let files = args
        .what
        .iter()
        .filter(is_file)
        .map(PathBuf::from)
        .collect();
    let names = args.what.iter().filter(|word| !is_file(word));
    (files, names.chain(&args.sets).cloned().collect())
}

fn of_files(files: &[PathBuf]) -> Result<Vec<Asked>, Failure> {
    let mut pins = Pins::default();
    let mut sets = Vec::new();
    let mut errors = Vec::new();
    for path in files {
        match ShapeFile::read(path) {
            Ok(file) => {
                pins.add(path, file.pins);
                let source = path.display().to_string();
                sets.extend(file.sets.into_iter().map(|set| (set, source.clone())));
            }
            Err(error) => errors.push(error.to_string()),
        }
    }
    if !errors.is_empty() {
        return Err(Failure::Input(errors.join("\n")));
    }
    let asked = |(set, source)| Asked {
        set,
        pins: pins.clone(),
        source,
        built: None,
    };
    Ok(sets.into_iter().map(asked).collect())
}

/// The sets of the library of a target in `dir`.
fn of_library(dir: &Path, target: Target) -> Result<Vec<Asked>, Failure> {
    let directory = dir.join(target.name);
    let listing = Listing::read(&directory).map_err(|error| {
        Failure::Input(format!(
            "{error}; name a shape file, e.g. `nvfp4gen explain shapes/leaderboard.toml --set P3`"
        ))
    })?;
    let source = directory.display().to_string();
    let asked = |entry: &KernelEntry| {
        let set = set_of(entry).ok_or_else(|| {
            Failure::Input(format!(
                "{source}: the manifest's sizes of `{}` are not those of a set",
                entry.key
            ))
        })?;
        Ok(Asked {
            set,
            pins: Pins::default(),
            source: source.clone(),
            built: Some(entry.clone()),
        })
    };
    listing.kernels().iter().map(asked).collect()
}

fn set_of(entry: &KernelEntry) -> Option<Set> {
    let sizes = &entry.sizes;
    let group = |((&m, &n), &k)| Group { m, n, k };
    let groups = sizes.m.iter().zip(&sizes.n).zip(&sizes.k).map(group);
    let output = OutputType::ALL.into_iter();
    let weights = Weights::ALL.into_iter();
    let set = Set {
        name: entry.name.clone(),
        groups: groups.collect(),
        output: output.clone().find(|o| o.name() == sizes.output)?,
        weights: weights.clone().find(|w| w.name() == sizes.weights)?,
    };
    // A manifest whose lists have different lengths, say, has another key.
    (set.key() == entry.key).then_some(set)
}

/// The sets of these names, or all if there are none.
fn named(mut known: Vec<Asked>, names: &[String]) -> Result<Vec<Asked>, Failure> {
    if names.is_empty() {
        return Ok(known);
    }
    let mut wanted: Vec<usize> = Vec::new();
    for name in names {
        let index = find(&known, name).ok_or_else(|| unknown(name, &known))?;
        if !wanted.contains(&index) {
            wanted.push(index);
        }
    }
    let mut index = 0;
    known.retain(|_| {
        index += 1;
        wanted.contains(&(index - 1))
    });
    Ok(known)
}

/// By name, else by key, else by number.
fn find(known: &[Asked], name: &str) -> Option<usize> {
    let by_name = known.iter().position(|asked| asked.set.name == name);
    let by_key = || known.iter().position(|asked| asked.set.key() == name);
    let by_number = || {
        let number: usize = name.parse().ok()?;
        (1..=known.len()).contains(&number).then(|| number - 1)
    };
    by_name.or_else(by_key).or_else(by_number)
}

fn unknown(name: &str, known: &[Asked]) -> Failure {
    let names: Vec<String> = known
        .iter()
        .map(|asked| format!("\n  {} ({})", asked.set.name, asked.set.key()))
        .collect();
    let mut places: Vec<&str> = known.iter().map(|asked| asked.source.as_str()).collect();
    places.dedup();
    Failure::Input(format!(
        "no set in {} has the name, key or number `{name}`; there are:{}",
        places.join(", "),
        names.concat()
    ))
}

fn report(asked: &Asked, target: Target) -> Result<Report, Failure> {
    let choice = choose::choose_pinned(&asked.set, target, &asked.pins)
        .map_err(|error| Failure::Input(format!("set `{}`: {error}", asked.set.name)))?;
    let mut report = explain::explain(&choice);
    report.notes.push(note(asked, &choice)?);
    Ok(report)
}

/// Where the sizes are from. A library's kernel may have been made from another plan: say so.
fn note(asked: &Asked, choice: &Choice) -> Result<String, Failure> {
    let source = &asked.source;
    let Some(entry) = &asked.built else {
        return Ok(format!("Sizes from {source}."));
    };
    let kernel = emit::kernel(&choice.plan).map_err(Failure::check)?;
    Ok(if kernel.entry.sha256 == entry.sha256 {
        format!("Sizes from {source}; the kernel there is of this plan.")
    } else {
        format!(
            "Sizes from {source}; the kernel there is not of this plan, but of one that was pinned in its shape file or \
             chosen by another version."
        )
    })
}
