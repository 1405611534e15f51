//! Kernels as they are stored: PTX text beside a manifest that says how to launch it.
//!
//! This house knows files, hashes and the facts a caller needs to bind and launch a kernel. It does not know how the
//! text came about: the compiler fills these types, the runtime and the emulated device read them.
//!
//! A library is one directory per target, written in one step and read in one piece: whoever opens it sees the old
//! kernels or the new ones, never a mixture, whatever other processes do and wherever they are killed.
//!
//! Machine code may lie beside the text. It has a list of its own, which is not kept in version control.

mod directory;
mod error;
mod hash;
mod listing;
pub mod manifest;
pub mod store;
mod text;

pub use error::StoreError;
pub use hash::sha256;
pub use listing::Listing;
pub use manifest::{
    CubinEntry, Cubins, Kernel, KernelEntry, LaunchShape, Location, MAX_PARAMETER_BYTES, Manifest,
    Operand, ParameterBlock, PointerSlot, ScheduleFacts, Sizes, TensorMapSlot,
};
pub use store::{Stale, Why};
