//! The part of a tensor map that im2col copies need, and where it is in the 128 bytes.
//!
//! The places are those that the driver 580.159 filled on an H200: bit 0 of the word at 8, the corners in the word at
//! 0x38, where tiled maps have their boxes, and the pixels in the word at 0x3C.

use super::TensorMapError;

/// What a column is made of. Channels per pixel are the first of the map's box sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Im2col {
    /// The lower corner of the bounding box along W, H and D: from where each row of pixels is walked.
    pub lower: [i32; 3],
    /// The upper corner, from the last element of each dimension.
    pub upper: [i32; 3],
    /// Pixels per column.
    pub pixels: u32,
}

/// Bits of a corner's coordinate (PTX ISA, 5.5.4.1).
fn width(rank: usize) -> u32 {
    match rank {
        3 => 16,
        4 => 8,
        _ => 5,
    }
}

impl Im2col {
    /// Dimensions of the bounding box.
    pub(super) fn spatial(rank: usize) -> usize {
        rank.saturating_sub(2)
    }

    /// The words at 0x38 and 0x3C.
    pub(super) fn encode(&self, rank: usize) -> [u32; 2] {
        let bits = width(rank);
        let mask = (1u32 << bits) - 1;
        let pack = |corner: &[i32; 3]| {
            let places = corner.iter().zip(0..Self::spatial(rank) as u32);
            places.fold(0, |word, (value, i)| {
                word | (*value as u32 & mask) << (bits * i)
            })
        };
        [
            pack(&self.lower) | pack(&self.upper) << 16,
            self.pixels.wrapping_sub(1),
        ]
    }

    pub(super) fn decode(rank: usize, [corners, pixels]: [u32; 2]) -> Self {
        let bits = width(rank);
        let unpack = |half: u32| {
            std::array::from_fn(|i| match i < Self::spatial(rank) {
                true => (half >> (bits * i as u32)) << (32 - bits),
                false => 0,
            } as i32 >> (32 - bits))
        };
        Im2col {
            lower: unpack(corners & 0xFFFF),
            upper: unpack(corners >> 16),
            pixels: (pixels & 0x3FF) + 1,
        }
    }

    /// What `cuTensorMapEncodeIm2col` refuses: corners out of range, an empty bounding box, too many pixels.
    pub(super) fn check(&self, rank: usize, dims: &[u64; 5]) -> Result<(), TensorMapError> {
        if rank < 3 {
            return Err(TensorMapError::Im2colRank(rank));
        }
        if !(1..=1024).contains(&self.pixels) {
            return Err(TensorMapError::Pixels(self.pixels));
        }
        let limit = 1 << (width(rank) - 1);
        for dim in 0..Self::spatial(rank) {
            let (lower, upper) = (self.lower[dim], self.upper[dim]);
            let last = dims[dim + 1] as i64 - 1 + i64::from(upper);
            let in_range = |corner: i32| (-limit..limit).contains(&corner);
            if !in_range(lower) || !in_range(upper) || i64::from(lower) > last {
                return Err(TensorMapError::Corners {
                    dim: dim + 1,
                    lower,
                    upper,
                });
            }
        }
        Ok(())
    }
}
