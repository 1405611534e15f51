//! Ordinary numbers to NVFP4 and back.
//!
//! A row is cut into blocks of 16. The scale of a block is its largest magnitude over 6, the largest E2M1 value, rounded
//! to E4M3; then each element over its scale is rounded to E2M1. With a tensor scale, one float for the whole tensor,
//! everything is divided by it first, so that block scales use the whole range of E4M3. All rounding is to nearest, ties
//! to even.
//!
//! A product of two quantised operands has to be multiplied by both tensor scales: kernels know nothing of them.

use std::fmt;

use rayon::prelude::*;

use super::{BLOCK, e2m1, e4m3};

/// The largest E2M1 value.
const MAX_ELEMENT: f32 = 6.0;
/// The largest E4M3 value.
const MAX_SCALE: f32 = 448.0;

/// A matrix in NVFP4.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantized {
    /// [rows, K/2] bytes, two E2M1 codes each.
    pub codes: Vec<u8>,
    /// Block scales in plain form: [rows, K/16] E4M3 codes.
    pub scales: Vec<u8>,
    /// What everything is multiplied with besides.
    pub tensor_scale: f32,
}

/// What a matrix is divided by before its blocks are looked at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TensorScale {
    /// Its largest magnitude over 6 * 448: the largest block gets the largest scale. 1 for a matrix of zeros.
    Largest,
    /// This number; 1 for none.
    Given(f32),
}

/// What numbers are stored as before they are quantised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// IEEE binary32.
    F32,
    /// IEEE binary16.
    F16,
    /// bfloat16.
    Bf16,
}

impl Source {
    /// The numbers in little-endian bytes. A last element that is cut short is dropped.
    pub fn numbers(self, bytes: &[u8]) -> Vec<f32> {
        let halves = |number: fn([u8; 2]) -> f32| {
            bytes
                .par_chunks_exact(2)
                .map(move |b| number([b[0], b[1]]))
                .collect()
        };
        match self {
            Source::F32 => {
                let words = bytes.par_chunks_exact(4);
                words
                    .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                    .collect()
            }
            Source::F16 => halves(|b| half::f16::from_le_bytes(b).to_f32()),
            Source::Bf16 => halves(|b| half::bf16::from_le_bytes(b).to_f32()),
        }
    }
}

/// Why a matrix cannot be quantised.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum QuantizeError {
    /// Rows are not made of whole blocks.
    Columns {
        /// The row length.
        k: usize,
    },
    /// There are not rows * K numbers.
    Length {
        /// Rows times K.
        expected: usize,
        /// Numbers given.
        got: usize,
    },
    /// An infinity or a NaN.
    NotFinite {
        /// Its row.
        row: usize,
        /// Its column.
        column: usize,
    },
    /// A tensor scale that is not a positive finite number.
    TensorScale(f32),
}

/// Quantises a row-major matrix of `rows` rows of `k` numbers.
///
/// Magnitudes beyond 6 * 448 * tensor scale become that. Blocks whose scale would round to zero get the smallest scale,
/// 2^-9, instead: their elements then round to the nearest of few values, and not all to zero.
///
/// # Errors
/// [`QuantizeError`].
pub fn quantize(
    rows: usize,
    k: usize,
    values: &[f32],
    tensor_scale: TensorScale,
) -> Result<Quantized, QuantizeError> {
    check(rows, k, values)?;
    let tensor_scale = resolve(tensor_scale, values)?;
    let mut codes = vec![0; rows * k / 2];
    let mut scales = vec![0; rows * k / BLOCK];
    let blocks = codes
        .par_chunks_mut(BLOCK / 2)
        .zip(&mut scales)
        .zip(values.par_chunks(BLOCK));
    blocks
        .for_each(|((codes, scale), values)| *scale = quantize_block(values, tensor_scale, codes));
    Ok(Quantized {
        codes,
        scales,
        tensor_scale,
    })
}

/// The numbers that codes and plain scales stand for: element times block scale times tensor scale, each product rounded
/// to f32. A NaN scale gives NaN.
///
/// # Errors
/// [`QuantizeError::Columns`], [`QuantizeError::Length`] if codes or scales are not as many as the shape asks for.
pub fn dequantize(
    rows: usize,
    k: usize,
    codes: &[u8],
    scales: &[u8],
    tensor_scale: f32,
) -> Result<Vec<f32>, QuantizeError> {
    check_columns(k)?;
    check_length(rows * k / 2, codes.len())?;
    check_length(rows * k / BLOCK, scales.len())?;
    let mut values = vec![0.0; rows * k];
    let blocks = values
        .par_chunks_mut(BLOCK)
        .zip(codes.par_chunks(BLOCK / 2))
        .zip(scales);
    blocks.for_each(|((values, codes), &scale)| {
        let scale = e4m3::decode(scale) * tensor_scale;
        for (value, code) in values.iter_mut().zip(e2m1::unpack(codes)) {
            *value = e2m1::decode(code) * scale;
        }
    });
    Ok(values)
}

fn check(rows: usize, k: usize, values: &[f32]) -> Result<(), QuantizeError> {
    check_columns(k)?;
    check_length(rows * k, values.len())?;
    match values.par_iter().position_first(|value| !value.is_finite()) {
        None => Ok(()),
        Some(index) => Err(QuantizeError::NotFinite {
            row: index / k,
            column: index % k,
        }),
    }
}

fn check_columns(k: usize) -> Result<(), QuantizeError> {
    if k.is_multiple_of(BLOCK) {
        Ok(())
    } else {
        Err(QuantizeError::Columns { k })
    }
}

fn check_length(expected: usize, got: usize) -> Result<(), QuantizeError> {
    if expected == got {
        Ok(())
    } else {
        Err(QuantizeError::Length { expected, got })
    }
}

fn resolve(tensor_scale: TensorScale, values: &[f32]) -> Result<f32, QuantizeError> {
    match tensor_scale {
        TensorScale::Given(scale) if scale.is_finite() && scale > 0.0 => Ok(scale),
        TensorScale::Given(scale) => Err(QuantizeError::TensorScale(scale)),
        TensorScale::Largest => {
            let largest = values
                .par_iter()
                .map(|value| value.abs())
                .reduce(|| 0.0, f32::max);
            let scale = largest / (MAX_ELEMENT * MAX_SCALE);
            Ok(if scale > 0.0 { scale } else { 1.0 })
        }
    }
}

/// Fills the codes of a block and gives its scale.
fn quantize_block(values: &[f32], tensor_scale: f32, codes: &mut [u8]) -> u8 {
    let largest = values.iter().map(|value| value.abs()).fold(0.0, f32::max);
    if largest == 0.0 {
        // Negative zeros lose their sign.
        codes.fill(0);
        return 0;
    }
    let scale = e4m3::encode(largest / MAX_ELEMENT / tensor_scale).max(1);
    let unit = e4m3::decode(scale) * tensor_scale;
    for (byte, pair) in codes.iter_mut().zip(values.chunks(2)) {
        *byte = e2m1::encode(pair[0] / unit) | e2m1::encode(pair[1] / unit) << 4;
    }
    scale
}

impl fmt::Display for QuantizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Columns { k } => write!(
                f,
                "K = {k}: rows must be whole blocks of {BLOCK}; pad them with zeros"
            ),
            Self::Length { expected, got } => {
                write!(f, "{got} numbers where the shape asks for {expected}")
            }
            Self::NotFinite { row, column } => write!(
                f,
                "row {row}, column {column} is not a finite number: NVFP4 has no infinity; replace it"
            ),
            Self::TensorScale(scale) => {
                write!(
                    f,
                    "the tensor scale {scale} is not a positive finite number"
                )
            }
        }
    }
}

impl std::error::Error for QuantizeError {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers over many magnitudes, from a fixed seed.
    fn numbers(count: usize) -> Vec<f32> {
        let mut state = 7_u64;
        (0..count)
            .map(|i| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                let uniform = (state >> 40) as f32 / (1 << 23) as f32 - 1.0;
                uniform * 10f32.powi((i / BLOCK % 5) as i32 - 2)
            })
            .collect()
    }

    /// No representable value is nearer than the one chosen, in every element.
    #[test]
    fn every_element_is_the_nearest_that_its_scale_allows() {
        let (rows, k) = (5, 96);
        let values = numbers(rows * k);
        for tensor_scale in [
            TensorScale::Given(1.0),
            TensorScale::Largest,
            TensorScale::Given(0.01),
        ] {
            let q = quantize(rows, k, &values, tensor_scale).unwrap();
            let back = dequantize(rows, k, &q.codes, &q.scales, q.tensor_scale).unwrap();
            for (i, (value, back)) in values.iter().zip(&back).enumerate() {
                let unit = e4m3::decode(q.scales[i / BLOCK]) * q.tensor_scale;
                let nearest = (0..16).map(|code| (e2m1::decode(code) * unit - value).abs());
                let least = nearest.fold(f32::INFINITY, f32::min);
                assert!(
                    (back - value).abs() <= least * 1.000_001,
                    "element {i}: {value} became {back}"
                );
            }
        }
    }

    #[test]
    fn what_is_representable_comes_back_to_the_bit() {
        let codes: Vec<u8> = (0..32u8)
            .map(|i| (i % 16) | ((i * 7 + 3) % 16) << 4)
            .collect();
        let scales = [0x38, 0x7E, 0x08, 0x41];
        // Every block has an element of magnitude 6, so that its scale is found again.
        let values = dequantize(1, 64, &codes, &scales, 1.0).unwrap();
        let q = quantize(1, 64, &values, TensorScale::Given(1.0)).unwrap();
        assert_eq!(q.scales, scales);
        assert_eq!(dequantize(1, 64, &q.codes, &q.scales, 1.0).unwrap(), values);
    }

    #[test]
    fn extremes() {
        let mut values = [0.0; 64];
        values[0] = 1e30; // saturates
        values[16] = 1e-30; // smallest scale, rounds to zero
        values[32] = -3.0 / 512.0; // smallest scale, kept
        let q = quantize(1, 64, &values, TensorScale::Given(1.0)).unwrap();
        assert_eq!(q.scales, [0x7E, 0x01, 0x01, 0x00]);
        let back = dequantize(1, 64, &q.codes, &q.scales, 1.0).unwrap();
        assert_eq!(
            [back[0], back[16], back[32], back[48]],
            [2688.0, 0.0, -3.0 / 512.0, 0.0]
        );
        let q = quantize(1, 64, &values, TensorScale::Largest).unwrap();
        assert_eq!(
            (q.scales[0], e2m1::unpack(&q.codes).next()),
            (0x7E, Some(7))
        );
        let zeros = quantize(1, 16, &[-0.0; 16], TensorScale::Largest).unwrap();
        assert_eq!(
            (zeros.codes, zeros.scales, zeros.tensor_scale),
            (vec![0; 8], vec![0], 1.0)
        );
        assert!(
            quantize(0, 64, &[], TensorScale::Largest)
                .unwrap()
                .codes
                .is_empty()
        );
    }

    #[test]
    fn refusals() {
        let say = |k, values: &[f32], scale| {
            quantize(1, k, values, TensorScale::Given(scale))
                .unwrap_err()
                .to_string()
        };
        let mut bad = [0.0; 16];
        bad[5] = f32::NAN;
        assert_eq!(
            say(15, &[0.0; 15], 1.0),
            "K = 15: rows must be whole blocks of 16; pad them with zeros"
        );
        assert_eq!(
            say(16, &[0.0; 15], 1.0),
            "15 numbers where the shape asks for 16"
        );
        assert!(say(16, &bad, 1.0).starts_with("row 0, column 5 is not a finite number"));
        assert_eq!(
            say(16, &[0.0; 16], 0.0),
            "the tensor scale 0 is not a positive finite number"
        );
    }
}
