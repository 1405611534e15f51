//! The 128 bytes of a tensor map.
//!
//! The byte layout is the one that `tensormap.replace` is assembled to (brief, 3.3). Three bits come from descriptors
//! that CuTe's host code packs: bit 1 of the word at 8 is always set there, bits 17-18 of it hold the L2 promotion,
//! and bit 21 is set for tensors of 128 KiB or more. None of the three changes what a copy does.

use super::ElementType::{B4x16, B4x16P64, B6x16P32, Tf32, Tf32Ftz};
use super::{
    ElementType, Fill, Im2col, Interleave, L2Promotion, PTX_ORDER, TensorMap, TensorMapError,
};
use crate::engine::swizzle::Swizzle;

/// The 128 bytes of a `CUtensorMap`.
pub type Bytes = [u8; 128];

impl ElementType {
    /// The stored field (bits 7-10) and the tf32 flag (bit 16).
    fn stored(self) -> (u32, bool) {
        match self {
            Tf32 => (7, true),
            Tf32Ftz => (8, true),
            B4x16 => (11, false),
            B4x16P64 => (12, false),
            B6x16P32 => (13, false),
            other => (
                PTX_ORDER.iter().position(|&e| e == other).unwrap_or(0) as u32,
                false,
            ),
        }
    }

    fn from_stored(field: u32, tf32: bool) -> Result<Self, TensorMapError> {
        (PTX_ORDER.into_iter())
            .find(|e| e.stored() == (field, tf32))
            .ok_or(TensorMapError::ElementType(field))
    }
}

impl TensorMap {
    /// The 128 bytes. Values that the layout cannot hold are those that [`TensorMap::check`] refuses.
    pub fn encode(&self) -> Bytes {
        let mut bytes = [0; 128];
        let (field, tf32) = self.element.stored();
        let (mode, atomicity) = swizzle_fields(self.swizzle);
        let large = self.size_in_bytes() >= 128 << 10;
        let word = 1 << 1
            | (self.rank as u32 - 1) << 4
            | field << 7
            | (self.interleave as u32) << 11
            | mode << 13
            | (self.fill as u32) << 15
            | u32::from(tf32) << 16
            | (self.l2_promotion as u32) << 17
            | atomicity << 19
            | u32::from(large) << 21;
        bytes[..8].copy_from_slice(&self.address.to_le_bytes());
        put(&mut bytes, 8, word);
        for (i, &stride) in self.strides.iter().enumerate() {
            put_stride(&mut bytes, i, stride);
        }
        for i in 0..5 {
            put(
                &mut bytes,
                0x20 + 4 * i,
                self.dims[i].wrapping_sub(1) as u32,
            );
            put_bits(
                &mut bytes,
                0x34,
                3 * i as u32,
                3,
                self.element_strides[i].wrapping_sub(1),
            );
            bytes[box_byte(i)] = self.box_dims[i].wrapping_sub(1) as u8;
        }
        if let Some(im2col) = &self.im2col {
            let [corners, pixels] = im2col.encode(self.rank);
            put(&mut bytes, 8, word | 1);
            put(&mut bytes, 0x38, corners);
            put(&mut bytes, 0x3C, pixels);
        }
        bytes
    }

    /// Extent of the tensor in global memory, from the outermost stride.
    fn size_in_bytes(&self) -> u128 {
        match self.rank {
            0 | 1 => u128::from(self.dims[0]) * u128::from(self.element.bits()) / 8,
            rank => u128::from(self.dims[rank - 1]) * u128::from(self.strides[rank - 2]),
        }
    }

    /// Reads the 128 bytes back. Does not run [`TensorMap::check`]: device-built maps need not satisfy the driver.
    pub fn decode(bytes: &Bytes) -> Result<Self, TensorMapError> {
        let word = get(bytes, 8);
        let rank = (word >> 4 & 7) as usize + 1;
        if rank > 5 {
            return Err(TensorMapError::Rank(rank as u64));
        }
        let mut map = TensorMap {
            address: u64::from(get(bytes, 4)) << 32 | u64::from(get(bytes, 0)),
            rank,
            element: ElementType::from_stored(word >> 7 & 15, word >> 16 & 1 == 1)?,
            dims: [1; 5],
            strides: [0; 4],
            box_dims: [1; 5],
            element_strides: [1; 5],
            interleave: interleave(word >> 11 & 3)?,
            swizzle: swizzle_from_fields(word >> 13 & 3 | word >> 20 & 4, word >> 19 & 3)?,
            fill: if word >> 15 & 1 == 1 {
                Fill::Nan
            } else {
                Fill::Zero
            },
            im2col: (word & 1 == 1)
                .then(|| Im2col::decode(rank, [get(bytes, 0x38), get(bytes, 0x3C)])),
            l2_promotion: [
                L2Promotion::None,
                L2Promotion::B64,
                L2Promotion::B128,
                L2Promotion::B256,
            ][(word >> 17 & 3) as usize],
        };
        for i in 0..rank {
            map.dims[i] = u64::from(get(bytes, 0x20 + 4 * i)) + 1;
            map.element_strides[i] = (get(bytes, 0x34) >> (3 * i) & 7) + 1;
            if i == 0 || map.im2col.is_none() {
                map.box_dims[i] = u32::from(bytes[box_byte(i)]) + 1;
            }
        }
        for i in 0..rank - 1 {
            let high = u64::from(get(bytes, 0x1C) >> (4 * i) & 15);
            map.strides[i] = (high << 32 | u64::from(get(bytes, 0x0C + 4 * i))) << 4;
        }
        Ok(map)
    }
}

/// A field of `tensormap.replace` (PTX ISA, tensormap.replace).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// `.global_address`, 64 bits.
    GlobalAddress,
    /// `.rank`: the value is rank - 1.
    Rank,
    /// `.box_dim` of a dimension.
    BoxDim(u32),
    /// `.global_dim` of a dimension.
    GlobalDim(u32),
    /// `.global_stride`: ordinal 0 is the byte stride of dimension 1.
    GlobalStride(u32),
    /// `.element_stride` of a dimension.
    ElementStride(u32),
    /// `.elemtype` in PTX numbering.
    ElementType,
    /// `.interleave_layout`.
    Interleave,
    /// `.swizzle_mode`.
    Swizzle,
    /// `.swizzle_atomicity`.
    SwizzleAtomicity,
    /// `.fill_mode`.
    Fill,
}

/// `tensormap.replace`: sets one field in the bytes. The rest of a map under construction need not be valid yet.
pub fn replace(bytes: &mut Bytes, field: Field, value: u64) -> Result<(), TensorMapError> {
    let (Field::BoxDim(ordinal)
    | Field::GlobalDim(ordinal)
    | Field::GlobalStride(ordinal)
    | Field::ElementStride(ordinal)) = field
    else {
        return replace_scalar(bytes, field, value);
    };
    let limit = if matches!(field, Field::GlobalStride(_)) {
        4
    } else {
        5
    };
    if ordinal >= limit {
        return Err(TensorMapError::Ordinal { ordinal, limit });
    }
    let i = ordinal as usize;
    let less_one = value.wrapping_sub(1) as u32;
    match field {
        Field::BoxDim(_) => bytes[box_byte(i)] = less_one as u8,
        Field::GlobalDim(_) => put(bytes, 0x20 + 4 * i, less_one),
        Field::ElementStride(_) => put_bits(bytes, 0x34, 3 * ordinal, 3, less_one),
        _ if !value.is_multiple_of(16) => {
            return Err(TensorMapError::StrideAlignment {
                dim: i + 1,
                stride: value,
                alignment: 16,
            });
        }
        _ => put_stride(bytes, i, value),
    }
    Ok(())
}

fn replace_scalar(bytes: &mut Bytes, field: Field, value: u64) -> Result<(), TensorMapError> {
    let word = value as u32;
    match field {
        Field::GlobalAddress => {
            bytes[..8].copy_from_slice(&value.to_le_bytes());
            put_bits(bytes, 8, 21, 1, 0);
        }
        Field::Rank if value > 4 => return Err(TensorMapError::Rank(value + 1)),
        Field::Rank => put_bits(bytes, 8, 4, 3, word),
        Field::ElementType => {
            let (stored, tf32) = ElementType::from_ptx(word)?.stored();
            put_bits(bytes, 8, 7, 4, stored);
            put_bits(bytes, 8, 16, 1, u32::from(tf32));
        }
        Field::Interleave => put_bits(bytes, 8, 11, 2, interleave(word)? as u32),
        Field::Swizzle if value > 3 => {
            return Err(TensorMapError::Unsupported(format!(
                "swizzle mode {value} (96-byte, sm_103a)"
            )));
        }
        Field::Swizzle => {
            put_bits(bytes, 8, 13, 2, word);
            put_bits(bytes, 8, 22, 1, 0);
        }
        Field::SwizzleAtomicity if value > 3 => return Err(TensorMapError::SwizzleAtomicity(word)),
        Field::SwizzleAtomicity => put_bits(bytes, 8, 19, 2, word),
        _ => put_bits(bytes, 8, 15, 1, u32::from(value != 0)),
    }
    Ok(())
}

fn interleave(value: u32) -> Result<Interleave, TensorMapError> {
    [Interleave::None, Interleave::B16, Interleave::B32]
        .get(value as usize)
        .copied()
        .ok_or(TensorMapError::Interleave(value))
}

/// The stored swizzle mode and atomicity.
fn swizzle_fields(swizzle: Swizzle) -> (u32, u32) {
    match swizzle {
        Swizzle::None => (0, 0),
        Swizzle::B32 => (1, 0),
        Swizzle::B64 => (2, 0),
        Swizzle::B128 => (3, 0),
        Swizzle::B128Atom32 => (3, 1),
    }
}

fn swizzle_from_fields(mode: u32, atomicity: u32) -> Result<Swizzle, TensorMapError> {
    match (mode, atomicity) {
        (0, _) => Ok(Swizzle::None),
        (1, 0) => Ok(Swizzle::B32),
        (2, 0) => Ok(Swizzle::B64),
        (3, 0) => Ok(Swizzle::B128),
        (3, 1) => Ok(Swizzle::B128Atom32),
        _ => Err(TensorMapError::Unsupported(format!(
            "swizzle mode {mode} with atomicity {atomicity}"
        ))),
    }
}

fn box_byte(i: usize) -> usize {
    0x37 + i
}

fn get(bytes: &Bytes, at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn put(bytes: &mut Bytes, at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

fn put_bits(bytes: &mut Bytes, at: usize, shift: u32, width: u32, value: u32) {
    let mask = ((1 << width) - 1) << shift;
    let word = get(bytes, at) & !mask | value << shift & mask;
    put(bytes, at, word);
}

fn put_stride(bytes: &mut Bytes, i: usize, stride: u64) {
    put(bytes, 0x0C + 4 * i, (stride >> 4) as u32);
    put_bits(bytes, 0x1C, 4 * i as u32, 4, (stride >> 36) as u32);
}
