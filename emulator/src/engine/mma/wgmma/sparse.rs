//! `wgmma.mma_async.sp` (PTX ISA, 9.7.15.6): each row of A meets the units of B's rows that its metadata name.

use super::super::super::Error;
use super::super::super::descriptor::SharedMatrix;
use super::super::super::operand::{OperandError, fetch_k_major, fetch_mn_major};
use super::super::super::swizzle::Swizzle;
use super::super::format::element_bytes;
use super::{AOperand, ROW, Wgmma};

/// Rows of a warp.
const ROWS: usize = 16;

impl Wgmma {
    /// Computes the rows of a warp; the other rows of D stay as they are. `meet` turns the rows of B into those that one of
    /// the 16 rows meets, of 32 bytes each.
    pub fn execute_sparse(
        &self,
        a: AOperand<'_>,
        b: u64,
        shared: &[u8],
        warp: usize,
        meet: impl Fn(usize, &[u8]) -> Vec<u8>,
        d: &mut [u32],
    ) -> Result<(), Error> {
        self.check(d.len())?;
        let rows_a = self.gather_a(a, shared)?;
        let rows_b = self.long_rows(b, shared)?;
        let mut matrix = self.matrix(d);
        for row in 0..ROWS {
            let at = ROWS * warp + row;
            let cells = &mut matrix[at * self.n..][..self.n];
            self.multiply(&rows_a[at * ROW..][..ROW], &meet(row, &rows_b), cells);
        }
        self.scatter(&matrix, d);
        Ok(())
    }

    /// Rows of B with twice the elements of a row that is stored of A.
    fn long_rows(&self, b: u64, shared: &[u8]) -> Result<Vec<u8>, Error> {
        let matrix = SharedMatrix::decode_sm90(b)?;
        let (bytes, mut rows) = (element_bytes(self.b), Vec::new());
        let length = self.row_of_b();
        if self.transpose_b {
            fetch_mn_major(shared, &matrix, self.n, length / bytes, bytes, &mut rows)?;
            return Ok(rows);
        }
        // Which atom follows along K is not told for rows longer than the span.
        if matrix.swizzle == Swizzle::B32 {
            let what = "a row of 64 bytes in the 32-byte swizzle".into();
            return Err(OperandError::Unsupported(what).into());
        }
        fetch_k_major(shared, &matrix, self.n, length, &mut rows)?;
        Ok(rows)
    }
}
