//! Launches: addresses read from the caller's objects, stored, and one call of the driver.

// Raw addresses and stream handles enter here: what they lead to is the Python caller's promise.
#![allow(unsafe_code)]

use nvfp4gen::runtime::{self, Pointers, Stream};
use pyo3::prelude::*;

use super::error::raise;
use super::graph::Graph;
use super::groups::{self, Collected};
use super::operand::{self, Operands};
use super::stream;
use super::tensor::Reader;

/// A launch that owns its parameter block. One thread at a time may use it.
#[pyclass(module = "nvfp4gen")]
pub struct Launch {
    launch: runtime::Launch,
    /// What each operand must be; None if nothing is checked.
    checks: Option<Vec<Operands>>,
    device: u32,
    table: Vec<[u64; 5]>,
    reader: Reader,
    /// Where the tensors last bound came from, and so the stream they are used in.
    collected: Collected,
}

impl Launch {
    pub fn new(kernel: &runtime::Kernel, checks: bool) -> PyResult<Self> {
        let sizes = &kernel.entry().sizes;
        Ok(Launch {
            launch: kernel.prepare(),
            checks: checks.then(|| operand::of(sizes)).transpose()?,
            device: kernel.device().properties().ordinal,
            table: vec![[0; 5]; sizes.m.len()],
            reader: Reader::default(),
            collected: Collected::default(),
        })
    }

    fn collect(&mut self, abc: &Bound<'_, PyAny>, scales: &Bound<'_, PyAny>) -> PyResult<()> {
        let checks = self.checks.as_deref();
        self.collected = groups::collect(
            &mut self.table,
            &mut self.reader,
            checks,
            self.device,
            abc,
            scales,
        )?;
        self.bind_table()
    }

    fn bind_table(&mut self) -> PyResult<()> {
        // SAFETY: the Python caller's objects, or numbers, are said to be device memory of the operands' sizes.
        let pointers = unsafe { Pointers::from_table(&self.table) };
        self.launch.bind(pointers).map_err(raise)
    }

    fn enqueue_in(&self, stream: Option<&Bound<'_, PyAny>>, py: Python<'_>) -> PyResult<()> {
        let stream = self.stream(stream, py)?;
        self.launch.enqueue(&stream).map_err(raise)
    }

    fn stream(&self, stream: Option<&Bound<'_, PyAny>>, py: Python<'_>) -> PyResult<Stream> {
        let handle = match stream {
            Some(stream) => stream::handle(stream)?,
            None => stream::current(py, self.collected, self.device)?,
        };
        // SAFETY: the caller's stream, or the current one of the framework that the tensors belong to.
        Ok(unsafe { Stream::from_raw(handle as *mut _) })
    }
}

#[pymethods]
impl Launch {
    /// Binds and launches.
    #[pyo3(signature = (abc, scales, stream=None))]
    fn __call__(
        &mut self,
        py: Python<'_>,
        abc: &Bound<'_, PyAny>,
        scales: &Bound<'_, PyAny>,
        stream: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        self.collect(abc, scales)?;
        self.enqueue_in(stream, py)
    }

    /// Reads and stores the addresses of all operands.
    fn bind(&mut self, abc: &Bound<'_, PyAny>, scales: &Bound<'_, PyAny>) -> PyResult<()> {
        self.collect(abc, scales)
    }

    /// Launches with the addresses last bound.
    #[pyo3(signature = (stream=None))]
    fn enqueue(&self, py: Python<'_>, stream: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        self.enqueue_in(stream, py)
    }

    /// Binds addresses that were collected beforehand, five a group, and launches.
    #[pyo3(signature = (pointers, stream=None))]
    fn run(
        &mut self,
        py: Python<'_>,
        pointers: &Bound<'_, PyAny>,
        stream: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        groups::fill(&mut self.table, pointers)?;
        self.collected = Collected::default();
        self.bind_table()?;
        self.enqueue_in(stream, py)
    }

    /// Whether the kernel may start while the one before it is still finishing.
    fn set_programmatic(&mut self, on: bool) -> PyResult<()> {
        self.launch.set_programmatic(on).map_err(raise)
    }

    /// A CUDA graph of this launch, with the addresses last bound.
    fn record(&self, py: Python<'_>) -> PyResult<Graph> {
        let graph = py
            .detach(|| runtime::Graph::record(&self.launch))
            .map_err(raise)?;
        Ok(Graph::new(graph, self.collected, self.device))
    }

    /// The addresses last bound: A, B, SFA, SFB, C of each group.
    #[getter]
    fn pointers(&self) -> Vec<[u64; 5]> {
        self.table.clone()
    }

    fn __repr__(&self) -> String {
        let checks = if self.checks.is_some() {
            ""
        } else {
            ", unchecked"
        };
        format!(
            "<nvfp4gen.Launch of {}{checks}>",
            self.launch.kernel().key()
        )
    }
}

impl Launch {
    /// For graphs: the launch, and where its tensors came from.
    pub fn parts(&self) -> (&runtime::Launch, Collected) {
        (&self.launch, self.collected)
    }
}
