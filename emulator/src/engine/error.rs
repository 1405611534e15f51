//! The one error type of the engine: which concept refused, and why.

use std::fmt;

use super::descriptor::DescriptorError;
use super::mma::MmaError;
use super::operand::OperandError;
use super::tensor_map::TensorMapError;
use super::tensor_memory::TensorMemoryError;
use super::tma::TmaError;

/// Why an operation of the engine was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// A tensor map that the driver, or the TMA unit, would not take.
    TensorMap(TensorMapError),
    /// A tensor copy that is illegal or unsupported.
    Tma(TmaError),
    /// A matrix or instruction descriptor that is illegal.
    Descriptor(DescriptorError),
    /// An operand tile that cannot be read.
    Operand(OperandError),
    /// An illegal allocation of, or access to, tensor memory.
    TensorMemory(TensorMemoryError),
    /// A matrix multiplication whose operands do not fit together.
    Mma(MmaError),
}

impl Error {
    /// True when the engine lacks the feature; false when the kernel is wrong.
    pub fn is_unsupported(&self) -> bool {
        match self {
            Error::TensorMap(e) => matches!(e, TensorMapError::Unsupported(_)),
            Error::Tma(e) => matches!(e, TmaError::Unsupported(_)),
            Error::Descriptor(e) => matches!(e, DescriptorError::Unsupported(_)),
            Error::Operand(e) => matches!(e, OperandError::Unsupported(_)),
            Error::TensorMemory(_) => false,
            Error::Mma(e) => matches!(e, MmaError::Unsupported(_)),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::TensorMap(e) => write!(f, "tensor map: {e}"),
            Error::Tma(e) => write!(f, "tensor copy: {e}"),
            Error::Descriptor(e) => write!(f, "descriptor: {e}"),
            Error::Operand(e) => write!(f, "operand: {e}"),
            Error::TensorMemory(e) => write!(f, "tensor memory: {e}"),
            Error::Mma(e) => write!(f, "mma: {e}"),
        }
    }
}

impl std::error::Error for Error {}

macro_rules! wrap {
    ($($variant:ident($inner:ty)),* $(,)?) => {$(
        impl From<$inner> for Error {
            fn from(e: $inner) -> Self {
                Error::$variant(e)
            }
        }
        impl std::error::Error for $inner {}
    )*};
}

wrap!(
    TensorMap(TensorMapError),
    Tma(TmaError),
    Descriptor(DescriptorError),
    Operand(OperandError),
    TensorMemory(TensorMemoryError),
    Mma(MmaError),
);
