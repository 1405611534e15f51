//! Running ptxas on one PTX text.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::find::{Search, ToolMissing};
use super::report::{self, Diagnostic, Resources};

/// An assembler that was found on this machine.
#[derive(Clone, Debug)]
pub struct Ptxas {
    path: PathBuf,
}

/// What ptxas made of a kernel.
#[derive(Clone, Debug)]
pub struct Assembly {
    /// One per `.entry`.
    pub entries: Vec<Resources>,
    /// Warnings and performance advice; spills and local memory among them.
    pub warnings: Vec<Diagnostic>,
    /// The machine code, as a module that the driver loads.
    pub cubin: Vec<u8>,
}

/// Why there is no [`Assembly`].
#[derive(Debug)]
pub enum AssembleError {
    /// ptxas could not be run, or its files not be written or read.
    Io {
        /// What could not be done.
        action: String,
        /// The system's answer.
        source: io::Error,
    },
    /// ptxas found errors.
    Rejected {
        /// Which ptxas.
        tool: PathBuf,
        /// Every error it named.
        errors: Vec<Diagnostic>,
    },
    /// ptxas ended with success, or not, and said something that this program does not understand.
    Unclear {
        /// Which ptxas.
        tool: PathBuf,
        /// What it printed.
        output: String,
    },
}

impl Ptxas {
    /// The ptxas of this machine: `NVFP4GEN_PTXAS`, `PATH`, `CUDA_HOME`, then what `scripts/fetch-tools` fetched.
    ///
    /// # Errors
    /// [`ToolMissing`].
    pub fn find() -> Result<Self, ToolMissing> {
        Search::from_environment("ptxas", "NVFP4GEN_PTXAS")
            .run()
            .map(Self::at)
    }

    /// The ptxas at `path`.
    pub fn at(path: PathBuf) -> Self {
        Ptxas { path }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Assembles `ptx` for `architecture`, e.g. `sm_100a`.
    ///
    /// # Errors
    /// [`AssembleError`]. Warnings are no error here: the caller decides.
    pub fn assemble(&self, ptx: &str, architecture: &str) -> Result<Assembly, AssembleError> {
        let folder =
            tempfile::tempdir().map_err(AssembleError::io("cannot create a temporary folder"))?;
        let source = folder.path().join("kernel.ptx");
        let cubin = folder.path().join("kernel.cubin");
        fs::write(&source, ptx).map_err(AssembleError::io("cannot write a temporary file"))?;
        let output = Command::new(&self.path)
            .arg(format!("-arch={architecture}"))
            .args(["-v", "-warn-spills", "-warn-lmem-usage", "-o"])
            .args([&cubin, &source])
            .output()
            .map_err(AssembleError::io(format!(
                "cannot run {}",
                self.path.display()
            )))?;
        let text = [output.stdout, output.stderr]
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .concat();
        let report = report::parse(&text, ptx);
        if !report.errors.is_empty() {
            return Err(AssembleError::Rejected {
                tool: self.path.clone(),
                errors: report.errors,
            });
        }
        match fs::read(&cubin) {
            Ok(cubin) if output.status.success() => Ok(Assembly {
                entries: report.entries,
                warnings: report.warnings,
                cubin,
            }),
            _ => Err(AssembleError::Unclear {
                tool: self.path.clone(),
                output: text,
            }),
        }
    }
}

impl AssembleError {
    fn io(action: impl Into<String>) -> impl FnOnce(io::Error) -> AssembleError {
        move |source| AssembleError::Io {
            action: action.into(),
            source,
        }
    }
}

impl fmt::Display for AssembleError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { action, source } => write!(out, "{action}: {source}"),
            Self::Rejected { tool, errors } => {
                write!(out, "{} rejects the kernel", tool.display())?;
                errors
                    .iter()
                    .try_for_each(|error| write!(out, "\n  {error}"))
            }
            Self::Unclear { tool, output } => {
                write!(
                    out,
                    "{} failed without naming an error; it printed:\n{}",
                    tool.display(),
                    output.trim_end()
                )
            }
        }
    }
}

impl std::error::Error for AssembleError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
