//! Reads operand tiles out of shared memory through a matrix descriptor (brief, 1.5).
//!
//! Both canonical layouts are built of 16-byte units that the swizzle moves but never splits:
//! * K-major: row r is at `(r / 8) * stride + (r % 8) * span` and its bytes follow each other; without a swizzle the
//!   span is one unit and the next unit along K is `leading` bytes away;
//! * MN-major: k plays the part of the row, and the bytes that follow each other run along M or N (PTX ISA, matrix
//!   descriptors, canonical layouts).

use std::fmt;

use super::descriptor::SharedMatrix;
use super::swizzle::Swizzle;

const UNIT: usize = 16;

/// Appends `rows` rows of `row_bytes` bytes (a multiple of 16) of a K-major operand to `out`, row after row.
pub fn fetch_k_major(
    shared: &[u8],
    matrix: &SharedMatrix,
    rows: usize,
    row_bytes: usize,
    out: &mut Vec<u8>,
) -> Result<(), OperandError> {
    check_inside_atom(matrix, row_bytes)?;
    out.reserve(rows * row_bytes);
    for row in 0..rows {
        for unit in 0..row_bytes / UNIT {
            let along = match matrix.swizzle {
                Swizzle::None => unit as u32 * matrix.leading,
                _ => (unit * UNIT) as u32,
            };
            out.extend_from_slice(unit_at(shared, matrix, atom_row(matrix, row) + along)?);
        }
    }
    Ok(())
}

/// Appends an MN-major operand of `rows` x `k` elements of `element_bytes` to `out`, transposed to K-major rows. Elements of
/// four bytes need the swizzle with 32-byte atoms, others cannot have it (PTX ISA, 9.7.16.10.3).
/// Both sizes are multiples of 8; rows beyond the last whole unit may lie in a partly used one.
pub fn fetch_mn_major(
    shared: &[u8],
    matrix: &SharedMatrix,
    rows: usize,
    k: usize,
    element_bytes: usize,
    out: &mut Vec<u8>,
) -> Result<(), OperandError> {
    if (matrix.swizzle == Swizzle::B128Atom32) != (element_bytes == 4) {
        return Err(OperandError::MajorSwizzle {
            element_bytes,
            swizzle: matrix.swizzle,
        });
    }
    // From the middle of an atom the rows must not run into the next one, which is `leading` bytes away.
    let from_middle = !matrix.start.is_multiple_of(matrix.swizzle.span());
    check_inside_atom(
        matrix,
        if from_middle {
            rows * element_bytes
        } else {
            UNIT
        },
    )?;
    let base = out.len();
    out.resize(base + rows * k * element_bytes, 0);
    let per_unit = UNIT / element_bytes;
    for depth in 0..k {
        for first in (0..rows).step_by(per_unit) {
            let unit = unit_at(
                shared,
                matrix,
                mn_major_offset(matrix, first * element_bytes, depth),
            )?;
            for (row, element) in (first..rows).zip(unit.chunks_exact(element_bytes)) {
                out[base + (row * k + depth) * element_bytes..][..element_bytes]
                    .copy_from_slice(element);
            }
        }
    }
    Ok(())
}

/// The 16-byte units of a K-major operand: row and address.
pub(crate) fn k_major_units(
    matrix: &SharedMatrix,
    rows: usize,
    row_bytes: usize,
) -> impl Iterator<Item = (usize, u32)> + '_ {
    (0..rows * (row_bytes / UNIT)).map(move |i| {
        let (row, unit) = (i / (row_bytes / UNIT), i % (row_bytes / UNIT));
        let along = match matrix.swizzle {
            Swizzle::None => unit as u32 * matrix.leading,
            _ => (unit * UNIT) as u32,
        };
        let address = matrix
            .start
            .wrapping_add(atom_row(matrix, row).wrapping_add(along));
        (row, matrix.swizzle.apply(address))
    })
}

/// The 16-byte units of an MN-major operand: first row of those in the unit, and address.
pub(crate) fn mn_major_units(
    matrix: &SharedMatrix,
    rows: usize,
    k: usize,
    element_bytes: usize,
) -> impl Iterator<Item = (usize, u32)> + '_ {
    let per_unit = UNIT / element_bytes;
    (0..k).flat_map(move |depth| {
        (0..rows).step_by(per_unit).map(move |first| {
            let offset = mn_major_offset(matrix, first * element_bytes, depth);
            (
                first,
                matrix.swizzle.apply(matrix.start.wrapping_add(offset)),
            )
        })
    })
}

/// Offset of row r inside the 8-row atoms that `stride` separates.
fn atom_row(matrix: &SharedMatrix, row: usize) -> u32 {
    (row / 8) as u32 * matrix.stride + (row % 8) as u32 * matrix.swizzle.span()
}

/// Offset of the unit that starts `along` bytes along M or N at depth k. Without a swizzle the roles of the two
/// descriptor offsets are exchanged.
fn mn_major_offset(matrix: &SharedMatrix, along: usize, k: usize) -> u32 {
    let span = matrix.swizzle.span();
    let (block, inside) = (along as u32 / span, along as u32 % span);
    let (per_block, per_group) = match matrix.swizzle {
        Swizzle::None => (matrix.stride, matrix.leading),
        _ => (matrix.leading, matrix.stride),
    };
    // Rows of an atom along K: with 32-byte units it is half as high.
    let group = match matrix.swizzle {
        Swizzle::B128Atom32 => 4,
        _ => 8,
    };
    block * per_block + inside + (k / group) as u32 * per_group + (k % group) as u32 * span
}

fn unit_at<'a>(
    shared: &'a [u8],
    matrix: &SharedMatrix,
    offset: u32,
) -> Result<&'a [u8], OperandError> {
    let address = matrix.swizzle.apply(matrix.start + offset);
    let end = address as usize + UNIT;
    shared
        .get(address as usize..end)
        .ok_or(OperandError::Bounds {
            address,
            window: shared.len(),
        })
}

/// A row must not run out of its swizzle atom: the address after it belongs to another row.
fn check_inside_atom(matrix: &SharedMatrix, row_bytes: usize) -> Result<(), OperandError> {
    let (span, start) = (matrix.swizzle.span(), matrix.start);
    if matrix.swizzle != Swizzle::None && start % span + row_bytes as u32 > span {
        return Err(OperandError::CrossesAtom {
            start,
            row_bytes,
            span,
        });
    }
    Ok(())
}

/// Why an operand cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum OperandError {
    Unsupported(String),
    Bounds {
        address: u32,
        window: usize,
    },
    CrossesAtom {
        start: u32,
        row_bytes: usize,
        span: u32,
    },
    MajorSwizzle {
        element_bytes: usize,
        swizzle: Swizzle,
    },
}

impl fmt::Display for OperandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OperandError::Unsupported(what) => write!(f, "{what} is not implemented"),
            OperandError::Bounds { address, window } => {
                write!(
                    f,
                    "16 bytes at {address:#x} exceed the shared window of {window:#x} bytes"
                )
            }
            OperandError::MajorSwizzle {
                element_bytes,
                swizzle,
            } => {
                write!(
                    f,
                    "an MN-major operand of {}-bit elements cannot have the swizzle {swizzle:?}",
                    8 * element_bytes
                )
            }
            OperandError::CrossesAtom {
                start,
                row_bytes,
                span,
            } => {
                write!(
                    f,
                    "{row_bytes} bytes from {start:#x} leave the {span}-byte row of the swizzle atom"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODES: [Swizzle; 4] = [Swizzle::None, Swizzle::B32, Swizzle::B64, Swizzle::B128];

    fn value(row: usize, column: usize) -> u8 {
        (row * 37 + column * 101 + (row ^ column)) as u8
    }

    /// A tile of 64 rows x 128 bytes as TMA would write it (sub-tiles of one span each), read back step by step:
    /// the replay of check_layouts.py.
    #[test]
    fn k_major_reads_what_tma_wrote() {
        for swizzle in MODES {
            let (rows, base) = (64u32, 2048);
            let span = swizzle.span();
            let mut shared = vec![0; 16384];
            for row in 0..rows {
                for column in 0..128 {
                    let linear = base + column / span * rows * span + row * span + column % span;
                    shared[swizzle.apply(linear) as usize] = value(row as usize, column as usize);
                }
            }
            for step in 0..4 {
                let column = step * 32;
                let start = base + column / span * rows * span + column % span;
                let matrix = SharedMatrix {
                    start,
                    leading: rows * 16,
                    stride: 8 * span,
                    swizzle,
                };
                let mut tile = Vec::new();
                fetch_k_major(&shared, &matrix, rows as usize, 32, &mut tile).unwrap();
                for (i, &byte) in tile.iter().enumerate() {
                    assert_eq!(
                        byte,
                        value(i / 32, column as usize + i % 32),
                        "{swizzle:?} step {step} byte {i}"
                    );
                }
            }
        }
    }

    /// An MN-major 16-bit operand: k rows of 64 elements along M, box by box of one span.
    #[test]
    fn mn_major_is_the_transpose() {
        for swizzle in MODES {
            let (rows, k) = (128usize, 16usize);
            let span = swizzle.span() as usize;
            let mut shared = vec![0; 16384];
            for depth in 0..k {
                for byte in 0..rows * 2 {
                    let linear = 1024 + byte / span * k * span + depth * span + byte % span;
                    shared[swizzle.apply(linear as u32) as usize] = value(depth, byte);
                }
            }
            let (blocks, eights) = ((k * span) as u32, (8 * span) as u32);
            let (leading, stride) = if swizzle == Swizzle::None {
                (eights, blocks)
            } else {
                (blocks, eights)
            };
            let matrix = SharedMatrix {
                start: 1024,
                leading,
                stride,
                swizzle,
            };
            let mut tile = Vec::new();
            fetch_mn_major(&shared, &matrix, rows, k, 2, &mut tile).unwrap();
            for row in 0..rows {
                for depth in 0..k {
                    let element = &tile[(row * k + depth) * 2..][..2];
                    assert_eq!(
                        element,
                        [value(depth, 2 * row), value(depth, 2 * row + 1)],
                        "{swizzle:?}"
                    );
                }
            }
        }
    }

    /// 32-bit elements: four rows of 128 bytes are an atom, in units of 32 bytes.
    #[test]
    fn mn_major_of_32_bit_elements() {
        let (rows, k) = (64usize, 8usize);
        let mut shared = vec![0; 8192];
        for depth in 0..k {
            for byte in 0..4 * rows {
                // Boxes of 32 elements along M, one of 2048 bytes behind the other; atoms of 512 bytes along K.
                let linear =
                    1024 + byte / 128 * 2048 + depth / 4 * 512 + depth % 4 * 128 + byte % 128;
                let place = linear ^ (linear >> 7 & 3) << 5;
                shared[place] = value(depth, byte);
            }
        }
        let matrix = SharedMatrix {
            start: 1024,
            leading: 2048,
            stride: 512,
            swizzle: Swizzle::B128Atom32,
        };
        let mut tile = Vec::new();
        fetch_mn_major(&shared, &matrix, rows, k, 4, &mut tile).unwrap();
        for (i, &byte) in tile.iter().enumerate() {
            let (row, depth) = (i / 32, i % 32 / 4);
            assert_eq!(byte, value(depth, 4 * row + i % 4));
        }
        let wrong = SharedMatrix {
            swizzle: Swizzle::B128,
            ..matrix
        };
        assert!(matches!(
            fetch_mn_major(&shared, &wrong, rows, k, 4, &mut tile),
            Err(OperandError::MajorSwizzle { .. })
        ));
    }

    #[test]
    fn refusals() {
        let matrix = SharedMatrix {
            start: 1024 + 112,
            leading: 16,
            stride: 1024,
            swizzle: Swizzle::B128,
        };
        let crosses = OperandError::CrossesAtom {
            start: 1136,
            row_bytes: 32,
            span: 128,
        };
        assert_eq!(
            fetch_k_major(&[0; 4096], &matrix, 8, 32, &mut Vec::new()),
            Err(crosses)
        );
        let matrix = SharedMatrix {
            start: 1024,
            ..matrix
        };
        let bounds = OperandError::Bounds {
            address: 4096,
            window: 4096,
        };
        assert_eq!(
            fetch_k_major(&[0; 4096], &matrix, 32, 32, &mut Vec::new()),
            Err(bounds)
        );
    }
}
