//! Gathers the rows of A, B and the scale factors of a `tcgen05.mma` as plain byte rows of 32.

use super::super::Error;
use super::super::descriptor::{Format, ScaleFormat, ScaleVector, SharedMatrix};
use super::super::operand::{fetch_k_major, fetch_mn_major};
use super::super::tensor_memory::{LANES, ScaleSource, TensorMemory, split};
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
        (true, bytes) => fetch_mn_major(shared, matrix, rows, ROW / bytes, bytes, out)?,
    }
    Ok(())
}

/// The rows of A in tensor memory, eight columns each: `count` lanes from the address on. With M = 64 the blocks of D
/// use 16 of each 32, the lower or the upper ones as the address says. Compilers rely on that when they make D of one
/// product the A of the next in place; the PTX ISA does not say it **[?]**.
pub(super) fn tensor_rows(
    tensor: &TensorMemory,
    address: u32,
    count: usize,
) -> Result<Vec<u8>, Error> {
    let (lane, column) = split(address);
    if lane != 0 && !(lane == 16 && count <= LANES - 16) {
        return Err(MmaError::TensorALane(lane).into());
    }
    tensor.check_columns(column, (ROW / 4) as u32)?;
    let lanes = lane as usize..lane as usize + count;
    let words = lanes.flat_map(|lane| &tensor.row(lane, column)[..ROW / 4]);
    Ok(words.flat_map(|word| word.to_le_bytes()).collect())
}

/// Where a byte holds 4 bits, they are in its middle in tensor memory (PTX ISA, 9.7.16.10.4.3), while rows have 16 of them
/// at the start of each 16 bytes, as in shared memory.
pub(super) fn pack_containers(rows: &mut [u8]) {
    for unit in rows.chunks_exact_mut(16) {
        for i in 0..8 {
            unit[i] = unit[2 * i] >> 2 & 0xF | (unit[2 * i + 1] >> 2 & 0xF) << 4;
        }
    }
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
