//! What can be wrong with a library directory.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why a library could not be read or written. Every message says what to do.
#[derive(Debug)]
pub enum StoreError {
    /// The operating system refused.
    Io {
        /// What was being done, as a verb: `read`, `create`...
        action: &'static str,
        /// The file or directory concerned.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// There is no directory, or no manifest in it.
    Absent(PathBuf),
    /// The directory holds something that nvfp4gen did not write.
    Foreign {
        /// The library directory.
        directory: PathBuf,
        /// The name found in it.
        name: String,
    },
    /// The manifest is not the text that was written.
    Manifest {
        /// Path of the manifest.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A kernel that the manifest names has no file.
    Missing {
        /// The shape key.
        key: String,
        /// Where its PTX should be.
        path: PathBuf,
    },
    /// A kernel's file is not the text that the manifest describes.
    Corrupted {
        /// The shape key.
        key: String,
        /// Its PTX file.
        path: PathBuf,
        /// Bytes in the file now.
        bytes: usize,
    },
    /// Kernels that cannot be in one directory together, or under their names.
    Names(String),
}

impl StoreError {
    /// For `map_err`: attaches what was done to which path.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
        let path = path.to_owned();
        move |source| StoreError::Io {
            action,
            path,
            source,
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rebuild = "run `nvfp4gen build` again";
        match self {
            Self::Io {
                action,
                path,
                source,
            } => write!(out, "cannot {action} {}: {source}", path.display()),
            Self::Absent(path) => write!(
                out,
                "{}: no library here (no manifest.toml); `nvfp4gen build` makes one",
                path.display()
            ),
            Self::Foreign { directory, name } => write!(
                out,
                "{}: holds `{name}`, which nvfp4gen did not write; move it away or choose another directory",
                directory.display()
            ),
            Self::Manifest { path, reason } => {
                write!(out, "{}: {reason}; {rebuild}", path.display())
            }
            Self::Missing { key, path } => {
                write!(
                    out,
                    "{}: missing, but the manifest lists it for {key}; {rebuild}",
                    path.display()
                )
            }
            Self::Corrupted { key, path, bytes } => write!(
                out,
                "{}: truncated or changed: its {bytes} bytes are not the ones that the manifest lists for {key}; {rebuild}",
                path.display()
            ),
            Self::Names(reason) => out.write_str(reason),
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
