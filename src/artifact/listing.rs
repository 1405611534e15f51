//! A library read without its kernels: which there are, and how to get one file at a time.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::error::StoreError;
use super::hash::sha256;
use super::manifest::{CubinEntry, KernelEntry, Manifest};
use super::store::{self, CUBINS, MANIFEST};

/// What a library directory says that it holds.
///
/// Kernels are read when they are asked for. A library that is replaced meanwhile is noticed: a file then has another
/// hash, or is not there.
#[derive(Clone, Debug)]
pub struct Listing {
    directory: PathBuf,
    manifest: Manifest,
    cubins: Vec<CubinEntry>,
}

impl Listing {
    /// Reads the manifest in `directory`, and the list of cubins if there is one.
    ///
    /// # Errors
    /// [`StoreError::Absent`], [`StoreError::Io`], [`StoreError::Manifest`].
    pub fn read(directory: &Path) -> Result<Self, StoreError> {
        let manifest = file(&directory.join(MANIFEST))?
            .ok_or_else(|| StoreError::Absent(directory.to_owned()))?;
        let cubins = file(&directory.join(CUBINS))?;
        Ok(Listing {
            directory: directory.to_owned(),
            manifest: store::read_manifest(directory, manifest)?,
            cubins: store::read_cubins(directory, cubins)?,
        })
    }

    /// Where the files are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Such as `sm_100a`.
    pub fn target(&self) -> &str {
        &self.manifest.target
    }

    /// In the order of the manifest.
    pub fn kernels(&self) -> &[KernelEntry] {
        &self.manifest.kernels
    }

    /// The machine code that was assembled from exactly this kernel's text.
    pub fn cubin(&self, entry: &KernelEntry) -> Option<&CubinEntry> {
        self.cubins.iter().find(|cubin| cubin.is_of(entry))
    }

    /// The kernel's text.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Io`], [`StoreError::Corrupted`].
    pub fn read_ptx(&self, entry: &KernelEntry) -> Result<String, StoreError> {
        let bytes = self.read_file(&entry.key, &entry.file, &entry.sha256)?;
        let length = bytes.len();
        String::from_utf8(bytes).map_err(|_| StoreError::Corrupted {
            key: entry.key.clone(),
            path: self.directory.join(&entry.file),
            bytes: length,
        })
    }

    /// Machine code.
    ///
    /// # Errors
    /// As [`Listing::read_ptx`].
    pub fn read_cubin(&self, cubin: &CubinEntry) -> Result<Vec<u8>, StoreError> {
        self.read_file(&cubin.key, &cubin.file, &cubin.sha256)
    }

    fn read_file(&self, key: &str, name: &str, hash: &str) -> Result<Vec<u8>, StoreError> {
        let path = self.directory.join(name);
        let key = key.to_owned();
        match file(&path)? {
            Some(bytes) if sha256(&bytes) == hash => Ok(bytes),
            Some(bytes) => Err(StoreError::Corrupted {
                key,
                path,
                bytes: bytes.len(),
            }),
            None => Err(StoreError::Missing { key, path }),
        }
    }
}

/// A file's bytes; None if it is not there.
fn file(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StoreError::io("read", path)(error)),
    }
}
