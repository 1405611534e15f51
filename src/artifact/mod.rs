//! Kernels as they are stored: PTX text beside a manifest that says how to launch it.
//!
//! This house knows files, hashes and the facts a caller needs to bind and launch a kernel. It does not know how the
//! text came about: the compiler fills these types, the runtime and the emulated device read them.

pub mod manifest;

pub use manifest::{Kernel, KernelEntry, LaunchShape, Manifest, Operand, ParameterBlock, PointerSlot, Sizes, TensorMapSlot};
