//! The data path of the tensor units: swizzles, tensor maps, box copies, matrix descriptors, tensor memory and
//! the arithmetic of matrix multiplication.
//!
//! Everything here is a pure function of plain structs and byte slices. Nothing knows of PTX text, threads, or time:
//! the caller decides when an operation happens, the engine says what it does.
//!
//! Conventions:
//! * a *shared address* is the offset inside one CTA's shared window (bits 0-23 of the 32-bit address, the rank stripped);
//!   `shared: &[u8]` is that whole window, so `shared[address]` is the byte and swizzles act on the address bits;
//! * a *tensor address* is `lane << 16 | column`;
//! * every refusal is an [`Error`]; [`Error::is_unsupported`] tells what the engine lacks from what the kernel did wrong.

pub mod descriptor;
mod error;
pub mod mma;
pub mod operand;
pub mod swizzle;
pub mod tensor_map;
pub mod tensor_memory;
pub mod tma;

pub use error::Error;
