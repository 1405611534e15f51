//! `wgmma.mma_async` (sm_90a): 64 x N x K with D in registers (brief, 5.1).

use super::super::Error;
use super::super::descriptor::{Accumulator, Format};

/// The qualifiers and immediates of one `wgmma.mma_async`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wgmma {
    /// N: 8 to 256, multiple of 8.
    pub n: usize,
    /// Element format of A.
    pub a: Format,
    /// Element format of B.
    pub b: Format,
    /// Format of D (S32 is not here).
    pub d: Accumulator,
    /// scale-d predicate: false gives D = A*B.
    pub accumulate: bool,
    /// imm-scale-a is -1.
    pub negate_a: bool,
    /// imm-scale-b is -1.
    pub negate_b: bool,
    /// imm-trans-a (descriptor form only).
    pub transpose_a: bool,
    /// imm-trans-b.
    pub transpose_b: bool,
}

/// Where `wgmma.mma_async` finds A.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AOperand<'a> {
    /// A shared-memory matrix descriptor.
    Shared(u64),
    /// Register r (0 to 3) of lane t of warp w at `[(w * 32 + t) * 4 + r]`: 512 registers.
    Registers(&'a [u32]),
}

impl Wgmma {
    /// Registers of D per thread.
    pub fn d_registers(&self) -> usize {
        match self.d {
            Accumulator::F16 => self.n / 4,
            _ => self.n / 2,
        }
    }
    /// Computes the whole operation. `d[(w * 32 + t) * d_registers + i]` is register i of lane t of warp w of the warpgroup.
    pub fn execute(
        &self,
        a: AOperand<'_>,
        b: u64,
        shared: &[u8],
        d: &mut [u32],
    ) -> Result<(), Error> {
        todo!("{a:?}{b}{shared:?}{d:?}")
    }
}
