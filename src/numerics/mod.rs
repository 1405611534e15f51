//! Exact NVFP4 arithmetic: the element types, their storage, and the reference every kernel is held to.
//!
//! - [`e2m1`]: the 4-bit data type and its packing, two codes per byte;
//! - [`e4m3`]: the 8-bit scale type, read as unsigned (UE4M3);
//! - [`scales`]: scale factors in plain form and in the tensor core's blocked "128x4" form;
//! - [`mod@reference`]: the grouped GEMM of one group in exact integers;
//! - [`quantize`]: ordinary numbers to NVFP4 and back;
//! - [`round`]: one rounding from the exact integer to the output type.
//!
//! This house imports no other.
//!
//! # Units
//!
//! A product of two E2M1 values is a multiple of 1/4 and at most 36; sixteen of them sum to at most 576, that is
//! 2,304 quarters. A UE4M3 value is a multiple of 2^-9 and at most 448, that is 229,376 units. So what one block of
//! 16 contributes is an integer below 2^48 in units of 2^-20, and an `i64` holds the sum of all blocks up to
//! [`MAX_K`]. Nothing is rounded before [`round`].

pub mod e2m1;
pub mod e4m3;
mod error;
mod panel;
pub mod quantize;
pub mod reference;
pub mod round;
pub mod scales;

pub use error::NumericsError;

/// Elements that share one scale factor.
pub const BLOCK: usize = 16;

/// Elements along K that one tensor-core instruction consumes (four blocks).
pub const STEP: usize = 64;

/// The largest K for which the exact sum is certain to fit an `i64`.
pub const MAX_K: usize = 1 << 18;

/// The exponent of the reference's unit: exact sums are integer multiples of 2^`UNIT_EXPONENT`.
pub const UNIT_EXPONENT: i32 = -20;

/// The reference's unit, 2^-20, as a number.
pub const UNIT: f64 = 1.0 / (1u64 << 20) as f64;

/// Refuses a K for which there is no tensor-core step or no exact reference.
///
/// # Errors
/// If K is not a multiple of [`STEP`] from [`STEP`] to [`MAX_K`].
pub fn check_depth(k: usize) -> Result<(), NumericsError> {
    let good = k != 0 && k.is_multiple_of(STEP) && k <= MAX_K;
    if good {
        Ok(())
    } else {
        Err(NumericsError::Depth { k })
    }
}
