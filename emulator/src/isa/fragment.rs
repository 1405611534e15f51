//! Matrices in the registers of a warp, as `mma` has them (PTX ISA, 9.7.14.5).
//!
//! Whatever the element type, the fragments are the same in bytes: a row of A or a column of B is made of groups of 16
//! bytes along K, of which lane t holds bytes `4 (t % 4)` on, for row or column `t / 4` of every eight.

use super::{Slot, Src};
use crate::machine::Step;

/// The shape of a product.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tile {
    pub m: usize,
    pub n: usize,
}

/// Bytes of a group along K.
const GROUP: usize = 16;

impl Tile {
    /// Registers of A whose rows have so many bytes.
    pub fn registers_of_a(self, row_bytes: usize) -> usize {
        self.m / 8 * (row_bytes / GROUP)
    }

    /// Registers of B whose columns have so many bytes.
    pub fn registers_of_b(self, row_bytes: usize) -> usize {
        self.n / 8 * (row_bytes / GROUP)
    }

    /// Registers of C and D, with two elements in each or one.
    pub fn registers_of_c(self, halves: bool) -> usize {
        self.m * self.n / 32 / if halves { 2 } else { 1 }
    }

    /// First row and byte of register r of A: eight rows after the other, then along K.
    pub fn place_of_a(self, r: usize) -> (usize, usize) {
        (8 * (r % (self.m / 8)), GROUP * (r / (self.m / 8)))
    }

    /// First column and byte of register r of B: along K, then eight columns after the other.
    pub fn place_of_b(self, r: usize, row_bytes: usize) -> (usize, usize) {
        let groups = row_bytes / GROUP;
        (8 * (r / groups), GROUP * (r % groups))
    }

    /// Rows of A, `width` bytes apart.
    pub fn rows_of_a(self, step: &Step<'_>, a: &[Src], width: usize) -> Vec<u8> {
        let mut rows = vec![0; self.m * width];
        for (r, src) in a.iter().enumerate() {
            put(&mut rows, width, step.get(*src), self.place_of_a(r));
        }
        rows
    }

    /// Columns of B as rows, `width` bytes apart, of which `row_bytes` are used.
    pub fn rows_of_b(self, step: &Step<'_>, b: &[Src], row_bytes: usize, width: usize) -> Vec<u8> {
        let mut rows = vec![0; self.n * width];
        for (r, src) in b.iter().enumerate() {
            put(
                &mut rows,
                width,
                step.get(*src),
                self.place_of_b(r, row_bytes),
            );
        }
        rows
    }

    /// Row and column of element i of a lane in C and D.
    pub fn cell(self, lane: usize, i: usize) -> (usize, usize) {
        let (pair, rows) = (i / 2, self.m / 8);
        (
            lane / 4 + 8 * (pair % rows),
            8 * (pair / rows) + 2 * (lane % 4) + i % 2,
        )
    }

    fn index(self, lane: usize, i: usize) -> usize {
        let (row, column) = self.cell(lane, i);
        row * self.n + column
    }

    /// C, row by row; with halves in the low bits of its words.
    pub fn matrix(self, step: &Step<'_>, c: &[Src], halves: bool) -> Vec<u32> {
        let mut matrix = vec![0; self.m * self.n];
        for (i, src) in c.iter().enumerate() {
            for (lane, word) in step.get(*src).into_iter().enumerate() {
                if halves {
                    matrix[self.index(lane, 2 * i)] = word as u32 & 0xFFFF;
                    matrix[self.index(lane, 2 * i + 1)] = word as u32 >> 16;
                } else {
                    matrix[self.index(lane, i)] = word as u32;
                }
            }
        }
        matrix
    }

    /// D to its registers.
    pub fn scatter(self, step: &mut Step<'_>, d: &[Slot], matrix: &[u32], halves: bool) {
        for (i, slot) in d.iter().enumerate() {
            let word = |lane: usize| match halves {
                true => matrix[self.index(lane, 2 * i)] | matrix[self.index(lane, 2 * i + 1)] << 16,
                false => matrix[self.index(lane, i)],
            };
            step.set(*slot, &std::array::from_fn(|lane| word(lane).into()));
        }
    }
}

/// Four bytes of each lane, into rows.
fn put(rows: &mut [u8], width: usize, words: [u64; 32], (row, byte): (usize, usize)) {
    for (lane, word) in words.into_iter().enumerate() {
        let at = (row + lane / 4) * width + byte + 4 * (lane % 4);
        rows[at..at + 4].copy_from_slice(&(word as u32).to_le_bytes());
    }
}
