//! The command line: one file per subcommand. Arguments become a validated request, the request an action.

mod bench;
mod build;
mod date;
mod doctor;
mod explain;
mod export;
mod failure;
mod file;
mod list;
mod mutants;
mod profile;
mod progress;
mod quantize;
mod request;
mod run;
mod schedule;
mod shape_text;
mod table;
mod tensors;
mod tune;
mod tuned;
mod verdicts;
mod verify;
mod verify_gpu;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

const HELP: &str = "\
A shape file lists problem-size sets that are known beforehand:

  [[set]]
  name = \"P3\"
  m = [192, 320]
  n = 3072
  k = 4096

Each set becomes one kernel in which every size is a constant. At run time it
takes nothing but addresses.

Examples:
  nvfp4gen build shapes/leaderboard.toml       # PTX into generated/sm_100a/
  nvfp4gen verify shapes/contest-tests.toml    # run it on the emulated GPU
  nvfp4gen run shapes/leaderboard.toml --set P3 --input in.safetensors \\
      --output out.safetensors
  nvfp4gen explain shapes/leaderboard.toml --set P3   # the plan, and why this one
  nvfp4gen list                                # what is in generated/
  nvfp4gen export submission shapes/leaderboard.toml -o submission.py

Exit codes:
  0  done
  1  a check failed: stale files, wrong results, a kernel that does not assemble
  2  bad use or bad input

Environment:
  NVFP4GEN_PTXAS  the ptxas to use; else PATH, CUDA_HOME/bin and .tools/, where
                  scripts/fetch-tools puts it";

/// Compile known problem-size sets of NVFP4 grouped GEMMs to fully specialised PTX
#[derive(Parser)]
#[command(version, after_long_help = HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Build(build::BuildArgs),
    Explain(explain::ExplainArgs),
    Verify(verify::VerifyArgs),
    Run(run::RunArgs),
    List(list::ListArgs),
    Export(export::ExportArgs),
    Quantize(quantize::QuantizeArgs),
    Bench(bench::BenchArgs),
    Profile(profile::ProfileArgs),
    Tune(tune::TuneArgs),
    Doctor(doctor::DoctorArgs),
}

/// Parses the command line and does what it says. Clap itself exits with code 2 on bad use.
pub fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Build(args) => build::build(&args),
        Command::Explain(args) => explain::explain(&args),
        Command::Verify(args) => verify::verify(&args),
        Command::Run(args) => run::run(&args),
        Command::List(args) => list::list(&args),
        Command::Export(args) => export::export(&args),
        Command::Quantize(args) => quantize::quantize(&args),
        Command::Bench(args) => bench::bench(&args),
        Command::Profile(args) => profile::profile(&args),
        Command::Tune(args) => tune::tune(&args),
        Command::Doctor(args) => doctor::doctor(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
