//! What an object of the caller's says of its memory.
//!
//! Objects are read the quickest way that their type has: as a plain number; through the C functions that DLPack's
//! exchange API publishes on the type (torch, and our own arrays); by `data_ptr()` and the attributes of a torch tensor;
//! by `__cuda_array_interface__`; by `__dlpack__`. Which way a type has is looked up once.

pub mod exchange;
mod ffi;
mod read;
pub mod types;

pub use read::{Reader, number, numbers};
pub use types::{Dtype, View};
