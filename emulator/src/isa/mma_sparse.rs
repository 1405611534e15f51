//! `mma.sp` and `wgmma.mma_async.sp`: A holds the half of each row that is not zero, and metadata say which (PTX ISA, 9.7.14.6 and
//! 9.7.15.6).
//!
//! Four units of a row form a chunk, of which two are stored: a unit is an element, two elements of 4 bits, or half an
//! element of 32 bits, whose halves stay together. Two bits of metadata give the place of each stored unit.

use super::Src;
use super::form::Form;
use super::types::Ty;
use crate::error::LoadError;
use crate::machine::{FaultKind, Step};

/// The metadata of a warp.
#[derive(Clone, Copy)]
pub(crate) struct Metadata {
    register: Src,
    /// Which threads of four give it.
    selector: usize,
    /// The indices of a chunk ascend.
    ordered: bool,
    /// Bytes of a unit.
    unit: usize,
    /// Units go in twos.
    pairs: bool,
    /// Units of a row, those that are not stored included.
    units: usize,
}

/// Takes `.sp` or `.sp::ordered_metadata`; true if ordered.
pub(super) fn variant(f: &mut Form<'_>) -> Option<bool> {
    f.choose(&[("sp", false), ("sp::ordered_metadata", true)])
}

impl Metadata {
    /// Of a row with `row_bytes` bytes in all, of elements with so many bits. They are operand `at` and the next.
    pub fn decode(
        f: &mut Form<'_>,
        at: usize,
        ordered: bool,
        bits: usize,
        row_bytes: usize,
    ) -> Result<Self, LoadError> {
        let unit = if bits <= 8 { 1 } else { 2 };
        let units = row_bytes / unit;
        let register = f.src(at, Ty::B32)?;
        let selector = f.immediate(at + 1)? as usize;
        // Sixteen units of two rows fill a register, so that one, two or four threads of four give them all.
        let selectors = match units {
            16 => 4,
            32 => 2,
            64 => 1,
            _ => return Err(f.unsupported("this K is not implemented")),
        };
        if selector >= selectors {
            return Err(f.invalid(format!("the sparsity selector is below {selectors} here")));
        }
        Ok(Metadata {
            register,
            selector,
            ordered,
            unit,
            pairs: bits == 32,
            units,
        })
    }

    /// The register with the metadata.
    pub fn source(&self) -> Src {
        self.register
    }

    /// The metadata of a row, four bits for each chunk. The figures of the ISA show who has them; so it was found on an H200
    /// for every shape, thread by thread.
    fn of_row(&self, words: &[u64; 32], row: usize) -> u64 {
        let first = row % 8 * 4;
        let (half, upper) = (16 * (row / 8), row / 8);
        match self.units {
            16 => words[first + self.selector] >> half & 0xFFFF,
            // Threads alternate between the upper rows and the lower ones.
            32 if self.unit == 1 => words[first + 2 * self.selector + upper],
            32 => {
                let pair = first + 2 * self.selector;
                (words[pair] >> half & 0xFFFF) | (words[pair + 1] >> half & 0xFFFF) << 16
            }
            _ => words[first + upper] | words[first + 2 + upper] << 32,
        }
    }

    /// For each stored unit of each of 16 rows its place in the whole row.
    pub fn places(&self, step: &Step<'_>) -> Result<Vec<Vec<usize>>, FaultKind> {
        let words = step.get(self.register);
        (0..16)
            .map(|row| {
                let bits = self.of_row(&words, row);
                let chunk = |i: usize| {
                    let (first, second) = (bits >> (4 * i) & 3, bits >> (4 * i + 2) & 3);
                    let ascends = first < second;
                    let halves = matches!((first, second), (0, 1) | (2, 3));
                    if first == second || self.ordered && !ascends || self.pairs && !halves {
                        return Err(FaultKind::Operand(format!(
                            "sparsity metadata {:#06b} of row {row}, chunk {i}",
                            bits >> (4 * i) & 15
                        )));
                    }
                    Ok([4 * i + first as usize, 4 * i + second as usize])
                };
                let chunks: Result<Vec<_>, _> = (0..self.units / 4).map(chunk).collect();
                Ok(chunks?.into_iter().flatten().collect())
            })
            .collect()
    }

    /// What a row of A meets: of each of the rows of B the units at its places, in rows of `width` bytes.
    pub fn meet(&self, places: &[usize], b: &[u8], row_bytes: usize, width: usize) -> Vec<u8> {
        let mut met = vec![0; b.len() / row_bytes * width];
        for (from, to) in b.chunks_exact(row_bytes).zip(met.chunks_exact_mut(width)) {
            for (place, unit) in places.iter().zip(to.chunks_exact_mut(self.unit)) {
                unit.copy_from_slice(&from[place * self.unit..][..self.unit]);
            }
        }
        met
    }
}
