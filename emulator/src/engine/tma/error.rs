//! What is wrong with a tensor copy.

use std::fmt;

/// Why a tensor copy is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum TmaError {
    Unsupported(String),
    CoordinateCount {
        given: usize,
        rank: usize,
    },
    NegativeStoreCoordinate {
        dim: usize,
        value: i32,
    },
    PackedCoordinate {
        column: i32,
        multiple: i32,
    },
    FourRowsMap {
        rank: usize,
        rows: u32,
    },
    SharedAlignment(u32),
    InnerBox(u32),
    SharedBounds {
        start: u32,
        end: u64,
        window: u32,
    },
    MapMode {
        tiled: bool,
    },
    OutsideBoundingBox {
        dim: usize,
        value: i32,
        low: i64,
        high: i64,
    },
}

impl fmt::Display for TmaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TmaError::Unsupported(what) => write!(f, "{what} is not implemented"),
            TmaError::CoordinateCount { given, rank } => {
                write!(f, "{given} coordinates where {rank} are needed")
            }
            TmaError::NegativeStoreCoordinate { dim, value } => {
                write!(
                    f,
                    "coordinate {value} of dimension {dim}: a store must not start before the tensor"
                )
            }
            TmaError::PackedCoordinate { column, multiple } => {
                write!(
                    f,
                    "coordinate {column} of dimension 0 is not a multiple of {multiple}, which packed elements need"
                )
            }
            TmaError::FourRowsMap { rank, rows } => {
                write!(
                    f,
                    "gather4 and scatter4 need rank 2 and a box of 1 row, not rank {rank} and {rows} rows"
                )
            }
            TmaError::MapMode { tiled: true } => write!(f, "an im2col copy with a tiled map"),
            TmaError::MapMode { tiled: false } => write!(f, "a tiled copy with an im2col map"),
            TmaError::OutsideBoundingBox {
                dim,
                value,
                low,
                high,
            } => {
                write!(
                    f,
                    "coordinate {value} of dimension {dim} is outside the bounding box, {low} to {high}"
                )
            }
            TmaError::SharedAlignment(address) => {
                write!(f, "shared address {address:#x} is not a multiple of 128")
            }
            TmaError::InnerBox(bytes) => {
                write!(f, "an inner box of {bytes} bytes is not a multiple of 16")
            }
            TmaError::SharedBounds { start, end, window } => {
                write!(
                    f,
                    "the box at {start:#x}..{end:#x} exceeds the shared window of {window:#x} bytes"
                )
            }
        }
    }
}
