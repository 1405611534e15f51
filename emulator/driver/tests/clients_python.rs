//! cuda-bindings from PyPI over the emulated driver, with and without per-thread default streams.
//!
//! `tests/fetch_python.sh` fetches it. Without it the test says so and does nothing, unless `PTXEMU_REQUIRE_PYTHON`
//! is set.

mod common;

use std::path::Path;
use std::process::Command;

#[test]
fn cuda_bindings() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let packages = here.join("../../.tools/python");
    if !packages.join("cuda/bindings").is_dir() {
        let required = std::env::var_os("PTXEMU_REQUIRE_PYTHON").is_some();
        assert!(!required, "no cuda-bindings in {}", packages.display());
        eprintln!(
            "skipped: no cuda-bindings in {}; run tests/fetch_python.sh",
            packages.display()
        );
        return;
    }
    for per_thread in ["0", "1"] {
        let output = Command::new("python3")
            .arg(here.join("tests/clients_python.py"))
            .arg(here.join("tests/ptx/vector_add.ptx"))
            .env("PYTHONPATH", &packages)
            .env("LD_LIBRARY_PATH", common::driver_folder())
            .env("CUDA_PYTHON_CUDA_PER_THREAD_DEFAULT_STREAM", per_thread)
            .env("PTXEMU_STREAMS", "random:5")
            .output()
            .expect("python3");
        let (out, err) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        assert!(
            output.status.success() && out.ends_with("ok\n"),
            "{out}\n{err}"
        );
    }
}
