//! `bench`: the kernels of a library timed on a GPU.

use std::io::{Write, stdout};
use std::path::PathBuf;

use clap::Args;
use nvfp4gen::problem::Set;
use nvfp4gen::runtime::bench::{Bandwidth, Options, Report, Row, bench as measure};
use nvfp4gen::runtime::{Device, Library};
use serde_json::json;

use super::failure::Failure;
use super::request::{self, Shapes};
use super::table::{Table, count};

const EXAMPLES: &str = "\
protocol `contest` is the contest's: the L2 cache is cleared once, then all data
sets are computed back to back between one pair of events. `hot` and `cold` time
one call, with the data in the L2 cache or not. `graph`: a replay of a recorded
launch. `early`: programmatic dependent launch. Every output is checked against
the exact reference after it was timed.

On the emulated driver the same runs, and its times say nothing about a GPU.

Examples:
  nvfp4gen bench shapes/leaderboard.toml
  nvfp4gen bench shapes/leaderboard.toml --set P3 --repeats 20 --json";

/// Time the kernels of a library on a GPU, and check what they compute
#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
pub struct BenchArgs {
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
    /// Distinct data sets, each with memory of its own
    #[arg(long, value_name = "N", default_value_t = 15)]
    data_sets: usize,
    /// How often everything is timed; the median counts [default: 200, on the emulated driver 1]
    #[arg(long, value_name = "N")]
    repeats: Option<usize>,
    /// Seed of the data
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
}

pub fn bench(args: &BenchArgs) -> Result<(), Failure> {
    let sets = chosen(args.shapes.read()?, &args.sets)?;
    let library = Library::open(&args.dir).map_err(Failure::input)?;
    let device = Device::new(args.device).map_err(Failure::input)?;
    let copy = Bandwidth::measure(&device).map_err(Failure::check)?;
    let options = Options {
        data_sets: args.data_sets,
        repeats: args
            .repeats
            .unwrap_or(if device.is_emulated() { 1 } else { 200 }),
        seed: args.seed,
    };
    let mut reports = Vec::new();
    for set in &sets {
        reports.push(one(&library, &device, set, options, copy)?);
    }
    let text = if args.json {
        json_text(&device, options, copy, &reports)
    } else {
        table_text(&device, options, copy, &reports)
    };
    stdout().write_all(text.as_bytes())?;
    match reports.iter().filter(|report| report.wrong > 0).count() {
        0 => Ok(()),
        wrong => Err(Failure::check(format!(
            "the results of {wrong} sets are wrong"
        ))),
    }
}

/// The sets of these names; all if none is named.
pub(super) fn chosen(sets: Vec<Set>, names: &[String]) -> Result<Vec<Set>, Failure> {
    let known = |name: &&String| sets.iter().any(|set| set.name == **name);
    if let Some(unknown) = names.iter().find(|name| !known(name)) {
        return Err(request::no_such_set(unknown, &sets));
    }
    let wanted = |set: &Set| names.is_empty() || names.contains(&set.name);
    Ok(sets.into_iter().filter(wanted).collect())
}

fn one(
    library: &Library,
    device: &Device,
    set: &Set,
    options: Options,
    copy: Option<Bandwidth>,
) -> Result<Report, Failure> {
    let kernel = library.load_set(device, set).map_err(Failure::input)?;
    for notice in kernel.notices() {
        eprintln!("note: {}: {notice}", set.name);
    }
    measure(&kernel, set, options, copy)
        .map_err(|error| Failure::check(format!("{}: {error}", set.name)))
}

fn table_text(
    device: &Device,
    options: Options,
    copy: Option<Bandwidth>,
    reports: &[Report],
) -> String {
    let header = [
        "set",
        "protocol",
        "graph",
        "early",
        "GPU us",
        "best us",
        "host ns",
        "% of light",
        "% of copy",
    ];
    let mut table = Table::new(&header);
    for report in reports {
        for row in &report.rows {
            table.row(cells(report, row));
        }
    }
    let mut text = table.render();
    text += &format!("\n{}\n", heading(device, options));
    if let Some(copy) = copy {
        let terabytes = copy.bytes_per_second / 1e12;
        text += &format!(
            "a copy moves {terabytes:.3} TB/s; light: 7.68 TB/s, the contest's figure for a B200.\n"
        );
    }
    for report in reports {
        let (right, all) = (report.checked - report.wrong, report.checked);
        text += &format!(
            "{}: {} bytes moved, {right} of {all} data sets right.\n",
            report.name,
            count(report.bytes)
        );
    }
    text
}

fn cells(report: &Report, row: &Row) -> Vec<String> {
    let mark = |on| if on { "yes" } else { "no" }.to_owned();
    let percent = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.1}"));
    vec![
        report.name.clone(),
        format!("{:?}", row.protocol).to_lowercase(),
        mark(row.graph),
        mark(row.programmatic),
        format!("{:.2}", row.gpu_us),
        format!("{:.2}", row.gpu_us_best),
        format!("{:.0}", row.host_ns),
        percent(row.percent_of_light),
        percent(row.percent_of_copy),
    ]
}

/// What the times are of, and what they are not.
fn heading(device: &Device, options: Options) -> String {
    let name = &device.properties().name;
    let what = if device.is_emulated() {
        "EMULATED: these times say nothing about a GPU"
    } else {
        "medians"
    };
    format!(
        "{name}, {} data sets, {} repeats; {what}.",
        options.data_sets, options.repeats
    )
}

fn json_text(
    device: &Device,
    options: Options,
    copy: Option<Bandwidth>,
    reports: &[Report],
) -> String {
    let report = json!({
        "device": device.properties().name, "emulated": device.is_emulated(),
        "driver_version": device.properties().driver_version,
        "data_sets": options.data_sets, "repeats": options.repeats, "seed": options.seed,
        "copy_bytes_per_second": copy.map(|copy| copy.bytes_per_second), "sets": reports,
    });
    format!("{report:#}\n")
}
