//! Where ptxas and nvdisasm may be.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Where `scripts/fetch-tools` puts NVIDIA's binaries, relative to the root of the repository.
const FETCHED: &str = ".tools/nvidia/cu13/bin";

/// The places to look for one tool. The first hit wins, in the order of the fields.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// File name of the tool.
    pub tool: &'static str,
    /// The environment variable that names it outright, e.g. `NVFP4GEN_PTXAS`.
    pub variable: &'static str,
    /// That variable's value. If set it must be right: nothing else is tried.
    pub explicit: Option<OsString>,
    /// Value of `PATH`.
    pub path: Option<OsString>,
    /// Value of `CUDA_HOME`.
    pub cuda_home: Option<OsString>,
    /// Folders which, or a parent of which, may be the repository where `scripts/fetch-tools` ran.
    pub inside: Vec<PathBuf>,
}

impl Search {
    /// The search for `tool` that this process's environment asks for.
    pub fn from_environment(tool: &'static str, variable: &'static str) -> Self {
        let set = |name| env::var_os(name).filter(|value| !value.is_empty());
        Search {
            tool,
            variable,
            explicit: set(variable),
            path: set("PATH"),
            cuda_home: set("CUDA_HOME"),
            inside: [env::current_dir(), env::current_exe()]
                .into_iter()
                .flatten()
                .collect(),
        }
    }

    /// Path of the tool.
    ///
    /// # Errors
    /// [`ToolMissing`], which tells the user how to get it.
    pub fn run(&self) -> Result<PathBuf, ToolMissing> {
        if let Some(explicit) = &self.explicit {
            let path = PathBuf::from(explicit);
            return if is_executable(&path) {
                Ok(path)
            } else {
                Err(self.missing(Some(path)))
            };
        }
        self.candidates()
            .find(|path| is_executable(path))
            .ok_or_else(|| self.missing(None))
    }

    fn candidates(&self) -> impl Iterator<Item = PathBuf> {
        let on_path = self
            .path
            .iter()
            .flat_map(env::split_paths)
            .collect::<Vec<_>>();
        let toolkit = self
            .cuda_home
            .iter()
            .map(|home| Path::new(home).join("bin"));
        let fetched = self
            .inside
            .iter()
            .flat_map(|folder| folder.ancestors())
            .map(|folder| folder.join(FETCHED));
        on_path
            .into_iter()
            .chain(toolkit)
            .chain(fetched)
            .map(|folder| folder.join(self.tool))
    }

    fn missing(&self, explicit: Option<PathBuf>) -> ToolMissing {
        ToolMissing {
            tool: self.tool,
            variable: self.variable,
            explicit,
        }
    }
}

/// Path of nvdisasm: `NVFP4GEN_NVDISASM`, `PATH`, `CUDA_HOME`, `.tools/`.
///
/// # Errors
/// [`ToolMissing`].
pub fn nvdisasm() -> Result<PathBuf, ToolMissing> {
    Search::from_environment("nvdisasm", "NVFP4GEN_NVDISASM").run()
}

/// A tool is nowhere, or not where the user said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolMissing {
    tool: &'static str,
    variable: &'static str,
    explicit: Option<PathBuf>,
}

impl fmt::Display for ToolMissing {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            tool,
            variable,
            explicit,
        } = self;
        match explicit {
            Some(path) => write!(
                out,
                "{variable} is {}, which is not an executable file",
                path.display()
            ),
            None => write!(
                out,
                "{tool} not found; `scripts/fetch-tools` fetches it into .tools/, or set {variable} to its path"
            ),
        }
    }
}

impl std::error::Error for ToolMissing {}

fn is_executable(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn place(folder: &Path, mode: u32) -> PathBuf {
        fs::create_dir_all(folder).unwrap();
        let path = folder.join("ptxas");
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    fn search() -> Search {
        Search {
            tool: "ptxas",
            variable: "NVFP4GEN_PTXAS",
            ..Search::default()
        }
    }

    #[test]
    fn the_order_is_variable_path_toolkit_fetched() {
        let home = tempfile::tempdir().unwrap();
        let root = home.path();
        let fetched = place(&root.join(FETCHED), 0o755);
        let mut search = Search {
            inside: vec![root.join("src/deep/inside")],
            ..search()
        };
        assert_eq!(search.run(), Ok(fetched));
        search.cuda_home = Some(root.join("cuda").into());
        let toolkit = place(&root.join("cuda/bin"), 0o755);
        assert_eq!(search.run(), Ok(toolkit));
        search.path = Some(env::join_paths([root.join("empty"), root.join("bin")]).unwrap());
        let on_path = place(&root.join("bin"), 0o755);
        assert_eq!(search.run(), Ok(on_path));
        let explicit = place(&root.join("mine"), 0o755);
        search.explicit = Some(explicit.clone().into());
        assert_eq!(search.run(), Ok(explicit));
    }

    #[test]
    fn a_wrong_variable_is_an_error_not_a_hint() {
        let home = tempfile::tempdir().unwrap();
        place(&home.path().join(FETCHED), 0o755);
        let wrong = place(&home.path().join("data"), 0o644);
        let search = Search {
            inside: vec![home.path().into()],
            explicit: Some(wrong.into()),
            ..search()
        };
        let message = search.run().unwrap_err().to_string();
        assert!(message.starts_with("NVFP4GEN_PTXAS is "), "{message}");
        assert!(
            message.ends_with("data/ptxas, which is not an executable file"),
            "{message}"
        );
    }

    #[test]
    fn not_found_says_how_to_get_it() {
        let message = search().run().unwrap_err().to_string();
        let expected = "ptxas not found; `scripts/fetch-tools` fetches it into .tools/, or set NVFP4GEN_PTXAS to its path";
        assert_eq!(message, expected);
    }
}
