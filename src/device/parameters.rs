//! The parameter block, filled as a caller fills it: nothing but the manifest and addresses.

use ptx_emulator::engine::swizzle::Swizzle;
use ptx_emulator::engine::tensor_map::{ElementType, Fill, Interleave, L2Promotion, TensorMap};

use super::error::DeviceError;
use crate::artifact::{Operand, ParameterBlock, TensorMapSlot};

/// The bytes of the block for operands, and a workspace if the kernel has one, at these addresses.
///
/// # Errors
/// [`DeviceError::Manifest`] if a slot lies outside the block, names an operand that has no address, or describes a
/// tensor map that a driver would refuse.
pub fn fill(
    block: &ParameterBlock,
    address: impl Fn(u32, Operand) -> Option<u64>,
    workspace: Option<u64>,
) -> Result<Vec<u8>, DeviceError> {
    let find = |group, operand| {
        let missing = || DeviceError::Manifest(format!("group {group} has no operand {operand:?}"));
        address(group, operand).ok_or_else(missing)
    };
    let mut bytes = vec![0; block.bytes as usize];
    for slot in &block.tensor_maps {
        let map = tensor_map(slot, find(slot.group, slot.operand)?)?;
        put(&mut bytes, slot.offset, &map.encode())?;
    }
    for slot in &block.pointers {
        put(
            &mut bytes,
            slot.offset,
            &find(slot.group, slot.operand)?.to_le_bytes(),
        )?;
    }
    if let Some(address) = workspace {
        put(&mut bytes, block.workspace_offset, &address.to_le_bytes())?;
    }
    Ok(bytes)
}

fn put(bytes: &mut [u8], offset: u32, value: &[u8]) -> Result<(), DeviceError> {
    let start = offset as usize;
    let size = bytes.len();
    let place = bytes.get_mut(start..start.saturating_add(value.len()));
    let outside = || {
        DeviceError::Manifest(format!(
            "the slot at {offset} lies outside the block of {size} bytes"
        ))
    };
    place.ok_or_else(outside)?.copy_from_slice(value);
    Ok(())
}

/// What `cuTensorMapEncodeTiled` would make of the slot.
fn tensor_map(slot: &TensorMapSlot, address: u64) -> Result<TensorMap, DeviceError> {
    let fail =
        |what: String| DeviceError::Manifest(format!("tensor map at {}: {what}", slot.offset));
    let rank = slot.dims.len();
    if !(1..=5).contains(&rank) || slot.tile.len() != rank || slot.strides.len() != rank - 1 {
        return Err(fail("dims, strides and box do not fit together".into()));
    }
    let map = TensorMap {
        address,
        rank,
        element: element(&slot.element)
            .ok_or_else(|| fail(format!("unknown element type `{}`", slot.element)))?,
        dims: padded(&slot.dims, 1),
        strides: padded(&slot.strides, 0),
        box_dims: padded(&slot.tile, 1),
        element_strides: [1; 5],
        interleave: Interleave::None,
        swizzle: swizzle(slot.swizzle)
            .ok_or_else(|| fail(format!("unknown swizzle {}", slot.swizzle)))?,
        fill: Fill::Zero,
        l2_promotion: promotion(slot.l2_promotion)
            .ok_or_else(|| fail(format!("unknown L2 promotion {}", slot.l2_promotion)))?,
        im2col: None,
    };
    map.check().map_err(|error| fail(error.to_string()))?;
    Ok(map)
}

fn padded<T: Copy, const N: usize>(values: &[T], rest: T) -> [T; N] {
    std::array::from_fn(|index| values.get(index).copied().unwrap_or(rest))
}

fn element(name: &str) -> Option<ElementType> {
    match name {
        "u8" => Some(ElementType::U8),
        "u64" => Some(ElementType::U64),
        "f16" => Some(ElementType::F16),
        "bf16" => Some(ElementType::Bf16),
        "f32" => Some(ElementType::F32),
        _ => None,
    }
}

fn swizzle(bytes: u32) -> Option<Swizzle> {
    match bytes {
        0 => Some(Swizzle::None),
        32 => Some(Swizzle::B32),
        64 => Some(Swizzle::B64),
        128 => Some(Swizzle::B128),
        _ => None,
    }
}

fn promotion(bytes: u32) -> Option<L2Promotion> {
    match bytes {
        0 => Some(L2Promotion::None),
        64 => Some(L2Promotion::B64),
        128 => Some(L2Promotion::B128),
        256 => Some(L2Promotion::B256),
        _ => None,
    }
}
