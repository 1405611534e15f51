//! Recipes: a kernel, its launch, its data and what must come out, as JSON beside a safetensors file.

use std::collections::BTreeMap;
use std::path::Path;

use half::{bf16, f16};
use ptx_emulator::engine::swizzle::Swizzle;
use ptx_emulator::engine::tensor_map::{ElementType, Fill};
use ptx_emulator::{Device, DeviceConfig, Launch, Module, Schedule, TensorMap};
use safetensors::SafeTensors;
use serde_json::Value;

/// A recipe with its module.
pub struct Recipe {
    folder: std::path::PathBuf,
    json: Value,
    module: Module,
}

fn dims(v: &Value) -> [u32; 3] {
    std::array::from_fn(|i| v[i].as_u64().unwrap() as u32)
}

fn numbers<const N: usize>(v: &Value, rest: u64) -> [u64; N] {
    std::array::from_fn(|i| v[i].as_u64().unwrap_or(rest))
}

fn text<'a>(v: &'a Value, key: &str) -> &'a str {
    v[key]
        .as_str()
        .unwrap_or_else(|| panic!("{key} is missing in {v}"))
}

fn element(name: &str) -> ElementType {
    match name.trim_start_matches("CU_TENSOR_MAP_DATA_TYPE_") {
        "UINT8" => ElementType::U8,
        "UINT16" => ElementType::U16,
        "UINT32" => ElementType::U32,
        "INT32" => ElementType::S32,
        "FLOAT16" => ElementType::F16,
        "BFLOAT16" => ElementType::Bf16,
        "FLOAT32" => ElementType::F32,
        "16U4_ALIGN8B" => ElementType::B4x16,
        "16U4_ALIGN16B" => ElementType::B4x16P64,
        other => panic!("element type {other}"),
    }
}

fn swizzle(name: &str) -> Swizzle {
    match name.trim_start_matches("CU_TENSOR_MAP_SWIZZLE_") {
        "NONE" => Swizzle::None,
        "32B" => Swizzle::B32,
        "64B" => Swizzle::B64,
        "128B" => Swizzle::B128,
        other => panic!("swizzle {other}"),
    }
}

fn tensor_map(encode: &Value, address: u64) -> TensorMap {
    let map = TensorMap {
        address,
        rank: encode["global_dim"].as_array().unwrap().len(),
        element: element(text(encode, "data_type")),
        dims: numbers(&encode["global_dim"], 1),
        strides: numbers(&encode["global_strides_bytes"], 0),
        box_dims: numbers::<5>(&encode["box_dim"], 1).map(|v| v as u32),
        element_strides: numbers::<5>(&encode["element_strides"], 1).map(|v| v as u32),
        interleave: Default::default(),
        swizzle: swizzle(text(encode, "swizzle")),
        fill: if encode["oob_fill_enum"].as_u64() == Some(1) {
            Fill::Nan
        } else {
            Fill::Zero
        },
        l2_promotion: Default::default(),
    };
    map.check().unwrap();
    map
}

fn scalar(param: &Value) -> Vec<u8> {
    let value = &param["value"];
    match text(param, "type") {
        "i32" => (value.as_i64().unwrap() as i32).to_le_bytes().to_vec(),
        "i64" => value.as_i64().unwrap().to_le_bytes().to_vec(),
        "f32" => (value.as_f64().unwrap() as f32).to_le_bytes().to_vec(),
        other => panic!("scalar type {other}"),
    }
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len() / 2)
        .map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap())
        .collect()
}

/// The values of raw bytes.
fn decode(dtype: &str, bytes: &[u8]) -> Vec<f64> {
    let words = |n: usize| bytes.chunks_exact(n);
    match dtype {
        "f32" => words(4)
            .map(|c| f32::from_le_bytes(c.try_into().unwrap()).into())
            .collect(),
        "f64" => words(8)
            .map(|c| f64::from_le_bytes(c.try_into().unwrap()))
            .collect(),
        "f16" => words(2)
            .map(|c| f16::from_le_bytes(c.try_into().unwrap()).to_f64())
            .collect(),
        "bf16" => words(2)
            .map(|c| bf16::from_le_bytes(c.try_into().unwrap()).to_f64())
            .collect(),
        "i32" => words(4)
            .map(|c| i32::from_le_bytes(c.try_into().unwrap()).into())
            .collect(),
        other => panic!("type {other} has no values"),
    }
}

fn dtype_of(view: &safetensors::tensor::TensorView<'_>) -> &'static str {
    match view.dtype() {
        safetensors::Dtype::F64 => "f64",
        safetensors::Dtype::F32 => "f32",
        safetensors::Dtype::F16 => "f16",
        safetensors::Dtype::BF16 => "bf16",
        safetensors::Dtype::I32 => "i32",
        other => panic!("{other:?}"),
    }
}

impl Recipe {
    /// Reads a recipe and loads its module.
    pub fn open(path: &Path) -> Result<Recipe, ptx_emulator::LoadError> {
        let json: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let folder = path.parent().unwrap().to_path_buf();
        let ptx = folder.join(text(&json, "ptx"));
        let module = Module::load(
            &ptx.display().to_string(),
            &std::fs::read_to_string(&ptx).unwrap(),
        )?;
        Ok(Recipe {
            folder,
            json,
            module,
        })
    }

    /// Runs every data file of the recipe under a schedule and compares all outputs.
    pub fn run(&self, schedule: Schedule) -> Result<(), String> {
        for run in self.json["runs"].as_array().unwrap() {
            let name = text(run, "data");
            let bytes = std::fs::read(self.folder.join(name)).unwrap();
            let data = SafeTensors::deserialize(&bytes).unwrap();
            self.run_one(run, &data, schedule)
                .map_err(|e| format!("{name} {schedule:?}: {e}"))?;
        }
        Ok(())
    }

    fn run_one(
        &self,
        run: &Value,
        data: &SafeTensors<'_>,
        schedule: Schedule,
    ) -> Result<(), String> {
        let mut device = Device::new(DeviceConfig::default());
        let mut addresses = BTreeMap::new();
        for (name, buffer) in self.json["buffers"].as_object().unwrap() {
            let initial = data.tensor(text(buffer, "initial")).unwrap();
            let address = device.allocate(name, initial.data().len(), 0);
            device.write(address, initial.data()).unwrap();
            addresses.insert(name.clone(), (address, initial.data().len()));
        }
        let scratch = self.json["scratch_bytes"].as_u64().unwrap_or(0) as usize;
        addresses.insert(
            "__scratch__".into(),
            (device.allocate("__scratch__", scratch, 0), scratch),
        );
        let launch = self.launch(&addresses);
        device
            .launch(&self.module, &launch, schedule)
            .map_err(|stop| stop.to_string())?;
        for comparison in run["compare"].as_array().unwrap() {
            let (address, len) = addresses[text(comparison, "output")];
            self.compare(comparison, data, &device.read(address, len).unwrap())?;
        }
        Ok(())
    }

    fn launch(&self, addresses: &BTreeMap<String, (u64, usize)>) -> Launch {
        let entry = text(&self.json, "entry");
        let layout = self.module.params(entry).unwrap();
        let written = self.json["params"].as_array().unwrap();
        assert_eq!(layout.len(), written.len(), "number of parameters");
        let mut params = vec![0; layout.last().map_or(0, |p| (p.offset + p.bytes) as usize)];
        for (place, param) in layout.iter().zip(written) {
            let address = param["buffer"].as_str().map_or(0, |b| addresses[b].0);
            let bytes = match text(param, "kind") {
                "tensormap" => tensor_map(&param["encode"], address).encode().to_vec(),
                "pointer" if param["buffer"].is_null() => vec![0; 8],
                "pointer" => (address + param["offset_bytes"].as_u64().unwrap())
                    .to_le_bytes()
                    .to_vec(),
                "scalar" => scalar(param),
                "bytes" => hex(text(param, "hex")),
                other => panic!("parameter kind {other}"),
            };
            assert_eq!(bytes.len(), place.bytes as usize, "{}", place.name);
            params[place.offset as usize..][..bytes.len()].copy_from_slice(&bytes);
        }
        let launch = &self.json["launch"];
        Launch {
            entry: entry.into(),
            grid: dims(&launch["grid"]),
            block: dims(&launch["block"]),
            cluster: dims(&launch["cluster"]),
            dynamic_shared: launch["dynamic_smem_bytes"].as_u64().unwrap() as u32,
            params,
        }
    }

    fn compare(
        &self,
        comparison: &Value,
        data: &SafeTensors<'_>,
        got: &[u8],
    ) -> Result<(), String> {
        let output = text(comparison, "output");
        let expected = data.tensor(text(comparison, "expected")).unwrap();
        let mode = text(comparison, "mode");
        if mode == "bitwise" {
            let wrong = got
                .iter()
                .zip(expected.data())
                .filter(|(a, b)| a != b)
                .count();
            return match got.iter().zip(expected.data()).position(|(a, b)| a != b) {
                None => Ok(()),
                Some(at) => Err(format!(
                    "{output}: {wrong} of {} bytes differ, first at {at}",
                    got.len()
                )),
            };
        }
        let got = decode(text(&self.json["buffers"][output], "dtype"), got);
        let wanted = decode(dtype_of(&expected), expected.data());
        let tolerance: Vec<f64> = match mode {
            "tol_times_absum" => {
                let absum = data.tensor(text(comparison, "absum")).unwrap();
                let tol = comparison["tol"].as_f64().unwrap();
                decode(dtype_of(&absum), absum.data())
                    .into_iter()
                    .map(|a| tol * a)
                    .collect()
            }
            "allclose" => {
                let (atol, rtol) = (
                    comparison["atol"].as_f64().unwrap(),
                    comparison["rtol"].as_f64().unwrap(),
                );
                wanted.iter().map(|w| atol + rtol * w.abs()).collect()
            }
            other => panic!("mode {other}"),
        };
        assert!(got.len() == wanted.len() && got.len() == tolerance.len());
        for (i, ((g, w), t)) in got.iter().zip(&wanted).zip(&tolerance).enumerate() {
            let close = (g - w).abs() <= *t;
            if !close {
                return Err(format!(
                    "{output}[{i}]: got {g}, expected {w}, tolerance {t}"
                ));
            }
        }
        Ok(())
    }
}
