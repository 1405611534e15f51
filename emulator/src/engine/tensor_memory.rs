//! Tensor memory of one CTA: 128 lanes x 512 columns of 32 bits, its allocation, and the shapes that reach it (brief, 2).

use std::fmt;

use super::descriptor::{CtaGroup, SharedMatrix};

/// Lanes of tensor memory.
pub const LANES: usize = 128;
/// Columns of tensor memory.
pub const COLUMNS: usize = 512;
/// What every cell holds before it is written: a NaN as f32 and as two f16.
pub const POISON: u32 = 0x7FFF_DEAD;

/// The tensor memory of one CTA.
#[derive(Clone, Debug)]
pub struct TensorMemory {}

/// `.shape` of `tcgen05.ld` and `tcgen05.st`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum AccessShape {
    S32x32b,
    S16x64b,
    S16x128b,
    S16x256b,
    /// The immediate is the column offset of the second half of the warp.
    S16x32bx2 {
        offset: u32,
    },
}

/// One `tcgen05.ld` or `tcgen05.st` of a warp.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Access {
    /// Shape.
    pub shape: AccessShape,
    /// N of `.xN`.
    pub repeat: u32,
    /// `.pack::16b` (ld) or `.unpack::16b` (st).
    pub packed: bool,
}

impl Access {
    /// Checks the shape; for text that says `.xN` and has a register list of some length.
    pub fn new(shape: AccessShape, repeat: u32, packed: bool) -> Result<Self, TensorMemoryError> {
        todo!("{shape:?}{repeat}{packed}")
    }
    /// Registers per thread.
    pub fn registers(&self) -> usize {
        todo!()
    }
}

/// `.shape` and `.multicast` of `tcgen05.cp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum CopyShape {
    S128x256b,
    S4x256b,
    S128x128b,
    S64x128bWarpx2_02_13,
    S64x128bWarpx2_01_23,
    S32x128bWarpx4,
}

/// `.dst_fmt.src_fmt` of `tcgen05.cp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Decompression {
    B8x16FromB4x16P64,
    B8x16FromB6x16P32,
}

impl TensorMemory {
    /// Poisoned, nothing allocated, the permit to allocate held.
    pub fn new() -> Self {
        todo!()
    }
    /// `tcgen05.alloc`: the tensor address (lane 0), or none when the columns are taken and the instruction blocks.
    pub fn allocate(&mut self, columns: u32) -> Result<Option<u32>, TensorMemoryError> {
        todo!("{columns}")
    }
    /// `tcgen05.dealloc` of exactly what one allocation returned.
    pub fn deallocate(&mut self, address: u32, columns: u32) -> Result<(), TensorMemoryError> {
        todo!("{address}{columns}")
    }
    /// `tcgen05.relinquish_alloc_permit`.
    pub fn relinquish(&mut self) {
        todo!()
    }
    /// Allocations still held, as (first column, columns): must be empty when the CTA exits.
    pub fn allocations(&self) -> &[(u32, u32)] {
        todo!()
    }
    /// `tcgen05.ld` by warp `warp` (its index in the CTA; only `warp % 4` matters). `out[i * 32 + t]` is register i of thread t.
    pub fn load(
        &self,
        access: &Access,
        address: u32,
        warp: u32,
        out: &mut [u32],
    ) -> Result<(), TensorMemoryError> {
        todo!("{access:?}{address}{warp}{out:?}")
    }
    /// `tcgen05.st`, the inverse of [`TensorMemory::load`].
    pub fn store(
        &mut self,
        access: &Access,
        address: u32,
        warp: u32,
        registers: &[u32],
    ) -> Result<(), TensorMemoryError> {
        todo!("{access:?}{address}{warp}{registers:?}")
    }
    /// `tcgen05.cp` from one CTA's shared memory. With `.cta_group::2` call it once per CTA of the pair.
    pub fn copy(
        &mut self,
        shape: CopyShape,
        decompression: Option<Decompression>,
        address: u32,
        shared: &[u8],
        matrix: &SharedMatrix,
    ) -> Result<(), super::Error> {
        todo!("{shape:?}{decompression:?}{address}{shared:?}{matrix:?}")
    }
    /// `tcgen05.shift.down`: see the PTX ISA. With `.cta_group::2` call it once per CTA of the pair.
    pub fn shift_down(&mut self, address: u32) -> Result<(), TensorMemoryError> {
        todo!("{address}")
    }
    /// One cell, without checks of allocation (for debuggers and tests); none outside 128 x 512.
    pub fn cell(&self, lane: usize, column: usize) -> Option<u32> {
        todo!("{lane}{column}")
    }
}

/// Where element (m, n) of D lives: (CTA of the pair, lane, column offset) (brief, 2.1). `m_total` and `n_total` are those of the pair.
pub fn accumulator_cell(
    group: CtaGroup,
    m_total: usize,
    n_total: usize,
    m: usize,
    n: usize,
) -> (usize, usize, usize) {
    todo!("{group:?}{m_total}{n_total}{m}{n}")
}

/// Why an access to tensor memory is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TensorMemoryError {
    /// Not implemented.
    Unsupported(String),
}

impl fmt::Display for TensorMemoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}
