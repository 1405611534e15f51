//! Libraries on disk: `<directory>/manifest.toml` and one PTX file per kernel, nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use super::directory::{self, Contents};
use super::error::StoreError;
use super::hash::sha256;
use super::manifest::{Kernel, KernelEntry, Manifest};
use super::text;

/// Name of the manifest in a library directory.
pub const MANIFEST: &str = "manifest.toml";

/// A file that is not what the shapes give.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stale {
    /// Its name in the library directory.
    pub name: String,
    /// In what way.
    pub why: Why,
}

/// How a file in a library directory differs from what the shapes give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// It has other bytes.
    Changed,
    /// It is not there.
    Missing,
    /// It is a kernel of sets that are no longer asked for.
    Unexpected,
    /// It was not written by nvfp4gen.
    Foreign,
}

impl fmt::Display for Why {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Why::Changed => "changed",
            Why::Missing => "missing",
            Why::Unexpected => "unexpected",
            Why::Foreign => "foreign",
        })
    }
}

/// Makes `directory` the library of exactly these kernels, atomically. A directory that is up to date is left alone.
///
/// # Errors
/// [`StoreError::Foreign`] if the directory holds something that nvfp4gen did not write, [`StoreError::Names`] if two
/// kernels share a key or a file name, [`StoreError::Io`].
pub fn write(directory: &Path, target: &str, kernels: &[Kernel]) -> Result<(), StoreError> {
    let files = render(target, kernels)?;
    if directory::read(directory)?.is_some_and(|present| compare(&files, &present).is_empty()) {
        return Ok(());
    }
    directory::replace(directory, &files, |present| match foreign_name(present) {
        Some(name) => Err(StoreError::Foreign {
            directory: directory.to_owned(),
            name,
        }),
        None => Ok(()),
    })
}

/// What [`write`] would change, sorted by name. Empty if the library is up to date.
///
/// # Errors
/// [`StoreError::Names`], [`StoreError::Io`].
pub fn check(directory: &Path, target: &str, kernels: &[Kernel]) -> Result<Vec<Stale>, StoreError> {
    let files = render(target, kernels)?;
    let present = directory::read(directory)?.unwrap_or_default();
    Ok(compare(&files, &present))
}

/// Reads a library, the kernels in the order of the manifest, with every hash verified.
///
/// # Errors
/// All but [`StoreError::Names`]; nothing is returned of a library that is not whole.
pub fn read(directory: &Path) -> Result<(Manifest, Vec<Kernel>), StoreError> {
    let absent = || StoreError::Absent(directory.to_owned());
    let mut contents = directory::read(directory)?.ok_or_else(absent)?;
    let bytes = contents.remove(MANIFEST).flatten().ok_or_else(absent)?;
    let manifest = read_manifest(directory, bytes)?;
    let mut kernels = Vec::with_capacity(manifest.kernels.len());
    for entry in &manifest.kernels {
        kernels.push(read_kernel(directory, entry, &mut contents)?);
    }
    match contents.into_keys().find(|name| !is_litter(name)) {
        Some(name) => Err(StoreError::Foreign {
            directory: directory.to_owned(),
            name,
        }),
        None => Ok((manifest, kernels)),
    }
}

fn read_manifest(directory: &Path, bytes: Vec<u8>) -> Result<Manifest, StoreError> {
    let fail = |reason| StoreError::Manifest {
        path: directory.join(MANIFEST),
        reason,
    };
    let text = String::from_utf8(bytes).map_err(|_| fail("not a text file".into()))?;
    let manifest = text::read(&text).map_err(fail)?;
    check_names(&manifest.kernels).map_err(fail)?;
    Ok(manifest)
}

fn read_kernel(
    directory: &Path,
    entry: &KernelEntry,
    contents: &mut Contents,
) -> Result<Kernel, StoreError> {
    let path = directory.join(&entry.file);
    let Some(bytes) = contents.remove(&entry.file).flatten() else {
        return Err(StoreError::Missing {
            key: entry.key.clone(),
            path,
        });
    };
    let length = bytes.len();
    match String::from_utf8(bytes) {
        Ok(ptx) if sha256(&ptx) == entry.sha256 => Ok(Kernel {
            entry: entry.clone(),
            ptx,
        }),
        _ => Err(StoreError::Corrupted {
            key: entry.key.clone(),
            path,
            bytes: length,
        }),
    }
}

/// The files of a library, by name.
fn render(target: &str, kernels: &[Kernel]) -> Result<BTreeMap<String, Vec<u8>>, StoreError> {
    let manifest = Manifest {
        format: text::FORMAT,
        target: target.to_owned(),
        generator: env!("CARGO_PKG_VERSION").to_owned(),
        kernels: kernels.iter().map(|kernel| kernel.entry.clone()).collect(),
    };
    check_names(&manifest.kernels).map_err(StoreError::Names)?;
    let mut files = BTreeMap::from([(MANIFEST.to_owned(), text::write(&manifest).into_bytes())]);
    for kernel in kernels {
        files.insert(kernel.entry.file.clone(), kernel.ptx.clone().into_bytes());
    }
    Ok(files)
}

/// Keys and file names must be unique, and file names must stay inside the directory.
fn check_names(entries: &[KernelEntry]) -> Result<(), String> {
    let mut keys = BTreeSet::new();
    let mut files = BTreeSet::new();
    for entry in entries {
        let plain = entry.file.ends_with(".ptx")
            && !entry.file.starts_with('.')
            && !entry.file.contains(['/', '\\', '\0']);
        if !plain {
            return Err(format!(
                "`{}` is not a plain .ptx file name (kernel {})",
                entry.file, entry.key
            ));
        }
        if !keys.insert(&entry.key) {
            return Err(format!("two kernels have the key {}", entry.key));
        }
        if !files.insert(&entry.file) {
            return Err(format!("two kernels have the file {}", entry.file));
        }
    }
    Ok(())
}

fn compare(files: &BTreeMap<String, Vec<u8>>, present: &Contents) -> Vec<Stale> {
    let names: BTreeSet<&String> = files.keys().chain(present.keys()).collect();
    let ours = known_names(present);
    let stale = |name: &&String| {
        let why = match (files.get(*name), present.get(*name)) {
            (Some(_), None) => Why::Missing,
            (Some(wanted), Some(Some(bytes))) if wanted == bytes => return None,
            (Some(_), Some(_)) => Why::Changed,
            (None, _) if is_litter(name) => return None,
            (None, _) if ours.contains(*name) => Why::Unexpected,
            (None, _) => Why::Foreign,
        };
        Some(Stale {
            name: (*name).clone(),
            why,
        })
    };
    names.iter().filter_map(stale).collect()
}

/// A name in the directory that nvfp4gen did not write. A manifest that is not ours is itself such a name.
fn foreign_name(present: &Contents) -> Option<String> {
    let ours = known_names(present);
    present
        .keys()
        .find(|name| !is_litter(name) && !ours.contains(*name))
        .cloned()
}

/// The names that nvfp4gen wrote. If the manifest is ours but damaged, PTX files are believed to be ours too.
fn known_names(present: &Contents) -> BTreeSet<String> {
    let Some(Some(bytes)) = present.get(MANIFEST) else {
        return BTreeSet::new();
    };
    if !text::is_ours(bytes) {
        return BTreeSet::new();
    }
    let mut names = BTreeSet::from([MANIFEST.to_owned()]);
    match std::str::from_utf8(bytes)
        .map_err(|_| String::new())
        .and_then(text::read)
    {
        Ok(manifest) => names.extend(manifest.kernels.into_iter().map(|entry| entry.file)),
        Err(_) => names.extend(
            present
                .keys()
                .filter(|name| name.ends_with(".ptx"))
                .cloned(),
        ),
    }
    names
}

/// What desktops and network file systems drop anywhere: no reason to refuse a directory.
fn is_litter(name: &str) -> bool {
    name == ".DS_Store" || name.starts_with(".nfs")
}
