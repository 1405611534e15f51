//! A folder to run the command in, for the tests of the command line.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

/// A folder with a shape file in it, where commands run.
pub struct Desk {
    folder: tempfile::TempDir,
}

// Each test binary uses some of these.
#[allow(dead_code)]
impl Desk {
    /// A folder that holds `shapes` as `shapes.toml`.
    pub fn new(shapes: &str) -> Self {
        let desk = Desk {
            folder: tempfile::tempdir().unwrap(),
        };
        fs::write(desk.path("shapes.toml"), shapes).unwrap();
        desk
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nvfp4gen"));
        command
            .args(line.split_whitespace())
            .current_dir(self.folder.path());
        command
    }

    /// Runs `nvfp4gen <line>` on a machine without ptxas, which is quicker.
    pub fn run_without_ptxas(&self, line: &str) -> (i32, String, String) {
        let mut command = self.command(line);
        texts(
            command
                .env("NVFP4GEN_PTXAS", "/nowhere/ptxas")
                .output()
                .unwrap(),
        )
    }

    /// Runs `nvfp4gen <line>`: exit code, stdout, stderr.
    pub fn run(&self, line: &str) -> (i32, String, String) {
        texts(self.command(line).output().unwrap())
    }
}

/// Exit code, stdout, stderr.
pub fn texts(output: Output) -> (i32, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}
