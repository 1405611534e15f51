//! `verify --gpu`: kernels executed on a GPU through the run time, held to the exact reference and to the emulated GPU.

use std::io::{Write, stdout};
use std::time::Instant;

use nvfp4gen::artifact::{Kernel, store};
use nvfp4gen::device::Schedule;
use nvfp4gen::plan::Target;
use nvfp4gen::plan::target::TARGETS;
use nvfp4gen::problem::Set;
use nvfp4gen::runtime::bench::compute;
use nvfp4gen::runtime::{Device, Library};
use nvfp4gen::trial;
use nvfp4gen::verify::GroupVerdict;
use serde_json::json;

use super::failure::Failure;
use super::progress::Progress;
use super::request;
use super::table::{Table, count};
use super::verify::VerifyArgs;

/// What came of one set.
struct Outcome {
    name: String,
    key: String,
    seconds: f64,
    result: Result<Found, String>,
}

struct Found {
    total: GroupVerdict,
    /// Elements that are not the emulated GPU's, bit by bit, if it was asked.
    different: Option<u64>,
}

impl Outcome {
    fn passed(&self) -> bool {
        self.result.as_ref().is_ok_and(|found| found.total.passed())
    }
}

/// Builds a library of the sets for the GPU's architecture in a temporary directory, loads it as any program would, and
/// runs every kernel once. A set that fails does not keep the others from being tried.
pub fn run(args: &VerifyArgs, ordinal: u32, sets: &[Set]) -> Result<(), Failure> {
    let device = Device::new(ordinal).map_err(Failure::input)?;
    let target = target_of(&device)?;
    let kernels: Vec<Kernel> = request::all(
        sets.iter()
            .map(|set| args.compile_for(set, target))
            .collect(),
    )?;
    let directory = Temporary::new().map_err(Failure::input)?;
    store::write(&directory.0, target.name, &kernels).map_err(Failure::input)?;
    let library = Library::open(&directory.0).map_err(Failure::input)?;
    let progress = Progress::new("verify", sets.len());
    let outcomes: Vec<Outcome> = sets
        .iter()
        .zip(&kernels)
        .map(|(set, kernel)| {
            progress.step(&set.name, || outcome(args, &library, &device, set, kernel))
        })
        .collect();
    drop(progress);
    let text = if args.json {
        json_text(args, &device, target, &outcomes)
    } else {
        table_text(&device, target, &outcomes)
    };
    stdout().write_all(text.as_bytes())?;
    let failures: Vec<String> = outcomes.iter().filter_map(failure).collect();
    match failures.is_empty() {
        true => Ok(()),
        false => Err(Failure::Check(failures.join("\nerror: "))),
    }
}

/// The target whose kernels the device runs.
pub(super) fn target_of(device: &Device) -> Result<Target, Failure> {
    let known = TARGETS.into_iter().find(|target| device.runs(target.name));
    known.ok_or_else(|| {
        let (major, minor) = device.properties().capability;
        Failure::Input(format!(
            "there are no kernels for {}, compute capability {major}.{minor}",
            device.properties().name
        ))
    })
}

fn outcome(
    args: &VerifyArgs,
    library: &Library,
    device: &Device,
    set: &Set,
    kernel: &Kernel,
) -> Outcome {
    let start = Instant::now();
    let result = verify(args, library, device, set, kernel);
    Outcome {
        name: set.name.clone(),
        key: set.key(),
        seconds: start.elapsed().as_secs_f64(),
        result,
    }
}

fn verify(
    args: &VerifyArgs,
    library: &Library,
    device: &Device,
    set: &Set,
    kernel: &Kernel,
) -> Result<Found, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let inputs = args
        .inputs(set)
        .map_err(|_| "no inputs can be drawn".to_owned())?;
    let loaded = library.load_set(device, set).map_err(|e| text(&e))?;
    let outputs = compute(&loaded, set, &inputs).map_err(|e| text(&e))?;
    let verdict = trial::judge(kernel, set, &inputs, &outputs).map_err(|e| text(&e))?;
    let different = if args.against_emulator {
        let emulated = trial::execute(kernel, &inputs, Schedule::Eager).map_err(|e| text(&e))?;
        Some(differences(
            &outputs,
            &emulated,
            set.output.bytes() as usize,
        ))
    } else {
        None
    };
    Ok(Found {
        total: verdict.total(),
        different,
    })
}

fn differences(got: &[Vec<u8>], emulated: &[Vec<u8>], bytes: usize) -> u64 {
    let of_group = |(got, emulated): (&Vec<u8>, &Vec<u8>)| {
        let pairs = got.chunks(bytes).zip(emulated.chunks(bytes));
        pairs.filter(|(a, b)| a != b).count() as u64
    };
    got.iter().zip(emulated).map(of_group).sum()
}

fn failure(outcome: &Outcome) -> Option<String> {
    let what = match &outcome.result {
        Ok(found) if found.total.passed() => return None,
        Ok(found) => {
            let first = found.total.first.map(|offence| offence.to_string());
            let (wrong, all) = (found.total.offences, found.total.elements);
            format!(
                "{wrong} of {all} elements are wrong; {}",
                first.unwrap_or_default()
            )
        }
        Err(error) => error.clone(),
    };
    Some(format!("set `{}`: {what}", outcome.name))
}

fn table_text(device: &Device, target: Target, outcomes: &[Outcome]) -> String {
    let mut table = Table::new(&[
        "set",
        "elements",
        "max ulps",
        "of bound",
        "not as emulated",
        "seconds",
        "result",
    ]);
    for outcome in outcomes {
        let of = |value: &dyn Fn(&Found) -> String| {
            outcome.result.as_ref().map_or("-".to_owned(), value)
        };
        table.row(vec![
            outcome.name.clone(),
            of(&|found| count(found.total.elements)),
            of(&|found| format!("{:.3}", found.total.max_ulps)),
            of(&|found| format!("{:.3}", found.total.max_ratio)),
            of(&|found| found.different.map_or("-".to_owned(), count)),
            format!("{:.2}", outcome.seconds),
            match &outcome.result {
                Ok(found) if found.total.passed() => "ok",
                Ok(_) => "WRONG",
                Err(_) => "STOPPED",
            }
            .to_owned(),
        ]);
    }
    let properties = device.properties();
    format!(
        "{}\nOn {}, driver {}, kernels for {target}.\n",
        table.render(),
        properties.name,
        properties.driver_version
    )
}

fn json_text(args: &VerifyArgs, device: &Device, target: Target, outcomes: &[Outcome]) -> String {
    let sets: Vec<_> = outcomes
        .iter()
        .map(|outcome| match &outcome.result {
            Ok(found) => json!({
                "name": outcome.name, "key": outcome.key, "seconds": outcome.seconds,
                "passed": outcome.passed(), "elements": found.total.elements,
                "max_ulps": found.total.max_ulps, "max_ratio": found.total.max_ratio,
                "wrong": found.total.offences, "not_as_emulated": found.different,
            }),
            Err(error) => json!({
                "name": outcome.name, "key": outcome.key, "seconds": outcome.seconds,
                "passed": false, "error": error,
            }),
        })
        .collect();
    let report = json!({
        "device": device.properties().name, "driver_version": device.properties().driver_version,
        "emulated": device.is_emulated(), "target": target.name, "seed": args.seed(),
        "passed": outcomes.iter().all(Outcome::passed), "sets": sets,
    });
    format!("{report:#}\n")
}

/// A directory that goes with its owner.
struct Temporary(std::path::PathBuf);

impl Temporary {
    fn new() -> std::io::Result<Self> {
        let path = std::env::temp_dir().join(format!("nvfp4gen-verify-{}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Temporary(path))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // What cannot be removed is left to the system, which clears its temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
