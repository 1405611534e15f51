//! `tcgen05.ld` and `tcgen05.st`: which cell each register of each thread is (brief, 2.5).

use super::{LANES, TensorMemory, TensorMemoryError, split};

/// Threads of a warp.
const THREADS: usize = 32;

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

impl AccessShape {
    /// Registers of `.x1`.
    fn registers(self) -> u32 {
        match self {
            AccessShape::S16x128b => 2,
            AccessShape::S16x256b => 4,
            _ => 1,
        }
    }

    /// Columns of `.x1` (for 16x32bx2: of each half).
    fn columns(self) -> u32 {
        match self {
            AccessShape::S32x32b | AccessShape::S16x32bx2 { .. } => 1,
            AccessShape::S16x64b => 2,
            AccessShape::S16x128b => 4,
            AccessShape::S16x256b => 8,
        }
    }

    pub(crate) fn lanes(self) -> u32 {
        if self == AccessShape::S32x32b { 32 } else { 16 }
    }

    /// (lane, column) of register i of thread t, relative to the address.
    fn cell(self, i: usize, t: usize) -> (usize, usize) {
        match self {
            AccessShape::S32x32b => (t, i),
            AccessShape::S16x64b => (t / 4 + 8 * (t & 1), 2 * i + (t >> 1 & 1)),
            AccessShape::S16x128b => (t / 4 + 8 * (i & 1), 4 * (i >> 1) + t % 4),
            AccessShape::S16x256b => (
                t / 4 + 8 * (i >> 1 & 1),
                8 * (i >> 2) + 2 * (t % 4) + (i & 1),
            ),
            AccessShape::S16x32bx2 { .. } => (t % 16, i),
        }
    }
}

/// One `tcgen05.ld` or `tcgen05.st` of a warp.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Access {
    /// Shape.
    pub shape: AccessShape,
    /// N of `.xN`.
    pub repeat: u32,
    /// `.pack::16b` (ld) or `.unpack::16b` (st): each register holds the low halves of two neighbouring columns.
    pub packed: bool,
}

impl Access {
    /// Checks that the shape exists with `.x<repeat>`.
    pub fn new(shape: AccessShape, repeat: u32, packed: bool) -> Result<Self, TensorMemoryError> {
        if !repeat.is_power_of_two() || repeat * shape.registers() > 128 {
            return Err(TensorMemoryError::Repeat { shape, repeat });
        }
        Ok(Access {
            shape,
            repeat,
            packed,
        })
    }

    /// Registers per thread.
    pub fn registers(&self) -> usize {
        (self.repeat * self.shape.registers()) as usize
    }

    /// Physical columns from the address on (for 16x32bx2: of each half).
    pub(crate) fn columns(&self) -> u32 {
        self.repeat * self.shape.columns() * if self.packed { 2 } else { 1 }
    }

    /// (lane, column) of register i of thread t; with packing the first of its two columns.
    pub(crate) fn cell(&self, i: usize, t: usize) -> (usize, usize) {
        let (lane, column) = self.shape.cell(i, t);
        let physical = if self.packed { 2 * column } else { column };
        match self.shape {
            AccessShape::S16x32bx2 { offset } if t >= 16 => (lane, physical + offset as usize),
            _ => (lane, physical),
        }
    }

    /// The checked base lane and column.
    fn base(
        &self,
        memory: &TensorMemory,
        address: u32,
        warp: u32,
        registers: usize,
    ) -> Result<(usize, u32), TensorMemoryError> {
        let needed = self.registers() * THREADS;
        if registers != needed {
            return Err(TensorMemoryError::RegisterCount {
                given: registers,
                needed,
            });
        }
        let (lane, column) = split(address);
        let first = warp % 4 * 32;
        if lane < first || lane + self.shape.lanes() > first + 32 {
            return Err(TensorMemoryError::WarpLanes { warp, lane });
        }
        if lane % self.shape.lanes() != 0 {
            return Err(TensorMemoryError::LaneAlignment {
                lane,
                alignment: self.shape.lanes(),
            });
        }
        memory.check_columns(column, self.columns())?;
        if let AccessShape::S16x32bx2 { offset } = self.shape {
            memory.check_columns(column.saturating_add(offset), self.columns())?;
        }
        debug_assert!((lane as usize) < LANES);
        Ok((lane as usize, column))
    }
}

impl TensorMemory {
    /// Whether a warp may access these lanes and columns.
    pub fn check_access(
        &self,
        access: &Access,
        address: u32,
        warp: u32,
    ) -> Result<(), TensorMemoryError> {
        access
            .base(self, address, warp, access.registers() * THREADS)
            .map(|_| ())
    }

    /// `tcgen05.ld` by warp `warp` (its index in the CTA; only `warp % 4` matters). `out[i * 32 + t]` is register i of
    /// thread t; its length is 32 times [`Access::registers`].
    pub fn load(
        &self,
        access: &Access,
        address: u32,
        warp: u32,
        out: &mut [u32],
    ) -> Result<(), TensorMemoryError> {
        let (lane, column) = access.base(self, address, warp, out.len())?;
        for (index, register) in out.iter_mut().enumerate() {
            let (l, c) = access.cell(index / THREADS, index % THREADS);
            let row = self.row(lane + l, column);
            *register = if access.packed {
                row[c] & 0xFFFF | row[c + 1] << 16
            } else {
                row[c]
            };
        }
        Ok(())
    }

    /// `tcgen05.st`, the inverse of [`TensorMemory::load`]. Unpacking clears the high halves of the cells.
    pub fn store(
        &mut self,
        access: &Access,
        address: u32,
        warp: u32,
        registers: &[u32],
    ) -> Result<(), TensorMemoryError> {
        let (lane, column) = access.base(self, address, warp, registers.len())?;
        for (index, &register) in registers.iter().enumerate() {
            let (l, c) = access.cell(index / THREADS, index % THREADS);
            let row = self.row_mut(lane + l, column);
            if access.packed {
                (row[c], row[c + 1]) = (register & 0xFFFF, register >> 16);
            } else {
                row[c] = register;
            }
        }
        Ok(())
    }
}
