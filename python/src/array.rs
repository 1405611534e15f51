//! Device memory for examples and tests without a framework.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use nvfp4gen::runtime::{Buffer, Device, Stream};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use super::error::raise;
use super::tensor::Dtype;

/// An array in device memory. Rows are one behind the other.
#[pyclass(frozen, module = "nvfp4gen")]
pub struct DeviceArray {
    pub address: u64,
    pub device: u32,
    pub dtype: Dtype,
    pub shape: Vec<i64>,
    pub strides: Vec<i64>,
    /// None if the memory is somebody else's.
    memory: Option<(Buffer, Arc<Home>)>,
}

/// A device and the stream that copies go through.
pub struct Home {
    device: Device,
    stream: Stream,
}

impl Home {
    /// The one of this device; kept for the life of the process.
    fn get(ordinal: u32) -> PyResult<Arc<Self>> {
        static HOMES: OnceLock<Mutex<BTreeMap<u32, Arc<Home>>>> = OnceLock::new();
        let mut homes = HOMES
            .get_or_init(Mutex::default)
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(home) = homes.get(&ordinal) {
            return Ok(home.clone());
        }
        let device = Device::new(ordinal).map_err(raise)?;
        let stream = Stream::new(&device).map_err(raise)?;
        let home = Arc::new(Home { device, stream });
        homes.insert(ordinal, home.clone());
        Ok(home)
    }
}

/// An array with these contents: bytes, row-major, as many as the shape asks for.
#[pyfunction]
#[pyo3(signature = (contents, shape, dtype="uint8", device=0))]
pub fn to_device(
    py: Python<'_>,
    contents: &[u8],
    shape: Vec<i64>,
    dtype: &str,
    device: u32,
) -> PyResult<DeviceArray> {
    let dtype = named(dtype)?;
    let bytes = shape.iter().try_fold(1i64, |all, size| {
        all.checked_mul(*size).filter(|all| *all >= 0)
    });
    let bytes =
        bytes.and_then(|all| all.checked_mul(i64::from(dtype.bits) * i64::from(dtype.lanes) / 8));
    if bytes != Some(contents.len() as i64) {
        return Err(PyValueError::new_err(format!(
            "{} bytes given, and {dtype} of shape {shape:?} has {}",
            contents.len(),
            bytes.map_or("too many".to_owned(), |bytes| bytes.to_string())
        )));
    }
    let home = Home::get(device)?;
    let copy = || Buffer::from_bytes(&home.device, &home.stream, contents);
    let buffer = py.detach(copy).map_err(raise)?;
    Ok(DeviceArray {
        address: buffer.address(),
        device,
        dtype,
        strides: row_major(&shape),
        shape,
        memory: Some((buffer, home.clone())),
    })
}

/// An array in memory of somebody else's, who keeps it.
#[pyfunction]
#[pyo3(signature = (address, shape, dtype="uint8", device=0))]
pub fn from_address(
    address: u64,
    shape: Vec<i64>,
    dtype: &str,
    device: u32,
) -> PyResult<DeviceArray> {
    Ok(DeviceArray {
        address,
        device,
        dtype: named(dtype)?,
        strides: row_major(&shape),
        shape,
        memory: None,
    })
}

fn named(dtype: &str) -> PyResult<Dtype> {
    Dtype::of_name(dtype)
        .ok_or_else(|| PyValueError::new_err(format!("the type {dtype} is not known here")))
}

fn row_major(shape: &[i64]) -> Vec<i64> {
    let mut strides = vec![1_i64; shape.len()];
    for dim in (1..shape.len()).rev() {
        strides[dim - 1] = strides[dim].wrapping_mul(shape[dim]);
    }
    strides
}

/// Waits until all work of a device's default stream is done.
#[pyfunction]
#[pyo3(signature = (device=0))]
pub fn synchronize(py: Python<'_>, device: u32) -> PyResult<()> {
    let home = Home::get(device)?;
    py.detach(|| default_stream(&home)).map_err(raise)
}

#[allow(unsafe_code)]
fn default_stream(home: &Home) -> Result<(), nvfp4gen::runtime::Error> {
    home.device.make_current()?;
    // SAFETY: null is the default stream of the current context.
    unsafe { Stream::from_raw(std::ptr::null_mut()) }.synchronize()
}

#[pymethods]
impl DeviceArray {
    /// The device address.
    fn data_ptr(&self) -> u64 {
        self.address
    }

    /// Elements from one entry of a dimension to the next.
    fn stride(&self) -> Vec<i64> {
        self.strides.clone()
    }

    /// The extents.
    #[getter]
    fn shape(&self) -> Vec<i64> {
        self.shape.clone()
    }

    /// The name of the element type.
    #[getter]
    fn dtype(&self) -> String {
        self.dtype.to_string()
    }

    /// The contents, after all work of the default stream.
    fn to_host<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let Some((buffer, home)) = &self.memory else {
            return Err(PyValueError::new_err(
                "the memory is not this array's own; its owner can copy it",
            ));
        };
        let mut bytes = vec![0; buffer.bytes()];
        let read = || {
            default_stream(home)?;
            buffer.read(&home.stream, &mut bytes)
        };
        py.detach(read).map_err(raise)?;
        Ok(PyBytes::new(py, &bytes))
    }

    /// For numba, cupy and others.
    #[getter(__cuda_array_interface__)]
    fn cuda_array_interface<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let kind = match self.dtype.code {
            0 => 'i',
            2 => 'f',
            _ => 'u',
        };
        let bytes = (u32::from(self.dtype.bits) * u32::from(self.dtype.lanes) / 8).max(1);
        let interface = PyDict::new(py);
        interface.set_item("shape", pyo3::types::PyTuple::new(py, &self.shape)?)?;
        interface.set_item(
            "typestr",
            format!("{}{kind}{bytes}", if bytes == 1 { '|' } else { '<' }),
        )?;
        interface.set_item("data", (self.address, false))?;
        interface.set_item("version", 3)?;
        Ok(interface)
    }

    fn __repr__(&self) -> String {
        format!(
            "<nvfp4gen.DeviceArray {} {:?} on device {}>",
            self.dtype, self.shape, self.device
        )
    }
}
