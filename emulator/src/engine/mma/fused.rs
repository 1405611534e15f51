//! One fused sum per element: kinds f16, tf32, f8f6f4 and mxf8f6f4, and `wgmma` of the same formats.
//!
//! All products of one MMA and C are aligned to the largest exponent, truncated to F fraction bits, added exactly and
//! rounded once (last paragraph of brief, 2.7, and MMA-Sim). F is 25 on Hopper and Blackwell, 13 for FP8 on Hopper, whose
//! f32 results also keep 13 fraction bits only. Taken from MMA-Sim, not confirmed on hardware by us **[?]**: F = 25 for
//! the Blackwell kinds; a zero factor has exponent -126; sub-byte formats behave like FP8; 2-CTA operations like 1-CTA ones.
//!
//! The products and their sum are integers below 2^53 in units of 2^(E-F), so f64 computes them exactly.

use multiversion::multiversion;

use super::super::descriptor::Format;
use super::format::{decode, elements, power_of_two};
use super::scalar::{self, Term, ZERO_EXPONENT};

/// Fraction bits of every kind but FP8 on Hopper.
pub const FRACTION: i32 = 25;
/// Fraction bits of FP8 on Hopper.
pub const FRACTION_HOPPER_FP8: i32 = 13;

/// How a sum becomes an element of D.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// f32, toward zero.
    F32,
    /// f32 with 13 fraction bits, toward zero.
    F32Fraction13,
    /// f16 in the low half of a cell, to nearest even.
    F16,
}

/// One product `A * B^T` with M rows of A and N rows of B, 32 bytes each.
#[derive(Clone, Copy, Debug)]
pub struct Product<'a> {
    /// M rows of 32 bytes.
    pub a: &'a [u8],
    /// Format of A.
    pub a_format: Format,
    /// N rows of 32 bytes.
    pub b: &'a [u8],
    /// Format of B.
    pub b_format: Format,
    /// A power-of-two scale for every row of A, as its exponent; none for NaN.
    pub scales_a: &'a [Option<i32>],
    /// The same for every row of B.
    pub scales_b: &'a [Option<i32>],
    /// Negates the product.
    pub negate: bool,
    /// Fraction bits F.
    pub fraction: i32,
    /// Format and rounding of D.
    pub output: Output,
    /// C is multiplied by 2 to the power of minus this.
    pub scale_c: u32,
}

impl Product<'_> {
    /// `d[m * stride + n] (+)= A * B^T`. M and N are the lengths of the scale slices.
    pub fn multiply(&self, d: &mut [u32], stride: usize, accumulate: bool) {
        let n = self.scales_b.len();
        let columns = Columns::unpack(self);
        let mut work = Work {
            c: vec![0.0; n],
            largest: vec![0; n],
            units: vec![0.0; n],
            sums: vec![0.0; n],
        };
        for (m, (row, &scale)) in self.a.chunks_exact(32).zip(self.scales_a).enumerate() {
            let cells = &mut d[m * stride..][..n];
            let Some(scale) = scale else {
                cells.fill(self.output.nan());
                continue;
            };
            let row = Row::unpack(self, row, scale);
            for (j, &cell) in cells.iter().enumerate() {
                let c = if accumulate { self.output.c(cell) } else { 0.0 };
                work.c[j] = c * power_of_two(-(self.scale_c as i32));
                work.largest[j] = self.output.exponent(work.c[j]);
            }
            fused_sums(&row, &columns, self.fraction, &mut work);
            for (j, cell) in cells.iter_mut().enumerate() {
                *cell = match self.scales_b[j] {
                    Some(_) => self
                        .output
                        .round(work.sums[j], work.largest[j] - self.fraction),
                    None => self.output.nan(),
                };
            }
        }
    }
}

impl Output {
    /// The NaN that is written.
    fn nan(self) -> u32 {
        if self == Output::F16 {
            0x7FFF
        } else {
            scalar::NAN
        }
    }

    /// The value of a cell.
    fn c(self, cell: u32) -> f64 {
        match self {
            Output::F16 => decode(Format::F16, cell & 0xFFFF).value(),
            _ => f64::from(f32::from_bits(cell)),
        }
    }

    /// Alignment exponent of C.
    fn exponent(self, c: f64) -> i32 {
        let field = (c.to_bits() >> 52 & 0x7FF) as i32;
        let smallest = if self == Output::F16 { -14 } else { -126 };
        if c == 0.0 || field == 0x7FF {
            ZERO_EXPONENT
        } else {
            (field - 1023).max(smallest)
        }
    }

    /// Rounds `sum * 2^unit`; a sum that is not finite stays what it is.
    fn round(self, sum: f64, unit: i32) -> u32 {
        if sum.is_nan() {
            return self.nan();
        }
        if sum.is_infinite() {
            let sign = u32::from(sum < 0.0);
            return if self == Output::F16 {
                sign << 15 | 0x7C00
            } else {
                sign << 31 | 0x7F80_0000
            };
        }
        let sum = i128::from(sum as i64);
        match self {
            Output::F32 => scalar::f32_toward_zero(sum, unit),
            Output::F32Fraction13 => scalar::f32_toward_zero(sum, unit) & !0x3FF,
            Output::F16 => scalar::f16_nearest(sum, unit),
        }
    }
}

/// A row of A: values and alignment exponents, the scale in both.
struct Row {
    values: Vec<f64>,
    exponents: Vec<i32>,
}

impl Row {
    fn unpack(product: &Product<'_>, row: &[u8], scale: i32) -> Self {
        let sign = if product.negate { -1.0 } else { 1.0 };
        let factor = sign * power_of_two(scale);
        let decoded = elements(product.a_format, row)
            .into_iter()
            .map(|bits| decode(product.a_format, bits));
        let (values, exponents) = decoded
            .map(|e| (e.value() * factor, e.exponent() + scale))
            .unzip();
        Row { values, exponents }
    }
}

/// The rows of B side by side, k outermost.
struct Columns {
    n: usize,
    values: Vec<f64>,
    exponents: Vec<i32>,
}

impl Columns {
    fn unpack(product: &Product<'_>) -> Self {
        let n = product.scales_b.len();
        let k = elements(product.b_format, &[0; 32]).len();
        let mut columns = Columns {
            n,
            values: vec![0.0; k * n],
            exponents: vec![0; k * n],
        };
        for (j, (row, scale)) in product.b.chunks_exact(32).zip(product.scales_b).enumerate() {
            let scale = scale.unwrap_or(0);
            for (depth, bits) in elements(product.b_format, row).into_iter().enumerate() {
                let element = decode(product.b_format, bits);
                columns.values[depth * n + j] = element.value() * power_of_two(scale);
                columns.exponents[depth * n + j] = element.exponent() + scale;
            }
        }
        columns
    }
}

/// Buffers for one row of D.
struct Work {
    c: Vec<f64>,
    /// Alignment exponent of C, then of the whole sum.
    largest: Vec<i32>,
    /// What turns a value into units of the sum.
    units: Vec<f64>,
    sums: Vec<f64>,
}

/// The largest exponent and the sum of the truncated terms of every column.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2"))]
fn fused_sums(row: &Row, columns: &Columns, fraction: i32, work: &mut Work) {
    let Work {
        c,
        largest,
        units,
        sums,
    } = work;
    for (&exponent, exponents) in row
        .exponents
        .iter()
        .zip(columns.exponents.chunks_exact(columns.n))
    {
        for (largest, b) in largest.iter_mut().zip(exponents) {
            *largest = (*largest).max(exponent + b);
        }
    }
    for (((sum, unit), &largest), &c) in sums
        .iter_mut()
        .zip(units.iter_mut())
        .zip(largest.iter())
        .zip(c.iter())
    {
        *unit = f64::from_bits(((fraction - largest + 1023) as u64) << 52);
        *sum = (c * *unit).trunc();
    }
    for (&a, values) in row
        .values
        .iter()
        .zip(columns.values.chunks_exact(columns.n))
    {
        for ((sum, b), unit) in sums.iter_mut().zip(values).zip(units.iter()) {
            *sum += (a * b * unit).trunc();
        }
    }
}

/// One element in integers: the definition that [`Product::multiply`] is tested against. `scale` is the sum of both scale
/// exponents. Finite operands only.
pub fn definition(products: &[(Term, Term)], scale: i32, c: Term, fraction: i32) -> (i128, i32) {
    let terms = products.iter().map(|(a, b)| Term {
        significand: a.significand * b.significand,
        fraction: a.fraction + b.fraction,
        exponent: a.exponent + b.exponent + scale,
    });
    scalar::fused_sum(&terms.chain([c]).collect::<Vec<_>>(), fraction)
}

#[cfg(test)]
#[path = "fused_tests.rs"]
mod tests;
