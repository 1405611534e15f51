//! What is wrong with a tensor map.

use std::fmt;

use super::ElementType;
use crate::engine::swizzle::Swizzle;

/// Why a tensor map is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum TensorMapError {
    Unsupported(String),
    ElementType(u32),
    Interleave(u32),
    SwizzleAtomicity(u32),
    Ordinal {
        ordinal: u32,
        limit: u32,
    },
    Rank(u64),
    InterleavedRank(usize),
    AddressAlignment {
        address: u64,
        alignment: u64,
    },
    DimSize {
        dim: usize,
        size: u64,
    },
    InnerDimMultiple {
        size: u64,
        multiple: u64,
    },
    StrideAlignment {
        dim: usize,
        stride: u64,
        alignment: u64,
    },
    StrideSize {
        dim: usize,
        stride: u64,
    },
    BoxSize {
        dim: usize,
        size: u32,
    },
    ElementStride {
        dim: usize,
        step: u32,
    },
    PaddedInnerBox(u32),
    InnerBoxMultiple {
        bytes: u32,
    },
    InnerBoxExceedsSwizzle {
        bytes: u32,
        swizzle: Swizzle,
    },
    InterleaveSwizzle(Swizzle),
    InterleavePacked(ElementType),
    NanFill(ElementType),
    Im2colRank(usize),
    Pixels(u32),
    Corners {
        dim: usize,
        lower: i32,
        upper: i32,
    },
}

impl fmt::Display for TensorMapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use TensorMapError as E;
        match self {
            E::Unsupported(what) => write!(f, "{what} is not implemented"),
            E::ElementType(value) => write!(f, "element type {value} does not exist"),
            E::Interleave(value) => write!(f, "interleave layout {value} does not exist"),
            E::SwizzleAtomicity(value) => write!(f, "swizzle atomicity {value} does not exist"),
            E::Ordinal { ordinal, limit } => write!(f, "ordinal {ordinal} is not below {limit}"),
            E::Rank(rank) => write!(f, "rank {rank} is not 1 to 5"),
            E::InterleavedRank(rank) => {
                write!(f, "an interleaved map needs rank 3 or more, not {rank}")
            }
            E::AddressAlignment { address, alignment } => {
                write!(
                    f,
                    "global address {address:#x} is not a multiple of {alignment}"
                )
            }
            E::DimSize { dim, size } => {
                write!(f, "size {size} of dimension {dim} is not 1 to 2^32")
            }
            E::InnerDimMultiple { size, multiple } => {
                write!(
                    f,
                    "size {size} of dimension 0 is not a multiple of {multiple}, which its element type needs"
                )
            }
            E::StrideAlignment {
                dim,
                stride,
                alignment,
            } => {
                write!(
                    f,
                    "stride {stride} of dimension {dim} is not a multiple of {alignment} bytes"
                )
            }
            E::StrideSize { dim, stride } => write!(
                f,
                "stride {stride} of dimension {dim} is not below 2^40 bytes"
            ),
            E::BoxSize { dim, size } => {
                write!(f, "box size {size} of dimension {dim} is not 1 to 256")
            }
            E::ElementStride { dim, step } => {
                write!(f, "element stride {step} of dimension {dim} is not 1 to 8")
            }
            E::PaddedInnerBox(size) => write!(
                f,
                "a padded element type needs box size 128 in dimension 0, not {size}"
            ),
            E::InnerBoxMultiple { bytes } => {
                write!(f, "inner box of {bytes} bytes is not a multiple of 16")
            }
            E::InnerBoxExceedsSwizzle { bytes, swizzle } => {
                write!(
                    f,
                    "inner box of {bytes} bytes exceeds the {}-byte span of its swizzle",
                    swizzle.span()
                )
            }
            E::InterleaveSwizzle(swizzle) => write!(
                f,
                "32-byte interleave needs the 32-byte swizzle, not {swizzle:?}"
            ),
            E::InterleavePacked(element) => write!(f, "{element:?} elements cannot be interleaved"),
            E::Im2colRank(rank) => write!(f, "im2col needs rank 3 or more, not {rank}"),
            E::Pixels(pixels) => write!(f, "{pixels} pixels per column are not 1 to 1024"),
            E::Corners { dim, lower, upper } => write!(
                f,
                "corners {lower} and {upper} of dimension {dim} are out of range, or leave nothing between them"
            ),
            E::NanFill(element) => write!(
                f,
                "NaN fill needs a floating-point element type, not {element:?}"
            ),
        }
    }
}
