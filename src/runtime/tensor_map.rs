//! Tensor maps: encoded by the driver from the manifest's fields, once, with only the address left open.

use cudarc::driver::sys::{
    CUtensorMap, CUtensorMapDataType, CUtensorMapFloatOOBfill, CUtensorMapInterleave,
    CUtensorMapL2promotion, CUtensorMapSwizzle,
};

use super::block::{Binding, Block};
use super::driver::Driver;
use super::error::Error;
use crate::artifact::{KernelEntry, TensorMapSlot};

/// Two addresses that differ in every bit that a device address with 16-byte alignment may have.
const PROBES: [u64; 2] = [0x0000_5555_5555_5550, 0x0000_2AAA_AAAA_AAA0];

/// Encodes every tensor map of the kernel into the block's template, and finds where its address is.
///
/// # Errors
/// [`Error::Inconsistent`] for fields that no tensor map can have, [`Error::Call`] if the driver refuses them.
pub(super) fn encode_all(
    driver: &Driver,
    entry: &KernelEntry,
    block: &mut Block,
    binding: &mut Binding,
) -> Result<(), Error> {
    for slot in &entry.parameters.tensor_maps {
        let fields = Fields::new(slot).map_err(|reason| Error::Inconsistent {
            key: entry.key.clone(),
            reason,
        })?;
        let maps = [
            fields.encode(driver, PROBES[0])?,
            fields.encode(driver, PROBES[1])?,
        ];
        for (word, value) in (slot.offset / 8..).zip(maps[0].opaque) {
            block.set(word, value);
        }
        let word = address_word([&maps[0].opaque, &maps[1].opaque]);
        binding.add_map(slot.offset, slot.group, slot.operand, word);
    }
    Ok(())
}

/// The word that is the address, and nothing else, in two maps that differ in nothing else. How a map is laid out is
/// the driver's secret (CUDA driver API, Tensor Map Object Management), so it is asked and not assumed.
fn address_word(maps: [&[u64; 16]; 2]) -> Option<u32> {
    let mut differing = (0..16).filter(|&word| maps[0][word] != maps[1][word]);
    let word = differing.next()?;
    let is_address = [maps[0][word], maps[1][word]] == PROBES;
    (is_address && differing.next().is_none()).then_some(word as u32)
}

/// The arguments of `cuTensorMapEncodeTiled` but for the address.
struct Fields<'a> {
    slot: &'a TensorMapSlot,
    element: CUtensorMapDataType,
    swizzle: CUtensorMapSwizzle,
    promotion: CUtensorMapL2promotion,
}

impl<'a> Fields<'a> {
    fn new(slot: &'a TensorMapSlot) -> Result<Self, String> {
        use CUtensorMapDataType::*;
        use CUtensorMapL2promotion::*;
        use CUtensorMapSwizzle::*;
        let at = |what: &str| format!("its tensor map at offset {} has {what}", slot.offset);
        let rank = slot.dims.len();
        if !(1..=5).contains(&rank) || slot.strides.len() != rank - 1 || slot.tile.len() != rank {
            return Err(at("lists of different lengths"));
        }
        let element = match slot.element.as_str() {
            "u8" => CU_TENSOR_MAP_DATA_TYPE_UINT8,
            "u16" => CU_TENSOR_MAP_DATA_TYPE_UINT16,
            "u32" => CU_TENSOR_MAP_DATA_TYPE_UINT32,
            "u64" => CU_TENSOR_MAP_DATA_TYPE_UINT64,
            "f16" => CU_TENSOR_MAP_DATA_TYPE_FLOAT16,
            "bf16" => CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
            "f32" => CU_TENSOR_MAP_DATA_TYPE_FLOAT32,
            other => return Err(at(&format!("the unknown element type {other}"))),
        };
        let swizzle = match slot.swizzle {
            0 => CU_TENSOR_MAP_SWIZZLE_NONE,
            32 => CU_TENSOR_MAP_SWIZZLE_32B,
            64 => CU_TENSOR_MAP_SWIZZLE_64B,
            128 => CU_TENSOR_MAP_SWIZZLE_128B,
            other => return Err(at(&format!("a swizzle of {other} bytes"))),
        };
        let promotion = match slot.l2_promotion {
            0 => CU_TENSOR_MAP_L2_PROMOTION_NONE,
            64 => CU_TENSOR_MAP_L2_PROMOTION_L2_64B,
            128 => CU_TENSOR_MAP_L2_PROMOTION_L2_128B,
            256 => CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
            other => return Err(at(&format!("an L2 promotion of {other} bytes"))),
        };
        Ok(Fields {
            slot,
            element,
            swizzle,
            promotion,
        })
    }

    fn encode(&self, driver: &Driver, address: u64) -> Result<CUtensorMap, Error> {
        let mut map = CUtensorMap { opaque: [0; 16] };
        // SAFETY: `new` checked that dims and tile have `rank` numbers, strides one fewer and element strides enough; the
        // address is encoded and not followed.
        unsafe {
            driver.cuTensorMapEncodeTiled(
                &mut map,
                self.element,
                self.slot.dims.len() as u32,
                address as *mut _,
                self.slot.dims.as_ptr(),
                self.slot.strides.as_ptr(),
                self.slot.tile.as_ptr(),
                [1; 5].as_ptr(),
                CUtensorMapInterleave::CU_TENSOR_MAP_INTERLEAVE_NONE,
                self.swizzle,
                self.promotion,
                CUtensorMapFloatOOBfill::CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE,
            )?;
        }
        Ok(map)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_found_where_it_is_alone() {
        let map = |word: usize, address| {
            let mut words = [7; 16];
            words[word] = address;
            words
        };
        for word in 0..16 {
            let maps = PROBES.map(|address| map(word, address));
            assert_eq!(address_word([&maps[0], &maps[1]]), Some(word as u32));
        }
    }

    #[test]
    fn anything_else_is_left_to_the_driver() {
        let [a, b] = PROBES;
        let two = |x: u64, y: u64| {
            let mut words = [7; 16];
            words[2] = x;
            words[5] = y;
            words
        };
        // A check sum, a shifted address, an address with other bits beside it, no address at all.
        let pairs = [
            (two(a, 1), two(b, 2)),
            (two(a >> 4, 7), two(b >> 4, 7)),
            (two(a | 1 << 60, 7), two(b | 1 << 60, 7)),
            (two(7, 7), two(7, 7)),
        ];
        for (first, second) in &pairs {
            assert_eq!(address_word([first, second]), None);
        }
    }
}
