//! Tensor maps.

use ptx_emulator::engine::swizzle::Swizzle;
use ptx_emulator::engine::tensor_map::{
    ElementType, Fill, Im2col, Interleave, L2Promotion, TensorMap, TensorMapError,
};

use crate::error::Error;
use crate::pointer::{In, Out};
use crate::types::TensorMapBytes;

const INTERLEAVES: [Interleave; 3] = [Interleave::None, Interleave::B16, Interleave::B32];
const SWIZZLES: [Swizzle; 5] = [
    Swizzle::None,
    Swizzle::B32,
    Swizzle::B64,
    Swizzle::B128,
    Swizzle::B128Atom32,
];
const PROMOTIONS: [L2Promotion; 4] = [
    L2Promotion::None,
    L2Promotion::B64,
    L2Promotion::B128,
    L2Promotion::B256,
];

/// A driver argument that must be one of a list.
fn pick<T: Copy>(list: &[T], value: u32) -> Result<T, Error> {
    list.get(value as usize)
        .copied()
        .ok_or(Error::INVALID_VALUE)
}

/// The first `N` values of a list of which `count` are given; the others are `rest`.
fn padded<T: Copy, const N: usize>(list: In<T>, count: usize, rest: T) -> Result<[T; N], Error> {
    let mut values = [rest; N];
    for (i, value) in values.iter_mut().enumerate().take(count) {
        *value = list.at(i)?;
    }
    Ok(values)
}

/// What the emulator cannot do is another error than what the driver refuses.
fn refusal(error: TensorMapError) -> Error {
    match error {
        TensorMapError::Unsupported(_) => Error::NOT_SUPPORTED,
        _ => Error::INVALID_VALUE,
    }
}

/// What the two ways to write a map have in common.
struct Shape {
    element: u32,
    rank: u32,
    address: In<u8>,
    dims: In<u64>,
    strides: In<u64>,
    element_strides: In<u32>,
}

impl Shape {
    /// The map without its box; `look` has the interleaving, the swizzle, the L2 promotion and the fill.
    fn map(self, [interleave, swizzle, promotion, fill]: [u32; 4]) -> Result<TensorMap, Error> {
        let rank = self.rank as usize;
        if self.address.is_null() || !(1..=5).contains(&rank) {
            return Err(Error::INVALID_VALUE);
        }
        if matches!(swizzle, 5 | 6) {
            return Err(Error::NOT_SUPPORTED);
        }
        Ok(TensorMap {
            address: self.address.address() as u64,
            rank,
            element: ElementType::from_driver(self.element).map_err(refusal)?,
            dims: padded(self.dims, rank, 1)?,
            strides: padded(self.strides, rank - 1, 0)?,
            box_dims: [1; 5],
            element_strides: padded(self.element_strides, rank, 1)?,
            interleave: pick(&INTERLEAVES, interleave)?,
            swizzle: pick(&SWIZZLES, swizzle)?,
            fill: pick(&[Fill::Zero, Fill::Nan], fill)?,
            l2_promotion: pick(&PROMOTIONS, promotion)?,
            im2col: None,
        })
    }
}

/// Writes a map that the driver would write.
fn encode(to: Out<TensorMapBytes>, map: &TensorMap) -> Result<(), Error> {
    if to.is_null() {
        return Err(Error::INVALID_VALUE);
    }
    map.check().map_err(refusal)?;
    to.set(TensorMapBytes(map.encode()))
}

abi! { SYMBOLS:
    fn cuTensorMapEncodeTiled(
        map: Out<TensorMapBytes>,
        element: u32,
        rank: u32,
        address: In<u8>,
        dims: In<u64>,
        strides: In<u64>,
        box_dims: In<u32>,
        element_strides: In<u32>,
        interleave: u32,
        swizzle: u32,
        promotion: u32,
        fill: u32,
    ) = "cuTensorMapEncodeTiled" since 12000 {
        let shape = Shape { element, rank, address, dims, strides, element_strides };
        let look = [interleave, swizzle, promotion, fill];
        let mut tiled = shape.map(look)?;
        tiled.box_dims = padded(box_dims, tiled.rank, 1)?;
        encode(map, &tiled)
    }

    fn cuTensorMapEncodeIm2col(
        map: Out<TensorMapBytes>,
        element: u32,
        rank: u32,
        address: In<u8>,
        dims: In<u64>,
        strides: In<u64>,
        lower: In<i32>,
        upper: In<i32>,
        channels: u32,
        pixels: u32,
        element_strides: In<u32>,
        interleave: u32,
        swizzle: u32,
        promotion: u32,
        fill: u32,
    ) = "cuTensorMapEncodeIm2col" since 12000 {
        let shape = Shape { element, rank, address, dims, strides, element_strides };
        let look = [interleave, swizzle, promotion, fill];
        let mut columns = shape.map(look)?;
        let spatial = columns.rank.saturating_sub(2);
        columns.box_dims[0] = channels;
        columns.im2col = Some(Im2col {
            lower: padded(lower, spatial, 0)?,
            upper: padded(upper, spatial, 0)?,
            pixels,
        });
        encode(map, &columns)
    }

    fn cuTensorMapReplaceAddress(map: Out<TensorMapBytes>, address: In<u8>) = "cuTensorMapReplaceAddress" since 12000 {
        let TensorMapBytes(mut bytes) = map.as_in().get()?;
        let mut tiled = TensorMap::decode(&bytes).map_err(refusal)?;
        tiled.address = address.address() as u64;
        if address.is_null() {
            return Err(Error::INVALID_VALUE);
        }
        tiled.check().map_err(refusal)?;
        bytes[..8].copy_from_slice(&tiled.address.to_le_bytes());
        map.set(TensorMapBytes(bytes))
    }
}
