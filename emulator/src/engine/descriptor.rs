//! Shared-memory matrix descriptors (sm_100 and sm_90) and instruction descriptors (brief, 1.3, 1.4, 5.1).

use std::fmt;

use super::swizzle::Swizzle;

/// `.cta_group::1` or `.cta_group::2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum CtaGroup {
    One,
    Two,
}

/// `.kind` of `tcgen05.mma`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Kind {
    F16,
    Tf32,
    F8f6f4,
    I8,
    Mxf8f6f4,
    Mxf4,
    Mxf4nvf4,
}

/// Scale factors per row and MMA: `.scale_vec::1X/2X/4X` (`.block16` is `X4`; `.block32` is `X1` for mxf8f6f4, else `X2`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum ScaleVector {
    X1,
    X2,
    X4,
}

/// A decoded shared-memory matrix descriptor. All sizes in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharedMatrix {
    /// Shared address of the first byte.
    pub start: u32,
    /// Leading dimension byte offset.
    pub leading: u32,
    /// Stride dimension byte offset.
    pub stride: u32,
    /// Swizzle.
    pub swizzle: Swizzle,
}

impl SharedMatrix {
    /// Decodes and checks a tcgen05 descriptor.
    pub fn decode_sm100(bits: u64) -> Result<Self, DescriptorError> {
        todo!("{bits}")
    }
    /// Decodes and checks a wgmma descriptor.
    pub fn decode_sm90(bits: u64) -> Result<Self, DescriptorError> {
        todo!("{bits}")
    }
}

/// Element format of A or B.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Format {
    F16,
    Bf16,
    Tf32,
    E4m3,
    E5m2,
    E2m3,
    E3m2,
    E2m1,
    U8,
    S8,
}

/// Format of D.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Accumulator {
    F16,
    F32,
    S32,
}

/// Format of scale factors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum ScaleFormat {
    Ue4m3,
    Ue8m0,
}

/// A decoded instruction descriptor: what one `tcgen05.mma` computes. M and N are those of the CTA pair for `CtaGroup::Two`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Instruction {
    pub kind: Kind,
    pub group: CtaGroup,
    pub m: usize,
    pub n: usize,
    pub k: usize,
    pub a: Format,
    pub b: Format,
    pub d: Accumulator,
    pub negate_a: bool,
    pub negate_b: bool,
    /// A is MN-major.
    pub transpose_a: bool,
    /// B is MN-major.
    pub transpose_b: bool,
    /// i8 only: saturate.
    pub saturate: bool,
    /// Block-scaled kinds only.
    pub scales: Option<Scales>,
}

/// The scale part of a block-scaled instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Scales {
    pub format: ScaleFormat,
    pub vector: ScaleVector,
    /// Which byte (1X) or half word (2X: 0 or 2) of a scale word of A is used.
    pub a_id: u32,
    /// The same for B.
    pub b_id: u32,
}

impl Instruction {
    /// Decodes and checks the 32 bits. `vector` is given for block-scaled kinds and only for those.
    pub fn decode(
        bits: u32,
        kind: Kind,
        group: CtaGroup,
        vector: Option<ScaleVector>,
    ) -> Result<Self, DescriptorError> {
        todo!("{bits}{kind:?}{group:?}{vector:?}")
    }
}

/// Why a descriptor is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DescriptorError {
    /// Not implemented.
    Unsupported(String),
}

impl fmt::Display for DescriptorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}
