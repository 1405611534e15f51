//! Libraries and kernels.

use std::path::PathBuf;

use nvfp4gen::problem::{Group, OutputType, Set, Weights};
use nvfp4gen::runtime::{self, Device, Image};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;

use super::error::raise;
use super::launch::Launch;

/// The kernels that `build` wrote to a directory.
#[pyclass(frozen, module = "nvfp4gen")]
pub struct Library(runtime::Library);

/// A kernel on a device.
#[pyclass(frozen, module = "nvfp4gen")]
pub struct Kernel(runtime::Kernel);

#[pymethods]
impl Library {
    #[new]
    fn new(path: PathBuf) -> PyResult<Self> {
        runtime::Library::open(path).map(Library).map_err(raise)
    }

    /// The keys of all kernels, in the order of the shape files.
    #[getter]
    fn keys(&self) -> Vec<String> {
        self.0
            .kernels()
            .map(|(_, entry)| entry.key.clone())
            .collect()
    }

    /// Loads a kernel by its key, or by (M, N, K) of each group.
    #[pyo3(signature = (what, *, output="f16", weights="static", device=0))]
    fn load(
        &self,
        py: Python<'_>,
        what: &Bound<'_, PyAny>,
        output: &str,
        weights: &str,
        device: u32,
    ) -> PyResult<Kernel> {
        let wanted = Wanted::new(what, output, weights)?;
        // The driver may compile for a second.
        let loaded = py.detach(|| {
            let device = Device::new(device)?;
            match &wanted {
                Wanted::Key(key) => self.0.load(&device, key),
                Wanted::Set(set) => self.0.load_set(&device, set),
            }
        });
        loaded.map(Kernel).map_err(raise)
    }

    fn __repr__(&self) -> String {
        let count = self.0.kernels().count();
        format!(
            "<nvfp4gen.Library {}: {count} kernels>",
            self.0.directory().display()
        )
    }
}

/// What is asked of a library.
enum Wanted {
    Key(String),
    Set(Set),
}

impl Wanted {
    fn new(what: &Bound<'_, PyAny>, output: &str, weights: &str) -> PyResult<Self> {
        if let Ok(key) = what.extract::<String>() {
            return Ok(Wanted::Key(key));
        }
        let sizes: Vec<Vec<u32>> = what.extract().map_err(|_| {
            PyTypeError::new_err("a kernel is loaded by its key, or by (M, N, K) of each group")
        })?;
        let groups = sizes.iter().map(|group| match group[..] {
            [m, n, k] | [m, n, k, 1] => Ok(Group { m, n, k }),
            _ => Err(PyValueError::new_err(format!(
                "sizes of a group are (M, N, K), and not {group:?}"
            ))),
        });
        Ok(Wanted::Set(Set {
            name: "new".into(),
            groups: groups.collect::<PyResult<_>>()?,
            output: word("output", output, &OutputType::ALL, OutputType::name)?,
            weights: word("weights", weights, &Weights::ALL, Weights::name)?,
        }))
    }
}

fn word<T: Copy>(what: &str, text: &str, all: &[T], name: fn(T) -> &'static str) -> PyResult<T> {
    let found = all.iter().copied().find(|value| name(*value) == text);
    found.ok_or_else(|| {
        let names: Vec<_> = all
            .iter()
            .map(|value| format!("{:?}", name(*value)))
            .collect();
        PyValueError::new_err(format!(
            "{what} is {text:?}; it can be {}",
            names.join(" or ")
        ))
    })
}

#[pymethods]
impl Kernel {
    /// A launch with a parameter block of its own.
    #[pyo3(signature = (*, checks=true))]
    fn prepare(&self, checks: bool) -> PyResult<Launch> {
        Launch::new(&self.0, checks)
    }

    /// The shape key.
    #[getter]
    fn key(&self) -> &str {
        self.0.key()
    }

    /// The name of the set in its shape file.
    #[getter]
    fn name(&self) -> &str {
        &self.0.entry().name
    }

    /// (M, N, K) of each group.
    #[getter]
    fn sizes(&self) -> Vec<(u32, u32, u32)> {
        let sizes = &self.0.entry().sizes;
        let groups = sizes.m.iter().zip(&sizes.n).zip(&sizes.k);
        groups.map(|((m, n), k)| (*m, *n, *k)).collect()
    }

    /// The type of C.
    #[getter]
    fn output(&self) -> &str {
        &self.0.entry().sizes.output
    }

    /// "static" or "dynamic".
    #[getter]
    fn weights(&self) -> &str {
        &self.0.entry().sizes.weights
    }

    /// The number of the device it is loaded on.
    #[getter]
    fn device(&self) -> u32 {
        self.0.device().properties().ordinal
    }

    /// "ptx" if the driver compiled it, "cubin" if that had been done.
    #[getter]
    fn image(&self) -> &'static str {
        match self.0.image() {
            Image::Ptx => "ptx",
            Image::Cubin => "cubin",
        }
    }

    /// What is worth knowing of how it fits the device.
    #[getter]
    fn notices(&self) -> Vec<String> {
        self.0.notices().iter().map(ToString::to_string).collect()
    }

    /// Whether `Launch.set_programmatic` can be used.
    #[getter]
    fn is_programmatic(&self) -> bool {
        self.0.is_programmatic()
    }

    fn __repr__(&self) -> String {
        format!(
            "<nvfp4gen.Kernel {} on device {}>",
            self.0.key(),
            self.device()
        )
    }
}
