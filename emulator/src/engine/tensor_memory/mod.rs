//! Tensor memory of one CTA: 128 lanes x 512 columns of 32 bits, its allocation, and the shapes that reach it (brief, 2).

mod access;
mod copy;
mod layout;

use std::fmt;
use std::iter;

pub use access::{Access, AccessShape};
pub use copy::CopyShape;
pub use layout::{AccumulatorBlock, ScaleSource, accumulator_blocks, accumulator_cell};

/// Lanes of tensor memory.
pub const LANES: usize = 128;
/// Columns of tensor memory.
pub const COLUMNS: usize = 512;
/// What every cell holds before it is written: a NaN as f32, in both halves as f16 and bf16, in all bytes as UE4M3.
pub const POISON: u32 = 0x7FFF_7FFF;

/// Columns per unit of allocation.
const UNIT: u32 = 32;

/// The tensor memory of one CTA.
#[derive(Clone, Debug)]
pub struct TensorMemory {
    /// Row by row: lane l, column c at `l * COLUMNS + c`.
    cells: Vec<u32>,
    /// (first column, columns).
    allocations: Vec<(u32, u32)>,
    /// Columns of the latest allocation: later ones must not be larger (PTX ISA, tcgen05.alloc).
    last_size: u32,
    may_allocate: bool,
}

impl Default for TensorMemory {
    fn default() -> Self {
        Self::new()
    }
}

impl TensorMemory {
    /// Poisoned, nothing allocated, the permit to allocate held.
    pub fn new() -> Self {
        TensorMemory {
            cells: vec![POISON; LANES * COLUMNS],
            allocations: Vec::new(),
            last_size: COLUMNS as u32,
            may_allocate: true,
        }
    }

    /// `tcgen05.alloc`: the tensor address (lane 0), or none when the columns are taken and the instruction blocks.
    /// Allocations are aligned to their size, which Triton relies on.
    pub fn allocate(&mut self, columns: u32) -> Result<Option<u32>, TensorMemoryError> {
        check_size(columns)?;
        if !self.may_allocate {
            return Err(TensorMemoryError::AllocationAfterRelinquish);
        }
        if columns > self.last_size {
            return Err(TensorMemoryError::GrowingAllocation {
                columns,
                earlier: self.last_size,
            });
        }
        let place = (0..COLUMNS as u32)
            .step_by(columns as usize)
            .find(|&first| self.is_free(first, columns));
        if let Some(first) = place {
            self.allocations.push((first, columns));
            self.last_size = columns;
        }
        Ok(place)
    }

    fn is_free(&self, first: u32, columns: u32) -> bool {
        self.allocations
            .iter()
            .all(|&(start, size)| first + columns <= start || start + size <= first)
    }

    /// `tcgen05.dealloc` of exactly what one allocation returned.
    pub fn deallocate(&mut self, address: u32, columns: u32) -> Result<(), TensorMemoryError> {
        check_size(columns)?;
        match self
            .allocations
            .iter()
            .position(|&a| a == (address, columns))
        {
            Some(index) => {
                self.allocations.remove(index);
                Ok(())
            }
            None => Err(TensorMemoryError::NotAllocatedLikeThis { address, columns }),
        }
    }

    /// `tcgen05.relinquish_alloc_permit`.
    pub fn relinquish(&mut self) {
        self.may_allocate = false;
    }

    /// Allocations still held, as (first column, columns): must be empty when the CTA exits.
    pub fn allocations(&self) -> &[(u32, u32)] {
        &self.allocations
    }

    /// One cell, without checks of allocation (for debuggers and tests); none outside 128 x 512.
    pub fn cell(&self, lane: usize, column: usize) -> Option<u32> {
        if column < COLUMNS {
            self.cells.get(lane * COLUMNS + column).copied()
        } else {
            None
        }
    }

    /// Refuses columns that are not allocated, or do not exist.
    pub(super) fn check_columns(&self, first: u32, count: u32) -> Result<(), TensorMemoryError> {
        let covered = |column: u32| {
            self.allocations
                .iter()
                .any(|&(start, size)| (start..start + size).contains(&column))
        };
        let units = (first..first + count).filter(|column| column % UNIT == 0);
        match iter::once(first)
            .chain(units)
            .find(|&column| !covered(column))
        {
            Some(column) => Err(TensorMemoryError::ColumnNotAllocated {
                column,
                first,
                count,
            }),
            None => Ok(()),
        }
    }

    /// The cells of a lane from a column on.
    pub(super) fn row(&self, lane: usize, column: u32) -> &[u32] {
        &self.cells[lane * COLUMNS + column as usize..(lane + 1) * COLUMNS]
    }

    /// The cells of a lane from a column on, to write.
    pub(super) fn row_mut(&mut self, lane: usize, column: u32) -> &mut [u32] {
        &mut self.cells[lane * COLUMNS + column as usize..(lane + 1) * COLUMNS]
    }

    /// The cells from (lane, column) on; lanes are [`COLUMNS`] apart.
    pub(super) fn cells_from(&mut self, lane: usize, column: u32) -> &mut [u32] {
        &mut self.cells[lane * COLUMNS + column as usize..]
    }
}

/// Splits a tensor address into lane and column.
pub(crate) fn split(address: u32) -> (u32, u32) {
    (address >> 16, address & 0xFFFF)
}

fn check_size(columns: u32) -> Result<(), TensorMemoryError> {
    match columns.is_power_of_two() && (UNIT..=COLUMNS as u32).contains(&columns) {
        true => Ok(()),
        false => Err(TensorMemoryError::AllocationSize(columns)),
    }
}

/// Why an access to tensor memory is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum TensorMemoryError {
    AllocationSize(u32),
    AllocationAfterRelinquish,
    GrowingAllocation {
        columns: u32,
        earlier: u32,
    },
    NotAllocatedLikeThis {
        address: u32,
        columns: u32,
    },
    ColumnNotAllocated {
        column: u32,
        first: u32,
        count: u32,
    },
    Repeat {
        shape: AccessShape,
        repeat: u32,
    },
    RegisterCount {
        given: usize,
        needed: usize,
    },
    WarpLanes {
        warp: u32,
        lane: u32,
    },
    Lane {
        lane: u32,
        lanes: u32,
    },
    LaneAlignment {
        lane: u32,
        alignment: u32,
    },
    ScaleCopiesDiffer {
        row: usize,
        column: u32,
        lane: usize,
        word: u32,
        other_lane: usize,
        other_word: u32,
    },
}

impl fmt::Display for TensorMemoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use TensorMemoryError as E;
        match self {
            E::AllocationSize(columns) => write!(
                f,
                "{columns} columns: must be a power of two from 32 to 512"
            ),
            E::AllocationAfterRelinquish => {
                write!(f, "allocation after the permit was relinquished")
            }
            E::GrowingAllocation { columns, earlier } => {
                write!(
                    f,
                    "allocation of {columns} columns after one of {earlier}: a CTA must not ask for more later on"
                )
            }
            E::NotAllocatedLikeThis { address, columns } => {
                write!(
                    f,
                    "no allocation of {columns} columns at {address:#x} to free"
                )
            }
            E::ColumnNotAllocated {
                column,
                first,
                count,
            } => {
                write!(
                    f,
                    "column {column} (of {count} from {first}) is not allocated"
                )
            }
            E::Repeat { shape, repeat } => write!(f, "no .x{repeat} of shape {shape:?}"),
            E::RegisterCount { given, needed } => {
                write!(f, "{given} registers where {needed} are needed")
            }
            E::WarpLanes { warp, lane } => {
                write!(
                    f,
                    "warp {warp} may reach lanes {0}..{1} only, not lane {lane}",
                    warp % 4 * 32,
                    warp % 4 * 32 + 32
                )
            }
            E::Lane { lane, lanes } => {
                write!(f, "{lanes} lanes from lane {lane} exceed the 128 lanes")
            }
            E::LaneAlignment { lane, alignment } => {
                write!(f, "lane {lane} is not a multiple of {alignment}")
            }
            E::ScaleCopiesDiffer {
                row,
                column,
                lane,
                word,
                other_lane,
                other_word,
            } => write!(
                f,
                "scale word of row {row} in column {column} is {word:#010x} in lane {lane} but {other_word:#010x} in lane \
                 {other_lane}: all copies must be equal"
            ),
        }
    }
}

#[cfg(test)]
mod tests;
