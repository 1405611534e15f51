//! K = 64 block-scaled MMA of E2M1, vectorised: kinds mxf4nvf4 and mxf4. Bit for bit what `scalar::block_scaled` gives.
//!
//! Why the arithmetic is exact: a group sum of doubled codes is at most 2304 and fits i16; times two scales of at most
//! 4 significant bits it has 20 bits and fits f32; scaled by a power of two and truncated it stays exact, and the whole
//! sum stays below 2^50 units of 2^(E-35), which f64 holds. Truncating C is masking its mantissa, and rounding to f32
//! toward zero is masking the low 29 bits of the f64. What this cannot express (infinities, NaN, results outside the
//! normal range of f32, UE8M0 scales far apart) is left to the scalar definition.
//!
//! The loops are plain; `multiversion` compiles them for AVX-512, AVX2 and the baseline and picks at run time. They run
//! over columns, whose number the compiler does not know: a constant number it would unroll before it vectorises.
//!
//! Nanoseconds per output element and K = 64 step, unpacking included, on one core of an AMD EPYC (Zen 5, 2.6 GHz nominal),
//! `cargo run --release --example mma_speed`:
//!
//! | M x N     | AVX-512 | AVX2 | baseline |
//! |-----------|---------|------|----------|
//! | 128 x 256 | 2.7     | 3.2  | 8.8      |
//! | 128 x 64  | 3.6     | 4.9  | 10       |
//! | 128 x 16  | 8.9     | 11   | 37       |

use multiversion::multiversion;

use super::super::descriptor::ScaleFormat;
use super::scalar;

/// K of one MMA.
const K: usize = 64;
/// Groups of 16 along K.
const GROUPS: usize = 4;
/// Columns are padded to a multiple of this: one AVX-512 vector of i16.
const PADDING: usize = 32;
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
        let n = self.scales_b.len();
        let rows: Vec<Row> = (0..self.scales_a.len())
            .map(|m| Row::unpack(self, m))
            .collect();
        let columns = Columns::unpack(self);
        if !can_align(&rows, &columns) {
            (0..rows.len() * n)
                .for_each(|at| self.multiply_scalar(d, stride, accumulate, at / n, at % n));
            return;
        }
        let mut work = Work::new(columns.padded);
        for (m, row) in rows.iter().enumerate() {
            let cells = &mut d[m * stride..][..n];
            if row.has_nan {
                cells.fill(scalar::NAN);
                continue;
            }
            work.set_c(if accumulate { cells } else { &[] });
            group_sums(row, &columns, &mut work.sums);
            let any_special = combine(row, &columns, &mut work);
            if !any_special {
                cells.copy_from_slice(&work.d[..n]);
                continue;
            }
            for j in 0..n {
                match work.special[j] {
                    0 => d[m * stride + j] = work.d[j],
                    _ => self.multiply_scalar(d, stride, accumulate, m, j),
                }
            }
        }
    }

    fn multiply_scalar(&self, d: &mut [u32], stride: usize, accumulate: bool, m: usize, n: usize) {
        let cell = &mut d[m * stride + n];
        let (a, b) = (&self.a[m * 32..][..32], &self.b[n * 32..][..32]);
        let c = if accumulate { *cell } else { 0 };
        *cell = scalar::block_scaled(a, b, self.scales_a[m], self.scales_b[n], self.format, c);
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

/// The rows of B side by side; those that pad are zero.
struct Columns {
    padded: usize,
    /// Doubled values, k outermost.
    codes: Vec<i16>,
    /// Group outermost.
    scales: Vec<f32>,
    exponents: Vec<i32>,
    /// Non-zero for columns with a NaN scale.
    nan: Vec<u32>,
}

impl Columns {
    fn unpack(tile: &Tile<'_>) -> Self {
        let n = tile.scales_b.len();
        let padded = n.next_multiple_of(PADDING);
        let mut columns = Columns {
            padded,
            codes: vec![0; K * padded],
            scales: vec![0.0; GROUPS * padded],
            exponents: vec![scalar::ZERO_EXPONENT; GROUPS * padded],
            nan: vec![0; padded],
        };
        let mut bytes = vec![0; K / 2 * padded];
        for (j, row) in tile.b.chunks_exact(K / 2).take(n).enumerate() {
            row.iter()
                .enumerate()
                .for_each(|(at, &byte)| bytes[at * padded + j] = byte);
        }
        unpack_codes(&bytes, &mut columns.codes, padded);
        for (j, scales) in tile.scales_b.iter().enumerate() {
            for (group, &byte) in scales.iter().enumerate() {
                let (value, exponent, is_nan) = scale(byte, tile.format);
                columns.scales[group * padded + j] = value;
                columns.exponents[group * padded + j] = exponent;
                columns.nan[j] |= u32::from(is_nan);
            }
        }
        columns
    }
}

/// Buffers for one row of D.
struct Work {
    /// Sums of each group in quarters, group outermost.
    sums: Vec<i16>,
    c: Vec<u32>,
    d: Vec<u32>,
    /// Non-zero where `d` does not hold and the scalar definition is needed.
    special: Vec<u32>,
}

impl Work {
    fn new(padded: usize) -> Self {
        Work {
            sums: vec![0; GROUPS * padded],
            c: vec![0; padded],
            d: vec![0; padded],
            special: vec![0; padded],
        }
    }

    /// Without cells C is zero, as it was made.
    fn set_c(&mut self, cells: &[u32]) {
        self.c[..cells.len()].copy_from_slice(cells);
    }
}

/// Value, alignment exponent and NaN-ness of a scale. A NaN counts as zero, its results are not used.
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
    let b = range(&columns.scales, &columns.exponents, none);
    a.0.saturating_add(b.0) >= -SAFE_EXPONENT && a.1.saturating_add(b.1) <= SAFE_EXPONENT
}

/// Both codes of every byte, doubled: bytes and codes have `padded` columns, codes twice as many rows.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2"))]
fn unpack_codes(bytes: &[u8], codes: &mut [i16], padded: usize) {
    for (bytes, codes) in bytes
        .chunks_exact(padded)
        .zip(codes.chunks_exact_mut(2 * padded))
    {
        let (low, high) = codes.split_at_mut(padded);
        low.iter_mut()
            .zip(bytes)
            .for_each(|(code, &byte)| *code = doubled(byte & 15));
        high.iter_mut()
            .zip(bytes)
            .for_each(|(code, &byte)| *code = doubled(byte >> 4));
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

/// Sums of each group of 16, in quarters.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2"))]
fn group_sums(row: &Row, columns: &Columns, sums: &mut [i16]) {
    let n = columns.padded;
    sums.fill(0);
    for (step, (a, b)) in row
        .codes
        .chunks_exact(4)
        .zip(columns.codes.chunks_exact(4 * n))
        .enumerate()
    {
        let sums = &mut sums[step / 4 * n..][..n];
        let (b0, b1, b2, b3) = (&b[..n], &b[n..2 * n], &b[2 * n..3 * n], &b[3 * n..]);
        for ((((sum, b0), b1), b2), b3) in sums.iter_mut().zip(b0).zip(b1).zip(b2).zip(b3) {
            *sum += a[0] * b0 + a[1] * b1 + a[2] * b2 + a[3] * b3;
        }
    }
}

/// Steps 2 to 5 of brief, 2.7, for a row of D. True when an element needs the scalar definition.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2"))]
fn combine(row: &Row, columns: &Columns, work: &mut Work) -> bool {
    let n = columns.padded;
    let sums: [&[i16]; GROUPS] = std::array::from_fn(|g| &work.sums[g * n..][..n]);
    let scales: [&[f32]; GROUPS] = std::array::from_fn(|g| &columns.scales[g * n..][..n]);
    let exponents: [&[i32]; GROUPS] = std::array::from_fn(|g| &columns.exponents[g * n..][..n]);
    let (nan, c) = (&columns.nan[..n], &work.c[..n]);
    let (d, special) = (&mut work.d[..n], &mut work.special[..n]);
    let mut any = 0;
    for j in 0..n {
        let c_field = (c[j] >> 23 & 0xFF) as i32;
        let c_exponent = c_field.max(1) - 127;
        let mut largest = c_exponent;
        for (a, b) in row.exponents.iter().zip(exponents) {
            largest = largest.max(a + b[j]);
        }
        // Where all scales are zero the terms are zero in any unit.
        let aligned = largest.max(-SAFE_EXPONENT);
        let to_units = f32::from_bits(((35 - aligned + 127) as u32) << 23);
        let mut sum = 0.0;
        for group in 0..GROUPS {
            let term = f32::from(sums[group][j]) * row.scales[group] * scales[group][j];
            sum += f64::from((term * to_units).trunc());
        }
        let unit = f64::from_bits(((aligned - 35 + 1023) as u64) << 52);
        // Adding +0 makes a zero positive.
        let exact = sum * unit + f64::from(truncated(c[j], largest - c_exponent - 12)) + 0.0;
        let bits = exact.to_bits();
        let field = (bits >> 52 & 0x7FF) as u32;
        let is_normal = (field.wrapping_sub(1023 - 126) < 254) | (exact == 0.0);
        special[j] = u32::from(!is_normal | (c_field == 0xFF)) | nan[j];
        any |= special[j];
        d[j] = (f64::from_bits(bits & !0x1FFF_FFFF) as f32).to_bits();
    }
    any != 0
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
