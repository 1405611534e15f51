//! The native half of the Python package `nvfp4gen`. Its interface is documented in `nvfp4gen/_native.pyi`.
//!
//! What is hot is `launch`: it walks the caller's lists (`groups`), reads an address from each object and holds it to
//! what the kernel takes (`tensor`, `operand`), and launches. Everything else hands over to the crate `nvfp4gen`.

mod array;
mod build;
mod error;
mod graph;
mod groups;
mod kernel;
mod launch;
mod operand;
mod quantize;
mod stream;
mod tensor;

use pyo3::prelude::*;

#[pymodule]
mod _native {
    use pyo3::prelude::*;

    #[pymodule_export]
    use super::array::{DeviceArray, from_address, synchronize, to_device};
    #[pymodule_export]
    use super::build::{build, verify};
    #[pymodule_export]
    use super::error::{Error, MissingSet};
    #[pymodule_export]
    use super::graph::Graph;
    #[pymodule_export]
    use super::kernel::{Kernel, Library};
    #[pymodule_export]
    use super::launch::Launch;
    #[pymodule_export]
    use super::quantize::{dequantize, quantize, to_blocked, to_plain};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        super::tensor::exchange::publish(module.py())
    }
}
