//! Gathers the rows of A, B and the scale factors of a `tcgen05.mma` as plain byte rows of 32.

use super::super::Error;
use super::super::descriptor::{Format, ScaleFormat, ScaleVector, SharedMatrix};
use super::super::operand::{OperandError, fetch_k_major, fetch_mn_major};
use super::super::tensor_memory::{ScaleSource, TensorMemory, split};
use super::MmaError;
use super::format::element_bytes;
use super::scalar;

/// Bytes of one row along K.
pub(super) const ROW: usize = 32;

/// Appends `rows` rows of an operand in shared memory.
pub(super) fn shared_rows(
    shared: &[u8],
    matrix: &SharedMatrix,
    rows: usize,
    format: Format,
    transpose: bool,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    match (transpose, element_bytes(format)) {
        (false, _) => fetch_k_major(shared, matrix, rows, ROW, out)?,
        (true, 4) => {
            return Err(
                OperandError::Unsupported("an MN-major operand of 32-bit elements".into()).into(),
            );
        }
        (true, bytes) => fetch_mn_major(shared, matrix, rows, ROW / bytes, bytes, out)?,
    }
    Ok(())
}

/// The lane of a row of A in tensor memory, relative to the address.
pub(crate) fn a_lane(rows: usize, row: usize) -> usize {
    match rows {
        64 => row / 16 * 32 + row % 16,
        _ => row,
    }
}

/// The rows of A in tensor memory, eight columns each. 128 rows are in lanes 0 to 127; 64 rows lie like those of D: 16 in
/// each group of 32 lanes, the lower or the upper 16 as the address says. Compilers rely on the latter when they make D
/// of one product the A of the next in place; the PTX ISA does not say it **[?]**.
pub(super) fn tensor_rows(
    tensor: &TensorMemory,
    address: u32,
    rows: usize,
) -> Result<Vec<u8>, Error> {
    let (lane, column) = split(address);
    if lane != 0 && !(lane == 16 && rows == 64) {
        return Err(MmaError::TensorALane(lane).into());
    }
    let lane_of = |row: usize| lane as usize + a_lane(rows, row);
    tensor.check_columns(column, (ROW / 4) as u32)?;
    let words = (0..rows).flat_map(|row| &tensor.row(lane_of(row), column)[..ROW / 4]);
    Ok(words.flat_map(|word| word.to_le_bytes()).collect())
}

/// For every row the scales of its four groups of 16 (kinds mxf4 and mxf4nvf4).
pub(super) fn group_scales(
    tensor: &TensorMemory,
    source: ScaleSource,
    vector: ScaleVector,
    id: u32,
) -> Result<Vec<[u8; 4]>, Error> {
    let groups = |word: u32| match vector {
        ScaleVector::X4 => word.to_le_bytes(),
        // Two scales of two groups each; the id says which half word.
        _ => {
            let [first, second, ..] = (word >> (8 * id)).to_le_bytes();
            [first, first, second, second]
        }
    };
    Ok(tensor
        .scale_words(source)?
        .into_iter()
        .map(groups)
        .collect())
}

/// For every row the exponent of its one UE8M0 scale, none for NaN (kind mxf8f6f4).
pub(super) fn row_scales(
    tensor: &TensorMemory,
    source: ScaleSource,
    id: u32,
) -> Result<Vec<Option<i32>>, Error> {
    let words = tensor.scale_words(source)?.into_iter();
    let byte = |word: u32| word.to_le_bytes()[id as usize & 3];
    Ok(words
        .map(|word| scalar::scale(byte(word), ScaleFormat::Ue8m0).map(|(_, exponent)| exponent))
        .collect())
}
