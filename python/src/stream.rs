//! Which stream a launch goes to.

use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyInt;

use super::groups::Collected;

/// The handle of a stream that the caller names: a number, a torch stream, or anything with `__cuda_stream__`.
pub fn handle(stream: &Bound<'_, PyAny>) -> PyResult<u64> {
    let py = stream.py();
    if stream.is_instance_of::<PyInt>() {
        return stream.extract();
    }
    if let Some(handle) = stream.getattr_opt(intern!(py, "cuda_stream"))? {
        return handle.extract();
    }
    if let Some(protocol) = stream.getattr_opt(intern!(py, "__cuda_stream__"))? {
        let (_version, handle): (u32, u64) = protocol.call0()?.extract()?;
        return Ok(handle);
    }
    let kind = stream.get_type().fully_qualified_name()?;
    Err(PyTypeError::new_err(format!(
        "a {kind} is no stream: give a handle, a torch stream, or an object with __cuda_stream__"
    )))
}

/// The stream in which the tensors' framework now works; the default stream for numbers and for arrays of others.
pub fn current(py: Python<'_>, collected: Collected, device: u32) -> PyResult<u64> {
    if let Some(exchange) = collected.exchange
        && let Some(stream) = exchange.current_stream(device)
    {
        return Ok(stream);
    }
    if collected.tensors {
        of_torch(py, device)
    } else {
        Ok(0)
    }
}

/// torch's current stream if torch has been imported, else the default one.
fn of_torch(py: Python<'_>, device: u32) -> PyResult<u64> {
    let modules = py
        .import(intern!(py, "sys"))?
        .getattr(intern!(py, "modules"))?;
    let Ok(torch) = modules.get_item(intern!(py, "torch")) else {
        return Ok(0);
    };
    let raw = torch.getattr(intern!(py, "_C"))?;
    raw.call_method1(intern!(py, "_cuda_getCurrentRawStream"), (device,))?
        .extract()
}
