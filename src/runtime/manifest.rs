//! A library's manifest, read alone: which kernels there are, and nothing of their text.
//!
//! The writer is `artifact::store`. Two optional tables of a kernel are known here already: `cubin`, machine code beside
//! the PTX, and `schedule`, what the kernel expects of the number of SMs.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::IntoDeserializer;

use crate::artifact::store::MANIFEST;
use crate::artifact::{KernelEntry, StoreError, sha256};

/// The format that is read here.
const FORMAT: i64 = 1;
/// How the first line of every manifest begins; the hash of the rest is its last word.
const MARK: &str = "# nvfp4gen library";

/// The kernels of one target.
#[derive(Debug)]
pub(super) struct TargetLibrary {
    /// Where the files are.
    pub directory: PathBuf,
    /// Such as `sm_100a`.
    pub target: String,
    /// In the order of the manifest.
    pub kernels: Vec<Listed>,
}

/// One kernel of a manifest.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    pub entry: KernelEntry,
    pub cubin: Option<Cubin>,
}

/// Machine code for exactly the target's architecture.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Cubin {
    pub file: String,
    pub sha256: String,
}

impl TargetLibrary {
    /// Reads `directory/manifest.toml`.
    ///
    /// # Errors
    /// [`StoreError::Absent`], [`StoreError::Io`], [`StoreError::Manifest`].
    pub fn read(directory: &Path) -> Result<Self, StoreError> {
        let path = directory.join(MANIFEST);
        let bytes = fs::read(&path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => StoreError::Absent(directory.to_owned()),
            _ => read_error(&path, error),
        })?;
        let parsed = String::from_utf8(bytes)
            .map_err(|_| "not a text file".to_owned())
            .and_then(|text| parse(&text));
        match parsed {
            Ok((target, kernels)) => Ok(TargetLibrary {
                directory: directory.to_owned(),
                target,
                kernels,
            }),
            Err(reason) => Err(StoreError::Manifest { path, reason }),
        }
    }

    /// The bytes of a file of the library, which must have this hash.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Io`], [`StoreError::Corrupted`].
    pub fn file(&self, key: &str, name: &str, hash: &str) -> Result<Vec<u8>, StoreError> {
        let path = self.directory.join(name);
        let key = key.to_owned();
        match fs::read(&path) {
            Ok(bytes) if sha256(&bytes) == hash => Ok(bytes),
            Ok(bytes) => Err(StoreError::Corrupted {
                key,
                path,
                bytes: bytes.len(),
            }),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Err(StoreError::Missing { key, path })
            }
            Err(error) => Err(read_error(&path, error)),
        }
    }
}

fn read_error(path: &Path, source: std::io::Error) -> StoreError {
    StoreError::Io {
        action: "read",
        path: path.to_owned(),
        source,
    }
}

/// Target and kernels, or a sentence that says what is wrong.
fn parse(text: &str) -> Result<(String, Vec<Listed>), String> {
    let Some((first, body)) = text
        .split_once('\n')
        .filter(|(first, _)| first.starts_with(MARK))
    else {
        return Err("not a manifest of nvfp4gen, or its first line is lost".into());
    };
    if !first.ends_with(&sha256(body)) {
        return Err(
            "truncated or edited: its content does not have the hash in its first line".into(),
        );
    }
    let mut table: toml::Table = body.parse().map_err(reason)?;
    match table.get("format").and_then(toml::Value::as_integer) {
        Some(FORMAT) => {}
        Some(format) => {
            return Err(format!(
                "has format {format}, and this nvfp4gen reads format {FORMAT}"
            ));
        }
        None => return Err("does not say its format".into()),
    }
    let target = table.get("target").and_then(toml::Value::as_str);
    let target = target.ok_or("does not say its target")?.to_owned();
    let kernels = match table.remove("kernel") {
        None => Vec::new(),
        Some(toml::Value::Array(kernels)) => {
            let listed: Result<_, _> = kernels.into_iter().map(listed).collect();
            listed?
        }
        Some(_) => return Err("`kernel` is not a list of tables".into()),
    };
    Ok((target, kernels))
}

fn listed(kernel: toml::Value) -> Result<Listed, String> {
    let toml::Value::Table(mut table) = kernel else {
        return Err("`kernel` is not a list of tables".into());
    };
    let cubin: Option<Cubin> = table.remove("cubin").map(take).transpose()?;
    let entry: KernelEntry = take(toml::Value::Table(table))?;
    for file in [Some(&entry.file), cubin.as_ref().map(|c| &c.file)] {
        if file.is_some_and(|name| name.starts_with('.') || name.contains(['/', '\\', '\0'])) {
            return Err(format!(
                "a file of kernel {} is not in the directory",
                entry.key
            ));
        }
    }
    Ok(Listed { entry, cubin })
}

fn take<'de, T: Deserialize<'de>>(value: toml::Value) -> Result<T, String> {
    T::deserialize(value.into_deserializer()).map_err(reason)
}

fn reason(error: toml::de::Error) -> String {
    format!("cannot be understood: {}", error.message())
}
