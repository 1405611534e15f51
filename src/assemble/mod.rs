//! Finding and running NVIDIA's assembler, which nothing but this house needs.
//!
//! `ptxas` is optional: kernels are built, run and checked without it. With it a build also knows what the driver's
//! compiler will make of each kernel: registers, spills, local memory, warnings.

mod find;
mod ptxas;
mod report;

pub use find::{Search, ToolMissing, nvdisasm};
pub use ptxas::{AssembleError, Assembly, Ptxas};
pub use report::{Diagnostic, Resources};
