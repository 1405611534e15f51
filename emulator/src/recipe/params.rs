//! Kernel parameters: JSON to the bytes that a host would pass.

use crate::engine::swizzle::Swizzle;
use crate::engine::tensor_map::{ElementType, Fill, Interleave, TensorMap};
use crate::recipe::RecipeError;
use crate::recipe::node::Node;

/// The buffer that a scratch pointer names.
pub(super) const SCRATCH: &str = "__scratch__";

/// One parameter. Addresses are known only when the buffers are allocated.
pub(super) enum Param {
    /// The 128 bytes of a map over a buffer.
    TensorMap(Box<TensorMap>, String),
    /// A buffer and an offset into it.
    Pointer(String, u64),
    /// Bytes that do not depend on addresses.
    Bytes(Vec<u8>),
}

impl Param {
    /// Reads a parameter. `buffers` are the names it may refer to.
    pub fn read(node: &Node<'_>, buffers: &[&str]) -> Result<Param, RecipeError> {
        let buffer = || -> Result<String, RecipeError> {
            let node = node.get("buffer")?;
            let name = node.text()?;
            if name == SCRATCH || buffers.contains(&name) {
                return Ok(name.into());
            }
            Err(node.error(format!(
                "names `{name}`, which is not among the buffers: {}",
                buffers.join(", ")
            )))
        };
        let kind = node.get("kind")?;
        Ok(match kind.text()? {
            "tensormap" => Param::TensorMap(Box::new(tensor_map(&node.get("encode")?)?), buffer()?),
            "pointer" if node.optional("buffer").is_none() => Param::Bytes(vec![0; 8]),
            "pointer" => {
                let offset = node
                    .optional("offset_bytes")
                    .map_or(Ok(0), |n| n.integer())?;
                Param::Pointer(buffer()?, offset)
            }
            "scalar" => Param::Bytes(scalar(node)?),
            "bytes" => Param::Bytes(hex(&node.get("hex")?)?),
            other => {
                return Err(kind.error(format!(
                    "is `{other}`; known are tensormap, pointer, scalar, bytes"
                )));
            }
        })
    }

    /// The bytes, once the address of each buffer is known.
    pub fn bytes(&self, address_of: impl Fn(&str) -> u64) -> Vec<u8> {
        match self {
            Param::TensorMap(map, buffer) => {
                let mut map = (**map).clone();
                map.address = address_of(buffer);
                map.encode().to_vec()
            }
            Param::Pointer(buffer, offset) => address_of(buffer)
                .wrapping_add(*offset)
                .to_le_bytes()
                .to_vec(),
            Param::Bytes(bytes) => bytes.clone(),
        }
    }
}

const ELEMENTS: [(&str, ElementType); 16] = [
    ("UINT8", ElementType::U8),
    ("UINT16", ElementType::U16),
    ("UINT32", ElementType::U32),
    ("INT32", ElementType::S32),
    ("UINT64", ElementType::U64),
    ("INT64", ElementType::S64),
    ("FLOAT16", ElementType::F16),
    ("FLOAT32", ElementType::F32),
    ("FLOAT64", ElementType::F64),
    ("BFLOAT16", ElementType::Bf16),
    ("FLOAT32_FTZ", ElementType::F32Ftz),
    ("TFLOAT32", ElementType::Tf32),
    ("TFLOAT32_FTZ", ElementType::Tf32Ftz),
    ("16U4_ALIGN8B", ElementType::B4x16),
    ("16U4_ALIGN16B", ElementType::B4x16P64),
    ("16U6_ALIGN16B", ElementType::B6x16P32),
];

const SWIZZLES: [(&str, Swizzle); 5] = [
    ("NONE", Swizzle::None),
    ("32B", Swizzle::B32),
    ("64B", Swizzle::B64),
    ("128B", Swizzle::B128),
    ("128B_ATOM_32B", Swizzle::B128Atom32),
];

const INTERLEAVES: [(&str, Interleave); 3] = [
    ("NONE", Interleave::None),
    ("16B", Interleave::B16),
    ("32B", Interleave::B32),
];

/// The arguments of `cuTensorMapEncodeTiled`.
fn tensor_map(encode: &Node<'_>) -> Result<TensorMap, RecipeError> {
    let named = |key: &str| encode.get(key);
    let map = TensorMap {
        address: 0,
        rank: named("global_dim")?.items()?.len(),
        element: named("data_type")?.one_of("CU_TENSOR_MAP_DATA_TYPE_", &ELEMENTS)?,
        dims: named("global_dim")?.integers(1)?,
        strides: named("global_strides_bytes")?.integers(0)?,
        box_dims: named("box_dim")?.integers(1)?,
        element_strides: encode
            .optional("element_strides")
            .map_or(Ok([1; 5]), |n| n.integers(1))?,
        interleave: encode
            .optional("interleave")
            .map_or(Ok(Interleave::None), |n| {
                n.one_of("CU_TENSOR_MAP_INTERLEAVE_", &INTERLEAVES)
            })?,
        swizzle: named("swizzle")?.one_of("CU_TENSOR_MAP_SWIZZLE_", &SWIZZLES)?,
        fill: match encode.optional("oob_fill_enum") {
            None => Fill::Zero,
            Some(node) => match node.integer::<u32>()? {
                0 => Fill::Zero,
                1 => Fill::Nan,
                _ => return Err(node.error("must be 0 (zeros) or 1 (NaN)")),
            },
        },
        // The promotion changes no result.
        l2_promotion: Default::default(),
        im2col: None,
    };
    map.check()
        .map_err(|e| encode.error(format!("the driver would refuse this map: {e}")))?;
    Ok(map)
}

fn scalar(param: &Node<'_>) -> Result<Vec<u8>, RecipeError> {
    let (ty, value) = (param.get("type")?, param.get("value")?);
    Ok(match ty.text()? {
        "i1" | "u1" => vec![value.integer::<u8>()?],
        "i8" => value.integer::<i8>()?.to_le_bytes().to_vec(),
        "u8" => vec![value.integer::<u8>()?],
        "i16" => value.integer::<i16>()?.to_le_bytes().to_vec(),
        "u16" => value.integer::<u16>()?.to_le_bytes().to_vec(),
        "i32" => value.integer::<i32>()?.to_le_bytes().to_vec(),
        "u32" => value.integer::<u32>()?.to_le_bytes().to_vec(),
        "i64" => value.integer::<i64>()?.to_le_bytes().to_vec(),
        "u64" => value.integer::<u64>()?.to_le_bytes().to_vec(),
        "f16" => half::f16::from_f64(value.number()?).to_le_bytes().to_vec(),
        "bf16" => half::bf16::from_f64(value.number()?).to_le_bytes().to_vec(),
        "f32" => (value.number()? as f32).to_le_bytes().to_vec(),
        "f64" => value.number()?.to_le_bytes().to_vec(),
        other => {
            return Err(ty.error(format!(
                "is `{other}`; known are i8 to i64, u8 to u64, f16, bf16, f32, f64"
            )));
        }
    })
}

fn hex(node: &Node<'_>) -> Result<Vec<u8>, RecipeError> {
    let text = node.text()?.as_bytes();
    let digit = |byte: u8| (byte as char).to_digit(16);
    let pair = |pair: &[u8]| match pair {
        [high, low] => Some((digit(*high)? << 4 | digit(*low)?) as u8),
        _ => None,
    };
    text.chunks(2)
        .map(pair)
        .collect::<Option<Vec<u8>>>()
        .ok_or_else(|| node.error("must be an even number of hexadecimal digits"))
}
