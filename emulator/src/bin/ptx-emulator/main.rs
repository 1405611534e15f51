//! `ptx-emulator`: runs recipes on the emulator and compares.

mod report;

use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand};
use ptx_emulator::recipe::{OpenError, Recipe, RunError};
use ptx_emulator::{Checks, DeviceConfig, LoadErrorKind, Schedule, Stop};
use rayon::prelude::*;
use report::{RecipeResult, RunResult, Verdict};

const EXIT_CODES: &str = "Exit codes:
  0  everything compares
  1  wrong numbers
  2  usage: bad arguments, a recipe or data file that is wrong, an impossible launch
  3  fault: the kernel is wrong, or its text is not PTX
  4  unsupported: the kernel needs what the emulator does not have
If several apply, usage comes before fault, fault before wrong numbers, and these before unsupported.";

/// A functional emulator of PTX for Blackwell and Hopper GPUs.
#[derive(Parser)]
#[command(version, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Execute recipes on each of their data files under many schedules and compare the outputs.
    #[command(after_help = EXIT_CODES)]
    Run(RunArgs),
}

#[derive(Args)]
struct RunArgs {
    /// Recipes: JSON files that name the PTX, the launch, the data and what must come out.
    #[arg(required = true)]
    recipes: Vec<PathBuf>,
    /// Random schedules after the eager and the lazy one; their seeds count up from --seed.
    #[arg(long, default_value_t = 20)]
    schedules: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Only this schedule: eager, lazy or random:SEED (repeatable). A seed replays exactly.
    #[arg(long, value_name = "SCHEDULE", conflicts_with_all = ["schedules", "seed"])]
    schedule: Vec<Named>,
    /// Only execute and compare: look for no races, missing fences and uninitialised values. Faster.
    #[arg(long)]
    no_checks: bool,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
}

/// A schedule with the name that selects it.
#[derive(Clone, Copy)]
struct Named(Schedule);

impl FromStr for Named {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "eager" => Ok(Named(Schedule::Eager)),
            None if text == "lazy" => Ok(Named(Schedule::Lazy)),
            Some(("random", seed)) => seed
                .parse()
                .map(|seed| Named(Schedule::Random(seed)))
                .map_err(|e| format!("the seed `{seed}`: {e}")),
            _ => Err("must be eager, lazy or random:SEED".into()),
        }
    }
}

impl RunArgs {
    fn all_schedules(&self) -> Vec<Schedule> {
        if !self.schedule.is_empty() {
            return self.schedule.iter().map(|named| named.0).collect();
        }
        let random = (0..self.schedules).map(|i| Schedule::Random(self.seed.wrapping_add(i)));
        [Schedule::Eager, Schedule::Lazy]
            .into_iter()
            .chain(random)
            .collect()
    }
}

fn main() -> ExitCode {
    let Command::Run(args) = Cli::parse().command;
    let schedules = args.all_schedules();
    let config = DeviceConfig {
        checks: if args.no_checks {
            Checks::None
        } else {
            Checks::All
        },
        ..DeviceConfig::default()
    };
    let mut results = Vec::new();
    for path in &args.recipes {
        let result = run_recipe(
            &path.display().to_string(),
            Recipe::open(path),
            &schedules,
            &config,
        );
        if !args.json {
            print!("{}", report::table(&result));
        }
        results.push(result);
    }
    if args.json {
        println!("{}", report::json(&results));
    }
    let worst = results.iter().map(RecipeResult::verdict).max();
    ExitCode::from(worst.unwrap_or(Verdict::Right).exit_code())
}

fn run_recipe(
    name: &str,
    recipe: Result<Recipe, OpenError>,
    schedules: &[Schedule],
    config: &DeviceConfig,
) -> RecipeResult {
    let mut result = RecipeResult {
        recipe: name.into(),
        error: None,
        runs: Vec::new(),
    };
    match recipe {
        Ok(recipe) => result.runs = run_all(&recipe, schedules, config),
        Err(e) => result.error = Some((verdict_of_opening(&e), e.to_string())),
    }
    result
}

/// Every data file under every schedule, in that order.
fn run_all(recipe: &Recipe, schedules: &[Schedule], config: &DeviceConfig) -> Vec<RunResult> {
    let names: Vec<&str> = recipe.runs().collect();
    let each = |(index, name): (usize, &&str)| {
        let one = |schedule: &Schedule| RunResult {
            data: name.to_string(),
            schedule: *schedule,
            outcome: recipe
                .run(index, *schedule, config)
                .map_err(|e| (verdict_of_running(&e), e.to_string())),
        };
        schedules.par_iter().map(one).collect::<Vec<_>>()
    };
    names.iter().enumerate().flat_map(each).collect()
}

fn verdict_of_opening(error: &OpenError) -> Verdict {
    match error {
        OpenError::Load(e) if e.kind == LoadErrorKind::Unsupported => Verdict::Unsupported,
        OpenError::Load(_) => Verdict::Fault,
        OpenError::Recipe(_) => Verdict::Usage,
    }
}

fn verdict_of_running(error: &RunError) -> Verdict {
    match error {
        RunError::Stop(Stop::Fault(_)) => Verdict::Fault,
        RunError::Stop(Stop::Unsupported(_)) => Verdict::Unsupported,
        RunError::Stop(Stop::Usage(_)) | RunError::Recipe(_) => Verdict::Usage,
    }
}
