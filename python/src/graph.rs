//! CUDA graphs of one launch.

// A raw stream handle enters here: that it is of a live stream is the Python caller's promise.
#![allow(unsafe_code)]

use std::sync::{Mutex, MutexGuard, PoisonError};

use nvfp4gen::runtime::{self, Stream};
use pyo3::prelude::*;

use super::error::raise;
use super::groups::Collected;
use super::launch::Launch;
use super::stream;

/// A launch in a CUDA graph. One thread at a time may use it.
#[pyclass(module = "nvfp4gen")]
pub struct Graph {
    graph: Mutex<runtime::Graph>,
    collected: Collected,
    device: u32,
}

impl Graph {
    pub fn new(graph: runtime::Graph, collected: Collected, device: u32) -> Self {
        Graph {
            graph: Mutex::new(graph),
            collected,
            device,
        }
    }

    fn locked(&self) -> MutexGuard<'_, runtime::Graph> {
        self.graph.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Graph {
    /// Takes over the addresses of a launch of the same kernel.
    fn update(&mut self, launch: PyRef<'_, Launch>) -> PyResult<()> {
        let (launch, collected) = launch.parts();
        self.locked().update(launch).map_err(raise)?;
        self.collected = collected;
        Ok(())
    }

    /// Launches the graph.
    #[pyo3(signature = (stream=None))]
    fn replay(&self, py: Python<'_>, stream: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let handle = match stream {
            Some(stream) => stream::handle(stream)?,
            None => stream::current(py, self.collected, self.device)?,
        };
        // SAFETY: the caller's stream, or the current one of the framework that the tensors belong to.
        let stream = unsafe { Stream::from_raw(handle as *mut _) };
        self.locked().replay(&stream).map_err(raise)
    }
}
