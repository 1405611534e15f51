//! Reads operand tiles out of shared memory through a matrix descriptor (brief, 1.5).

use std::fmt;

use super::descriptor::SharedMatrix;

/// Appends `rows` rows of `row_bytes` bytes of a K-major operand to `out`, row after row.
pub fn fetch_k_major(
    shared: &[u8],
    matrix: &SharedMatrix,
    rows: usize,
    row_bytes: usize,
    out: &mut Vec<u8>,
) -> Result<(), OperandError> {
    todo!("{shared:?}{matrix:?}{rows}{row_bytes}{out:?}")
}

/// Appends an MN-major operand of `rows` x `k` elements of `element_bytes` (1 or 2) to `out`, transposed to K-major rows.
pub fn fetch_mn_major(
    shared: &[u8],
    matrix: &SharedMatrix,
    rows: usize,
    k: usize,
    element_bytes: usize,
    out: &mut Vec<u8>,
) -> Result<(), OperandError> {
    todo!("{shared:?}{matrix:?}{rows}{k}{element_bytes}{out:?}")
}

/// Why an operand cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OperandError {
    /// Not implemented.
    Unsupported(String),
}

impl fmt::Display for OperandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}
