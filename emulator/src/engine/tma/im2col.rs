//! Which pixels an im2col copy takes (PTX ISA, 5.5.4), as an H200 does: walked through the bounding box W first, in the
//! steps of the map, each dimension starting again at its lower corner; offsets are added to where the walk is.

use super::{BoxCopy, Direction, TmaError};
use crate::engine::tensor_map::{Im2col, TensorMap};

impl BoxCopy {
    /// An `.im2col` copy of the column whose first pixel is at the coordinates (channel, W, H, D, N, of which D and H may
    /// be missing), with an offset for each dimension of the bounding box.
    pub fn im2col(
        map: &TensorMap,
        coordinates: &[i32],
        offsets: [u16; 3],
        shared: u32,
        window: u32,
        direction: Direction,
    ) -> Result<Self, TmaError> {
        let Some(im2col) = map.im2col else {
            return Err(TmaError::MapMode { tiled: true });
        };
        if coordinates.len() != map.rank {
            return Err(TmaError::CoordinateCount {
                given: coordinates.len(),
                rank: map.rank,
            });
        }
        let walk = Walk::new(map, &im2col, coordinates)?;
        let pixels = u64::from(im2col.pixels);
        let mut copy = Self::without_rows(map, coordinates[0], pixels, shared, window, direction)?;
        copy.rows = walk
            .take(im2col.pixels as usize)
            .map(|at| pixel(map, &at, offsets))
            .collect();
        Ok(copy)
    }
}

/// Address of the first channel of a pixel, if it exists. The dimensions are W, H, D and N in the order of the map.
fn pixel(map: &TensorMap, at: &[i64; 4], offsets: [u16; 3]) -> Option<u64> {
    let mut address = map.address;
    for dim in 1..map.rank {
        let offset = if dim < map.rank - 1 {
            offsets[dim - 1]
        } else {
            0
        };
        let index = at[dim - 1] + i64::from(offset);
        if index < 0 || index as u64 >= map.dims[dim] {
            return None;
        }
        address = address.wrapping_add((index as u64).wrapping_mul(map.strides[dim - 1]));
    }
    Some(address)
}

/// Where the base of each pixel is.
struct Walk {
    at: [i64; 4],
    low: [i64; 3],
    high: [i64; 3],
    steps: [i64; 4],
    /// Dimensions of the bounding box.
    spatial: usize,
}

impl Walk {
    fn new(map: &TensorMap, im2col: &Im2col, coordinates: &[i32]) -> Result<Self, TmaError> {
        let spatial = map.rank - 2;
        let walk = Walk {
            at: std::array::from_fn(|i| coordinates.get(i + 1).map_or(0, |&c| c.into())),
            low: im2col.lower.map(i64::from),
            high: std::array::from_fn(|i| map.dims[i + 1] as i64 - 1 + i64::from(im2col.upper[i])),
            steps: std::array::from_fn(|i| map.element_strides[i + 1].into()),
            spatial,
        };
        for i in 0..spatial {
            if !(walk.low[i]..=walk.high[i]).contains(&walk.at[i]) {
                return Err(TmaError::OutsideBoundingBox {
                    dim: i + 1,
                    value: coordinates[i + 1],
                    low: walk.low[i],
                    high: walk.high[i],
                });
            }
        }
        Ok(walk)
    }
}

impl Iterator for Walk {
    type Item = [i64; 4];

    fn next(&mut self) -> Option<[i64; 4]> {
        let here = self.at;
        for dim in 0..=self.spatial {
            self.at[dim] += self.steps[dim];
            if dim == self.spatial || self.at[dim] <= self.high[dim] {
                break;
            }
            self.at[dim] = self.low[dim];
        }
        Some(here)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::swizzle::Swizzle;
    use crate::engine::tensor_map::{ElementType, Fill, Interleave, L2Promotion};

    /// 3 images of 5 rows of 7 pixels with 16 channels of 16 bits.
    fn images(lower: [i32; 2], upper: [i32; 2], pixels: u32, steps: [u32; 3]) -> TensorMap {
        let map = TensorMap {
            address: 0x1000,
            rank: 4,
            element: ElementType::U16,
            dims: [16, 7, 5, 3, 1],
            strides: [32, 224, 1120, 0],
            box_dims: [16, 1, 1, 1, 1],
            element_strides: [1, steps[0], steps[1], steps[2], 1],
            interleave: Interleave::None,
            swizzle: Swizzle::None,
            fill: Fill::Zero,
            l2_promotion: L2Promotion::None,
            im2col: Some(Im2col {
                lower: [lower[0], lower[1], 0],
                upper: [upper[0], upper[1], 0],
                pixels,
            }),
        };
        assert_eq!(map.check(), Ok(()));
        assert_eq!(TensorMap::decode(&map.encode()), Ok(map.clone()));
        map
    }

    /// The pixels of a column, counted from 1; 0 for one that does not exist.
    fn column(map: &TensorMap, at: [i32; 3], offsets: [u16; 2]) -> Vec<u64> {
        let (at, offsets) = ([0, at[0], at[1], at[2]], [offsets[0], offsets[1], 0]);
        let copy = BoxCopy::im2col(map, &at, offsets, 0, 1 << 16, Direction::Load).unwrap();
        let number = |row: &Option<u64>| row.map_or(0, |address| (address - 0x1000) / 32 + 1);
        copy.rows.iter().map(number).collect()
    }

    /// Each list is what an H200 loaded.
    #[test]
    fn columns_are_those_of_a_device() {
        let around = [-1, -1];
        let one = [1, 1, 1];
        assert_eq!(
            column(&images(around, around, 20, one), [3, 2, 1], [2, 0]),
            [
                55, 56, 0, 58, 59, 60, 61, 62, 63, 0, 0, 0, 0, 0, 0, 0, 0, 72, 73, 74
            ]
        );
        assert_eq!(
            column(&images([0, 0], [-2, -2], 25, one), [2, 1, 0], [2, 1]),
            [
                19, 20, 21, 24, 25, 26, 27, 28, 45, 46, 47, 48, 49, 52, 53, 54, 55, 56, 59, 60, 61,
                62, 63, 80, 81
            ]
        );
        assert_eq!(
            column(&images(around, around, 24, [2, 2, 1]), [0, 0, 0], [1, 0]),
            [
                2, 4, 6, 15, 17, 19, 21, 0, 0, 0, 0, 43, 45, 47, 49, 57, 59, 61, 63, 0, 0, 0, 0, 78
            ]
        );
        assert_eq!(
            column(&images([0, 0], [0, 0], 24, [3, 2, 1]), [1, 1, 0], [0, 0]),
            [
                9, 12, 22, 25, 28, 36, 39, 42, 50, 53, 56, 64, 67, 70, 71, 74, 77, 85, 88, 91, 99,
                102, 105, 0
            ]
        );
        assert_eq!(
            column(&images([-1, -2], [0, 1], 25, one), [-1, -2, 0], [0, 0]),
            [
                0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 0
            ]
        );
        assert_eq!(
            column(&images([0, 0], [0, 0], 15, [1, 1, 2]), [0, 3, 0], [0, 0]),
            [22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 71]
        );
        assert_eq!(
            column(&images([0, 0], [0, 0], 16, one), [0, 3, -1], [0, 0]),
            [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2]
        );
    }

    /// The device calls these an illegal instruction.
    #[test]
    fn the_base_is_in_the_bounding_box() {
        let map = images([0, 0], [-2, -2], 12, [1, 1, 1]);
        for at in [[6, 0, 0], [-2, 0, 0], [0, 4, 0]] {
            let at = [0, at[0], at[1], at[2]];
            let copy = BoxCopy::im2col(&map, &at, [0; 3], 0, 1 << 16, Direction::Load);
            assert!(matches!(copy, Err(TmaError::OutsideBoundingBox { .. })));
        }
    }

    /// The words that the driver wrote on an H200 for these corners.
    #[test]
    fn corners_are_where_the_driver_puts_them() {
        let word = |rank: usize, lower: [i32; 3], upper: [i32; 3]| {
            let im2col = Im2col {
                lower,
                upper,
                pixels: 1024,
            };
            let map = TensorMap {
                rank,
                im2col: Some(im2col),
                dims: [16, 7, 5, 3, 2],
                ..images([0, 0], [0, 0], 1, [1; 3])
            };
            let bytes = map.encode();
            assert_eq!(TensorMap::decode(&bytes).unwrap().im2col, Some(im2col));
            let at =
                |i: usize| u32::from_le_bytes([bytes[i], bytes[i + 1], bytes[i + 2], bytes[i + 3]]);
            assert_eq!((at(8) & 1, at(0x3C)), (1, 0x3FF));
            at(0x38)
        };
        assert_eq!(word(3, [-16, 0, 0], [0; 3]), 0xFFF0);
        assert_eq!(word(3, [0; 3], [7, 0, 0]), 0x70000);
        assert_eq!(word(4, [0, -16, 0], [0; 3]), 0xF000);
        assert_eq!(word(4, [0; 3], [0, -1, 0]), 0xFF00_0000);
        assert_eq!(word(5, [0, 0, -1], [0; 3]), 0x7C00);
        assert_eq!(word(5, [0; 3], [0, 7, 0]), 0xE0_0000);
    }
}
