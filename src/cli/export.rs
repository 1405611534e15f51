//! `export`: kernels in a file of another kind.

use std::io::{Write, stdout};
use std::path::PathBuf;

use clap::{Args, Subcommand};
use nvfp4gen::artifact::Kernel;
use nvfp4gen::assemble::Ptxas;
use nvfp4gen::export::{self, Options};
use nvfp4gen::plan::Target;
use nvfp4gen::problem::Set;
use rayon::prelude::*;

use super::failure::Failure;
use super::file;
use super::request::{self, Jobs, Shapes};

const EXAMPLES: &str = "\
The file needs nothing but Python 3.10, libcuda and, for tensors, torch. It holds
the kernels of all sets and defines

  custom_kernel(data) -> [C of every group]

with the `data` of the GPU MODE problem nvfp4_group_gemm: (abc, scales, reordered
scales, sizes). It chooses a kernel by the sizes, and launches it once.

Examples:
  nvfp4gen export submission shapes/leaderboard.toml shapes/contest-tests.toml \\
      -o submission.py
  nvfp4gen export submission shapes/leaderboard.toml --cubin -o submission.py";

/// Write kernels as a file of another kind
#[derive(Args)]
pub struct ExportArgs {
    #[command(subcommand)]
    kind: Kind,
}

#[derive(Subcommand)]
enum Kind {
    Submission(SubmissionArgs),
}

/// One self-contained Python file, as the GPU MODE contest takes it
#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
struct SubmissionArgs {
    #[command(flatten)]
    shapes: Shapes,
    /// File to write; replaced in one step
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// GPU architecture to generate the kernels for
    #[arg(long, value_name = "TARGET", default_value = "sm_100a")]
    target: Target,
    /// Embed machine code as well, so that no driver has to compile (needs ptxas)
    #[arg(long)]
    cubin: bool,
    /// Let a kernel start while the one before it is still finishing: right only
    /// if that one does not write what this one reads before it waits, which are
    /// the weights of sets with weights = "static"
    #[arg(long)]
    programmatic: bool,
    #[command(flatten)]
    jobs: Jobs,
}

pub fn export(args: &ExportArgs) -> Result<(), Failure> {
    match &args.kind {
        Kind::Submission(args) => submission(args),
    }
}

fn submission(args: &SubmissionArgs) -> Result<(), Failure> {
    let sets = args.shapes.read()?;
    let ptxas = args.cubin.then(Ptxas::find).transpose();
    let ptxas = ptxas.map_err(Failure::input)?;
    let make = |set: &Set| make(args, set, ptxas.as_ref());
    let kernels = args
        .jobs
        .pool()?
        .install(|| sets.par_iter().map(make).collect());
    let kernels = request::all(kernels)?;
    let options = Options {
        head: head(args.target),
        cubin: args.cubin,
        programmatic: args.programmatic,
    };
    let text = export::submission(args.target.name, &kernels, &options).map_err(Failure::input)?;
    file::write(&args.output, text.as_bytes()).map_err(Failure::Input)?;
    let line = format!(
        "{}: custom_kernel for {} sets, {} bytes\n",
        args.output.display(),
        kernels.len(),
        text.len()
    );
    Ok(stdout().write_all(line.as_bytes())?)
}

fn make(args: &SubmissionArgs, set: &Set, ptxas: Option<&Ptxas>) -> Result<Kernel, Failure> {
    let mut kernel = args.shapes.compile(set, args.target)?;
    if let Some(ptxas) = ptxas {
        let assembly = ptxas.assemble(&kernel.ptx, args.target.name);
        let assembly =
            assembly.map_err(|error| Failure::Check(format!("{}: {error}", kernel.entry.key)))?;
        kernel.cubin = Some(assembly.cubin);
    }
    Ok(kernel)
}

/// What the contest's tools read at the top of a submission.
fn head(target: Target) -> Vec<String> {
    let mut lines = vec!["#!POPCORN leaderboard nvfp4_group_gemm".to_owned()];
    if target.name == "sm_100a" {
        lines.push("#!POPCORN gpu B200".to_owned());
    }
    lines
}
