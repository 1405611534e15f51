//! Rules of instructions and of mbarriers that a kernel can break, with the name of each.

use crate::engine::Error;
use crate::engine::descriptor::DescriptorError;
use crate::engine::mma::MmaError;
use crate::engine::operand::OperandError;
use crate::engine::tensor_memory::TensorMemoryError;
use crate::engine::tma::TmaError;

/// What an operation of the tensor core or of a copy unit does not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// A bit pattern that the 64-bit matrix descriptor forbids.
    MatrixDescriptor,
    /// A bit pattern that the 32-bit instruction descriptor forbids.
    InstructionDescriptor,
    /// A swizzle pattern that does not start on its natural boundary.
    SwizzleAlignment,
    /// The copies of scale factors in tensor memory differ.
    ScaleCopies,
    /// A tensor map that the driver would not have made.
    TensorMap,
    /// Columns of tensor memory that this CTA does not own.
    TensorMemoryUnallocated,
    /// Lanes of tensor memory that do not belong to the warp, or do not fit the shape.
    TensorMemoryLanes,
    /// `tcgen05.alloc`, `dealloc` or `relinquish_alloc_permit` against their rules.
    TensorMemoryAllocation,
    /// A part of an operand lies outside of shared memory or of the tensor.
    Bounds,
    /// A place or a size that is no multiple of what the operation needs.
    Alignment,
    /// Any other operand that the operation forbids.
    Operand,
}

impl Rule {
    /// The stable name of the fault.
    pub fn name(self) -> &'static str {
        match self {
            Rule::MatrixDescriptor => "illegal-matrix-descriptor",
            Rule::InstructionDescriptor => "illegal-instruction-descriptor",
            Rule::SwizzleAlignment => "swizzle-alignment",
            Rule::ScaleCopies => "unequal-scale-copies",
            Rule::TensorMap => "illegal-tensor-map",
            Rule::TensorMemoryUnallocated => "tensor-memory-unallocated",
            Rule::TensorMemoryLanes => "tensor-memory-lanes",
            Rule::TensorMemoryAllocation => "tensor-memory-allocation",
            Rule::Bounds => "out-of-bounds",
            Rule::Alignment => "misaligned",
            Rule::Operand => "illegal-operand",
        }
    }

    /// The rule behind a refusal of the engine.
    pub(crate) fn of(error: &Error) -> Rule {
        match error {
            Error::TensorMap(_) => Rule::TensorMap,
            Error::Tma(e) => match e {
                TmaError::SharedAlignment(_) | TmaError::InnerBox(_) => Rule::Alignment,
                TmaError::SharedBounds { .. }
                | TmaError::NegativeStoreCoordinate { .. }
                | TmaError::OutsideBoundingBox { .. } => Rule::Bounds,
                _ => Rule::Operand,
            },
            Error::Descriptor(e) => match e {
                DescriptorError::PatternAlignment { .. } => Rule::SwizzleAlignment,
                e if e.is_of_matrix() => Rule::MatrixDescriptor,
                _ => Rule::InstructionDescriptor,
            },
            Error::Operand(e) => match e {
                OperandError::Bounds { .. } => Rule::Bounds,
                _ => Rule::MatrixDescriptor,
            },
            Error::TensorMemory(e) => Rule::of_tensor_memory(e),
            Error::Mma(e) => match e {
                MmaError::AccumulatorLane(_) | MmaError::TensorALane(_) => Rule::TensorMemoryLanes,
                _ => Rule::Operand,
            },
        }
    }

    fn of_tensor_memory(error: &TensorMemoryError) -> Rule {
        use TensorMemoryError as E;
        match error {
            E::AllocationAfterRelinquish
            | E::GrowingAllocation { .. }
            | E::NotAllocatedLikeThis { .. } => Rule::TensorMemoryAllocation,
            E::ColumnNotAllocated { .. } => Rule::TensorMemoryUnallocated,
            E::WarpLanes { .. } | E::Lane { .. } | E::LaneAlignment { .. } => {
                Rule::TensorMemoryLanes
            }
            E::ScaleCopiesDiffer { .. } => Rule::ScaleCopies,
            E::AllocationSize(_) | E::Repeat { .. } | E::RegisterCount { .. } => Rule::Operand,
        }
    }
}

/// What was done to an mbarrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misuse {
    /// Used where no barrier is initialised.
    Uninitialised,
    /// More arrivals than are pending.
    OverArrival,
    /// A transaction count outside of +-(2^20 - 1).
    TransactionOverflow,
    /// Used after `mbarrier.inval`, or invalidated while somebody waits.
    Invalidated,
    /// `mbarrier.init` of a live barrier.
    Reinitialised,
    /// Its bytes are overwritten.
    Overwritten,
    /// A phase went by unseen while somebody waited for it.
    PhaseMissed,
    /// An operand that the instruction forbids.
    Operand,
}

impl Misuse {
    /// The stable name of the fault.
    pub fn name(self) -> &'static str {
        match self {
            Misuse::Uninitialised => "mbarrier-uninitialised",
            Misuse::OverArrival => "mbarrier-over-arrival",
            Misuse::TransactionOverflow => "mbarrier-transaction-overflow",
            Misuse::Invalidated => "mbarrier-invalidated",
            Misuse::Reinitialised => "mbarrier-reinitialised",
            Misuse::Overwritten => "mbarrier-overwritten",
            Misuse::PhaseMissed => "mbarrier-phase-missed",
            Misuse::Operand => "illegal-operand",
        }
    }
}
