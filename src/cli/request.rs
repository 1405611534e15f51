//! What was typed, made into what is meant: sets, a thread pool, kernels.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use clap::Args;
use nvfp4gen::artifact::Kernel;
use nvfp4gen::choose;
use nvfp4gen::emit;
use nvfp4gen::plan::Target;
use nvfp4gen::plan::target::TARGETS;
use nvfp4gen::problem::{Pins, Set, ShapeFile};
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::failure::Failure;

/// The shape files of a command.
#[derive(Args)]
pub struct Shapes {
    /// Shape files (TOML), e.g. shapes/leaderboard.toml
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// The plans pinned in them, once they are read.
    #[arg(skip)]
    pins: OnceLock<Pins>,
}

/// How much of the machine a command may use.
#[derive(Args)]
pub struct Jobs {
    /// Threads to work on [default: as many as there are cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
}

impl Shapes {
    /// The sets of all files, in their order.
    ///
    /// # Errors
    /// Everything that is wrong in any of the files; sets of different files that ask for the same kernel; plans pinned
    /// for targets that there are not.
    pub fn read(&self) -> Result<Vec<Set>, Failure> {
        let mut sets = Vec::new();
        let mut pins = Pins::default();
        let mut errors = Vec::new();
        for path in &self.files {
            match ShapeFile::read(path) {
                Ok(file) => {
                    sets.extend(file.sets.into_iter().map(|set| (path.as_path(), set)));
                    pins.add(path, file.pins);
                }
                Err(error) => errors.push(error.to_string()),
            }
        }
        errors.extend(collisions(&sets));
        errors.extend(unknown_targets(&pins));
        if errors.is_empty() {
            self.pins.get_or_init(|| pins);
            Ok(sets.into_iter().map(|(_, set)| set).collect())
        } else {
            Err(Failure::Input(errors.join("\n")))
        }
    }
}

impl Shapes {
    /// The plans that the files pin. None before they are read.
    pub fn pins(&self) -> Pins {
        self.pins.get().cloned().unwrap_or_default()
    }

    /// The kernel of one of the sets: its pinned plan or the best one, emitted.
    ///
    /// # Errors
    /// As [`compile`].
    pub fn compile(&self, set: &Set, target: Target) -> Result<Kernel, Failure> {
        compile(set, target, &self.pins())
    }
}

impl Jobs {
    /// The threads that were asked for.
    ///
    /// # Errors
    /// If the system refuses to start them.
    pub fn pool(&self) -> Result<ThreadPool, Failure> {
        ThreadPoolBuilder::new()
            .num_threads(self.jobs.unwrap_or(0).into())
            .build()
            .map_err(Failure::input)
    }
}

/// The failure of asking for a set that is not there.
pub fn no_such_set(name: &str, sets: &[Set]) -> Failure {
    let names: Vec<&str> = sets.iter().map(|set| set.name.as_str()).collect();
    Failure::Input(format!(
        "no set is called `{name}`; there are: {}",
        names.join(", ")
    ))
}

/// The kernel of a set: its plan taken from the pins or chosen, and emitted.
///
/// # Errors
/// If no plan of the set is legal on the target, or a template fails.
pub fn compile(set: &Set, target: Target, pins: &Pins) -> Result<Kernel, Failure> {
    let plan = choose::plan(set, target, pins)
        .map_err(|error| Failure::Input(format!("set `{}`: {error}", set.name)))?;
    emit::kernel(&plan).map_err(|error| Failure::Check(format!("set `{}`: {error}", set.name)))
}

/// All results, or all failures in one.
pub fn all<T>(results: Vec<Result<T, Failure>>) -> Result<Vec<T>, Failure> {
    let (mut done, mut messages, mut input) = (Vec::new(), Vec::new(), false);
    for result in results {
        match result {
            Ok(value) => done.push(value),
            Err(Failure::Check(message)) => messages.push(message),
            Err(Failure::Input(message)) => {
                input = true;
                messages.push(message);
            }
            Err(Failure::BrokenPipe) => return Err(Failure::BrokenPipe),
        }
    }
    match (messages.is_empty(), input) {
        (true, _) => Ok(done),
        (false, false) => Err(Failure::Check(messages.join("\nerror: "))),
        (false, true) => Err(Failure::Input(messages.join("\nerror: "))),
    }
}

fn unknown_targets(pins: &Pins) -> Vec<String> {
    let known = TARGETS.map(|target| target.name);
    let unknown = pins
        .iter()
        .filter(|(_, pin)| !known.contains(&pin.target.as_str()));
    let refuse = |(path, pin): (&Path, &nvfp4gen::problem::Pin)| {
        let message = format!("no target is called `{}`", pin.target);
        let remedy = format!("the targets are {}", known.join(", "));
        pin.place.refuse(path, message, remedy).to_string()
    };
    unknown.map(refuse).collect()
}

fn collisions(sets: &[(&Path, Set)]) -> Vec<String> {
    let mut owners: BTreeMap<String, (&Path, &str)> = BTreeMap::new();
    let mut errors = Vec::new();
    for (path, set) in sets {
        let key = set.key();
        match owners.get(&key) {
            Some((other, name)) => errors.push(format!(
                "set `{}` of {} and set `{name}` of {} have the same key {key}; remove one",
                set.name,
                path.display(),
                other.display()
            )),
            None => drop(owners.insert(key, (path, &set.name))),
        }
    }
    errors
}
