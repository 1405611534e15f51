//! `doctor`: what is there, in which state, and what to do about the rest.

use std::io::{Write, stdout};
use std::path::{Path, PathBuf};

use clap::Args;
use nvfp4gen::artifact::store;
use nvfp4gen::assemble::Ptxas;
use nvfp4gen::device::Schedule;
use nvfp4gen::plan::Target;
use nvfp4gen::plan::target::SM_100A;
use nvfp4gen::problem::{Group, OutputType, Pins, Set, Weights};
use nvfp4gen::runtime::{Device, Error, Library};
use nvfp4gen::trial;
use nvfp4gen::verify::Data;
use serde::Serialize;
use serde_json::json;

use super::failure::Failure;
use super::request;

const EXAMPLES: &str = "\
ok: it works. absent: it is not there, and only what needs it cannot be done.
broken: it is there and does not work; the exit code is then 1.

Examples:
  nvfp4gen doctor
  nvfp4gen doctor --dir /opt/kernels --json";

/// Show what this machine has: driver, devices, ptxas, emulator, library
#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
pub struct DoctorArgs {
    /// Library directory to look at
    #[arg(long, value_name = "DIR", default_value = "generated")]
    dir: PathBuf,
    /// Print JSON instead of lines
    #[arg(long)]
    json: bool,
}

/// One finding.
#[derive(Serialize)]
struct Finding {
    what: String,
    state: State,
    detail: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    Absent,
    Broken,
}

pub fn doctor(args: &DoctorArgs) -> Result<(), Failure> {
    let mut findings = driver();
    findings.push(ptxas());
    findings.push(emulator());
    findings.extend(library(&args.dir));
    let text = if args.json {
        format!("{:#}\n", json!({ "findings": findings }))
    } else {
        findings.iter().map(line).collect()
    };
    stdout().write_all(text.as_bytes())?;
    match findings
        .iter()
        .filter(|finding| finding.state == State::Broken)
        .count()
    {
        0 => Ok(()),
        1 => Err(Failure::check("1 thing is broken")),
        many => Err(Failure::check(format!("{many} things are broken"))),
    }
}

fn line(finding: &Finding) -> String {
    let state = match finding.state {
        State::Ok => "ok",
        State::Absent => "absent",
        State::Broken => "broken",
    };
    format!("{:<10} {state:<7} {}\n", finding.what, finding.detail)
}

fn finding(what: impl Into<String>, state: State, detail: impl ToString) -> Finding {
    Finding {
        what: what.into(),
        state,
        detail: detail.to_string(),
    }
}

/// The driver, then each device.
fn driver() -> Vec<Finding> {
    let count = match Device::count() {
        Ok(count) => count,
        Err(error @ (Error::NoDriver | Error::NoDevice(_))) => {
            return vec![finding("driver", State::Absent, error)];
        }
        Err(error) => return vec![finding("driver", State::Broken, error)],
    };
    let devices: Vec<_> = (0..count)
        .map(|ordinal| (ordinal, Device::new(ordinal)))
        .collect();
    let version = devices
        .iter()
        .find_map(|(_, device)| device.as_ref().ok())
        .map(|device| {
            let version = device.properties().driver_version;
            let whose = if device.is_emulated() {
                ", emulated"
            } else {
                ""
            };
            format!("CUDA {}.{}{whose}", version / 1000, version % 1000 / 10)
        });
    let version = version.unwrap_or_else(|| format!("{count} devices, and none that works"));
    let mut findings = vec![finding("driver", State::Ok, version)];
    findings.extend(devices.iter().map(|(ordinal, found)| {
        let what = format!("device {ordinal}");
        match found {
            Ok(device) => finding(what, State::Ok, describe(device)),
            Err(error) => finding(what, State::Broken, error),
        }
    }));
    findings
}

fn describe(device: &Device) -> String {
    let properties = device.properties();
    let (major, minor) = properties.capability;
    let target: Option<Target> = format!("sm_{major}{minor}a").parse().ok();
    let runs = match target {
        Some(target) => format!("runs kernels for {target}"),
        None => "no kernels are generated for it; use the emulator".to_owned(),
    };
    format!(
        "{}, compute capability {major}.{minor}, {} SMs, {} GiB: {runs}",
        properties.name,
        properties.sms,
        properties.memory_bytes >> 30
    )
}

fn ptxas() -> Finding {
    match Ptxas::find() {
        Ok(ptxas) => finding("ptxas", State::Ok, ptxas.path().display()),
        Err(missing) => finding("ptxas", State::Absent, missing),
    }
}

/// The embedded emulator computes the smallest set and is held to the exact reference.
fn emulator() -> Finding {
    let set = Set {
        name: "smallest".into(),
        groups: vec![Group { m: 1, n: 8, k: 64 }],
        output: OutputType::F16,
        weights: Weights::Static,
    };
    match compute(&set) {
        Ok(()) => finding(
            "emulator",
            State::Ok,
            "computes a small set right, under eager schedule",
        ),
        Err(error) => finding("emulator", State::Broken, error),
    }
}

fn compute(set: &Set) -> Result<(), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let kernel =
        request::compile(set, SM_100A, &Pins::default()).map_err(|error| format!("{error:?}"))?;
    let inputs = trial::inputs(set, 1, Data::FullRange).map_err(|error| text(&error))?;
    let outputs =
        trial::execute(&kernel, &inputs, Schedule::Eager).map_err(|error| text(&error))?;
    let verdict = trial::judge(&kernel, set, &inputs, &outputs).map_err(|error| text(&error))?;
    if verdict.passed() {
        Ok(())
    } else {
        Err("computes a small set wrong: please report this".into())
    }
}

/// Each target directory, every file against its hash.
fn library(dir: &Path) -> Vec<Finding> {
    let library = match Library::open(dir) {
        Ok(library) => library,
        Err(Error::Library(error @ nvfp4gen::artifact::StoreError::Absent(_))) => {
            return vec![finding("library", State::Absent, error)];
        }
        Err(error) => return vec![finding("library", State::Broken, error)],
    };
    let mut findings = Vec::new();
    for (target, directory) in library.targets() {
        findings.push(match store::read(directory) {
            Ok((_, kernels)) => {
                let detail = format!(
                    "{}: {} kernels for {target}, all whole",
                    directory.display(),
                    kernels.len()
                );
                finding("library", State::Ok, detail)
            }
            Err(error) => finding("library", State::Broken, error),
        });
    }
    findings
}
