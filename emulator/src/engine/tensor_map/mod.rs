//! Tensor maps: the arguments of `cuTensorMapEncodeTiled` and `cuTensorMapEncodeIm2col`, the driver's checks of them, and the 128 opaque bytes.

mod bytes;
mod error;
mod im2col;

pub use bytes::{Bytes, Field, replace};
pub use error::TensorMapError;
pub use im2col::Im2col;

use super::swizzle::Swizzle;

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

use ElementType::*;

/// In the order of PTX `.elemtype` (PTX ISA, tensormap.replace).
const PTX_ORDER: [ElementType; 16] = [
    U8, U16, U32, S32, U64, S64, F16, F32, F32Ftz, F64, Bf16, Tf32, Tf32Ftz, B4x16, B4x16P64,
    B6x16P32,
];

/// In the order of the driver's `CUtensorMapDataType`.
const DRIVER_ORDER: [ElementType; 16] = [
    U8, U16, U32, S32, U64, S64, F16, F32, F64, Bf16, F32Ftz, Tf32, Tf32Ftz, B4x16, B4x16P64,
    B6x16P32,
];

impl ElementType {
    /// From the driver's `CUtensorMapDataType`.
    pub fn from_driver(value: u32) -> Result<Self, TensorMapError> {
        DRIVER_ORDER
            .get(value as usize)
            .copied()
            .ok_or(TensorMapError::ElementType(value))
    }

    /// From the number that PTX `tensormap.replace.elemtype` takes.
    pub fn from_ptx(value: u32) -> Result<Self, TensorMapError> {
        PTX_ORDER
            .get(value as usize)
            .copied()
            .ok_or(TensorMapError::ElementType(value))
    }

    /// Bits per element in global memory.
    pub fn bits(self) -> u32 {
        match self {
            B4x16 | B4x16P64 => 4,
            B6x16P32 => 6,
            U8 => 8,
            U16 | F16 | Bf16 => 16,
            U32 | S32 | F32 | F32Ftz | Tf32 | Tf32Ftz => 32,
            U64 | S64 | F64 => 64,
        }
    }

    /// Bits per element in shared memory, padding included.
    pub fn shared_bits(self) -> u32 {
        match self {
            B4x16P64 | B6x16P32 => 8,
            other => other.bits(),
        }
    }

    /// Whether a NaN fill makes sense.
    pub fn is_float(self) -> bool {
        matches!(self, F16 | F32 | F32Ftz | F64 | Bf16 | Tf32 | Tf32Ftz)
    }

    fn is_padded(self) -> bool {
        matches!(self, B4x16P64 | B6x16P32)
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

/// A tensor map, tiled or for im2col copies. Dimension 0 is the innermost; entries from `rank` on are 1 (strides: 0).
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
    /// For im2col copies, as `cuTensorMapEncodeIm2col` makes it; the box then has channels only.
    pub im2col: Option<Im2col>,
}

impl TensorMap {
    /// Bytes of one inner row of the box in shared memory, padding included.
    pub fn inner_box_bytes(&self) -> u32 {
        self.box_dims[0] * self.element.shared_bits() / 8
    }

    /// How many elements of a dimension a box takes, walking it in steps (CUDA driver API, cuTensorMapEncodeTiled).
    pub fn taken(&self, dim: usize) -> u32 {
        self.box_dims[dim].div_ceil(self.element_strides[dim].max(1))
    }

    /// Bytes from one inner row of a box to the next in shared memory. Under a swizzle they are its span apart, however
    /// narrow the box is: so an H200 does it; it leaves what is between them as it was.
    pub fn row_pitch(&self) -> u32 {
        match self.swizzle {
            Swizzle::None => self.inner_box_bytes(),
            swizzle => swizzle.span(),
        }
    }

    /// Inner rows of a box, or pixels of a column.
    pub fn rows(&self) -> u32 {
        if let Some(im2col) = &self.im2col {
            return im2col.pixels;
        }
        (1..self.rank).map(|dim| self.taken(dim)).product()
    }

    /// The argument checks of `cuTensorMapEncodeTiled` (CUDA driver API, tensor map object management). The first
    /// failed rule is named.
    pub fn check(&self) -> Result<(), TensorMapError> {
        self.check_rank_and_address()?;
        self.check_dims()?;
        self.check_strides()?;
        self.check_box()?;
        if let Some(im2col) = &self.im2col {
            im2col.check(self.rank, &self.dims)?;
        }
        self.check_modes()
    }

    /// Alignment of the address and of every stride.
    fn alignment(&self) -> u64 {
        if self.interleave == Interleave::B32 || self.element.is_padded() {
            32
        } else {
            16
        }
    }

    fn check_rank_and_address(&self) -> Result<(), TensorMapError> {
        if !(1..=5).contains(&self.rank) {
            return Err(TensorMapError::Rank(self.rank as u64));
        }
        if self.interleave != Interleave::None && self.rank < 3 {
            return Err(TensorMapError::InterleavedRank(self.rank));
        }
        let alignment = self.alignment();
        if !self.address.is_multiple_of(alignment) {
            return Err(TensorMapError::AddressAlignment {
                address: self.address,
                alignment,
            });
        }
        Ok(())
    }

    fn check_dims(&self) -> Result<(), TensorMapError> {
        for (dim, &size) in self.dims[..self.rank].iter().enumerate() {
            if size == 0 || size > 1 << 32 {
                return Err(TensorMapError::DimSize { dim, size });
            }
        }
        let multiple = match self.element {
            B4x16 => 2,
            B4x16P64 | B6x16P32 => 128,
            _ => 1,
        };
        if !self.dims[0].is_multiple_of(multiple) {
            return Err(TensorMapError::InnerDimMultiple {
                size: self.dims[0],
                multiple,
            });
        }
        Ok(())
    }

    fn check_strides(&self) -> Result<(), TensorMapError> {
        let alignment = self.alignment();
        for (i, &stride) in self.strides[..self.rank - 1].iter().enumerate() {
            if !stride.is_multiple_of(alignment) {
                return Err(TensorMapError::StrideAlignment {
                    dim: i + 1,
                    stride,
                    alignment,
                });
            }
            if stride >= 1 << 40 {
                return Err(TensorMapError::StrideSize { dim: i + 1, stride });
            }
        }
        Ok(())
    }

    fn check_box(&self) -> Result<(), TensorMapError> {
        for dim in 0..self.rank {
            let (size, step) = (self.box_dims[dim], self.element_strides[dim]);
            if size == 0 || size > 256 {
                return Err(TensorMapError::BoxSize { dim, size });
            }
            if step == 0 || step > 8 {
                return Err(TensorMapError::ElementStride { dim, step });
            }
        }
        if self.element.is_padded() && self.box_dims[0] != 128 {
            return Err(TensorMapError::PaddedInnerBox(self.box_dims[0]));
        }
        let bytes = self.inner_box_bytes();
        let bits = self.box_dims[0] * self.element.shared_bits();
        if self.interleave == Interleave::None && !bits.is_multiple_of(128) {
            return Err(TensorMapError::InnerBoxMultiple { bytes });
        }
        if self.swizzle != Swizzle::None
            && self.interleave == Interleave::None
            && bytes > self.swizzle.span()
        {
            return Err(TensorMapError::InnerBoxExceedsSwizzle {
                bytes,
                swizzle: self.swizzle,
            });
        }
        Ok(())
    }

    fn check_modes(&self) -> Result<(), TensorMapError> {
        if self.interleave == Interleave::B32 && self.swizzle != Swizzle::B32 {
            return Err(TensorMapError::InterleaveSwizzle(self.swizzle));
        }
        if self.interleave != Interleave::None && self.element.bits() < 8 {
            return Err(TensorMapError::InterleavePacked(self.element));
        }
        if self.fill == Fill::Nan && !self.element.is_float() {
            return Err(TensorMapError::NanFill(self.element));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
