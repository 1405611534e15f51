use super::reader::Reader;
use super::{Diagnostics, Pin, Set};
use std::fmt;
use std::path::{Path, PathBuf};

/// A list of sets, as read from a TOML file. The files in `shapes/` teach the format.
#[derive(Debug, Clone, PartialEq)]
pub struct ShapeFile {
    /// The file, as it was named by the caller.
    pub path: PathBuf,
    /// The sets, in the order of the file: at least one, with distinct names and distinct keys.
    pub sets: Vec<Set>,
    /// Plans pinned for them, in the order of the file.
    pub pins: Vec<Pin>,
}

/// Why there is no shape file.
#[derive(Debug)]
pub enum ProblemError {
    /// The file cannot be read, or is not UTF-8.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// The file's content is refused.
    Refused(Diagnostics),
}

impl ShapeFile {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// If the file cannot be read, or has anything wrong in it; then with all that is wrong.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, ProblemError> {
        let path = path.as_ref();
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(path, &text).map_err(ProblemError::Refused),
            Err(error) => Err(ProblemError::Unreadable {
                path: path.to_owned(),
                error,
            }),
        }
    }

    /// Checks the text of a file; `path` only goes into messages and the result.
    ///
    /// # Errors
    /// All that is wrong in the text.
    pub fn parse(path: impl AsRef<Path>, text: &str) -> Result<Self, Diagnostics> {
        let path = path.as_ref().to_owned();
        match Reader::read(text) {
            Ok((sets, pins)) => Ok(Self { path, sets, pins }),
            Err(all) => Err(Diagnostics { path, all }),
        }
    }

    /// The set of this name.
    pub fn get(&self, name: &str) -> Option<&Set> {
        self.sets.iter().find(|set| set.name == name)
    }
}

impl fmt::Display for ProblemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { path, error } => {
                write!(
                    f,
                    "{}: cannot read this shape file: {error}",
                    path.display()
                )
            }
            Self::Refused(diagnostics) => diagnostics.fmt(f),
        }
    }
}

impl std::error::Error for ProblemError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreadable { error, .. } => Some(error),
            Self::Refused(_) => None,
        }
    }
}
