//! Where matrices live in tensor memory: accumulators and scale factors (brief, 2.1 and 2.2).

use std::ops::Range;

use super::{LANES, TensorMemory, TensorMemoryError, split};
use crate::engine::descriptor::{CtaGroup, Instruction};

/// Where element (m, n) of D lives: (CTA of the pair, lane, column offset). `m_total` and `n_total` are those of the
/// pair. The lane is relative to the address, which for M = 64 may name lane 16.
pub fn accumulator_cell(
    group: CtaGroup,
    m_total: usize,
    n_total: usize,
    m: usize,
    n: usize,
) -> (usize, usize, usize) {
    match (group, m_total) {
        (CtaGroup::One, 64) => (0, m / 16 * 32 + m % 16, n),
        (CtaGroup::One, _) => (0, m, n),
        (CtaGroup::Two, 128) => {
            let half = n_total / 2;
            (m / 64, m % 64 + 64 * (n / half), n % half)
        }
        (CtaGroup::Two, _) => (m / 128, m % 128, n),
    }
}

/// A part of one CTA's share of D whose rows are consecutive lanes and whose columns are consecutive columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccumulatorBlock {
    /// Rows of D, counted from this CTA's first.
    pub rows: Range<usize>,
    /// Columns of D.
    pub columns: Range<usize>,
    /// Lane of the first row, relative to the address. The first column is at the address.
    pub lane: usize,
}

/// The same layout as [`accumulator_cell`], in pieces; it does not depend on the CTA.
pub fn accumulator_blocks(instruction: &Instruction) -> Vec<AccumulatorBlock> {
    let n = instruction.n;
    let whole = |rows: Range<usize>, lane| AccumulatorBlock {
        rows,
        columns: 0..n,
        lane,
    };
    // The same rows several times, side by side in the lanes, with a part of the columns each.
    let folded = |rows: usize| {
        let parts = LANES / rows;
        let part = |i| AccumulatorBlock {
            rows: 0..rows,
            columns: i * n / parts..(i + 1) * n / parts,
            lane: rows * i,
        };
        (0..parts).map(part).collect()
    };
    match (instruction.group, instruction.m, instruction.stationary) {
        // Layouts G, E and B of the PTX ISA, 9.7.16.10.5.
        (CtaGroup::One, 32, _) => folded(32),
        (CtaGroup::One, 64, true) | (CtaGroup::Two, 128, _) => folded(64),
        (CtaGroup::One, 64, false) => (0..4)
            .map(|i| whole(16 * i..16 * (i + 1), 32 * i))
            .collect(),
        _ => vec![whole(0..128, 0)],
    }
}

impl AccumulatorBlock {
    /// Which rows of A it is made of: those of the matrix, or if A is in tensor memory what lies in the block's own
    /// lanes, counted from the address of A. So a folded D has a copy of A for each of its parts.
    pub fn rows_of_a(&self, in_tensor_memory: bool) -> Range<usize> {
        match in_tensor_memory {
            true => self.lane..self.lane + self.rows.len(),
            false => self.rows.clone(),
        }
    }

    /// Columns of tensor memory.
    pub fn width(&self) -> u32 {
        self.columns.len() as u32
    }
}

/// Scale words in tensor memory: row r is in column `r / 32`, lane `r % 32` of every group of 32 lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScaleSource {
    /// Tensor address; bits 30-31 may carry a scale id, which CuTe leaves there.
    pub address: u32,
    /// Rows of A, or columns of D for B.
    pub rows: usize,
    /// The first half of the rows is in lanes 0 to 63, the second in 64 to 127: B of a pair with M = 128, whose
    /// accumulator is halved in the same way.
    pub halved: bool,
}

impl ScaleSource {
    /// B of an operation has one scale word per column of D.
    pub fn of_b(address: u32, instruction: &Instruction) -> Self {
        ScaleSource {
            address,
            rows: instruction.n,
            halved: instruction.group == CtaGroup::Two && instruction.m == 128,
        }
    }

    /// A has one per row, of those that this CTA holds.
    pub fn of_a(address: u32, rows: usize) -> Self {
        ScaleSource {
            address,
            rows,
            halved: false,
        }
    }

    /// Rows that lie in the same lanes, one behind the other.
    pub fn run(&self) -> usize {
        match self.halved {
            true => self.rows / 2,
            false => self.rows,
        }
    }

    /// Where the word of a row is: its column behind the address, and the lanes of its copies.
    pub fn copies(&self, row: usize) -> (u32, impl Iterator<Item = usize> + use<>) {
        let (half, row) = (row / self.run().max(1), row % self.run().max(1));
        let groups = match self.halved {
            true => 2 * half..2 * half + 2,
            false => 0..4,
        };
        ((row / 32) as u32, groups.map(move |g| 32 * g + row % 32))
    }
}

impl TensorMemory {
    /// The scale word of every row. The four copies must be equal.
    pub(crate) fn scale_words(&self, source: ScaleSource) -> Result<Vec<u32>, TensorMemoryError> {
        let (lane, column) = split(source.address & 0x3FFF_FFFF);
        if lane != 0 {
            return Err(TensorMemoryError::LaneAlignment {
                lane,
                alignment: LANES as u32,
            });
        }
        self.check_columns(column, source.run().div_ceil(32) as u32)?;
        (0..source.rows)
            .map(|row| {
                let (behind, lanes) = source.copies(row);
                self.scale_word(row, column + behind, lanes)
            })
            .collect()
    }

    fn scale_word(
        &self,
        row: usize,
        column: u32,
        mut lanes: impl Iterator<Item = usize>,
    ) -> Result<u32, TensorMemoryError> {
        let lane = lanes.next().unwrap_or(0);
        let word = self.row(lane, column)[0];
        for other_lane in lanes {
            let other_word = self.row(other_lane, column)[0];
            if other_word != word {
                return Err(TensorMemoryError::ScaleCopiesDiffer {
                    row,
                    column,
                    lane,
                    word,
                    other_lane,
                    other_word,
                });
            }
        }
        Ok(word)
    }
}
