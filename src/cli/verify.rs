//! `verify`: kernels executed on the emulated GPU and held to the exact reference.

use std::io::{Write, stdout};
use std::time::Instant;

use clap::{Args, ValueEnum};
use nvfp4gen::artifact::Kernel;
use nvfp4gen::plan::Target;
use nvfp4gen::problem::Set;
use nvfp4gen::trial;
use nvfp4gen::verify::{Data, GroupInputs};
use rayon::prelude::*;

use super::failure::Failure;
use super::mutants;
use super::progress::Progress;
use super::request::{self, Jobs, Shapes};
use super::schedule::ScheduleArg;
use super::verdicts::{self, Outcome, Run};
use super::verify_gpu;

const EXAMPLES: &str = "\
Each set's kernel is generated in memory and run on the emulated GPU, once under
every schedule, on data over the whole range of both number formats. A set passes
if every element of C is within a derived bound of the exact sum (`of bound` at
most 1), nothing else was written, and the emulator found no fault. The bound is
half an ulp of f16 plus what the tensor core may lose on the way, which matters
where large terms cancel.

Examples:
  nvfp4gen verify shapes/contest-tests.toml
  nvfp4gen verify shapes/leaderboard.toml --set P3 --schedule lazy --seed 7
  nvfp4gen verify shapes/edge.toml --schedule random:1 --schedule random:2 --json
  nvfp4gen verify shapes/mutants.toml --mutants
  nvfp4gen verify shapes/*.toml --gpu 0 --against-emulator";

/// Run kernels on the emulated GPU and check every element of their results
#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
pub struct VerifyArgs {
    #[command(flatten)]
    shapes: Shapes,
    /// Only the set of this name; may be repeated
    #[arg(long = "set", value_name = "NAME")]
    sets: Vec<String>,
    /// GPU architecture to generate the kernels for
    #[arg(long, value_name = "TARGET", default_value = "sm_100a")]
    target: Target,
    /// Seed of the data
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Signs of the data
    #[arg(long, value_enum, default_value = "full-range")]
    data: DataArg,
    /// When asynchronous operations happen: eager, lazy or random:SEED; may be repeated
    #[arg(long = "schedule", value_name = "SCHEDULE", default_values = ["eager", "lazy"])]
    schedules: Vec<ScheduleArg>,
    /// Add the random schedules of seeds 0 to N - 1
    #[arg(long = "schedules", value_name = "N", default_value_t = 0)]
    random_schedules: u64,
    /// Plan for at most this many CTAs: few make small sets pass through every ring
    /// more than once
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    ctas: Option<u32>,
    /// Instead of the kernels, run their mutants: every wait, arrival, fence,
    /// barrier, byte count and coordinate broken in turn, each of which must show
    /// (plans for 2 CTAs and adds 8 random schedules unless told otherwise)
    #[arg(long)]
    mutants: bool,
    /// Run on this GPU instead of the emulated one, with kernels for its architecture
    #[arg(long, value_name = "N", conflicts_with_all = ["mutants", "ctas", "target"])]
    pub gpu: Option<u32>,
    /// With --gpu: compare its results bit by bit with the emulated GPU's as well
    #[arg(long, requires = "gpu")]
    pub against_emulator: bool,
    /// Print JSON instead of a table
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    jobs: Jobs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum DataArg {
    /// All codes everywhere: terms cancel
    FullRange,
    /// All codes, but every product is positive or zero: nothing cancels
    NoCancellation,
}

pub fn verify(args: &VerifyArgs) -> Result<(), Failure> {
    let sets = selected(args.shapes.read()?, &args.sets)?;
    let pool = args.jobs.pool()?;
    if let Some(ordinal) = args.gpu {
        return pool.install(|| verify_gpu::run(args, ordinal, &sets));
    }
    if args.mutants {
        return mutants::run(args, &sets, &pool);
    }
    let progress = Progress::new("verify", sets.len());
    let verify = |set: &Set| progress.step(&set.name, || verify_set(args, set));
    let outcomes = request::all(pool.install(|| sets.par_iter().map(verify).collect()))?;
    drop(progress);
    let text = if args.json {
        verdicts::json_text(args.target.name, args.seed, &outcomes)
    } else {
        verdicts::table_text(&outcomes)
    };
    stdout().write_all(text.as_bytes())?;
    match verdicts::failures(&outcomes) {
        failures if failures.is_empty() => Ok(()),
        failures => Err(Failure::Check(failures.join("\nerror: "))),
    }
}

/// All sets, or those with the given names.
fn selected(sets: Vec<Set>, names: &[String]) -> Result<Vec<Set>, Failure> {
    let known: Vec<&str> = sets.iter().map(|set| set.name.as_str()).collect();
    if let Some(unknown) = names.iter().find(|name| !known.contains(&name.as_str())) {
        return Err(request::no_such_set(unknown, &sets));
    }
    let wanted = |set: &Set| names.is_empty() || names.contains(&set.name);
    Ok(sets.into_iter().filter(wanted).collect())
}

fn verify_set(args: &VerifyArgs, set: &Set) -> Result<Outcome, Failure> {
    let start = Instant::now();
    let kernel = args.compile(set)?;
    let inputs = args.inputs(set)?;
    let schedules = args.schedules();
    let outputs: Vec<_> = schedules
        .par_iter()
        .map(|schedule| execute(&kernel, &inputs, *schedule))
        .collect();
    let mut runs: Vec<Run> = Vec::new();
    for (index, output) in outputs.iter().enumerate() {
        // The exact product is the same and takes its time: equal outputs have equal verdicts.
        let verdict = match outputs[..index]
            .iter()
            .position(|earlier| earlier == output)
        {
            Some(earlier) => runs[earlier].verdict.clone(),
            None => output.clone().and_then(|c| {
                trial::judge(&kernel, set, &inputs, &c).map_err(|error| error.to_string())
            }),
        };
        runs.push(Run {
            schedule: schedules[index],
            verdict,
        });
    }
    Ok(Outcome {
        name: set.name.clone(),
        key: set.key(),
        runs,
        seconds: start.elapsed().as_secs_f64(),
    })
}

impl VerifyArgs {
    /// Seed of the data.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The kernel of one of the sets.
    pub fn compile(&self, set: &Set) -> Result<Kernel, Failure> {
        self.shapes.compile(set, self.target())
    }

    /// The kernel of one of the sets for another target.
    pub fn compile_for(&self, set: &Set, target: Target) -> Result<Kernel, Failure> {
        self.shapes.compile(set, target)
    }

    /// The target, with as many SMs as CTAs were asked for.
    pub fn target(&self) -> Target {
        let sms = match (self.ctas, self.mutants) {
            (Some(ctas), _) => ctas,
            (None, true) => 2,
            (None, false) => self.target.sms,
        };
        Target { sms, ..self.target }
    }

    /// The schedules by name, then the random ones by number.
    pub fn schedules(&self) -> Vec<ScheduleArg> {
        let seeds = match (self.random_schedules, self.mutants) {
            (0, true) => 8,
            (seeds, _) => seeds,
        };
        let random = (0..seeds).map(ScheduleArg::Random);
        self.schedules.iter().copied().chain(random).collect()
    }

    /// The inputs of a set.
    pub fn inputs(&self, set: &Set) -> Result<Vec<GroupInputs>, Failure> {
        trial::inputs(set, self.seed, self.data.into())
            .map_err(|error| Failure::Input(format!("set `{}`: {error}", set.name)))
    }
}

fn execute(
    kernel: &Kernel,
    inputs: &[GroupInputs],
    schedule: ScheduleArg,
) -> Result<Vec<Vec<u8>>, String> {
    trial::execute(kernel, inputs, schedule.into()).map_err(|error| error.to_string())
}

impl From<DataArg> for Data {
    fn from(data: DataArg) -> Self {
        match data {
            DataArg::FullRange => Data::FullRange,
            DataArg::NoCancellation => Data::NoCancellation,
        }
    }
}
