//! `profile`: where the time goes, from opening a library to the GPU's last store.

use std::io::{Write, stdout};
use std::path::PathBuf;

use clap::Args;
use nvfp4gen::runtime::Device;
use nvfp4gen::runtime::bench::{Profile, profile as measure};
use serde_json::json;

use super::bench::chosen;
use super::failure::Failure;
use super::request::Shapes;
use super::table::Table;

const EXAMPLES: &str = "\
Two lists for each set: what is paid once, and what is paid for each call. On the
emulated driver the GPU's part says nothing about a GPU.

Examples:
  nvfp4gen profile shapes/leaderboard.toml
  nvfp4gen profile shapes/leaderboard.toml --set P1 --json";

/// Show where the time of a launch goes: load, bind, enqueue, GPU
#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
pub struct ProfileArgs {
    #[command(flatten)]
    shapes: Shapes,
    /// Only the set of this name; may be repeated
    #[arg(long = "set", value_name = "NAME")]
    sets: Vec<String>,
    /// Directory that `build --out` wrote
    #[arg(long, value_name = "DIR", default_value = "generated")]
    dir: PathBuf,
    /// Number of the device
    #[arg(long, value_name = "N", default_value_t = 0)]
    device: u32,
    /// Calls that are timed; the median counts [default: 100, on the emulated driver 1]
    #[arg(long, value_name = "N")]
    repeats: Option<usize>,
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
}

pub fn profile(args: &ProfileArgs) -> Result<(), Failure> {
    let sets = chosen(args.shapes.read()?, &args.sets)?;
    // Asked of a device that is given back, so that every profile starts from nothing.
    let device = Device::new(args.device).map_err(Failure::input)?;
    let (name, emulated) = (device.properties().name.clone(), device.is_emulated());
    drop(device);
    let repeats = args.repeats.unwrap_or(if emulated { 1 } else { 100 });
    let mut profiles = Vec::new();
    for set in &sets {
        profiles.push(measure(&args.dir, args.device, set, repeats).map_err(Failure::input)?);
    }
    let text = if args.json {
        format!(
            "{:#}\n",
            json!({ "device": name, "emulated": emulated, "sets": profiles })
        )
    } else {
        table_text(&name, emulated, &profiles)
    };
    stdout().write_all(text.as_bytes())?;
    match profiles.iter().filter(|profile| !profile.right).count() {
        0 => Ok(()),
        wrong => Err(Failure::check(format!(
            "the results of {wrong} sets are wrong"
        ))),
    }
}

fn table_text(device: &str, emulated: bool, profiles: &[Profile]) -> String {
    let mut text = String::new();
    for profile in profiles {
        for (when, steps) in [("once", &profile.once), ("per call", &profile.each)] {
            let mut table = Table::new(&[when, "us", "%"]);
            for (step, time, share) in Profile::shares(steps) {
                table.row(vec![
                    step.to_owned(),
                    format!("{time:.3}"),
                    format!("{share:.1}"),
                ]);
            }
            text += &format!("{}\n{}\n", profile.name, table.render());
        }
    }
    let what = if emulated {
        "EMULATED: the GPU's times say nothing about a GPU"
    } else {
        "medians per call"
    };
    text + &format!("{device}; {what}.\n")
}
