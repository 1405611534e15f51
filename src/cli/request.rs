//! What was typed, made into what is meant: sets, a thread pool, kernels.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use nvfp4gen::artifact::Kernel;
use nvfp4gen::choose::choose;
use nvfp4gen::emit;
use nvfp4gen::plan::Target;
use nvfp4gen::problem::{Set, ShapeFile};
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::failure::Failure;

/// The shape files of a command.
#[derive(Args)]
pub struct Shapes {
    /// Shape files (TOML), e.g. shapes/leaderboard.toml
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
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
    /// Everything that is wrong in any of the files; sets of different files that ask for the same kernel.
    pub fn read(&self) -> Result<Vec<Set>, Failure> {
        let mut sets = Vec::new();
        let mut errors = Vec::new();
        for path in &self.files {
            match ShapeFile::read(path) {
                Ok(file) => sets.extend(file.sets.into_iter().map(|set| (path.as_path(), set))),
                Err(error) => errors.push(error.to_string()),
            }
        }
        errors.extend(collisions(&sets));
        if errors.is_empty() {
            Ok(sets.into_iter().map(|(_, set)| set).collect())
        } else {
            Err(Failure::Input(errors.join("\n")))
        }
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

/// The kernel of a set: chosen, planned and emitted.
///
/// # Errors
/// If no plan of the set is legal on the target, or a template fails.
pub fn compile(set: &Set, target: Target) -> Result<Kernel, Failure> {
    let plan = choose(set, target)
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
