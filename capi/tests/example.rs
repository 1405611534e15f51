//! The example in C, compiled and run over the emulated driver.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use nvfp4gen::artifact::store;
use nvfp4gen::plan::target::SM_100A;
use nvfp4gen::problem::ShapeFile;
use nvfp4gen::{choose, emit};
use tempfile::TempDir;

/// A folder with both shared libraries under the names that a linker asks for.
fn libraries(home: &Path) -> PathBuf {
    let own = std::env::current_exe().expect("the test's own path");
    let folder = home.join("lib");
    std::fs::create_dir(&folder).expect("a folder");
    for (file, names) in [
        ("libcuda.so", vec!["libcuda.so", "libcuda.so.1"]),
        ("libnvfp4gen_capi.so", vec!["libnvfp4gen_capi.so"]),
    ] {
        for name in names {
            std::os::unix::fs::symlink(own.with_file_name(file), folder.join(name))
                .expect("a link");
        }
    }
    folder
}

/// Compiles the example, gives a library of one set, and what to run.
fn example(set: &str) -> (TempDir, Command, String) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR"));
    let home = tempfile::tempdir().expect("a directory");
    let folder = libraries(home.path());
    let program = home.path().join("launch");
    let compiled = Command::new("cc")
        .args(["-std=c11", "-Wall", "-Wextra", "-Werror"])
        .arg(source.join("examples/launch.c"))
        .arg("-I")
        .arg(source.join("include"))
        .arg("-L")
        .arg(&folder)
        .args(["-lnvfp4gen_capi", "-lcuda", "-o"])
        .arg(&program)
        .output()
        .expect("a C compiler called cc");
    assert!(compiled.status.success(), "{}", text(&compiled.stderr));

    let shapes = ShapeFile::read(source.join("../shapes/edge.toml")).expect("a shape file");
    let set = shapes.get(set).expect("a set");
    let kernel = emit::kernel(&choose::best(set, SM_100A).expect("a plan")).expect("a kernel");
    store::write(&home.path().join("sm_100a"), "sm_100a", &[kernel]).expect("a library");
    let mut command = Command::new(program);
    command.env("LD_LIBRARY_PATH", folder);
    command.arg(home.path());
    (home, command, set.key())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn run(command: &mut Command) -> (Output, String, String) {
    let output = command.output().expect("the example");
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    (output, out, err)
}

#[test]
fn a_sum_of_ones_is_k() {
    let (_home, mut command, key) = example("one-of-everything");
    let (output, out, err) = run(command.arg(key));
    assert!(output.status.success(), "{err}");
    // 64 as f16.
    assert_eq!(out, "group 0: K = 64, C is f16 0x5400 to 0x5400\n");
}

#[test]
fn groups_without_tokens_have_no_memory() {
    let (_home, mut command, key) = example("empty-among-others");
    let (output, out, err) = run(command.arg(key));
    assert!(output.status.success(), "{err}");
    // 192 and 128 as f16.
    let expected = "group 1: K = 192, C is f16 0x5A00 to 0x5A00\ngroup 4: K = 128, C is f16 0x5800 to 0x5800\n";
    assert_eq!(out, expected);
}

#[test]
fn errors_arrive_as_text() {
    let (_home, mut command, key) = example("one-of-everything");
    let (output, out, err) = run(command.arg(key.replace("k64", "k128")));
    assert_eq!((output.status.code(), out.as_str()), (Some(1), ""));
    assert!(
        err.contains("has no kernel") && err.contains("k = [128]"),
        "{err}"
    );
}

#[test]
fn devices_that_are_not_there_are_an_error() {
    let (_home, mut command, key) = example("one-of-everything");
    let (output, _, err) = run(command.arg(key).env("PTXEMU_DEVICES", "0"));
    assert_eq!(output.status.code(), Some(1));
    assert!(err.contains("finds no GPU"), "{err}");
}
