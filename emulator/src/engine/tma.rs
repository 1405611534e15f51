//! Tiled tensor copies: walks a box of a tensor map and says which bytes go where (brief, 3.1 and 3.2).

use std::fmt;

use super::tensor_map::TensorMap;

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
pub struct BoxCopy {}

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
        todo!("{map:?}{coordinates:?}{shared}{window}{direction:?}")
    }
    /// A `.tile::gather4` (load) or `.tile::scatter4` (store): four rows of a rank-2 map, `coordinates = {column, row0..row3}`.
    pub fn four_rows(
        map: &TensorMap,
        coordinates: &[i32],
        shared: u32,
        window: u32,
        direction: Direction,
    ) -> Result<Self, TmaError> {
        todo!("{map:?}{coordinates:?}{shared}{window}{direction:?}")
    }
    /// What `complete_tx` counts for a load: the data bytes of the full box, padding excluded.
    pub fn transaction_bytes(&self) -> u32 {
        todo!()
    }
    /// Bytes of the box image in shared memory, padding included; the image starts at the copy's shared address.
    pub fn shared_bytes(&self) -> u32 {
        todo!()
    }
    /// The pieces in order. Pieces of a store are clipped to the tensor.
    pub fn pieces(&self) -> impl Iterator<Item = Piece> + '_ {
        std::iter::empty()
    }
    /// Runs a load: `read(address, destination)` is called for pieces of global memory, the rest is filled.
    pub fn load<E>(
        &self,
        shared: &mut [u8],
        read: impl FnMut(u64, &mut [u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let _ = (shared, read);
        todo!()
    }
    /// Runs a store: `write(address, source)` is called for every piece inside the tensor.
    pub fn store<E>(
        &self,
        shared: &[u8],
        write: impl FnMut(u64, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let _ = (shared, write);
        todo!()
    }
}

/// Why a tensor copy is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TmaError {
    /// Not implemented.
    Unsupported(String),
}

impl fmt::Display for TmaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}
