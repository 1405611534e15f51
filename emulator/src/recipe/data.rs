//! Data files: tensors of raw bytes, and the values that a type gives them.

use std::path::{Path, PathBuf};

use half::{bf16, f16};
use safetensors::{Dtype, SafeTensors};

use super::RecipeError;
use crate::engine::descriptor::Format;
use crate::engine::mma::format;

/// A safetensors file in memory.
pub(super) struct DataFile {
    path: PathBuf,
    bytes: Vec<u8>,
}

/// A tensor of it.
pub(super) struct Tensor<'a> {
    pub bytes: &'a [u8],
    /// The type as the file has it.
    pub dtype: &'static str,
}

impl DataFile {
    pub fn read(path: &Path) -> Result<DataFile, RecipeError> {
        let bytes = std::fs::read(path).map_err(|e| RecipeError::at(path, "", e.to_string()))?;
        let file = DataFile {
            path: path.into(),
            bytes,
        };
        file.tensors()?;
        Ok(file)
    }

    /// An error about a tensor of this file.
    pub fn error(&self, name: &str, message: impl Into<String>) -> RecipeError {
        RecipeError::at(&self.path, name, message)
    }

    fn tensors(&self) -> Result<SafeTensors<'_>, RecipeError> {
        SafeTensors::deserialize(&self.bytes)
            .map_err(|e| RecipeError::at(&self.path, "", format!("is not a safetensors file: {e}")))
    }

    pub fn tensor(&self, name: &str) -> Result<Tensor<'_>, RecipeError> {
        let tensors = self.tensors()?;
        let Ok(view) = tensors.tensor(name) else {
            let mut names = tensors.names();
            names.sort_unstable();
            let message = format!("is not in the file, which has {}", names.join(", "));
            return Err(RecipeError::at(&self.path, name, message));
        };
        let dtype = match view.dtype() {
            Dtype::F64 => "f64",
            Dtype::F32 => "f32",
            Dtype::F16 => "f16",
            Dtype::BF16 => "bf16",
            Dtype::I64 => "i64",
            Dtype::U64 => "u64",
            Dtype::I32 => "i32",
            Dtype::U32 => "u32",
            Dtype::I16 => "i16",
            Dtype::U16 => "u16",
            Dtype::I8 => "i8",
            Dtype::U8 | Dtype::BOOL => "u8",
            _ => "raw",
        };
        Ok(Tensor {
            bytes: view.data(),
            dtype,
        })
    }
}

fn each<const N: usize>(bytes: &[u8], value: impl Fn([u8; N]) -> f64) -> Vec<f64> {
    bytes
        .chunks_exact(N)
        .map(|c| value(std::array::from_fn(|i| c[i])))
        .collect()
}

/// The values of raw bytes, or none if the type is unknown.
pub(super) fn values(dtype: &str, bytes: &[u8]) -> Option<Vec<f64>> {
    let narrow = |kind| {
        each(bytes, move |[b]: [u8; 1]| {
            format::decode(kind, b.into()).value()
        })
    };
    Some(match dtype {
        "f64" => each(bytes, f64::from_le_bytes),
        "f32" => each(bytes, |b| f32::from_le_bytes(b).into()),
        "f16" => each(bytes, |b| f16::from_le_bytes(b).to_f64()),
        "bf16" => each(bytes, |b| bf16::from_le_bytes(b).to_f64()),
        "i64" => each(bytes, |b| i64::from_le_bytes(b) as f64),
        "u64" => each(bytes, |b| u64::from_le_bytes(b) as f64),
        "i32" => each(bytes, |b| i32::from_le_bytes(b).into()),
        "u32" => each(bytes, |b| u32::from_le_bytes(b).into()),
        "i16" => each(bytes, |b| i16::from_le_bytes(b).into()),
        "u16" => each(bytes, |b| u16::from_le_bytes(b).into()),
        "i8" => each(bytes, |[b]: [u8; 1]| f64::from(b as i8)),
        "u8" | "bool" => each(bytes, |[b]: [u8; 1]| f64::from(b)),
        "e4m3" => narrow(Format::E4m3),
        "e5m2" => narrow(Format::E5m2),
        "e2m3" => narrow(Format::E2m3),
        "e3m2" => narrow(Format::E3m2),
        "ue8m0" => each(bytes, |[b]: [u8; 1]| f64::powi(2.0, i32::from(b) - 127)),
        _ => return None,
    })
}
