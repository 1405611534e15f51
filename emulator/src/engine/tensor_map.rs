//! Tensor maps: the arguments of `cuTensorMapEncodeTiled`, the driver's checks of them, and the 128 opaque bytes.

use std::fmt;

use super::swizzle::Swizzle;

/// The 128 bytes of a `CUtensorMap`.
pub type Bytes = [u8; 128];

/// Element type of a tensor map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum ElementType {
    U8,
    U16,
    U32,
    S32,
    U64,
    S64,
    F16,
    F32,
    F32Ftz,
    F64,
    Bf16,
    Tf32,
    Tf32Ftz,
    /// 16 four-bit values in 8 bytes, packed in shared memory as well (`16U4_ALIGN8B`, `.b4x16`).
    B4x16,
    /// 16 four-bit values in 8 bytes, followed by 8 bytes of padding in shared memory (`16U4_ALIGN16B`, `.b4x16_p64`).
    B4x16P64,
    /// 16 six-bit values in 12 bytes, padded to 16 in shared memory (`16U6_ALIGN16B`, `.b6x16_p32`).
    B6x16P32,
}

impl ElementType {
    /// From the driver's `CUtensorMapDataType`.
    pub fn from_driver(value: u32) -> Result<Self, TensorMapError> {
        todo!("{value}")
    }
    /// From the number that PTX `tensormap.replace.elemtype` takes.
    pub fn from_ptx(value: u32) -> Result<Self, TensorMapError> {
        todo!("{value}")
    }
    /// Bits per element in global memory.
    pub fn bits(self) -> u32 {
        todo!()
    }
}

/// Interleaved layouts (`CUtensorMapInterleave`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Interleave {
    #[default]
    None,
    B16,
    B32,
}

/// What out-of-bounds elements become (`CUtensorMapFloatOOBfill`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Fill {
    #[default]
    Zero,
    Nan,
}

/// Granularity of L2 promotion (`CUtensorMapL2promotion`). No effect on results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum L2Promotion {
    #[default]
    None,
    B64,
    B128,
    B256,
}

/// A tiled tensor map. Dimension 0 is the innermost; entries from `rank` on are 1 (strides: 0).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorMap {
    /// Global address of element 0.
    pub address: u64,
    /// 1 to 5.
    pub rank: usize,
    /// Element type.
    pub element: ElementType,
    /// Sizes in elements.
    pub dims: [u64; 5],
    /// Byte strides of dimensions 1 to 4.
    pub strides: [u64; 4],
    /// Box sizes in elements.
    pub box_dims: [u32; 5],
    /// Traversal strides in elements.
    pub element_strides: [u32; 5],
    /// Interleave.
    pub interleave: Interleave,
    /// Shared-memory swizzle.
    pub swizzle: Swizzle,
    /// Out-of-bounds fill.
    pub fill: Fill,
    /// L2 promotion.
    pub l2_promotion: L2Promotion,
}

impl TensorMap {
    /// The argument checks of `cuTensorMapEncodeTiled`. The first failed rule is named.
    pub fn check(&self) -> Result<(), TensorMapError> {
        todo!()
    }
    /// The 128 bytes (brief, 3.3).
    pub fn encode(&self) -> Bytes {
        todo!()
    }
    /// Reads the 128 bytes back. Does not run [`TensorMap::check`]: device-built maps need not satisfy the driver.
    pub fn decode(bytes: &Bytes) -> Result<Self, TensorMapError> {
        todo!("{bytes:?}")
    }
}

/// A field of `tensormap.replace` (PTX ISA, tensormap.replace).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// `.global_address`, 64 bits.
    GlobalAddress,
    /// `.rank`: the value is rank - 1.
    Rank,
    /// `.box_dim` of a dimension.
    BoxDim(u32),
    /// `.global_dim` of a dimension.
    GlobalDim(u32),
    /// `.global_stride`: ordinal 0 is the byte stride of dimension 1.
    GlobalStride(u32),
    /// `.element_stride` of a dimension.
    ElementStride(u32),
    /// `.elemtype` in PTX numbering.
    ElementType,
    /// `.interleave_layout`.
    Interleave,
    /// `.swizzle_mode`.
    Swizzle,
    /// `.swizzle_atomicity`.
    SwizzleAtomicity,
    /// `.fill_mode`.
    Fill,
}

/// `tensormap.replace`: sets one field in the bytes.
pub fn replace(bytes: &mut Bytes, field: Field, value: u64) -> Result<(), TensorMapError> {
    todo!("{bytes:?}{field:?}{value}")
}

/// Why a tensor map is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TensorMapError {
    /// Not implemented.
    Unsupported(String),
}

impl fmt::Display for TensorMapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}
