//! Ordinary numbers to NVFP4 and back; arrays come and go as bytes, and `nvfp4gen/__init__.py` makes them numpy's.

use nvfp4gen::numerics::quantize::{self as core, Source, TensorScale};
use nvfp4gen::numerics::scales;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

type Parts<'py> = (Bound<'py, PyBytes>, Bound<'py, PyBytes>, f32);

fn refuse(error: impl std::fmt::Display) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// Codes, plain scales and tensor scale of a matrix. `values` are little-endian bytes of `dtype`.
#[pyfunction]
pub fn quantize<'py>(
    py: Python<'py>,
    values: &[u8],
    rows: usize,
    k: usize,
    dtype: &str,
    tensor_scale: Option<f32>,
) -> PyResult<Parts<'py>> {
    let scale = tensor_scale.map_or(TensorScale::Largest, TensorScale::Given);
    let source = match dtype {
        "float32" => Source::F32,
        "float16" => Source::F16,
        "bfloat16" => Source::Bf16,
        other => {
            return Err(PyTypeError::new_err(format!(
                "numbers of type {other} cannot be quantised; convert them to float32, float16 or bfloat16"
            )));
        }
    };
    let work = || core::quantize(rows, k, &source.numbers(values), scale);
    let done = py.detach(work).map_err(refuse)?;
    Ok((
        PyBytes::new(py, &done.codes),
        PyBytes::new(py, &done.scales),
        done.tensor_scale,
    ))
}

/// Little-endian bytes of the f32 numbers that codes and plain scales stand for.
#[pyfunction]
pub fn dequantize<'py>(
    py: Python<'py>,
    codes: &[u8],
    scales: &[u8],
    rows: usize,
    k: usize,
    tensor_scale: f32,
) -> PyResult<Bound<'py, PyBytes>> {
    let work = || core::dequantize(rows, k, codes, scales, tensor_scale);
    let values = py.detach(work).map_err(refuse)?;
    let bytes: Vec<u8> = values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    Ok(PyBytes::new(py, &bytes))
}

/// Plain scales in blocked form; the padding is zero.
#[pyfunction]
pub fn to_blocked<'py>(
    py: Python<'py>,
    plain: &[u8],
    rows: usize,
    columns: usize,
) -> PyResult<Bound<'py, PyBytes>> {
    let blocked = scales::to_blocked(plain, rows, columns, |_| 0).map_err(refuse)?;
    Ok(PyBytes::new(py, &blocked))
}

/// Blocked scales in plain form.
#[pyfunction]
pub fn to_plain<'py>(
    py: Python<'py>,
    blocked: &[u8],
    rows: usize,
    columns: usize,
) -> PyResult<Bound<'py, PyBytes>> {
    let plain = scales::to_plain(blocked, rows, columns).map_err(refuse)?;
    Ok(PyBytes::new(py, &plain))
}
