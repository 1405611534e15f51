//! `list`: what a library holds.

use std::fs;
use std::io::{Write, stdout};
use std::path::{Path, PathBuf};

use clap::Args;
use nvfp4gen::artifact::{Kernel, Location, Manifest, store};
use serde_json::json;

use super::failure::Failure;
use super::table::{Table, count};

const EXAMPLES: &str = "\
Every file is checked against its hash on the way.

Examples:
  nvfp4gen list
  nvfp4gen list --dir /opt/kernels --json | jq '.[].key'";

/// Show what kernels a library directory holds
#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
pub struct ListArgs {
    /// Directory that `build --out` wrote, or one of the target directories in it
    #[arg(long, value_name = "DIR", default_value = "generated")]
    dir: PathBuf,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

pub fn list(args: &ListArgs) -> Result<(), Failure> {
    let mut libraries = Vec::new();
    for directory in library_directories(&args.dir)? {
        libraries.push(store::read(&directory).map_err(Failure::input)?);
    }
    let text = if args.json {
        json_text(&libraries)
    } else {
        table_text(&libraries)
    };
    Ok(stdout().write_all(text.as_bytes())?)
}

/// `dir` itself if it is a library, else the libraries right below it.
fn library_directories(dir: &Path) -> Result<Vec<PathBuf>, Failure> {
    if dir.join(store::MANIFEST).exists() {
        return Ok(vec![dir.to_owned()]);
    }
    let entries = fs::read_dir(dir)
        .map_err(|error| Failure::Input(format!("cannot read {}: {error}", dir.display())))?;
    let mut found: Vec<PathBuf> = entries
        .flatten()
        .filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'))
        .map(|entry| entry.path())
        .filter(|path| path.join(store::MANIFEST).exists())
        .collect();
    found.sort();
    if found.is_empty() {
        let dir = dir.display();
        return Err(Failure::Input(format!(
            "{dir}: no library here; `nvfp4gen build FILES... --out {dir}` makes one"
        )));
    }
    Ok(found)
}

fn table_text(libraries: &[(Manifest, Vec<Kernel>)]) -> String {
    let header = [
        "target",
        "set",
        "key",
        "groups",
        "tokens",
        "tiles",
        "CTAs",
        "PTX bytes",
        "cubin bytes",
        "parameter bytes",
        "sha256",
    ];
    let mut table = Table::new(&header);
    for (manifest, kernels) in libraries {
        for kernel in kernels {
            let entry = &kernel.entry;
            table.row(vec![
                manifest.target.clone(),
                entry.name.clone(),
                entry.key.clone(),
                entry.sizes.m.len().to_string(),
                count(entry.sizes.m.iter().map(|m| u64::from(*m)).sum::<u64>()),
                count(entry.tiles),
                entry.launch.grid[0].to_string(),
                count(kernel.ptx.len() as u64),
                (kernel.cubin.as_ref()).map_or("-".to_owned(), |cubin| count(cubin.len() as u64)),
                count(entry.parameters.parameter_bytes()),
                entry.sha256[..12.min(entry.sha256.len())].to_owned(),
            ]);
        }
    }
    if table.is_empty() {
        "no kernels\n".to_owned()
    } else {
        table.render()
    }
}

fn json_text(libraries: &[(Manifest, Vec<Kernel>)]) -> String {
    let kernels: Vec<_> = libraries
        .iter()
        .flat_map(|(manifest, kernels)| kernels.iter().map(move |kernel| (manifest, kernel)))
        .map(|(manifest, kernel)| {
            let entry = &kernel.entry;
            json!({
                "target": manifest.target, "generator": manifest.generator, "name": entry.name, "key": entry.key,
                "file": entry.file, "sha256": entry.sha256, "function": entry.function, "sizes": entry.sizes,
                "tiles": entry.tiles, "launch": entry.launch, "ptx_bytes": kernel.ptx.len(),
                "cubin_bytes": kernel.cubin.as_ref().map(Vec::len), "schedule": entry.schedule,
                "parameter_bytes": entry.parameters.parameter_bytes(),
                "table_in_memory": entry.parameters.location == Location::Device,
            })
        })
        .collect();
    format!("{:#}\n", json!(kernels))
}
