//! K = 64 block-scaled MMA of E2M1, vectorised: kinds mxf4nvf4 and mxf4. Bit for bit what `scalar::block_scaled` gives.
//!
//! Why the arithmetic is exact: a group sum of doubled codes is at most 2304 and fits i16; times two scales of at most
//! 4 significant bits it has 20 bits and fits f32; scaled by a power of two and truncated it stays exact, and the whole
//! sum stays below 2^50 units of 2^(E-35), which f64 holds. Truncating C is masking its mantissa, and rounding to f32
//! toward zero is masking the low 29 bits of the f64. What this cannot express (infinities, NaN, results outside the
//! normal range of f32, UE8M0 scales far apart) is left to the scalar definition.
//!
//! The loops are plain; `multiversion` compiles them for AVX-512, AVX2 and the baseline and picks at run time.

use multiversion::multiversion;

use super::super::descriptor::ScaleFormat;
use super::scalar;

/// K of one MMA.
const K: usize = 64;
/// Groups of 16 along K.
const GROUPS: usize = 4;
/// Columns that are computed together: one AVX-512 vector of i16.
const BLOCK: usize = 32;
/// Sums of two scale exponents that f32 can align.
const SAFE_EXPONENT: i32 = 60;

/// One block-scaled product `A * B^T` with M rows of A, N rows of B, 64 values of K.
#[derive(Clone, Copy, Debug)]
pub struct Tile<'a> {
    /// M rows of 32 bytes of packed E2M1.
    pub a: &'a [u8],
    /// N rows of 32 bytes of packed E2M1.
    pub b: &'a [u8],
    /// For every row of A the scales of its four groups of 16.
    pub scales_a: &'a [[u8; GROUPS]],
    /// For every row of B the scales of its four groups of 16.
    pub scales_b: &'a [[u8; GROUPS]],
    /// Format of all scales.
    pub format: ScaleFormat,
}

impl Tile<'_> {
    /// `d[m * stride + n] (+)= A * B^T` in f32 bits. M and N are the lengths of the scale slices; `a`, `b` and `d` must be
    /// long enough for them.
    pub fn multiply(&self, d: &mut [u32], stride: usize, accumulate: bool) {
        let rows: Vec<Row> = (0..self.scales_a.len())
            .map(|m| Row::unpack(self, m))
            .collect();
        let mut columns = Columns::default();
        let mut special = Vec::new();
        for first in (0..self.scales_b.len()).step_by(BLOCK) {
            columns.unpack(self, first);
            if !can_align(&rows, &columns) {
                special.extend((0..rows.len()).map(|m| (m, u32::MAX)));
            } else {
                let width = BLOCK.min(self.scales_b.len() - first);
                multiply_block(
                    &rows,
                    &columns,
                    &mut d[first..],
                    stride,
                    width,
                    accumulate,
                    &mut special,
                );
            }
            for (m, mask) in special.drain(..) {
                self.multiply_scalar(d, stride, accumulate, m, first, mask);
            }
        }
    }

    /// The elements of row m whose bit is set in the mask, counted from column `first`.
    fn multiply_scalar(
        &self,
        d: &mut [u32],
        stride: usize,
        accumulate: bool,
        m: usize,
        first: usize,
        mask: u32,
    ) {
        for n in
            (first..self.scales_b.len().min(first + BLOCK)).filter(|n| mask >> (n - first) & 1 == 1)
        {
            let cell = &mut d[m * stride + n];
            let (a, b) = (&self.a[m * 32..][..32], &self.b[n * 32..][..32]);
            let c = if accumulate { *cell } else { 0 };
            *cell = scalar::block_scaled(a, b, self.scales_a[m], self.scales_b[n], self.format, c);
        }
    }
}

/// A row of A, ready to multiply.
struct Row {
    /// Doubled values.
    codes: [i16; K],
    /// A quarter of the scale: undoes the doubling on both sides.
    scales: [f32; GROUPS],
    exponents: [i32; GROUPS],
    has_nan: bool,
}

impl Row {
    fn unpack(tile: &Tile<'_>, m: usize) -> Self {
        let mut row = Row {
            codes: [0; K],
            scales: [0.0; GROUPS],
            exponents: [0; GROUPS],
            has_nan: false,
        };
        for (pair, &byte) in row.codes.chunks_exact_mut(2).zip(&tile.a[m * 32..][..32]) {
            pair.copy_from_slice(&PAIRS[usize::from(byte)]);
        }
        for group in 0..GROUPS {
            let (value, exponent, is_nan) = scale(tile.scales_a[m][group], tile.format);
            row.scales[group] = value * 0.25;
            row.exponents[group] = exponent;
            row.has_nan |= is_nan;
        }
        row
    }
}

/// `BLOCK` rows of B side by side; those past the end are zero.
struct Columns {
    codes: [[i16; BLOCK]; K],
    scales: [[f32; BLOCK]; GROUPS],
    exponents: [[i32; BLOCK]; GROUPS],
    /// One bit per column.
    nan: u32,
}

impl Default for Columns {
    fn default() -> Self {
        Columns {
            codes: [[0; BLOCK]; K],
            scales: [[0.0; BLOCK]; GROUPS],
            exponents: [[0; BLOCK]; GROUPS],
            nan: 0,
        }
    }
}

impl Columns {
    fn unpack(&mut self, tile: &Tile<'_>, first: usize) {
        *self = Columns::default();
        let count = BLOCK.min(tile.scales_b.len() - first);
        let mut bytes = [0; 32 * BLOCK];
        bytes[..32 * count].copy_from_slice(&tile.b[first * 32..][..32 * count]);
        transpose(&bytes, &mut self.codes);
        for (j, scales) in tile.scales_b[first..][..count].iter().enumerate() {
            for group in 0..GROUPS {
                let (value, exponent, is_nan) = scale(scales[group], tile.format);
                self.scales[group][j] = value;
                self.exponents[group][j] = exponent;
                self.nan |= u32::from(is_nan) << j;
            }
        }
    }
}

/// Doubled values of the two codes of every byte.
static PAIRS: [[i16; 2]; 256] = {
    let mut pairs = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        pairs[byte] = [
            scalar::e2m1_doubled(byte as u8),
            scalar::e2m1_doubled((byte >> 4) as u8),
        ];
        byte += 1;
    }
    pairs
};

/// Value, alignment exponent and NaN-ness of a scale. A NaN counts as zero, its results are overwritten.
fn scale(byte: u8, format: ScaleFormat) -> (f32, i32, bool) {
    match scalar::scale(byte, format) {
        Some((0, exponent)) => (0.0, exponent, false),
        // Exponents this far out make `can_align` refuse; the value does not matter then.
        Some((_, exponent)) if exponent < -126 => (0.0, exponent, false),
        Some((eighths, exponent)) => (
            eighths as f32 * 0.125 * f32::from_bits(((exponent + 127) as u32) << 23),
            exponent,
            false,
        ),
        None => (0.0, scalar::ZERO_EXPONENT, true),
    }
}

/// Whether all products of non-zero scales stay well inside the range of f32.
fn can_align(rows: &[Row], columns: &Columns) -> bool {
    let range = |scales: &[f32], exponents: &[i32], seen: (i32, i32)| {
        let used = scales
            .iter()
            .zip(exponents)
            .filter(|&(&s, &e)| s != 0.0 || e < scalar::ZERO_EXPONENT);
        used.fold(seen, |(low, high), (_, &e)| (low.min(e), high.max(e)))
    };
    let none = (i32::MAX, i32::MIN);
    let a = rows
        .iter()
        .fold(none, |seen, row| range(&row.scales, &row.exponents, seen));
    let b = (0..GROUPS).fold(none, |seen, g| {
        range(&columns.scales[g], &columns.exponents[g], seen)
    });
    a.0.saturating_add(b.0) >= -SAFE_EXPONENT && a.1.saturating_add(b.1) <= SAFE_EXPONENT
}

/// Doubled codes of `BLOCK` rows, k outermost.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2"))]
fn transpose(bytes: &[u8; 32 * BLOCK], codes: &mut [[i16; BLOCK]; K]) {
    for (pair, at) in codes.chunks_exact_mut(2).zip(0..32) {
        for j in 0..BLOCK {
            let byte = bytes[j * 32 + at];
            pair[0][j] = doubled(byte & 15);
            pair[1][j] = doubled(byte >> 4);
        }
    }
}

/// [`scalar::e2m1_doubled`] without a table: exponent e and mantissa m give (2 + m) << (e - 1), or m for e = 0.
#[inline(always)]
fn doubled(code: u8) -> i16 {
    let code = i16::from(code);
    let (exponent, mantissa) = (code >> 1 & 3, code & 1);
    let normal = i16::from(exponent != 0);
    let magnitude = (2 * normal + mantissa) << (exponent - normal);
    if code & 8 == 0 { magnitude } else { -magnitude }
}

/// One block of columns for all rows. Elements that need the scalar path are left as they are and reported as
/// (row, mask of columns).
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2"))]
fn multiply_block(
    rows: &[Row],
    columns: &Columns,
    d: &mut [u32],
    stride: usize,
    width: usize,
    accumulate: bool,
    special: &mut Vec<(usize, u32)>,
) {
    for (m, row) in rows.iter().enumerate() {
        let cells = &mut d[m * stride..][..width];
        if row.has_nan {
            cells.fill(scalar::NAN);
            continue;
        }
        let mut c = [0; BLOCK];
        if accumulate {
            c[..width].copy_from_slice(cells);
        }
        let sums = group_sums(row, columns);
        let (results, is_special) = combine(row, columns, &sums, &c);
        cells.copy_from_slice(&results[..width]);
        if is_special.iter().fold(0, |any, &s| any | s) | columns.nan != 0 {
            let mask = (0..width).fold(columns.nan, |mask, j| mask | u32::from(is_special[j] != 0) << j);
            (0..width).filter(|j| mask >> j & 1 == 1).for_each(|j| cells[j] = c[j]);
            special.push((m, mask));
        }
    }
}

/// Sums of each group of 16 in quarters.
#[inline(always)]
fn group_sums(row: &Row, columns: &Columns) -> [[i16; BLOCK]; GROUPS] {
    let mut sums = [[0; BLOCK]; GROUPS];
    for (group, sum) in sums.iter_mut().enumerate() {
        for k in 16 * group..16 * (group + 1) {
            for j in 0..BLOCK {
                sum[j] += row.codes[k] * columns.codes[k][j];
            }
        }
    }
    sums
}

/// Steps 2 to 5 of brief, 2.7, for a block: results, and non-zero where they do not hold.
#[inline(always)]
fn combine(
    row: &Row,
    columns: &Columns,
    sums: &[[i16; BLOCK]; GROUPS],
    c: &[u32; BLOCK],
) -> ([u32; BLOCK], [u32; BLOCK]) {
    let (mut results, mut special) = ([0; BLOCK], [0; BLOCK]);
    for j in 0..BLOCK {
        let c_field = (c[j] >> 23 & 0xFF) as i32;
        let c_exponent = c_field.max(1) - 127;
        let mut largest = c_exponent;
        for group in 0..GROUPS {
            largest = largest.max(row.exponents[group] + columns.exponents[group][j]);
        }
        // Where all scales are zero the terms are zero in any unit.
        let aligned = largest.max(-SAFE_EXPONENT);
        let to_units = f32::from_bits(((35 - aligned + 127) as u32) << 23);
        let mut sum = 0.0;
        for group in 0..GROUPS {
            let term = sums[group][j] as f32 * row.scales[group] * columns.scales[group][j];
            sum += f64::from((term * to_units).trunc());
        }
        let unit = f64::from_bits(((aligned - 35 + 1023) as u64) << 52);
        // Adding +0 makes a zero positive.
        let exact = sum * unit + f64::from(truncated(c[j], largest - c_exponent - 12)) + 0.0;
        let bits = exact.to_bits();
        let field = (bits >> 52 & 0x7FF) as u32;
        let is_normal = (field.wrapping_sub(1023 - 126) < 254) | (exact == 0.0);
        special[j] = u32::from(!is_normal | (c_field == 0xFF));
        results[j] = (f64::from_bits(bits & !0x1FFF_FFFF) as f32).to_bits();
    }
    (results, special)
}

/// The f32 with its lowest `drop` significand bits cleared.
#[inline(always)]
fn truncated(bits: u32, drop: i32) -> f32 {
    let mask = u32::MAX << drop.clamp(0, 23);
    f32::from_bits(if drop > 23 { 0 } else { bits & mask })
}

#[cfg(test)]
#[path = "block_scaled_tests.rs"]
mod tests;
