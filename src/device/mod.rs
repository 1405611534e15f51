//! Kernels on the emulated GPU: the device of machines that have no other.
//!
//! A caller's view of a kernel, and nothing more: the manifest and the text go in, with the operands of each group; C
//! comes out. How the kernel was planned is not known here, so a mistake of the planner cannot be repeated.

mod error;
mod gpu;
mod layout;
mod overlap;
mod parameters;

pub use error::DeviceError;
pub use gpu::{Emulated, GroupBuffers};
pub use layout::{Layout, Place};
pub use parameters::fill;
pub use ptx_emulator::Schedule;
