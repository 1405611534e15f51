//! `quantize`: the matrices of a safetensors file in NVFP4.

use std::collections::HashMap;
use std::fs;
use std::io::{Write, stdout};
use std::path::PathBuf;

use clap::Args;
use nvfp4gen::numerics::quantize::{
    QuantizeError, Quantized, Source, TensorScale, quantize as to_nvfp4,
};
use nvfp4gen::numerics::{BLOCK, scales};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::failure::Failure;
use super::file;
use super::table::{Table, count};

const EXAMPLES: &str = "\
Every tensor NAME of two dimensions [rows, K] in F32, F16 or BF16 whose K is a
multiple of 16 becomes

  NAME                U8 [rows, K/2]       two E2M1 codes a byte, the first low
  NAME_scale          F8_E4M3 [rows, K/16] one scale for 16 elements
  NAME_scale_2        F32 [1]              one for the tensor
  NAME_scale_blocked  U8 [512 * ceil(rows/128) * ceil(K/64)], with --blocked:
                      the scales as kernels take them

and stands for code * NAME_scale * NAME_scale_2. All other tensors are copied.
Kernels know nothing of NAME_scale_2: multiply C with it. C is f16, and products
of two operands whose scales go up to 448 (`auto`) may leave it.

Examples:
  nvfp4gen quantize layer.safetensors layer-nvfp4.safetensors
  nvfp4gen quantize layer.safetensors out.safetensors --tensor up_proj.weight \\
      --tensor-scale 1 --blocked";

/// Quantise the matrices of a safetensors file to NVFP4
#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
pub struct QuantizeArgs {
    /// File to read (safetensors)
    #[arg(value_name = "INPUT")]
    input: PathBuf,
    /// File to write (safetensors); replaced in one step
    #[arg(value_name = "OUTPUT")]
    output: PathBuf,
    /// Only this tensor; may be repeated
    #[arg(long = "tensor", value_name = "NAME")]
    tensors: Vec<String>,
    /// The scale of a whole tensor: `auto`, its largest magnitude over 6 * 448,
    /// or a number
    #[arg(long, value_name = "SCALE", default_value = "auto", value_parser = tensor_scale)]
    tensor_scale: TensorScale,
    /// Write the scales in blocked form too
    #[arg(long)]
    blocked: bool,
}

/// A tensor to be written.
type Written = (String, Dtype, Vec<usize>, Vec<u8>);

pub fn quantize(args: &QuantizeArgs) -> Result<(), Failure> {
    let input = args.input.display();
    let bytes = fs::read(&args.input)
        .map_err(|error| Failure::Input(format!("cannot read {input}: {error}")))?;
    let tensors = SafeTensors::deserialize(&bytes).map_err(|error| {
        Failure::Input(format!(
            "{input}: not a safetensors file, or a damaged one ({error})"
        ))
    })?;
    check_names(args, &tensors)?;
    let mut written = Vec::new();
    let mut table = Table::new(&["tensor", "rows", "K", "tensor scale"]);
    let mut names = tensors.names();
    names.sort_unstable();
    for name in names {
        let tensor = tensors.tensor(name).map_err(Failure::input)?;
        match args.source_of(name, &tensor)? {
            None => written.push((
                name.to_owned(),
                tensor.dtype(),
                tensor.shape().to_vec(),
                tensor.data().to_vec(),
            )),
            Some(source) => {
                let [rows, k] = [tensor.shape()[0], tensor.shape()[1]];
                let done = args.convert(name, source, rows, k, tensor.data())?;
                let scale = format!("{:e}", done.tensor_scale);
                table.row(vec![
                    name.to_owned(),
                    count(rows as u64),
                    count(k as u64),
                    scale,
                ]);
                written.extend(args.parts(name, rows, k, done)?);
            }
        }
    }
    check_unique(&written)?;
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(Failure::input)?;
    let bytes = serialize(&written, header.metadata().clone())?;
    file::write(&args.output, &bytes).map_err(Failure::Input)?;
    Ok(stdout().write_all(table.render().as_bytes())?)
}

fn tensor_scale(text: &str) -> Result<TensorScale, String> {
    match (text, text.parse()) {
        ("auto", _) => Ok(TensorScale::Largest),
        (_, Ok(scale)) => Ok(TensorScale::Given(scale)),
        _ => Err("`auto`, or a number".into()),
    }
}

fn check_names(args: &QuantizeArgs, tensors: &SafeTensors) -> Result<(), Failure> {
    let unknown = args
        .tensors
        .iter()
        .find(|name| tensors.tensor(name).is_err());
    match unknown {
        None => Ok(()),
        Some(name) => {
            let mut names = tensors.names();
            names.sort_unstable();
            let input = args.input.display();
            Err(Failure::Input(format!(
                "{input}: no tensor is called `{name}`; there are: {}",
                names.join(", ")
            )))
        }
    }
}

fn check_unique(written: &[Written]) -> Result<(), Failure> {
    let mut names: Vec<&str> = written.iter().map(|(name, ..)| name.as_str()).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        None => Ok(()),
        Some(pair) => Err(Failure::Input(format!(
            "the output would have two tensors `{}`: the input seems to be quantised already",
            pair[0]
        ))),
    }
}

impl QuantizeArgs {
    /// How the numbers of a tensor are stored; None if it is to be copied.
    fn source_of(&self, name: &str, tensor: &TensorView) -> Result<Option<Source>, Failure> {
        let source = match tensor.dtype() {
            Dtype::F32 => Some(Source::F32),
            Dtype::F16 => Some(Source::F16),
            Dtype::BF16 => Some(Source::Bf16),
            _ => None,
        };
        let shape = tensor.shape();
        let fits = shape.len() == 2 && shape[1].is_multiple_of(BLOCK) && shape[1] > 0;
        let asked = self.tensors.iter().any(|asked| asked == name);
        match (source, fits, asked) {
            (Some(source), true, _) if asked || self.tensors.is_empty() => Ok(Some(source)),
            (_, _, false) => Ok(None),
            _ => Err(Failure::Input(format!(
                "`{name}` is {:?} {shape:?}; it must be F32, F16 or BF16 [rows, K], K a multiple of {BLOCK}",
                tensor.dtype()
            ))),
        }
    }

    fn convert(
        &self,
        name: &str,
        source: Source,
        rows: usize,
        k: usize,
        bytes: &[u8],
    ) -> Result<Quantized, Failure> {
        to_nvfp4(rows, k, &source.numbers(bytes), self.tensor_scale)
            .map_err(|error: QuantizeError| Failure::Input(format!("`{name}`: {error}")))
    }

    /// What a matrix becomes.
    fn parts(
        &self,
        name: &str,
        rows: usize,
        k: usize,
        done: Quantized,
    ) -> Result<Vec<Written>, Failure> {
        let columns = k / BLOCK;
        let mut parts = Vec::new();
        if self.blocked {
            let blocked =
                scales::to_blocked(&done.scales, rows, columns, |_| 0).map_err(Failure::input)?;
            parts.push((
                format!("{name}_scale_blocked"),
                Dtype::U8,
                vec![blocked.len()],
                blocked,
            ));
        }
        let scale = done.tensor_scale.to_le_bytes().to_vec();
        parts.push((name.to_owned(), Dtype::U8, vec![rows, k / 2], done.codes));
        parts.push((
            format!("{name}_scale"),
            Dtype::F8_E4M3,
            vec![rows, columns],
            done.scales,
        ));
        parts.push((format!("{name}_scale_2"), Dtype::F32, vec![1], scale));
        Ok(parts)
    }
}

fn serialize(
    written: &[Written],
    metadata: Option<HashMap<String, String>>,
) -> Result<Vec<u8>, Failure> {
    let mut views = Vec::new();
    for (name, dtype, shape, bytes) in written {
        views.push((
            name,
            TensorView::new(*dtype, shape.clone(), bytes).map_err(Failure::input)?,
        ));
    }
    safetensors::serialize(views, metadata).map_err(Failure::input)
}
