//! Tensor maps.

use ptx_emulator::engine::swizzle::Swizzle;
use ptx_emulator::engine::tensor_map::{
    ElementType, Fill, Interleave, L2Promotion, TensorMap, TensorMapError,
};

use crate::error::Error;
use crate::pointer::{In, Out};
use crate::types::TensorMapBytes;

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
        let rank = rank as usize;
        if map.is_null() || !(1..=5).contains(&rank) {
            return Err(Error::INVALID_VALUE);
        }
        if matches!(swizzle, 5 | 6) {
            return Err(Error::NOT_SUPPORTED);
        }
        let swizzles = [Swizzle::None, Swizzle::B32, Swizzle::B64, Swizzle::B128, Swizzle::B128Atom32];
        let promotions = [L2Promotion::None, L2Promotion::B64, L2Promotion::B128, L2Promotion::B256];
        let tiled = TensorMap {
            address: address.address() as u64,
            rank,
            element: ElementType::from_driver(element).map_err(refusal)?,
            dims: padded(dims, rank, 1)?,
            strides: padded(strides, rank - 1, 0)?,
            box_dims: padded(box_dims, rank, 1)?,
            element_strides: padded(element_strides, rank, 1)?,
            interleave: pick(&[Interleave::None, Interleave::B16, Interleave::B32], interleave)?,
            swizzle: pick(&swizzles, swizzle)?,
            fill: pick(&[Fill::Zero, Fill::Nan], fill)?,
            l2_promotion: pick(&promotions, promotion)?,
        };
        if address.is_null() {
            return Err(Error::INVALID_VALUE);
        }
        tiled.check().map_err(refusal)?;
        map.set(TensorMapBytes(tiled.encode()))
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
