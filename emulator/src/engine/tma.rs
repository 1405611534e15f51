//! Tensor copies: walks a box of a tensor map and says which bytes go where (brief, 3.1 and 3.2).
//!
//! The image of a box in shared memory has dimension 0 fastest and no gaps; the swizzle then acts on the absolute
//! address. Inner rows that are narrower than its span are as far apart as whole ones. Padded element types leave their
//! padding bytes untouched. What a NaN fill writes is not documented: all bits but the sign are set here.

mod error;
mod im2col;

use std::iter;

pub use error::TmaError;

use super::swizzle::Swizzle;
use super::tensor_map::{ElementType, Fill, Interleave, TensorMap};

/// Which way a tensor copy goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Global to shared: outside the tensor becomes the fill value, every byte counts.
    Load,
    /// Shared to global (also reductions): outside the tensor is dropped.
    Store,
}

/// A contiguous piece of a copy, both in global and in shared memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Global address; none where the box is outside the tensor (loads fill, stores never yield this).
    pub global: Option<u64>,
    /// Shared address, swizzle applied.
    pub shared: u32,
    /// Bytes.
    pub len: u32,
}

/// One tensor copy, checked and ready to run.
#[derive(Clone, Debug)]
pub struct BoxCopy {
    direction: Direction,
    element: ElementType,
    swizzle: Swizzle,
    fill: Fill,
    shared: u32,
    /// Bytes of one inner row in shared memory.
    row_bytes: u32,
    /// From one inner row to the next.
    pitch: u32,
    /// Where the inner row starts, in bytes from element 0 of its dimension; may be negative.
    start: i64,
    /// Which bytes of an inner row are inside the tensor.
    inside: (u32, u32),
    /// For every inner row the global address of element 0 of its dimension, or none outside the tensor.
    rows: Vec<Option<u64>>,
}

impl BoxCopy {
    /// A `.tile` copy of the box whose first element has the given coordinates (innermost first, one per dimension).
    /// `shared` is the shared address of the box, `window` the size of the shared window in bytes.
    pub fn tiled(
        map: &TensorMap,
        coordinates: &[i32],
        shared: u32,
        window: u32,
        direction: Direction,
    ) -> Result<Self, TmaError> {
        if map.im2col.is_some() {
            return Err(TmaError::MapMode { tiled: false });
        }
        if coordinates.len() != map.rank {
            return Err(TmaError::CoordinateCount {
                given: coordinates.len(),
                rank: map.rank,
            });
        }
        if direction == Direction::Store
            && let Some((dim, &value)) = coordinates.iter().enumerate().find(|(_, c)| **c < 0)
        {
            return Err(TmaError::NegativeStoreCoordinate { dim, value });
        }
        let count = (1..map.rank).map(|d| u64::from(map.taken(d))).product();
        let mut copy = Self::without_rows(map, coordinates[0], count, shared, window, direction)?;
        copy.rows = (0..count)
            .map(|row| tiled_row(map, coordinates, row))
            .collect();
        Ok(copy)
    }

    /// A `.tile::gather4` (load) or `.tile::scatter4` (store): four rows of a rank-2 map,
    /// `coordinates = {column, row0..row3}`. Rows outside the tensor are filled or dropped.
    pub fn four_rows(
        map: &TensorMap,
        coordinates: &[i32],
        shared: u32,
        window: u32,
        direction: Direction,
    ) -> Result<Self, TmaError> {
        if map.rank != 2 || map.box_dims[1] != 1 || map.im2col.is_some() {
            return Err(TmaError::FourRowsMap {
                rank: map.rank,
                rows: map.box_dims[1],
            });
        }
        if coordinates.len() != 5 {
            return Err(TmaError::CoordinateCount {
                given: coordinates.len(),
                rank: 5,
            });
        }
        let mut copy = Self::without_rows(map, coordinates[0], 4, shared, window, direction)?;
        copy.rows = coordinates[1..]
            .iter()
            .map(|&row| tiled_row(map, &[0, row], 0))
            .collect();
        Ok(copy)
    }

    fn without_rows(
        map: &TensorMap,
        column: i32,
        rows: u64,
        shared: u32,
        window: u32,
        direction: Direction,
    ) -> Result<Self, TmaError> {
        check_supported(map)?;
        check_column(map, column)?;
        if !shared.is_multiple_of(128) {
            return Err(TmaError::SharedAlignment(shared));
        }
        let row_bytes = map.inner_box_bytes();
        if row_bytes == 0 || !row_bytes.is_multiple_of(16) {
            return Err(TmaError::InnerBox(row_bytes));
        }
        let end = u64::from(shared) + u64::from(map.row_pitch()) * rows;
        if end > u64::from(window) {
            return Err(TmaError::SharedBounds {
                start: shared,
                end,
                window,
            });
        }
        // Positions are counted in shared bytes, 16 elements of a padded type being 16 bytes.
        let bits = i64::from(map.element.shared_bits());
        let start = i64::from(column) * bits / 8;
        let size = (map.dims[0] as i64).saturating_mul(bits) / 8;
        let clip = |position: i64| position.clamp(0, i64::from(row_bytes)) as u32;
        Ok(BoxCopy {
            direction,
            element: map.element,
            swizzle: map.swizzle,
            fill: map.fill,
            shared,
            row_bytes,
            pitch: map.row_pitch(),
            start,
            inside: (clip(-start), clip(size - start)),
            rows: Vec::new(),
        })
    }

    /// What `complete_tx` counts for a load: the data bytes of the full box, padding excluded.
    pub fn transaction_bytes(&self) -> u32 {
        let bytes = self.row_bytes * self.rows.len() as u32;
        bytes / self.element.shared_bits() * self.element.bits()
    }

    /// Bytes of the box image in shared memory, padding included; the image starts at the copy's shared address.
    pub fn shared_bytes(&self) -> u32 {
        self.pitch * self.rows.len() as u32
    }

    /// Where the image is: runs of bytes, counted from the copy's shared address.
    pub fn image(&self) -> Vec<(u32, u32)> {
        if self.row_bytes == self.pitch {
            return vec![(0, self.shared_bytes())];
        }
        let rows = 0..self.rows.len() as u32;
        let units = rows.flat_map(|row| {
            let units = (0..self.row_bytes).step_by(16);
            units.map(move |at| row * self.pitch + at)
        });
        units
            .map(|at| (self.swizzle.apply(self.shared + at) - self.shared, 16))
            .collect()
    }

    /// Whether the box starts where the pattern of its swizzle does. TMA does not need this, the usual matrix
    /// descriptors (base offset 0) do.
    pub fn is_pattern_aligned(&self) -> bool {
        self.shared.is_multiple_of(self.swizzle.period())
    }

    /// The pieces in order. Pieces of a store are clipped to the tensor.
    pub fn pieces(&self) -> impl Iterator<Item = Piece> + '_ {
        let keep_outside = self.direction == Direction::Load;
        (self
            .rows
            .iter()
            .zip((self.shared..).step_by(self.pitch as usize)))
        .flat_map(|(&row, shared)| self.row_pieces(row, shared))
        .filter(move |piece| keep_outside || piece.global.is_some())
    }

    fn row_pieces(&self, row: Option<u64>, shared: u32) -> impl Iterator<Item = Piece> + '_ {
        let mut position = 0;
        iter::from_fn(move || {
            if position == self.row_bytes {
                return None;
            }
            let piece = self.piece(row, shared, position);
            position = match self.element.shared_bits() == self.element.bits() {
                true => position + piece.len,
                false => position + 16,
            };
            Some(piece)
        })
    }

    /// The longest piece at a position of an inner row.
    fn piece(&self, row: Option<u64>, shared: u32, position: u32) -> Piece {
        let (low, high) = self.inside;
        let is_inside = row.is_some() && (low..high).contains(&position);
        let mut end = [low, high, self.row_bytes]
            .into_iter()
            .find(|&e| e > position)
            .unwrap_or(self.row_bytes);
        if self.swizzle != Swizzle::None {
            end = end.min((position / self.swizzle.unit() + 1) * self.swizzle.unit());
        }
        let (data, padded) = (self.element.bits(), self.element.shared_bits());
        let offset = self.start + i64::from(position);
        Piece {
            global: row
                .filter(|_| is_inside)
                .map(|r| r.wrapping_add_signed(offset * i64::from(data) / i64::from(padded))),
            shared: self.swizzle.apply(shared + position),
            len: if data == padded {
                end - position
            } else {
                16 * data / padded
            },
        }
    }

    /// Runs a load: `read(address, destination)` is called for pieces of global memory, the rest is filled.
    /// `shared` is the whole window that was given to the constructor.
    pub fn load<E>(
        &self,
        shared: &mut [u8],
        mut read: impl FnMut(u64, &mut [u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        for piece in self.pieces() {
            let destination = &mut shared[piece.shared as usize..][..piece.len as usize];
            match piece.global {
                Some(address) => read(address, destination)?,
                None => self.fill(piece.shared, destination),
            }
        }
        Ok(())
    }

    /// Runs a store: `write(address, source)` is called for every piece inside the tensor.
    pub fn store<E>(
        &self,
        shared: &[u8],
        mut write: impl FnMut(u64, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        for piece in self.pieces() {
            if let Some(address) = piece.global {
                write(
                    address,
                    &shared[piece.shared as usize..][..piece.len as usize],
                )?;
            }
        }
        Ok(())
    }

    fn fill(&self, address: u32, destination: &mut [u8]) {
        if self.fill == Fill::Zero {
            return destination.fill(0);
        }
        let size = self.element.bits() / 8;
        for (byte, at) in destination.iter_mut().zip(address..) {
            *byte = if at % size == size - 1 { 0x7F } else { 0xFF };
        }
    }
}

fn check_supported(map: &TensorMap) -> Result<(), TmaError> {
    let unsupported = |what: String| Err(TmaError::Unsupported(what));
    if map.interleave != Interleave::None {
        return unsupported(format!("interleave {:?}", map.interleave));
    }
    // Found on an H200, which does not have the swizzles with larger atoms.
    let is_known = matches!(
        map.swizzle,
        Swizzle::None | Swizzle::B32 | Swizzle::B64 | Swizzle::B128
    );
    if !is_known && map.inner_box_bytes() != map.swizzle.span() {
        let (bytes, span) = (map.inner_box_bytes(), map.swizzle.span());
        return unsupported(format!(
            "an inner box of {bytes} bytes with a swizzle span of {span}"
        ));
    }
    Ok(())
}

/// Sub-byte elements must start on a byte, padded ones on a group of 16.
fn check_column(map: &TensorMap, column: i32) -> Result<(), TmaError> {
    let multiple = match map.element {
        ElementType::B4x16 => 2,
        ElementType::B4x16P64 | ElementType::B6x16P32 => 16,
        _ => 1,
    };
    match column % multiple {
        0 => Ok(()),
        _ => Err(TmaError::PackedCoordinate { column, multiple }),
    }
}

/// Global address of element 0 of the inner dimension in the box's inner row number `row`. Dimension 0 ignores its element
/// stride when nothing is interleaved (CUDA driver API, cuTensorMapEncodeTiled).
fn tiled_row(map: &TensorMap, coordinates: &[i32], mut row: u64) -> Option<u64> {
    let mut address = map.address;
    for (dim, &from) in coordinates.iter().enumerate().skip(1) {
        let (size, step) = (
            u64::from(map.taken(dim)),
            i64::from(map.element_strides[dim]),
        );
        let index = i64::from(from) + (row % size) as i64 * step;
        row /= size;
        if index < 0 || index as u64 >= map.dims[dim] {
            return None;
        }
        address = address.wrapping_add((index as u64).wrapping_mul(map.strides[dim - 1]));
    }
    Some(address)
}

#[cfg(test)]
#[path = "tma_tests.rs"]
mod tests;
