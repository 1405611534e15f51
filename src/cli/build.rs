//! `build`: shape files to a library of kernels.

use std::io::{Write, stdout};
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use nvfp4gen::artifact::{Kernel, store};
use nvfp4gen::assemble::{Assembly, Ptxas, Resources, ToolMissing};
use nvfp4gen::plan::Target;
use nvfp4gen::problem::Set;
use rayon::prelude::*;
use serde_json::json;

use super::failure::Failure;
use super::progress::Progress;
use super::request::{self, Jobs, Shapes};
use super::table::{Table, count};

const EXAMPLES: &str = "\
Writes DIR/<target>/<key>.ptx for every set, and DIR/<target>/manifest.toml. The
library then holds exactly the sets of these files: kernels of other sets go.

It is replaced in one step: whoever reads it meanwhile sees the old library or
the new one. If any set fails, nothing is written. A directory that holds
anything that nvfp4gen did not write is left alone.

With ptxas, every kernel is assembled as well: DIR/<target>/<key>.cubin is what
a driver loads without compiling, cubins.toml lists them, and the table shows
registers and spills. They depend on the ptxas, so --check does not look at them,
and version control should not keep them. Without ptxas, a driver compiles the
PTX. ptxas is looked for in NVFP4GEN_PTXAS, PATH, CUDA_HOME/bin and
.tools/, where scripts/fetch-tools puts it.

Examples:
  nvfp4gen build shapes/leaderboard.toml
  nvfp4gen build shapes/*.toml --out kernels --target sm_100a --target sm_103a
  nvfp4gen build shapes/leaderboard.toml --check   # exit code 1 if files are stale";

/// Generate the kernels of shape files into a library directory
#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
pub struct BuildArgs {
    #[command(flatten)]
    shapes: Shapes,
    /// Directory to write; each target has a directory in it
    #[arg(long, value_name = "DIR", default_value = "generated")]
    out: PathBuf,
    /// GPU architecture: sm_100a (B200) or sm_103a (B300); may be repeated
    #[arg(long = "target", value_name = "TARGET", default_value = "sm_100a")]
    targets: Vec<Target>,
    /// Write nothing; list the files that are not what the shape files give, exit code 1 if there are any
    #[arg(long)]
    check: bool,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    jobs: Jobs,
}

/// A kernel, and what ptxas made of it if there is one.
struct Built {
    target: Target,
    kernel: Kernel,
    assembly: Option<Assembly>,
}

pub fn build(args: &BuildArgs) -> Result<(), Failure> {
    let start = Instant::now();
    let targets = distinct(&args.targets);
    let sets = args.shapes.read()?;
    let pool = args.jobs.pool()?;
    let ptxas = Ptxas::find();
    let assembler = ptxas.as_ref().ok().filter(|_| !args.check);
    let built = pool.install(|| generate(&args.shapes, &sets, &targets, assembler))?;
    if args.check {
        return check(args, &targets, &built);
    }
    warn(&built);
    for target in &targets {
        store::write(
            &directory(&args.out, *target),
            target.name,
            &kernels_of(&built, *target),
        )
        .map_err(Failure::input)?;
    }
    let text = if args.json {
        json_text(args, &built)
    } else {
        table_text(args, &targets, &built, &ptxas, start)
    };
    Ok(stdout().write_all(text.as_bytes())?)
}

/// Each target once, in the order in which they were given.
fn distinct(targets: &[Target]) -> Vec<Target> {
    let mut seen = Vec::new();
    for target in targets {
        if !seen.contains(target) {
            seen.push(*target);
        }
    }
    seen
}

fn generate(
    shapes: &Shapes,
    sets: &[Set],
    targets: &[Target],
    ptxas: Option<&Ptxas>,
) -> Result<Vec<Built>, Failure> {
    let work: Vec<(Target, &Set)> = targets
        .iter()
        .flat_map(|target| sets.iter().map(move |set| (*target, set)))
        .collect();
    let progress = Progress::new("build", work.len());
    let results = work
        .into_par_iter()
        .map(|(target, set)| progress.step(&set.name, || make(shapes, set, target, ptxas)));
    request::all(results.collect())
}

fn make(
    shapes: &Shapes,
    set: &Set,
    target: Target,
    ptxas: Option<&Ptxas>,
) -> Result<Built, Failure> {
    let mut kernel = shapes.compile(set, target)?;
    let assemble = |ptxas: &Ptxas| {
        ptxas
            .assemble(&kernel.ptx, target.name)
            .map_err(|error| Failure::Check(format!("{}: {error}", kernel.entry.key)))
    };
    let assembly = ptxas.map(assemble).transpose()?;
    kernel.cubin = assembly.as_ref().map(|assembly| assembly.cubin.clone());
    Ok(Built {
        target,
        kernel,
        assembly,
    })
}

fn check(args: &BuildArgs, targets: &[Target], built: &[Built]) -> Result<(), Failure> {
    let mut stale = Vec::new();
    for target in targets {
        let directory = directory(&args.out, *target);
        let found = store::check(&directory, target.name, &kernels_of(built, *target))
            .map_err(Failure::input)?;
        stale.extend(
            found
                .into_iter()
                .map(|stale| (stale.why.to_string(), directory.join(stale.name))),
        );
    }
    let text = if args.json {
        let stale: Vec<_> = stale
            .iter()
            .map(|(why, path)| json!({ "why": why, "path": path }))
            .collect();
        format!("{:#}\n", json!({ "stale": stale }))
    } else {
        stale
            .iter()
            .map(|(why, path)| format!("{why:<10}  {}\n", path.display()))
            .collect()
    };
    stdout().write_all(text.as_bytes())?;
    match stale.len() {
        0 => Ok(()),
        1 => Err(Failure::check(
            "1 file is not what the shape files give; run `build` without --check",
        )),
        many => Err(Failure::check(format!(
            "{many} files are not what the shape files give; run `build` without --check"
        ))),
    }
}

fn directory(out: &Path, target: Target) -> PathBuf {
    out.join(target.name)
}

fn kernels_of(built: &[Built], target: Target) -> Vec<Kernel> {
    built
        .iter()
        .filter(|built| built.target == target)
        .map(|built| built.kernel.clone())
        .collect()
}

fn warn(built: &[Built]) {
    for built in built {
        for warning in built
            .assembly
            .iter()
            .flat_map(|assembly| &assembly.warnings)
        {
            eprintln!("warning: {}: {warning}", built.kernel.entry.key);
        }
    }
}

impl Built {
    fn resources(&self) -> Option<&Resources> {
        let function = &self.kernel.entry.function;
        self.assembly
            .as_ref()?
            .entries
            .iter()
            .find(|entry| entry.function == *function)
    }
}

fn table_text(
    args: &BuildArgs,
    targets: &[Target],
    built: &[Built],
    ptxas: &Result<Ptxas, ToolMissing>,
    start: Instant,
) -> String {
    let mut text = String::new();
    for target in targets {
        text += &target_table(built.iter().filter(|built| built.target == *target)).render();
        let directory = directory(&args.out, *target);
        text += &format!(
            "{} holds them as <key>.ptx{}, with {}.\n\n",
            directory.display(),
            if ptxas.is_ok() {
                " and <key>.cubin"
            } else {
                ""
            },
            store::MANIFEST
        );
    }
    let bytes: u64 = built
        .iter()
        .map(|built| built.kernel.ptx.len() as u64)
        .sum();
    let seconds = start.elapsed().as_secs_f64();
    text += &format!(
        "{} kernels, {} bytes of PTX, in {seconds:.2} s.\n",
        built.len(),
        count(bytes)
    );
    text += "shared: bytes per CTA; columns: of tensor memory; block: bytes of tensor maps and pointers.\n";
    text += &match ptxas {
        Ok(ptxas) => format!(
            "registers and spilled bytes per thread: by {}.\n",
            ptxas.path().display()
        ),
        Err(missing) => format!("registers and spills are not known: {missing}.\n"),
    };
    text
}

fn target_table<'a>(built: impl Iterator<Item = &'a Built>) -> Table {
    let mut table = Table::new(&[
        "set",
        "groups",
        "tiles",
        "CTAs",
        "cluster",
        "stages",
        "shared",
        "columns",
        "PTX bytes",
        "block",
        "registers",
        "spills",
        "key",
    ]);
    for built in built {
        let entry = &built.kernel.entry;
        let resources = built.resources();
        let known = |value: fn(&Resources) -> u32| {
            resources.map_or("-".to_owned(), |found| value(found).to_string())
        };
        table.row(vec![
            entry.name.clone(),
            entry.sizes.m.len().to_string(),
            count(entry.tiles),
            count(entry.launch.grid.iter().product::<u32>()),
            entry.launch.cluster.iter().product::<u32>().to_string(),
            entry.stages.to_string(),
            count(entry.launch.dynamic_shared),
            entry.tensor_memory_columns.to_string(),
            count(built.kernel.ptx.len() as u64),
            count(entry.parameters.bytes),
            known(|found| found.registers),
            known(|found| found.spill_stores + found.spill_loads),
            entry.key.clone(),
        ]);
    }
    table
}

fn json_text(args: &BuildArgs, built: &[Built]) -> String {
    let kernels: Vec<_> = built
        .iter()
        .map(|built| {
            let entry = &built.kernel.entry;
            let resources = built.resources().map(|found| {
                json!({
                    "registers": found.registers, "spill_stores": found.spill_stores,
                    "spill_loads": found.spill_loads, "local_bytes": found.local_bytes,
                    "shared_bytes": found.shared_bytes, "barriers": found.barriers,
                })
            });
            json!({
                "target": built.target.name, "name": entry.name, "key": entry.key,
                "file": directory(&args.out, built.target).join(&entry.file), "sha256": entry.sha256,
                "groups": entry.sizes.m.len(), "tiles": entry.tiles, "stages": entry.stages,
                "launch": entry.launch, "tensor_memory_columns": entry.tensor_memory_columns,
                "ptx_bytes": built.kernel.ptx.len(), "cubin_bytes": built.kernel.cubin.as_ref().map(Vec::len),
                "parameter_bytes": entry.parameters.parameter_bytes(),
                "assembled": resources,
            })
        })
        .collect();
    format!("{:#}\n", json!({ "kernels": kernels }))
}
