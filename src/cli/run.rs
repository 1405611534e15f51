//! `run`: one set, computed on the emulated GPU from a file into a file.

use std::io::{Write, stdout};
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use nvfp4gen::artifact::Kernel;
use nvfp4gen::device::Emulated;
use nvfp4gen::plan::Target;
use nvfp4gen::problem::Set;
use serde_json::json;

use super::failure::Failure;
use super::request::{self, Shapes};
use super::schedule::ScheduleArg;
use super::tensors::{self, Operands};

const EXAMPLES: &str = "\
In the input, group i has
  i.a    U8 [M, K/2]    tokens, two E2M1 codes a byte, the first in the low nibble
  i.b    U8 [N, K/2]    weights
  i.sfa  F8_E4M3 or U8 [M, K/16], or in blocked form i.sfa_blocked (one dimension)
  i.sfb  F8_E4M3 or U8 [N, K/16], or in blocked form i.sfb_blocked
and the output has i.c, F16 [M, N]. A group without tokens needs no tensors.

Examples:
  nvfp4gen run shapes/leaderboard.toml --set P4 --input in.safetensors \\
      --output out.safetensors
  nvfp4gen run my.toml --set mine --input in.safetensors --output out.safetensors \\
      --schedule random:1 --json";

/// Compute one set on the emulated GPU, from a safetensors file into another
#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
pub struct RunArgs {
    #[command(flatten)]
    shapes: Shapes,
    /// Name of the set
    #[arg(long, value_name = "NAME")]
    set: String,
    /// File with the operands (safetensors)
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// File to write the results to (safetensors); replaced in one step
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// GPU architecture to generate the kernel for
    #[arg(long, value_name = "TARGET", default_value = "sm_100a")]
    target: Target,
    /// When asynchronous operations happen: eager, lazy or random:SEED
    #[arg(long, value_name = "SCHEDULE", default_value = "eager")]
    schedule: ScheduleArg,
    /// Print JSON instead of a line
    #[arg(long)]
    json: bool,
}

pub fn run(args: &RunArgs) -> Result<(), Failure> {
    let set = named(args.shapes.read()?, &args.set)?;
    let kernel = args.shapes.compile(&set, args.target)?;
    let operands = tensors::read(&args.input, &kernel.entry.sizes).map_err(Failure::Input)?;
    let start = Instant::now();
    let outputs = execute(&kernel, &operands, args.schedule)?;
    let seconds = start.elapsed().as_secs_f64();
    tensors::write(&args.output, &kernel.entry.sizes, &outputs).map_err(Failure::Input)?;
    let text = if args.json {
        json_text(args, &kernel, seconds)
    } else {
        line(args, &kernel, seconds)
    };
    Ok(stdout().write_all(text.as_bytes())?)
}

fn named(sets: Vec<Set>, name: &str) -> Result<Set, Failure> {
    let unknown = request::no_such_set(name, &sets);
    sets.into_iter().find(|set| set.name == name).ok_or(unknown)
}

fn execute(
    kernel: &Kernel,
    operands: &[Operands],
    schedule: ScheduleArg,
) -> Result<Vec<Vec<u8>>, Failure> {
    let buffers: Vec<_> = operands.iter().map(Operands::borrow).collect();
    Emulated::load(kernel)
        .and_then(|gpu| gpu.run(&buffers, schedule.into()))
        .map_err(|error| Failure::Check(format!("{}: {error}", kernel.entry.key)))
}

fn line(args: &RunArgs, kernel: &Kernel, seconds: f64) -> String {
    let groups = kernel.entry.sizes.m.len();
    let output = args.output.display();
    format!(
        "{}: {groups} groups computed on the emulated GPU in {seconds:.2} s; C is in {output}\n",
        kernel.entry.key
    )
}

fn json_text(args: &RunArgs, kernel: &Kernel, seconds: f64) -> String {
    let sizes = &kernel.entry.sizes;
    let groups: Vec<_> = (0..sizes.m.len())
        .map(|i| json!({ "tensor": format!("{i}.c"), "m": sizes.m[i], "n": sizes.n[i], "k": sizes.k[i] }))
        .collect();
    let report = json!({
        "name": kernel.entry.name, "key": kernel.entry.key, "target": args.target.name,
        "device": "emulated", "schedule": args.schedule.to_string(), "seconds": seconds,
        "output": args.output, "groups": groups,
    });
    format!("{report:#}\n")
}
