//! Runs tests in child processes whose loader finds the emulated driver, each with an environment of its own.

#[allow(dead_code)]
pub mod driver;
#[allow(dead_code, unused_macros)]
pub mod raw;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

/// Set in child processes.
const CHILD: &str = "PTXEMU_TEST_CHILD";

/// A folder that holds the driver under the names that loaders ask for.
#[allow(dead_code)]
pub fn driver_folder() -> PathBuf {
    let test = std::env::current_exe().expect("the test's own path");
    let deps = test.parent().expect("the folder of the test");
    let library = deps.join("libcuda.so");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("driver");
    std::fs::create_dir_all(&folder).expect("a folder for links");
    for name in ["libcuda.so", "libcuda.so.1"] {
        // Tests of one binary run side by side: make the link under a name of this process, then rename.
        let link = folder.join(name);
        if std::fs::read_link(&link).is_ok_and(|target| target == library) {
            continue;
        }
        let fresh = folder.join(format!(
            "{name}.{}.{:?}",
            std::process::id(),
            std::thread::current().id()
        ));
        std::os::unix::fs::symlink(&library, &fresh).expect("a link to the driver");
        std::fs::rename(&fresh, &link).expect("the link in its place");
    }
    folder
}

/// Runs `body` in a child process with the emulated driver and the given environment. `test` is the path of the
/// calling test within its binary.
#[allow(dead_code)]
pub fn with_driver(test: &str, environment: &[(&str, &str)], body: fn()) {
    if std::env::var(CHILD).is_ok_and(|child| child == test) {
        std::thread::spawn(|| {
            std::thread::sleep(Duration::from_secs(120));
            eprintln!("the test hangs");
            std::process::abort();
        });
        return body();
    }
    let output = child(test, environment);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(
        output.status.success(),
        "{test} in its child process:\n{out}\n{err}"
    );
    assert!(
        out.contains("1 passed"),
        "{test} did not run in its child process:\n{out}"
    );
}

fn child(test: &str, environment: &[(&str, &str)]) -> Output {
    let own = std::env::current_exe().expect("the test's own path");
    let mut command = Command::new(own);
    command
        .args([test, "--exact", "--nocapture"])
        .env("LD_LIBRARY_PATH", driver_folder())
        .env(CHILD, test);
    for (name, _) in
        std::env::vars().filter(|(name, _)| name.starts_with("PTXEMU_") && name != CHILD)
    {
        command.env_remove(name);
    }
    command
        .envs(environment.iter().copied())
        .output()
        .expect("the child process")
}
