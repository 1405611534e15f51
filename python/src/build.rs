//! Building and verifying from Python.

use std::path::PathBuf;

use nvfp4gen::artifact::{Kernel, store};
use nvfp4gen::assemble::Ptxas;
use nvfp4gen::choose;
use nvfp4gen::device::Schedule;
use nvfp4gen::emit;
use nvfp4gen::plan::Target;
use nvfp4gen::problem::{Set, ShapeFile};
use nvfp4gen::trial;
use nvfp4gen::verify::Data;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::error::Error;

type Failure = String;

/// The sets of a shape file's text; `name` stands for it in messages.
fn sets(texts: &[(String, String)]) -> Result<Vec<Set>, Failure> {
    let mut sets = Vec::new();
    for (name, text) in texts {
        sets.extend(
            ShapeFile::parse(name, text)
                .map_err(|error| error.to_string())?
                .sets,
        );
    }
    Ok(sets)
}

fn target(name: &str) -> Result<Target, Failure> {
    name.parse::<Target>().map_err(|error| error.to_string())
}

fn compile(set: &Set, target: Target) -> Result<Kernel, Failure> {
    let plan = choose::best(set, target).map_err(|error| format!("set `{}`: {error}", set.name))?;
    emit::kernel(&plan).map_err(|error| error.to_string())
}

/// Writes a library; gives the keys of its kernels.
#[pyfunction]
pub fn build(
    py: Python<'_>,
    texts: Vec<(String, String)>,
    out: PathBuf,
    targets: Vec<String>,
) -> PyResult<Vec<String>> {
    let work = || -> Result<Vec<String>, Failure> {
        let sets = sets(&texts)?;
        let ptxas = Ptxas::find().ok();
        let mut keys = Vec::new();
        let mut libraries = Vec::new();
        for name in &targets {
            let target = target(name)?;
            let mut kernels = Vec::new();
            for set in &sets {
                let mut kernel = compile(set, target)?;
                if let Some(ptxas) = &ptxas {
                    let assembly = ptxas.assemble(&kernel.ptx, target.name);
                    let assembly =
                        assembly.map_err(|error| format!("{}: {error}", kernel.entry.key))?;
                    kernel.cubin = Some(assembly.cubin);
                }
                kernels.push(kernel);
            }
            keys = kernels
                .iter()
                .map(|kernel| kernel.entry.key.clone())
                .collect();
            libraries.push((target, kernels));
        }
        for (target, kernels) in &libraries {
            store::write(&out.join(target.name), target.name, kernels)
                .map_err(|error| error.to_string())?;
        }
        Ok(keys)
    };
    py.detach(work).map_err(PyValueError::new_err)
}

/// Runs every kernel on the emulated GPU; gives name, largest error in ulp, in units of its bound, and the elements
/// that were compared.
#[pyfunction]
pub fn verify(
    py: Python<'_>,
    texts: Vec<(String, String)>,
    names: Option<Vec<String>>,
    target_name: &str,
    seed: u64,
    schedules: Vec<String>,
) -> PyResult<Vec<(String, f64, f64, u64)>> {
    let schedules: Vec<Schedule> = schedules
        .iter()
        .map(|name| schedule(name))
        .collect::<PyResult<_>>()?;
    let chosen = |set: &Set| names.as_ref().is_none_or(|names| names.contains(&set.name));
    let work = || -> Result<Result<Vec<_>, Failure>, Failure> {
        let sets = sets(&texts)?;
        let unknown = names
            .iter()
            .flatten()
            .find(|name| sets.iter().all(|set| set.name != **name));
        if let Some(name) = unknown {
            return Err(format!("no set is called `{name}`"));
        }
        let target = target(target_name)?;
        let mut verdicts = Vec::new();
        for set in sets.iter().filter(|set| chosen(set)) {
            match verify_set(set, target, seed, &schedules) {
                Ok(verdict) => verdicts.push(verdict),
                Err(message) => return Ok(Err(message)),
            }
        }
        Ok(Ok(verdicts))
    };
    py.detach(work)
        .map_err(PyValueError::new_err)?
        .map_err(Error::new_err)
}

fn verify_set(
    set: &Set,
    target: Target,
    seed: u64,
    schedules: &[Schedule],
) -> Result<(String, f64, f64, u64), Failure> {
    let kernel = compile(set, target)?;
    let inputs = trial::inputs(set, seed, Data::FullRange).map_err(|error| error.to_string())?;
    let mut worst = (set.name.clone(), 0.0, 0.0, 0);
    for schedule in schedules {
        let say = |error: &dyn std::fmt::Display| format!("set `{}`: {error}", set.name);
        let outputs = trial::execute(&kernel, &inputs, *schedule).map_err(|error| say(&error))?;
        let verdict = trial::judge(&kernel, set, &inputs, &outputs).map_err(|error| say(&error))?;
        if !verdict.passed() {
            return Err(verdict.to_string());
        }
        let total = verdict.total();
        worst.1 = f64::max(worst.1, total.max_ulps);
        worst.2 = f64::max(worst.2, total.max_ratio);
        worst.3 = total.elements;
    }
    Ok(worst)
}

fn schedule(name: &str) -> PyResult<Schedule> {
    let seed = name
        .strip_prefix("random:")
        .and_then(|seed| seed.parse().ok());
    match (name, seed) {
        ("eager", _) => Ok(Schedule::Eager),
        ("lazy", _) => Ok(Schedule::Lazy),
        (_, Some(seed)) => Ok(Schedule::Random(seed)),
        _ => Err(PyValueError::new_err(format!(
            "the schedule is {name:?}; it can be \"eager\", \"lazy\" or \"random:SEED\""
        ))),
    }
}
