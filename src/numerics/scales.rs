//! Scale factors in plain form, row-major [rows, K/16], and in blocked form, the tensor core's "128x4" layout.
//!
//! In blocked form the rows are padded to a multiple of 128 and the scale columns to a multiple of 4. Each 128 x 4
//! block is 512 contiguous bytes, and the blocks of one band of 128 rows follow each other along K (brief, 2.4).
//! What the padding holds is up to the caller, and no stored result may depend on it.

use super::NumericsError;

/// Rows of one block.
pub const BLOCK_ROWS: usize = 128;

/// Scale columns of one block.
pub const BLOCK_COLUMNS: usize = 4;

/// Bytes of one block.
pub const BLOCK_BYTES: usize = BLOCK_ROWS * BLOCK_COLUMNS;

/// Bytes of the blocked form of `rows` x `columns` scales, padding included; 0 if there are no rows.
pub fn blocked_len(rows: usize, columns: usize) -> usize {
    rows.div_ceil(BLOCK_ROWS) * columns.div_ceil(BLOCK_COLUMNS) * BLOCK_BYTES
}

/// Byte offset, in blocked form, of the scale of `row` and scale column `column` out of `columns`.
pub fn blocked_offset(row: usize, column: usize, columns: usize) -> usize {
    let block = row / BLOCK_ROWS * columns.div_ceil(BLOCK_COLUMNS) + column / BLOCK_COLUMNS;
    block * BLOCK_BYTES + row % 32 * 16 + row % BLOCK_ROWS / 32 * 4 + column % BLOCK_COLUMNS
}

/// The blocked form of plain scales. `padding` gives the byte to put at a padding offset.
pub fn to_blocked(
    plain: &[u8],
    rows: usize,
    columns: usize,
    padding: impl Fn(usize) -> u8,
) -> Result<Vec<u8>, NumericsError> {
    check_len("plain scales", rows * columns, plain.len())?;
    let mut blocked: Vec<u8> = (0..blocked_len(rows, columns)).map(padding).collect();
    for (index, &code) in plain.iter().enumerate() {
        blocked[blocked_offset(index / columns, index % columns, columns)] = code;
    }
    Ok(blocked)
}

/// The plain form of blocked scales; the padding is dropped.
pub fn to_plain(blocked: &[u8], rows: usize, columns: usize) -> Result<Vec<u8>, NumericsError> {
    check_len("blocked scales", blocked_len(rows, columns), blocked.len())?;
    let at = |index: usize| blocked[blocked_offset(index / columns, index % columns, columns)];
    Ok((0..rows * columns).map(at).collect())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_a_bijection_onto_the_blocks() {
        for (rows, columns) in [(128, 4), (256, 12), (384, 8)] {
            let mut seen = vec![false; blocked_len(rows, columns)];
            for row in 0..rows {
                for column in 0..columns {
                    let offset = blocked_offset(row, column, columns);
                    assert!(
                        !std::mem::replace(&mut seen[offset], true),
                        "row {row}, column {column}"
                    );
                }
            }
            assert!(seen.iter().all(|&hit| hit));
        }
    }

    /// Offsets worked out by hand from the layout's description, not from the formula.
    #[test]
    fn offsets_of_known_scales() {
        let columns = 8; // two blocks along K
        for (row, column, offset) in [
            (0, 0, 0),
            (0, 3, 3),
            (1, 0, 16),
            (31, 0, 496),
            (32, 0, 4),
            (127, 3, 511),
            (0, 4, 512),
            (128, 0, 1024),
            (129, 5, 1024 + 512 + 16 + 1),
        ] {
            assert_eq!(
                blocked_offset(row, column, columns),
                offset,
                "row {row}, column {column}"
            );
        }
    }

    #[test]
    fn forms_round_trip_around_padding() {
        let (rows, columns) = (130, 6);
        let plain: Vec<u8> = (0..rows * columns).map(|i| (i % 126) as u8).collect();
        let blocked = to_blocked(&plain, rows, columns, |_| 0xFF).unwrap();
        assert_eq!(blocked.len(), 2 * 2 * 512);
        assert_eq!(
            blocked.iter().filter(|&&code| code == 0xFF).count(),
            blocked.len() - plain.len()
        );
        assert_eq!(to_plain(&blocked, rows, columns).unwrap(), plain);
    }

    #[test]
    fn empty_and_wrong_lengths() {
        assert!(to_blocked(&[], 0, 4, |_| 0).unwrap().is_empty());
        assert!(to_plain(&[], 0, 4).unwrap().is_empty());
        let error = to_blocked(&[0; 7], 2, 4, |_| 0).unwrap_err();
        assert_eq!(
            error.to_string(),
            "plain scales: 7 bytes where the shape asks for 8"
        );
        assert!(to_plain(&[0; 511], 1, 4).is_err());
    }
}
