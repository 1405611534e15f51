//! `tcgen05.cp`: shared memory to tensor memory (brief, 2.3).

use super::{LANES, TensorMemory, TensorMemoryError, split};
use crate::engine::Error;
use crate::engine::descriptor::SharedMatrix;
use crate::engine::operand::fetch_k_major;

/// `.shape` and `.multicast` of `tcgen05.cp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, non_camel_case_types)]
pub enum CopyShape {
    S128x256b,
    S4x256b,
    S128x128b,
    S64x128bWarpx2_02_13,
    S64x128bWarpx2_01_23,
    S32x128bWarpx4,
}

impl CopyShape {
    /// Source rows and their bytes.
    pub(crate) fn source(self) -> (usize, usize) {
        match self {
            CopyShape::S128x256b => (128, 32),
            CopyShape::S4x256b => (4, 32),
            CopyShape::S128x128b => (128, 16),
            CopyShape::S64x128bWarpx2_02_13 | CopyShape::S64x128bWarpx2_01_23 => (64, 16),
            CopyShape::S32x128bWarpx4 => (32, 16),
        }
    }

    /// The lanes, relative to the address, that receive a source row (layouts of CuTe's copy traits).
    pub(crate) fn lanes(self, row: usize) -> impl Iterator<Item = usize> {
        let (first, step, count) = match self {
            CopyShape::S128x256b | CopyShape::S128x128b => (row, LANES, 1),
            CopyShape::S4x256b => (32 * row, LANES, 1),
            CopyShape::S64x128bWarpx2_02_13 => (row, 64, 2),
            CopyShape::S64x128bWarpx2_01_23 => (row / 32 * 64 + row % 32, 32, 2),
            CopyShape::S32x128bWarpx4 => (row, 32, 4),
        };
        (first..).step_by(step).take(count)
    }

    /// The lanes from the first to the last one written.
    fn extent(self) -> u32 {
        if self == CopyShape::S4x256b {
            97
        } else {
            LANES as u32
        }
    }
}

/// Sixteen 4-bit elements and eight bytes of padding become a byte each, the element in its middle: where `tcgen05.mma`
/// looks for it (PTX ISA, 9.7.16.9.1.1; the bits as NVIDIA's CuTe DSL has them in its example of this copy).
fn expand(unit: &mut [u8]) {
    for i in (0..8).rev() {
        let byte = unit[i];
        (unit[2 * i], unit[2 * i + 1]) = ((byte & 0xF) << 2, (byte >> 4) << 2);
    }
}

impl TensorMemory {
    /// `tcgen05.cp` from one CTA's shared memory. With `.cta_group::2` call it once per CTA of the pair. `expands` is
    /// `.b8x16.b4x16_p64`.
    pub fn copy(
        &mut self,
        shape: CopyShape,
        address: u32,
        shared: &[u8],
        matrix: &SharedMatrix,
        expands: bool,
    ) -> Result<(), Error> {
        let (lane, column) = split(address);
        if lane + shape.extent() > LANES as u32 {
            return Err(TensorMemoryError::Lane {
                lane,
                lanes: shape.extent(),
            }
            .into());
        }
        let (rows, row_bytes) = shape.source();
        self.check_columns(column, row_bytes as u32 / 4)?;
        let mut bytes = Vec::new();
        fetch_k_major(shared, matrix, rows, row_bytes, &mut bytes)?;
        if expands {
            bytes.chunks_exact_mut(16).for_each(expand);
        }
        for (row, data) in bytes.chunks_exact(row_bytes).enumerate() {
            for target in shape.lanes(row) {
                self.write_words(lane as usize + target, column, data);
            }
        }
        Ok(())
    }

    fn write_words(&mut self, lane: usize, column: u32, bytes: &[u8]) {
        for (cell, word) in self
            .row_mut(lane, column)
            .iter_mut()
            .zip(bytes.chunks_exact(4))
        {
            *cell = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
        }
    }
}
