//! Why a descriptor is refused.

use std::fmt;

use super::{CtaGroup, Format, Kind, ScaleFormat, ScaleVector};
use crate::engine::swizzle::Swizzle;

/// Why a descriptor is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum DescriptorError {
    Unsupported(String),
    Constant(u32),
    Reserved {
        bit: u32,
        /// Of a matrix descriptor.
        matrix: bool,
    },
    /// Legal on sm_103a, which has it and the engine has not.
    OnlySm103 {
        what: &'static str,
        matrix: bool,
    },
    Sparse,
    SwizzleCode(u32),
    BaseOffset(u32),
    PatternAlignment {
        start: u32,
        swizzle: Swizzle,
    },
    ElementFormat {
        kind: Kind,
        code: u32,
    },
    AccumulatorFormat {
        kind: Kind,
        code: u32,
    },
    Shape {
        kind: Kind,
        group: CtaGroup,
        m: usize,
        n: usize,
    },
    /// Of the columns of B, by the mask descriptor of `.ws`.
    ColumnShift {
        shift: usize,
        limit: usize,
    },
    TransposePacked {
        a: Format,
        b: Format,
    },
    ScaleVector {
        kind: Kind,
        vector: Option<ScaleVector>,
    },
    ScaleFormat {
        kind: Kind,
        format: ScaleFormat,
    },
    ScaleId {
        vector: ScaleVector,
        id: u32,
    },
}

impl DescriptorError {
    /// Whether it is about the 64-bit matrix descriptor, rather than the 32-bit instruction descriptor.
    pub fn is_of_matrix(&self) -> bool {
        match self {
            DescriptorError::Reserved { matrix, .. }
            | DescriptorError::OnlySm103 { matrix, .. } => *matrix,
            DescriptorError::Constant(_)
            | DescriptorError::SwizzleCode(_)
            | DescriptorError::BaseOffset(_)
            | DescriptorError::PatternAlignment { .. } => true,
            _ => false,
        }
    }

    pub(super) fn of_instruction(mut self) -> Self {
        if let DescriptorError::Reserved { matrix, .. } = &mut self {
            *matrix = false;
        }
        self
    }
}

impl fmt::Display for DescriptorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use DescriptorError as E;
        match self {
            E::Unsupported(what) => write!(f, "{what} is not implemented"),
            E::Constant(value) => write!(
                f,
                "bits 46-48 of a matrix descriptor are {value:#05b} where sm_100 needs 0b001"
            ),
            E::Reserved { bit, matrix } => {
                let which = if *matrix {
                    "a matrix"
                } else {
                    "an instruction"
                };
                write!(f, "reserved bit {bit} of {which} descriptor is set")
            }
            E::OnlySm103 { what, .. } => write!(f, "{what} exists on sm_103a only"),
            E::Sparse => write!(f, "the sparsity bit belongs to tcgen05.mma.sp"),
            E::SwizzleCode(code) => write!(
                f,
                "swizzle code {code} does not exist (sm_100: 0, 1, 2, 4, 6)"
            ),
            E::BaseOffset(value) => write!(
                f,
                "base offset {value}: the swizzle pattern must start on its boundary"
            ),
            E::PatternAlignment { start, swizzle } => {
                write!(
                    f,
                    "start address {start:#x} is not in the first row of a {swizzle:?} swizzle pattern "
                )?;
                write!(f, "(align the tile to {} bytes)", swizzle.period())
            }
            E::ElementFormat { kind, code } => {
                write!(f, "element format {code} does not exist in kind {kind:?}")
            }
            E::AccumulatorFormat { kind, code } => {
                write!(f, "D format {code} does not exist in kind {kind:?}")
            }
            E::Shape { kind, group, m, n } => write!(
                f,
                "no M = {m}, N = {n} in kind {kind:?}, CTA group {group:?}"
            ),
            E::ColumnShift { shift, limit } => write!(
                f,
                "the columns of B are shifted by {shift}, where M and the instruction descriptor allow {limit}"
            ),
            E::TransposePacked { a, b } => write!(
                f,
                "MN-major needs 8-bit or wider formats, A is {a:?} and B {b:?}"
            ),
            E::ScaleVector { kind, vector: None } => {
                write!(f, "kind {kind:?} needs a scale vector size")
            }
            E::ScaleVector {
                kind,
                vector: Some(vector),
            } => write!(f, "kind {kind:?} has no scale vector {vector:?}"),
            E::ScaleFormat { kind, format } => {
                write!(
                    f,
                    "kind {kind:?} does not take {format:?} scales with this vector size"
                )
            }
            E::ScaleId { vector, id } => {
                write!(f, "scale id {id} is illegal with scale vector {vector:?}")
            }
        }
    }
}
