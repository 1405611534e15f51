//! A shape file as text: read once, perhaps replaced later, never lost.

use std::fs;
use std::path::{Path, PathBuf};

use nvfp4gen::problem::ShapeFile;

use super::failure::Failure;
use super::file;

/// The text of a shape file and what it says.
pub struct ShapeText {
    pub text: String,
    pub shapes: ShapeFile,
}

/// Where a new text goes. That it can be written is known before anything is measured.
pub struct Destination {
    /// The file itself, where the path that was given is a link.
    path: PathBuf,
    given: PathBuf,
}

impl ShapeText {
    /// Reads and checks a shape file.
    ///
    /// # Errors
    /// If it cannot be read, or anything is wrong in it.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let text = fs::read_to_string(path).map_err(|error| refuse(path, "read", error))?;
        let shapes = ShapeFile::parse(path, &text).map_err(Failure::input)?;
        Ok(ShapeText { text, shapes })
    }
}

impl Destination {
    /// Checks that the file can be replaced.
    ///
    /// # Errors
    /// If it is no regular file, is read-only, or its folder takes no new file.
    pub fn new(path: &Path) -> Result<Self, Failure> {
        let unwritable = |error| refuse(path, "write", error);
        let real = fs::canonicalize(path).map_err(unwritable)?;
        let metadata = fs::metadata(&real).map_err(unwritable)?;
        if !metadata.is_file() {
            return Err(refuse(path, "write", "it is not a regular file"));
        }
        // Replacing a file asks its folder for permission, not the file: whoever made it read-only meant it.
        if metadata.permissions().readonly() {
            let why = "it is read-only; make it writable, or leave --write out";
            return Err(refuse(path, "write", why));
        }
        let folder = real.parent().unwrap_or(Path::new("/"));
        tempfile::tempfile_in(folder).map_err(unwritable)?;
        Ok(Destination {
            path: real,
            given: path.to_owned(),
        })
    }

    /// Replaces the file in one step, unless it is no longer what was read.
    ///
    /// # Errors
    /// If somebody has changed it meanwhile, or the system refuses. The file is then as it was.
    pub fn replace(&self, old: &str, new: &str) -> Result<(), Failure> {
        let unwritable = |error| refuse(&self.given, "write", error);
        let now = fs::read_to_string(&self.path).map_err(unwritable)?;
        if now != old {
            let why = "it has changed since it was read; nothing was written, tune again";
            return Err(refuse(&self.given, "write", why));
        }
        let permissions = fs::metadata(&self.path).map_err(unwritable)?.permissions();
        file::replace(&self.path, new.as_bytes(), permissions).map_err(Failure::Input)
    }
}

fn refuse(path: &Path, verb: &str, why: impl std::fmt::Display) -> Failure {
    Failure::Input(format!("cannot {verb} {}: {why}", path.display()))
}
