//! Shared-memory matrix descriptors of sm_100 and sm_90 (brief, 1.4 and 5.1).

use super::error::DescriptorError;
use crate::engine::swizzle::Swizzle;

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
        let constant = (bits >> 46 & 7) as u32;
        if constant != 1 {
            return Err(DescriptorError::Constant(constant));
        }
        if bits >> 52 & 1 == 1 {
            return Err(DescriptorError::OnlySm103 {
                what: "an absolute leading dimension address (bit 52)",
                matrix: true,
            });
        }
        reserved(bits, &[(14, 2), (30, 2), (53, 8)])?;
        let swizzle = match bits >> 61 {
            0 => Swizzle::None,
            1 => Swizzle::B128Atom32,
            2 => Swizzle::B128,
            4 => Swizzle::B64,
            6 => Swizzle::B32,
            code => return Err(DescriptorError::SwizzleCode(code as u32)),
        };
        Self::with_swizzle(bits, swizzle)
    }

    /// Decodes and checks a wgmma descriptor.
    pub fn decode_sm90(bits: u64) -> Result<Self, DescriptorError> {
        reserved(bits, &[(14, 2), (30, 2), (46, 3), (52, 10)])?;
        let swizzle =
            [Swizzle::None, Swizzle::B128, Swizzle::B64, Swizzle::B32][(bits >> 62) as usize];
        Self::with_swizzle(bits, swizzle)
    }

    fn with_swizzle(bits: u64, swizzle: Swizzle) -> Result<Self, DescriptorError> {
        let field = |shift: u32| ((bits >> shift & 0x3FFF) << 4) as u32;
        let start = field(0);
        // Without a swizzle there is no pattern, and Triton leaves a base offset in such descriptors.
        let base_offset = (bits >> 49 & 7) as u32;
        if base_offset != 0 && swizzle != Swizzle::None {
            return Err(DescriptorError::BaseOffset(base_offset));
        }
        Ok(SharedMatrix {
            start,
            leading: field(16),
            stride: field(32),
            swizzle,
        })
    }

    /// A tile that starts in the middle of a swizzle pattern. The pattern itself starts on its boundary all the same,
    /// since the swizzle acts on addresses, so a base offset of 0 is right for data that a tensor copy has laid there
    /// (PTX ISA, matrix base offset); CUTLASS's examples align swizzled tiles to 128 bytes only.
    pub fn check_pattern(&self) -> Result<(), DescriptorError> {
        let (start, swizzle) = (self.start, self.swizzle);
        if start % swizzle.period() >= swizzle.span() {
            return Err(DescriptorError::PatternAlignment { start, swizzle });
        }
        Ok(())
    }
}

/// Refuses set bits in the given (shift, width) ranges.
pub(super) fn reserved(bits: u64, ranges: &[(u32, u32)]) -> Result<(), DescriptorError> {
    for &(shift, width) in ranges {
        let value = bits >> shift & ((1 << width) - 1);
        if value != 0 {
            return Err(DescriptorError::Reserved {
                bit: shift + value.trailing_zeros(),
                matrix: true,
            });
        }
    }
    Ok(())
}
