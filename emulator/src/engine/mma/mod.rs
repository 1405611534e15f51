//! Matrix multiplication: one whole `tcgen05.mma` or `wgmma.mma_async` at a time.

pub mod block_scaled;
pub mod format;
pub mod fused;
pub mod integer;
mod operands;
pub mod scalar;
mod tcgen05;
pub mod wgmma;

use std::fmt;

use super::Error;
use super::descriptor::{ColumnMask, CtaGroup, Format, Instruction, Kind, ScaleVector};
use super::tensor_memory::TensorMemory;

/// Where `tcgen05.mma` finds A.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AOperand {
    /// A shared-memory matrix descriptor.
    Shared(u64),
    /// A tensor address.
    Tensor(u32),
}

/// Scale operands of a block-scaled `tcgen05.mma`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScaleOperands {
    /// `.scale_vec`.
    pub vector: ScaleVector,
    /// Tensor address of SFA (bits 30-31 are ignored).
    pub a: u32,
    /// Tensor address of SFB.
    pub b: u32,
}

/// The operands of one `tcgen05.mma`, as the instruction has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mma {
    /// `.kind`.
    pub kind: Kind,
    /// `.cta_group`.
    pub group: CtaGroup,
    /// Tensor address of D.
    pub d: u32,
    /// A.
    pub a: AOperand,
    /// Shared-memory matrix descriptor of B.
    pub b: u64,
    /// Instruction descriptor.
    pub instruction: u32,
    /// For block-scaled kinds.
    pub scales: Option<ScaleOperands>,
    /// enable-input-d.
    pub accumulate: bool,
    /// disable-output-lane: bit l of the mask keeps lane l of D as it is (four words per CTA of the group).
    pub disabled_lanes: [u32; 8],
    /// scale-input-d: D is multiplied by 2^-this first (kinds f16 and tf32, 0 to 15).
    pub scale_input_d: u32,
    /// `.ws`: the zero-column mask descriptor, 0 if there is none.
    pub stationary: Option<u64>,
}

/// The memories of one CTA that takes part.
#[derive(Debug)]
pub struct Cta<'a> {
    /// Its shared window.
    pub shared: &'a [u8],
    /// Its tensor memory.
    pub tensor: &'a mut TensorMemory,
}

impl Mma {
    /// The decoded instruction descriptor, checked.
    pub fn decode(&self) -> Result<Instruction, Error> {
        if self.stationary.is_some() {
            return Ok(Instruction::decode_stationary(self.instruction, self.kind)?);
        }
        Ok(Instruction::decode(
            self.instruction,
            self.kind,
            self.group,
            self.scales.map(|s| s.vector),
        )?)
    }

    /// The row of B behind each column of D, counted over the CTAs that hold B; none where zeros take its place.
    pub(crate) fn rows_of_b(&self, instruction: &Instruction) -> Result<Vec<Option<usize>>, Error> {
        let columns = 0..instruction.n;
        Ok(match self.stationary {
            Some(bits) if bits != 0 => {
                let mask = ColumnMask::decode(bits, instruction, self.instruction)?;
                columns.map(|n| mask.source(n)).collect()
            }
            _ => columns.map(Some).collect(),
        })
    }

    /// What makes this operation impossible here, if a look at its instruction descriptor tells.
    pub(crate) fn unsupported(
        instruction: u32,
        kind: Kind,
        group: CtaGroup,
        vector: Option<ScaleVector>,
        a_is_in_tensor_memory: bool,
        stationary: bool,
    ) -> Option<&'static str> {
        // What no tensor core takes is a fault, where it is reached.
        let instruction = match stationary {
            true => Instruction::decode_stationary(instruction, kind).ok()?,
            false => Instruction::decode(instruction, kind, group, vector).ok()?,
        };
        tcgen05::unsupported(&instruction, a_is_in_tensor_memory)
    }

    /// Computes the whole operation. `ctas` holds one CTA, or for `CtaGroup::Two` the pair with the even rank first.
    /// When an operand is refused no D is written.
    pub fn execute(&self, ctas: &mut [Cta<'_>]) -> Result<(), Error> {
        tcgen05::execute(self, ctas)
    }
}

/// Why a multiplication is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum MmaError {
    Unsupported(String),
    CtaCount { given: usize, group: CtaGroup },
    AccumulatorLane(u32),
    TensorALane(u32),
    TransposeTensorA,
    ScaleInputD { kind: Kind, value: u32 },
    DisabledLanes(Kind),
    WgmmaShape { n: usize },
    WgmmaFormats { a: Format, b: Format },
    RegisterCount { given: usize, needed: usize },
}

impl fmt::Display for MmaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MmaError::Unsupported(what) => write!(f, "{what} is not implemented"),
            MmaError::CtaCount { given, group } => {
                write!(f, "{given} CTAs given for CTA group {group:?}")
            }
            MmaError::AccumulatorLane(lane) => {
                write!(f, "D at lane {lane}: must be 0 (or 16 for M = 64)")
            }
            MmaError::TensorALane(lane) => {
                write!(f, "A in tensor memory at lane {lane}: must be 0")
            }
            MmaError::TransposeTensorA => write!(f, "A in tensor memory cannot be transposed"),
            MmaError::ScaleInputD { kind, value } => {
                write!(
                    f,
                    "scale-input-d {value} with kind {kind:?}: only kinds f16 and tf32 have it, 0 to 15"
                )
            }
            MmaError::DisabledLanes(kind) => write!(f, "kind {kind:?} has no disable-output-lane"),
            MmaError::WgmmaShape { n } => write!(f, "N = {n} is not a multiple of 8 from 8 to 256"),
            MmaError::WgmmaFormats { a, b } => {
                write!(f, "wgmma does not multiply {a:?} by {b:?} into this D")
            }
            MmaError::RegisterCount { given, needed } => {
                write!(f, "{given} registers where {needed} are needed")
            }
        }
    }
}

#[cfg(test)]
mod tests;
