//! Kernels in files of other people's making: a single Python file that loads, binds and launches them.
//!
//! The file holds everything: the kernels as compressed text, the facts of their manifest, and two hosts. What is the
//! same in every file is `templates/submission`; this house fills in what differs, as Python literals.

mod blob;
mod error;
mod python;

use std::collections::BTreeMap;

use askama::Template;

use crate::artifact::{Kernel, KernelEntry, Location, PointerSlot, Sizes, TensorMapSlot};

pub use error::ExportError;

/// The letters that the contest's robot refuses in a row, in any case, wherever they stand.
const FORBIDDEN: &str = "stream";

/// What a submission may have besides its kernels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Lines for the top of the file, such as `#!POPCORN gpu B200`.
    pub head: Vec<String>,
    /// Whether machine code is embedded too, where a kernel has it. The PTX is always there.
    pub cubin: bool,
    /// Whether kernels may start while the one before them in the queue is still finishing.
    pub programmatic: bool,
}

#[derive(Template)]
#[template(
    path = "submission/submission.py",
    config = "templates/askama.toml",
    syntax = "ptx"
)]
struct Submission<'a> {
    version: &'a str,
    target: &'a str,
    head: &'a [String],
    kernels: Vec<Embedded>,
}

/// A kernel as the file holds it: every field a Python literal.
struct Embedded {
    name: String,
    key: String,
    sizes: String,
    output: String,
    function: String,
    grid: String,
    block: String,
    cluster: String,
    shared: u32,
    programmatic: &'static str,
    bytes: u32,
    workspace: String,
    maps: Vec<String>,
    pointers: Vec<String>,
    images: Vec<Vec<String>>,
}

/// A Python file with `custom_kernel(data)` for every set of these kernels. The same kernels and options give the same
/// bytes.
///
/// # Errors
/// [`ExportError::Empty`], [`ExportError::SameSizes`], [`ExportError::Table`], [`ExportError::NotProgrammatic`],
/// [`ExportError::NoCubin`], [`ExportError::Element`] for kernels that cannot be in such a file; [`ExportError::Forbidden`] if the file would be
/// refused by the contest; [`ExportError::Template`].
pub fn submission(
    target: &str,
    kernels: &[Kernel],
    options: &Options,
) -> Result<String, ExportError> {
    if kernels.is_empty() {
        return Err(ExportError::Empty);
    }
    check_sizes(kernels)?;
    let embedded = kernels.iter().map(|kernel| embed(kernel, options));
    let mut text = Submission {
        version: env!("CARGO_PKG_VERSION"),
        target,
        head: &options.head,
        kernels: embedded.collect::<Result<_, _>>()?,
    }
    .render()
    .map_err(ExportError::Template)?;
    text.push('\n');
    check_letters(&text)?;
    Ok(text)
}

/// A submission chooses by sizes: no two of its kernels may have the same.
fn check_sizes(kernels: &[Kernel]) -> Result<(), ExportError> {
    let mut owners = BTreeMap::new();
    for Kernel { entry, .. } in kernels {
        let Sizes { m, n, k, .. } = &entry.sizes;
        if let Some(other) = owners.insert((m, n, k), &entry.name) {
            return Err(ExportError::SameSizes {
                sets: [other.clone(), entry.name.clone()],
            });
        }
    }
    Ok(())
}

/// Looks at the finished text, whatever it was made of.
fn check_letters(text: &str) -> Result<(), ExportError> {
    let lower = text.to_ascii_lowercase();
    match lower.find(FORBIDDEN) {
        None => Ok(()),
        Some(at) => {
            let line = lower[..at].lines().count().max(1);
            let content = text.lines().nth(line - 1).unwrap_or_default();
            Err(ExportError::Forbidden {
                line,
                content: content.trim().chars().take(100).collect(),
            })
        }
    }
}

fn embed(kernel: &Kernel, options: &Options) -> Result<Embedded, ExportError> {
    let entry = &kernel.entry;
    if entry.parameters.location == Location::Device {
        let set = entry.name.clone();
        let groups = entry.sizes.m.len();
        return Err(ExportError::Table { set, groups });
    }
    if options.programmatic && !kernel.ptx.contains("griddepcontrol.wait") {
        return Err(ExportError::NotProgrammatic {
            set: entry.name.clone(),
        });
    }
    let launch = &entry.launch;
    Ok(Embedded {
        name: python::string(&entry.name),
        key: python::string(&entry.key),
        sizes: sizes(&entry.sizes),
        output: python::string(&entry.sizes.output),
        function: python::string(&entry.function),
        grid: python::tuple(launch.grid),
        block: python::tuple(launch.block),
        cluster: python::tuple(launch.cluster),
        shared: launch.dynamic_shared,
        programmatic: python::boolean(options.programmatic),
        bytes: entry.parameters.bytes,
        workspace: workspace(entry),
        maps: maps(entry)?,
        pointers: pointers(entry),
        images: images(kernel, options.cubin)?,
    })
}

/// Bytes and offset, or an empty tuple.
fn workspace(entry: &KernelEntry) -> String {
    let block = &entry.parameters;
    match block.workspace_bytes {
        0 => python::tuple([] as [u32; 0]),
        bytes => python::tuple([bytes, block.workspace_offset]),
    }
}

fn sizes(sizes: &Sizes) -> String {
    let groups = sizes.m.iter().zip(&sizes.n).zip(&sizes.k);
    python::tuple(groups.map(|((m, n), k)| python::tuple([m, n, k])))
}

fn maps(entry: &KernelEntry) -> Result<Vec<String>, ExportError> {
    let map = |slot: &TensorMapSlot| {
        let unknown = || ExportError::Element {
            set: entry.name.clone(),
            element: slot.element.clone(),
        };
        let element = python::element(&slot.element).ok_or_else(unknown)?;
        Ok(python::tuple([
            slot.offset.to_string(),
            slot.group.to_string(),
            python::operand(slot.operand).to_string(),
            element.to_string(),
            python::tuple(&slot.dims),
            python::tuple(&slot.strides),
            python::tuple(&slot.tile),
            slot.swizzle.to_string(),
            slot.l2_promotion.to_string(),
        ]))
    };
    entry.parameters.tensor_maps.iter().map(map).collect()
}

fn pointers(entry: &KernelEntry) -> Vec<String> {
    let pointer = |slot: &PointerSlot| {
        python::tuple([slot.offset, slot.group, python::operand(slot.operand)])
    };
    entry.parameters.pointers.iter().map(pointer).collect()
}

/// What the driver is given, in the order in which it is tried.
fn images(kernel: &Kernel, cubin: bool) -> Result<Vec<Vec<String>>, ExportError> {
    let set = || kernel.entry.name.clone();
    let mut images = Vec::new();
    if cubin {
        let machine_code = kernel.cubin.as_deref();
        images.push(machine_code.ok_or_else(|| ExportError::NoCubin { set: set() })?);
    }
    images.push(kernel.ptx.as_bytes());
    let encode =
        |image| blob::encode(image, FORBIDDEN).ok_or_else(|| ExportError::Blob { set: set() });
    images.into_iter().map(encode).collect()
}
