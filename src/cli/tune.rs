//! `tune`: the best candidates of each set measured on a GPU, and the winners pinned in the shape file.

use std::io::{Write, stdout};
use std::path::{Path, PathBuf};

use clap::Args;
use nvfp4gen::artifact::store;
use nvfp4gen::choose::{self, Choices};
use nvfp4gen::emit;
use nvfp4gen::model::{Workload, price};
use nvfp4gen::plan::{Plan, Target};
use nvfp4gen::problem::{Found, Pins, Set, entries, pinned_text};
use nvfp4gen::runtime::bench::{Contest, Options};
use nvfp4gen::runtime::{Device, Library};

use super::bench::chosen;
use super::date::today;
use super::failure::Failure;
use super::progress::Progress;
use super::shape_text::{Destination, ShapeText};
use super::tuned::{Outcome, Report, Tried, Tuned};
use super::verify_gpu::target_of;

const EXAMPLES: &str = "\
The plans that the model predicts to be quickest are built, loaded, checked
against the exact reference, and timed by the contest's protocol (see `bench`).
A plan that computes anything wrong, or does not run, cannot win; the exit code
is then 1. A plan that the file already pins takes part as well.

With --write the winners go into FILE as `[tuning.NAME.TARGET]`, from where every
command takes them. The file is replaced in one step, and everything else in it,
comments included, stays as it is. Without --write they are printed.

On the emulated driver nothing can be timed: the model's prices decide, and the
entries say so. They do not replace an entry that was measured.

Examples:
  nvfp4gen tune shapes/leaderboard.toml
  nvfp4gen tune shapes/leaderboard.toml --set P3 --top 12 --write";

/// Measure the best plans of each set on a GPU, and pin the winners in the shape file
#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
pub struct TuneArgs {
    /// Shape file (TOML), e.g. shapes/leaderboard.toml
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Only the set of this name; may be repeated
    #[arg(long = "set", value_name = "NAME")]
    sets: Vec<String>,
    /// GPU architecture of the kernels [default: the GPU's own]
    #[arg(long, value_name = "TARGET")]
    target: Option<Target>,
    /// How many plans of each set are tried
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=100))]
    top: u16,
    /// Number of the GPU
    #[arg(long, value_name = "N", default_value_t = 0)]
    gpu: u32,
    /// Put the winners into FILE
    #[arg(long)]
    write: bool,
    /// Distinct data sets, each with memory of its own [default: 15, on the emulated driver 1]
    #[arg(long, value_name = "N")]
    data_sets: Option<usize>,
    /// How often each plan is timed; the median counts
    #[arg(long, value_name = "N", default_value_t = 200)]
    repeats: usize,
    /// Seed of the data
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// How it is measured.
struct Course<'a> {
    args: &'a TuneArgs,
    device: Device,
    target: Target,
    pins: Pins,
    options: Options,
}

pub fn tune(args: &TuneArgs) -> Result<(), Failure> {
    let file = ShapeText::read(&args.file)?;
    let destination = args
        .write
        .then(|| Destination::new(&args.file))
        .transpose()?;
    let sets = chosen(file.shapes.sets.clone(), &args.sets)?;
    let course = Course::new(args, &file)?;
    let tuned: Vec<Tuned> = sets
        .into_iter()
        .map(|set| course.tune(set))
        .collect::<Result<_, Failure>>()?;
    let found: Vec<Found<'_>> = tuned.iter().filter_map(|t| course.found(t)).collect();
    let refuse = |error| Failure::Input(format!("{}: {error}", args.file.display()));
    let new = pinned_text(&file.text, &found).map_err(refuse)?;
    same_plans(&args.file, &new, &tuned, &course)?;
    if let Some(destination) = &destination {
        destination.replace(&file.text, &new)?;
    }
    let report = Report {
        file: &args.file,
        device: &course.device,
        target: course.target,
        tuned: &tuned,
        entries: entries(&found).map_err(refuse)?,
        written: args.write,
    };
    let text = if args.json {
        report.json()
    } else {
        report.text()
    };
    stdout().write_all(text.as_bytes())?;
    match report.failures() {
        failures if failures.is_empty() => Ok(()),
        failures => Err(Failure::Check(failures.join("\nerror: "))),
    }
}

impl<'a> Course<'a> {
    fn new(args: &'a TuneArgs, file: &ShapeText) -> Result<Self, Failure> {
        let device = Device::new(args.gpu).map_err(Failure::input)?;
        let own = target_of(&device);
        let target = match args.target {
            None => own?,
            Some(target) if device.runs(target.name) => target,
            Some(target) => {
                let own = own.map_or(String::new(), |own| format!("; it takes --target {own}"));
                return Err(Failure::Input(format!(
                    "{} does not run kernels for {target}{own}",
                    device.properties().name
                )));
            }
        };
        let mut pins = Pins::default();
        pins.add(&args.file, file.shapes.pins.clone());
        let data_sets = if device.is_emulated() { 1 } else { 15 };
        Ok(Course {
            args,
            target,
            pins,
            options: Options {
                data_sets: args.data_sets.unwrap_or(data_sets),
                repeats: args.repeats,
                seed: args.seed,
            },
            device,
        })
    }

    fn tune(&self, set: Set) -> Result<Tuned, Failure> {
        let refuse =
            |error: &dyn std::fmt::Display| Failure::Input(format!("set `{}`: {error}", set.name));
        let mut tried = self.candidates(&set).map_err(|error| refuse(&error))?;
        let contest =
            Contest::new(&self.device, &set, self.options).map_err(|error| refuse(&error))?;
        let progress = Progress::new("tune", tried.len());
        for candidate in &mut tried {
            candidate.outcome = progress.step(&set.name, || {
                self.outcome(&contest, &set, &candidate.plan)
                    .unwrap_or_else(Outcome::Failed)
            });
        }
        Ok(Tuned {
            winner: winner(&tried),
            keeps: self.device.is_emulated() && self.is_measured(&set),
            tried,
            set,
        })
    }

    /// What the model ranks first, and the plan that is pinned.
    fn candidates(&self, set: &Set) -> Result<Vec<Tried>, choose::NoPlan> {
        let pinned = choose::pinned(set, self.target, &self.pins).map_err(choose::NoPlan::Pin)?;
        let mut plans = choose::cheapest(set, self.target, self.args.top.into())?;
        if let Some((plan, _)) = &pinned
            && !plans.iter().any(|(other, _)| other.kernel == plan.kernel)
        {
            let machine = choose::machine(&self.target);
            let price = price(&Workload::from(plan), &machine);
            plans.push((plan.clone(), price));
        }
        let is_pinned = |plan: &Plan| {
            pinned
                .as_ref()
                .is_some_and(|(p, _)| p.kernel == plan.kernel)
        };
        let tried = |(plan, price): (Plan, nvfp4gen::model::Price)| Tried {
            pinned: is_pinned(&plan),
            predicted_us: price.total_us,
            plan,
            outcome: Outcome::Failed("not tried".to_owned()),
        };
        Ok(plans.into_iter().map(tried).collect())
    }

    /// Builds a library of this one kernel, loads it as any program would, checks and times it.
    fn outcome(&self, contest: &Contest, set: &Set, plan: &Plan) -> Result<Outcome, String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let kernel = emit::kernel(plan).map_err(|e| text(&e))?;
        let folder = tempfile::tempdir().map_err(|e| text(&e))?;
        let directory = folder.path().join(self.target.name);
        store::write(&directory, self.target.name, &[kernel]).map_err(|e| text(&e))?;
        let library = Library::open(folder.path()).map_err(|e| text(&e))?;
        let kernel = library.load_set(&self.device, set).map_err(|e| text(&e))?;
        if !contest.is_right(&kernel).map_err(|e| text(&e))? {
            return Ok(Outcome::Wrong);
        }
        if self.device.is_emulated() {
            return Ok(Outcome::Right(None));
        }
        let timed = contest.time(&kernel).map_err(|e| text(&e))?;
        Ok(Outcome::Right(Some(timed)))
    }

    /// Whether the file pins a time that was measured.
    fn is_measured(&self, set: &Set) -> bool {
        let pin = self.pins.find(set, self.target.name);
        pin.is_some_and(|(_, pin)| pin.device != self.model_name())
    }

    fn model_name(&self) -> String {
        let machine = choose::machine(&self.target);
        format!("model of {}, not measured", machine.name)
    }

    /// The entry of a set, if it gets one.
    fn found<'t>(&self, tuned: &'t Tuned) -> Option<Found<'t>> {
        let winner = &tuned.tried[tuned.winner.filter(|_| !tuned.keeps)?];
        let device = match self.device.is_emulated() {
            true => self.model_name(),
            false => self.device.properties().name.clone(),
        };
        Some(Found {
            set: &tuned.set,
            target: self.target.name,
            choices: Choices::of(&winner.plan).settings(),
            device,
            date: today(),
            measured_us: (winner.us()? * 1e3).round() / 1e3,
        })
    }
}

/// Of equally quick ones the first, which the model ranks higher.
fn winner(tried: &[Tried]) -> Option<usize> {
    let times = tried.iter().enumerate();
    let times = times.filter_map(|(index, tried)| Some((index, tried.us()?)));
    let best = times.min_by(|(_, a), (_, b)| a.total_cmp(b));
    best.map(|(index, _)| index)
}

/// The new text, read as any command reads it, gives the plans that won.
fn same_plans(
    path: &Path,
    text: &str,
    tuned: &[Tuned],
    course: &Course<'_>,
) -> Result<(), Failure> {
    let file = nvfp4gen::problem::ShapeFile::parse(path, text).map_err(Failure::input)?;
    let mut pins = Pins::default();
    pins.add(path, file.pins);
    for tuned in tuned.iter().filter(|tuned| !tuned.keeps) {
        let Some(winner) = tuned.winner else { continue };
        let read = choose::pinned(&tuned.set, course.target, &pins).map_err(Failure::input)?;
        if !read.is_some_and(|(plan, _)| plan == tuned.tried[winner].plan) {
            return Err(Failure::Check(format!(
                "set `{}`: read again, its entry gives another plan; nothing was written",
                tuned.set.name
            )));
        }
    }
    Ok(())
}
