//! Libraries on disk: `<directory>/manifest.toml` and one PTX file per kernel; `cubins.toml` and cubins where they were
//! assembled; nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use super::directory::{self, Contents};
use super::error::StoreError;
use super::hash::sha256;
use super::manifest::{CubinEntry, Cubins, Kernel, KernelEntry, Manifest};
use super::text;
use serde::de::DeserializeOwned;

/// Name of the manifest in a library directory.
pub const MANIFEST: &str = "manifest.toml";
/// Name of the list of cubins, if there are any.
pub const CUBINS: &str = "cubins.toml";

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

/// Makes `directory` the library of exactly these kernels, atomically. A directory that is up to date is left alone; so
/// is its machine code, if the kernels come without any.
///
/// # Errors
/// [`StoreError::Foreign`] if the directory holds something that nvfp4gen did not write, [`StoreError::Names`] if two
/// kernels share a key or a file name, [`StoreError::Io`].
pub fn write(directory: &Path, target: &str, kernels: &[Kernel]) -> Result<(), StoreError> {
    let mut files = render(target, kernels)?;
    files.extend(render_cubins(target, kernels));
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

/// What [`write()`] would change, sorted by name. Empty if the library is up to date. Machine code takes no part: what it
/// is depends on the assembler that was at hand.
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
    let cubins = read_cubins(directory, contents.remove(CUBINS).flatten())?;
    let mut kernels = Vec::with_capacity(manifest.kernels.len());
    for entry in &manifest.kernels {
        let mut kernel = read_kernel(directory, entry, &mut contents)?;
        if let Some(cubin) = cubins.iter().find(|cubin| cubin.is_of(entry)) {
            kernel.cubin = read_cubin(directory, cubin, &contents)?;
        }
        kernels.push(kernel);
    }
    for cubin in &cubins {
        contents.remove(&cubin.file);
    }
    match contents.into_keys().find(|name| !is_litter(name)) {
        Some(name) => Err(StoreError::Foreign {
            directory: directory.to_owned(),
            name,
        }),
        None => Ok((manifest, kernels)),
    }
}

pub(super) fn read_manifest(directory: &Path, bytes: Vec<u8>) -> Result<Manifest, StoreError> {
    let fail = |reason| StoreError::Manifest {
        path: directory.join(MANIFEST),
        reason,
    };
    let manifest: Manifest = text::read(&bytes).map_err(fail)?;
    check_names(&manifest.kernels).map_err(fail)?;
    Ok(manifest)
}

/// The list of cubins; empty if there is none.
pub(super) fn read_cubins(
    directory: &Path,
    bytes: Option<Vec<u8>>,
) -> Result<Vec<CubinEntry>, StoreError> {
    let Some(bytes) = bytes else {
        return Ok(Vec::new());
    };
    let fail = |reason| StoreError::Manifest {
        path: directory.join(CUBINS),
        reason,
    };
    let Cubins { cubins, .. } = text::read(&bytes).map_err(fail)?;
    match cubins.iter().find(|cubin| !is_plain(&cubin.file, ".cubin")) {
        Some(cubin) => Err(fail(not_plain(&cubin.file, ".cubin", &cubin.key))),
        None => Ok(cubins),
    }
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
            cubin: None,
        }),
        _ => Err(StoreError::Corrupted {
            key: entry.key.clone(),
            path,
            bytes: length,
        }),
    }
}

/// Machine code. A library without it is whole: a copy may have left behind what version control does not keep.
fn read_cubin(
    directory: &Path,
    cubin: &CubinEntry,
    contents: &Contents,
) -> Result<Option<Vec<u8>>, StoreError> {
    match contents.get(&cubin.file) {
        Some(Some(bytes)) if sha256(bytes) != cubin.sha256 => Err(StoreError::Corrupted {
            key: cubin.key.clone(),
            path: directory.join(&cubin.file),
            bytes: bytes.len(),
        }),
        found => Ok(found.cloned().flatten()),
    }
}

/// Manifest and PTX of a library, by file name.
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

/// The cubins that the kernels have, and their list. Nothing if there is none.
fn render_cubins(target: &str, kernels: &[Kernel]) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut cubins = Vec::new();
    for kernel in kernels {
        let Some(bytes) = &kernel.cubin else { continue };
        let entry = &kernel.entry;
        let stem = entry.file.strip_suffix(".ptx").unwrap_or(&entry.file);
        let cubin = CubinEntry {
            key: entry.key.clone(),
            file: format!("{stem}.cubin"),
            architecture: target.to_owned(),
            sha256: sha256(bytes),
            ptx_sha256: entry.sha256.clone(),
        };
        files.insert(cubin.file.clone(), bytes.clone());
        cubins.push(cubin);
    }
    if !cubins.is_empty() {
        let list = Cubins {
            format: text::FORMAT,
            cubins,
        };
        files.insert(CUBINS.to_owned(), text::write_cubins(&list).into_bytes());
    }
    files
}

/// Keys and file names must be unique, and file names must stay inside the directory.
fn check_names(entries: &[KernelEntry]) -> Result<(), String> {
    let mut keys = BTreeSet::new();
    let mut files = BTreeSet::new();
    for entry in entries {
        if !is_plain(&entry.file, ".ptx") {
            return Err(not_plain(&entry.file, ".ptx", &entry.key));
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

fn is_plain(file: &str, suffix: &str) -> bool {
    file.ends_with(suffix) && !file.starts_with('.') && !file.contains(['/', '\\', '\0'])
}

fn not_plain(file: &str, suffix: &str, key: &str) -> String {
    format!("`{file}` is not a plain {suffix} file name (kernel {key})")
}

fn compare(files: &BTreeMap<String, Vec<u8>>, present: &Contents) -> Vec<Stale> {
    let names: BTreeSet<&String> = files.keys().chain(present.keys()).collect();
    let ours = known_names(present);
    let with_cubins = files.contains_key(CUBINS);
    let stale = |name: &&String| {
        let why = match (files.get(*name), present.get(*name)) {
            (Some(_), None) => Why::Missing,
            (Some(wanted), Some(Some(bytes))) if wanted == bytes => return None,
            (Some(_), Some(_)) => Why::Changed,
            (None, _) if is_litter(name) => return None,
            (None, _) if ours.cubins.contains(*name) && !with_cubins => return None,
            (None, _) if ours.contains(name) => Why::Unexpected,
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
        .find(|name| !is_litter(name) && !ours.contains(name))
        .cloned()
}

/// The names that nvfp4gen wrote.
#[derive(Default)]
struct Names {
    /// The manifest and its kernels.
    kernels: BTreeSet<String>,
    /// The list of cubins and what it names.
    cubins: BTreeSet<String>,
}

impl Names {
    fn contains(&self, name: &str) -> bool {
        self.kernels.contains(name) || self.cubins.contains(name)
    }
}

fn known_names(present: &Contents) -> Names {
    let kernels = |list: Manifest| list.kernels.into_iter().map(|kernel| kernel.file).collect();
    let cubins = |list: Cubins| list.cubins.into_iter().map(|cubin| cubin.file).collect();
    Names {
        kernels: names_of(present, MANIFEST, ".ptx", kernels),
        cubins: names_of(present, CUBINS, ".cubin", cubins),
    }
}

/// A list and the files that it names. If it is ours but damaged, files with the suffix are believed to be ours too.
fn names_of<T: DeserializeOwned>(
    present: &Contents,
    list: &str,
    suffix: &str,
    files: impl Fn(T) -> BTreeSet<String>,
) -> BTreeSet<String> {
    let Some(Some(bytes)) = present.get(list) else {
        return BTreeSet::new();
    };
    if !text::is_ours(bytes) {
        return BTreeSet::new();
    }
    let with_suffix = || {
        present
            .keys()
            .filter(|name| name.ends_with(suffix))
            .cloned()
    };
    let mut names = text::read(bytes).map_or_else(|_| with_suffix().collect(), files);
    names.insert(list.to_owned());
    names
}

/// What desktops and network file systems drop anywhere: no reason to refuse a directory.
fn is_litter(name: &str) -> bool {
    name == ".DS_Store" || name.starts_with(".nfs")
}
