//! The real assembler's opinion of every case.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::case::Case;

/// `NVFP4GEN_PTXAS`, or what `scripts/fetch-tools` fetched.
pub fn find_ptxas() -> PathBuf {
    let fetched = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.tools/nvidia/cu13/bin/ptxas");
    let named = std::env::var_os("NVFP4GEN_PTXAS").map(PathBuf::from);
    let ptxas = named.unwrap_or(fetched);
    let missing = "there is no ptxas: run `scripts/fetch-tools`, or set NVFP4GEN_PTXAS to its path";
    assert!(ptxas.is_file(), "{}: {missing}", ptxas.display());
    ptxas
}

/// What ptxas says about each case that it refuses.
pub fn refusals(ptxas: &Path, cases: &[Case]) -> Vec<String> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut refused = Vec::new();
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            refused.extend(assemble(ptxas, case).err());
        }
        refused
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .flat_map(|w| w.join().expect("a worker"))
            .collect()
    })
}

fn assemble(ptxas: &Path, case: &Case) -> Result<(), String> {
    let target = case
        .text
        .lines()
        .find_map(|l| l.strip_prefix(".target "))
        .unwrap_or("sm_100a");
    let command = Command::new(ptxas)
        .arg(format!("-arch={target}"))
        .arg(&case.path)
        .args(["-o", "/dev/null"])
        .output();
    let output = command.map_err(|e| format!("{}: {e}", ptxas.display()))?;
    let message = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        Ok(())
    } else {
        Err(format!("{}: {message}", case.name))
    }
}
