//! The exact reference: `C[m, n] = sum over k of A[m, k] * SFA[m, k/16] * B[n, k] * SFB[n, k/16]`, in integers.
//!
//! Beside each sum it keeps what an error bound needs: the largest running sum that a kernel which steps through K
//! in order holds in its accumulator, and the largest exponent to which the tensor core aligns its addends.

use super::panel::{self, LANES, Panel, QUAD, Rows};
use super::{BLOCK, NumericsError, check_depth, e4m3};
use rayon::prelude::*;
use std::ops::Range;

/// One operand of the product, borrowed: `rows` rows of `k` elements, with their scales in plain form.
#[derive(Debug, Clone, Copy)]
pub struct Operand<'a> {
    rows: usize,
    k: usize,
    codes: &'a [u8],
    scales: &'a [u8],
}

impl<'a> Operand<'a> {
    /// An operand of `codes` [rows, k/2], packed E2M1, and `scales` [rows, k/16], UE4M3.
    ///
    /// # Errors
    /// If K is not a multiple of 64 from 64 to [`super::MAX_K`], if a buffer has the wrong length, or if a scale's sign
    /// bit is set. NaN scales are allowed, and make every element they touch NaN.
    pub fn new(
        rows: usize,
        k: usize,
        codes: &'a [u8],
        scales: &'a [u8],
    ) -> Result<Self, NumericsError> {
        check_depth(k)?;
        check_len("packed E2M1 data", rows * k / 2, codes.len())?;
        check_len("plain scales", rows * k / BLOCK, scales.len())?;
        if let Some(index) = e4m3::first_signed(scales) {
            let (row, column) = (index / (k / BLOCK), index % (k / BLOCK));
            return Err(NumericsError::SignedScale {
                row,
                column,
                code: scales[index],
            });
        }
        Ok(Self {
            rows,
            k,
            codes,
            scales,
        })
    }

    /// Number of rows: M for the first operand of a product, N for the second.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of elements in a row.
    pub fn k(&self) -> usize {
        self.k
    }

    /// The operand made of some of the rows.
    ///
    /// # Panics
    /// If the range reaches beyond [`Self::rows`].
    pub fn slice(&self, rows: Range<usize>) -> Self {
        let of = |buffer: &'a [u8], stride: usize| &buffer[rows.start * stride..rows.end * stride];
        Self {
            rows: rows.len(),
            k: self.k,
            codes: of(self.codes, self.k / 2),
            scales: of(self.scales, self.k / BLOCK),
        }
    }

    /// The packed elements of a row.
    pub fn row_codes(&self, row: usize) -> &'a [u8] {
        &self.codes[row * self.k / 2..(row + 1) * self.k / 2]
    }

    /// The plain scales of a row.
    pub fn row_scales(&self, row: usize) -> &'a [u8] {
        &self.scales[row * self.k / BLOCK..(row + 1) * self.k / BLOCK]
    }

    fn nan_rows(&self) -> Vec<bool> {
        (0..self.rows)
            .map(|row| self.row_scales(row).iter().any(|&s| e4m3::is_nan(s)))
            .collect()
    }
}

/// What is known of one element of C.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Element {
    /// The exact sum, in units of 2^-20.
    pub sum: i64,
    /// The largest magnitude of the running sum after each 64 of K, in units of 2^-20. At least `|sum|`.
    pub peak: i64,
    /// The largest exponent of SFA * SFB over all blocks, as the tensor core adds them up from the two scales
    /// ([`e4m3::exponent`]). [`NO_EXPONENT`] or less if every block has a zero scale.
    pub exponent: i32,
}

/// [`Element::exponent`] is at most this where every block has a zero scale, and at least -12 elsewhere.
pub const NO_EXPONENT: i32 = -40;

/// The exact product of two operands: one [`Element`] for each row of A and each row of B.
#[derive(Debug)]
pub struct Reference {
    rows: usize,
    columns: usize,
    tiles: Vec<panel::Tile>,
    nan_rows: Vec<bool>,
    nan_columns: Vec<bool>,
}

impl Reference {
    /// Computes the product in parallel. Takes about 17 bytes of memory for each element of C, and 4 K more for
    /// each row of A; to stay small, slice A.
    ///
    /// # Errors
    /// If the operands disagree on K.
    pub fn compute(a: &Operand, b: &Operand) -> Result<Self, NumericsError> {
        if a.k != b.k {
            return Err(NumericsError::DepthMismatch { a: a.k, b: b.k });
        }
        let rows = Rows::new(a);
        let tiles = (0..b.rows.div_ceil(LANES))
            .into_par_iter()
            .map(|tile| {
                let first = tile * LANES;
                let panel = Panel::new(&b.slice(first..b.rows.min(first + LANES)));
                panel::multiply(&rows, &panel)
            })
            .collect();
        Ok(Self {
            rows: a.rows,
            columns: b.rows,
            tiles,
            nan_rows: a.nan_rows(),
            nan_columns: b.nan_rows(),
        })
    }

    /// Rows of C, that is M.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns of C, that is N.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The element of C at `row` and `column`; `None` if a NaN scale makes it NaN.
    ///
    /// # Panics
    /// If there is no such element.
    pub fn at(&self, row: usize, column: usize) -> Option<Element> {
        let nan = self.nan_rows[row] || self.nan_columns[column];
        let (quad, r, lane) = (row / QUAD, row % QUAD, column % LANES);
        let part = &self.tiles[column / LANES].quads[quad];
        (!nan).then(|| Element {
            sum: part.sums[r][lane],
            peak: part.peaks[r][lane],
            exponent: i32::from(part.exponents[r][lane]),
        })
    }
}

fn check_len(what: &'static str, expected: usize, got: usize) -> Result<(), NumericsError> {
    if expected == got {
        Ok(())
    } else {
        Err(NumericsError::Length {
            what,
            expected,
            got,
        })
    }
}
