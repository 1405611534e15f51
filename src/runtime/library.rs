//! Kernels by shape key.

use std::fs;
use std::path::{Path, PathBuf};

use super::checks;
use super::device::Device;
use super::error::Error;
use super::kernel::Kernel;
use super::missing::Missing;
use crate::artifact::store::MANIFEST;
use crate::artifact::{KernelEntry, Listing, StoreError};
use crate::problem::Set;

/// Reads of a kernel's files after which they are believed to be damaged.
const ATTEMPTS: usize = 3;

/// The kernels that `nvfp4gen build` wrote, of all targets in a directory.
#[derive(Debug)]
pub struct Library {
    directory: PathBuf,
    targets: Vec<Listing>,
}

impl Library {
    /// Reads the manifests in `directory`: its own, or those of the target directories right below it. Kernels are read
    /// when they are loaded.
    ///
    /// # Errors
    /// [`Error::Library`]: none there, or one that is damaged.
    pub fn open(directory: impl AsRef<Path>) -> Result<Self, Error> {
        let directory = directory.as_ref();
        let targets: Result<Vec<_>, _> = target_directories(directory)?
            .iter()
            .map(|path| Listing::read(path))
            .collect();
        Ok(Library {
            directory: directory.to_owned(),
            targets: targets?,
        })
    }

    /// The directory that was opened.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The targets, each with its directory.
    pub fn targets(&self) -> impl Iterator<Item = (&str, &Path)> {
        self.targets
            .iter()
            .map(|library| (library.target(), library.directory()))
    }

    /// Every kernel, with its target.
    pub fn kernels(&self) -> impl Iterator<Item = (&str, &KernelEntry)> {
        self.listed()
            .map(|(library, entry)| (library.target(), entry))
    }

    /// The keys of the kernels that are there for the device's architecture.
    pub fn keys_for(&self, device: &Device) -> impl Iterator<Item = &str> {
        let capability = device.properties().capability;
        self.listed()
            .filter(move |(library, _)| checks::runs_on(library.target(), capability))
            .map(|(_, entry)| entry.key.as_str())
    }

    /// Loads the kernel of this key.
    ///
    /// # Errors
    /// [`Error::Missing`] if the library does not have it; [`Error::Architecture`] and its kin if device or driver cannot
    /// run it; [`Error::Library`] if its file is damaged; [`Error::Rebuilt`], [`Error::Inconsistent`], [`Error::Jit`],
    /// [`Error::Call`].
    pub fn load(&self, device: &Device, key: &str) -> Result<Kernel, Error> {
        self.load_or(device, key, || Missing::of_key(key, self.entries()))
    }

    /// Loads the kernel of these sizes; the set's name does not matter.
    ///
    /// # Errors
    /// As [`Library::load`].
    pub fn load_set(&self, device: &Device, set: &Set) -> Result<Kernel, Error> {
        self.load_or(device, &set.key(), || Missing::of_set(set, self.entries()))
    }

    /// Loads every kernel that is there for the device's architecture, so that no later call has to.
    ///
    /// # Errors
    /// As [`Library::load`], of the first that cannot be loaded. Then none is.
    pub fn load_all(&self, device: &Device) -> Result<Vec<Kernel>, Error> {
        self.keys_for(device)
            .map(|key| self.load(device, key))
            .collect()
    }

    fn load_or(
        &self,
        device: &Device,
        key: &str,
        missing: impl FnOnce() -> Box<Missing>,
    ) -> Result<Kernel, Error> {
        let found: Vec<_> = (self.listed())
            .filter(|(_, entry)| entry.key == key)
            .collect();
        if found.is_empty() {
            return Err(Error::Missing(missing()));
        }
        let capability = device.properties().capability;
        let (library, entry) = found
            .iter()
            .find(|(library, _)| checks::runs_on(library.target(), capability))
            .ok_or_else(|| Error::Architecture {
                key: key.to_owned(),
                targets: found.iter().map(|(l, _)| l.target().to_owned()).collect(),
                capability,
            })?;
        load(device, library, entry)
    }

    fn listed(&self) -> impl Iterator<Item = (&Listing, &KernelEntry)> {
        self.targets
            .iter()
            .flat_map(|library| library.kernels().iter().map(move |entry| (library, entry)))
    }

    fn entries(&self) -> impl Iterator<Item = &KernelEntry> {
        self.listed().map(|(_, entry)| entry)
    }
}

/// Loads a kernel, and tells a library that is damaged from one that was replaced since it was opened.
fn load(device: &Device, library: &Listing, entry: &KernelEntry) -> Result<Kernel, Error> {
    let mut attempts = 0;
    loop {
        attempts += 1;
        match Kernel::load(device, library, entry) {
            Err(Error::Library(
                error @ (StoreError::Corrupted { .. } | StoreError::Missing { .. }),
            )) => {
                if is_rebuilt(library, entry) {
                    let key = entry.key.clone();
                    return Err(Error::Rebuilt { key });
                }
                // Unless the library was another one for a moment, the same comes again.
                if attempts == ATTEMPTS {
                    return Err(error.into());
                }
            }
            done => return done,
        }
    }
}

/// Whether the manifest on disk now says something else of this kernel.
fn is_rebuilt(library: &Listing, entry: &KernelEntry) -> bool {
    Listing::read(library.directory()).is_ok_and(|now| {
        let same = now.kernels().contains(entry) && now.cubin(entry) == library.cubin(entry);
        !same
    })
}

/// `directory` itself if it is a library, else the libraries right below it.
fn target_directories(directory: &Path) -> Result<Vec<PathBuf>, StoreError> {
    if directory.join(MANIFEST).exists() {
        return Ok(vec![directory.to_owned()]);
    }
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(StoreError::Absent(directory.to_owned()));
        }
        Err(source) => {
            return Err(StoreError::Io {
                action: "read",
                path: directory.to_owned(),
                source,
            });
        }
    };
    let mut found: Vec<PathBuf> = entries
        .flatten()
        // Hidden ones are libraries that are being written.
        .filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'))
        .map(|entry| entry.path())
        .filter(|path| path.join(MANIFEST).exists())
        .collect();
    found.sort();
    if found.is_empty() {
        return Err(StoreError::Absent(directory.to_owned()));
    }
    Ok(found)
}
