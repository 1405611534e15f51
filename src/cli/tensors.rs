//! The safetensors files of `run`: operands in, C out, with every complaint about a file at once.
//!
//! Group i has `i.a` [M, K/2] and `i.b` [N, K/2] (U8, two E2M1 codes a byte, the first in the low nibble), the scales
//! `i.sfa` [M, K/16] and `i.sfb` [N, K/16] in plain form or `i.sfa_blocked`, `i.sfb_blocked` in blocked form (U8 or
//! F8_E4M3). The answer is `i.c` [M, N] (F16). A group without tokens may leave all of its tensors out.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use nvfp4gen::artifact::Sizes;
use nvfp4gen::device::GroupBuffers;
use nvfp4gen::numerics::{BLOCK, scales};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::file;

/// What the padding of blocked scales is filled with: NaN, so that a kernel that used it would be found out.
const PADDING: u8 = 0x7f;

const BYTES: &[Dtype] = &[Dtype::U8];
const SCALES: &[Dtype] = &[Dtype::U8, Dtype::F8_E4M3];

/// The operands of one group.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Operands {
    a: Vec<u8>,
    b: Vec<u8>,
    sfa_blocked: Vec<u8>,
    sfb_blocked: Vec<u8>,
}

impl Operands {
    /// As a kernel takes them.
    pub fn borrow(&self) -> GroupBuffers<'_> {
        GroupBuffers {
            a: &self.a,
            b: &self.b,
            sfa_blocked: &self.sfa_blocked,
            sfb_blocked: &self.sfb_blocked,
        }
    }
}

/// Reads the operands of a set of these sizes.
///
/// # Errors
/// One line per complaint, each naming the tensor and the remedy.
pub fn read(path: &Path, sizes: &Sizes) -> Result<Vec<Operands>, String> {
    let bytes =
        fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    parse(&bytes, sizes).map_err(|lines| {
        let lines: Vec<String> = lines
            .iter()
            .map(|line| format!("{}: {line}", path.display()))
            .collect();
        lines.join("\n")
    })
}

/// Writes `i.c` for every group, atomically: the file appears whole or not at all.
///
/// # Errors
/// A line that says which file cannot be written and why.
pub fn write(path: &Path, sizes: &Sizes, outputs: &[Vec<u8>]) -> Result<(), String> {
    let fail = |error: &dyn std::fmt::Display| format!("cannot write {}: {error}", path.display());
    let mut tensors = Vec::new();
    for (group, bytes) in outputs.iter().enumerate() {
        let shape = vec![sizes.m[group] as usize, sizes.n[group] as usize];
        let view = TensorView::new(Dtype::F16, shape, bytes).map_err(|error| fail(&error))?;
        tensors.push((format!("{group}.c"), view));
    }
    let bytes = safetensors::serialize(tensors, None).map_err(|error| fail(&error))?;
    file::write(path, &bytes)
}

fn parse(bytes: &[u8], sizes: &Sizes) -> Result<Vec<Operands>, Vec<String>> {
    let tensors = SafeTensors::deserialize(bytes).map_err(|error| {
        vec![format!(
            "not a safetensors file, or a damaged one ({error})"
        )]
    })?;
    let mut reader = Reader {
        tensors,
        known: BTreeSet::new(),
        complaints: Vec::new(),
    };
    let groups = (0..sizes.m.len())
        .map(|group| reader.group(group, sizes))
        .collect();
    reader.refuse_unknown(sizes.m.len());
    if reader.complaints.is_empty() {
        Ok(groups)
    } else {
        Err(reader.complaints)
    }
}

struct Reader<'a> {
    tensors: SafeTensors<'a>,
    known: BTreeSet<String>,
    complaints: Vec<String>,
}

impl<'a> Reader<'a> {
    fn group(&mut self, group: usize, sizes: &Sizes) -> Operands {
        let [m, n, k] = [sizes.m[group], sizes.n[group], sizes.k[group]].map(|size| size as usize);
        let optional = m == 0;
        Operands {
            a: self.operand(format!("{group}.a"), m, k, optional),
            b: self.operand(format!("{group}.b"), n, k, optional),
            sfa_blocked: self.scales(format!("{group}.sfa"), m, k, optional),
            sfb_blocked: self.scales(format!("{group}.sfb"), n, k, optional),
        }
    }

    fn operand(&mut self, name: String, rows: usize, k: usize, optional: bool) -> Vec<u8> {
        match self.take(&name) {
            Some(tensor) => self
                .checked(&name, &tensor, BYTES, &[rows, k / 2])
                .unwrap_or_default(),
            None if optional => vec![0; rows * k / 2],
            None => self.complain(format!(
                "`{name}` is missing; it must be U8 [{rows}, {}]",
                k / 2
            )),
        }
    }

    fn scales(&mut self, name: String, rows: usize, k: usize, optional: bool) -> Vec<u8> {
        let columns = k / BLOCK;
        let blocked_name = format!("{name}_blocked");
        let blocked_len = scales::blocked_len(rows, columns);
        match (self.take(&name), self.take(&blocked_name)) {
            (Some(_), Some(_)) => self.complain(format!("both `{name}` and `{blocked_name}` are given; give one")),
            (Some(tensor), None) => {
                let plain = self.checked(&name, &tensor, SCALES, &[rows, columns]).unwrap_or_default();
                self.refuse_signs(&name, &plain, columns);
                scales::to_blocked(&plain, rows, columns, |_| PADDING).unwrap_or_default()
            }
            (None, Some(tensor)) => {
                let blocked = self.checked(&blocked_name, &tensor, SCALES, &[blocked_len]).unwrap_or_default();
                let plain = scales::to_plain(&blocked, rows, columns).unwrap_or_default();
                self.refuse_signs(&blocked_name, &plain, columns);
                blocked
            }
            (None, None) if optional => vec![PADDING; blocked_len],
            (None, None) => self.complain(format!(
                "`{name}` is missing; it must be F8_E4M3 or U8 [{rows}, {columns}], or `{blocked_name}` [{blocked_len}]"
            )),
        }
    }

    fn take(&mut self, name: &str) -> Option<TensorView<'a>> {
        self.known.insert(name.to_owned());
        self.tensors.tensor(name).ok()
    }

    fn checked(
        &mut self,
        name: &str,
        tensor: &TensorView,
        types: &[Dtype],
        shape: &[usize],
    ) -> Option<Vec<u8>> {
        if !types.contains(&tensor.dtype()) {
            let wanted: Vec<String> = types.iter().map(|dtype| format!("{dtype:?}")).collect();
            let wanted = wanted.join(" or ");
            let got = tensor.dtype();
            self.complain(format!(
                "`{name}` is {got:?}; store its bytes as {wanted} (a view, not a conversion)"
            ));
            return None;
        }
        if tensor.shape() != shape {
            let got = tensor.shape();
            self.complain(format!(
                "`{name}` has shape {got:?}; this set needs {shape:?}"
            ));
            return None;
        }
        Some(tensor.data().to_vec())
    }

    fn refuse_signs(&mut self, name: &str, plain: &[u8], columns: usize) {
        let count = plain.iter().filter(|code| **code & 0x80 != 0).count();
        let Some(index) = plain.iter().position(|code| code & 0x80 != 0) else {
            return;
        };
        let (row, column) = (index / columns, index % columns);
        self.complain(format!(
            "`{name}` has its sign bit set in {count} places, the first at row {row}, column {column} (0x{:02x}); \
             scales are unsigned: clear the bit, and negate the 16 elements if a negative scale was meant",
            plain[index]
        ));
    }

    fn refuse_unknown(&mut self, groups: usize) {
        let unknown: Vec<String> = self
            .tensors
            .names()
            .into_iter()
            .filter(|name| !self.known.contains(*name))
            .map(str::to_owned)
            .collect();
        for name in BTreeSet::from_iter(unknown) {
            self.complain(format!(
                "`{name}` is no operand of this set (groups 0 to {}; a, b, sfa, sfb, sfa_blocked, sfb_blocked); \
                 remove it, or choose another set",
                groups.saturating_sub(1)
            ));
        }
    }

    fn complain(&mut self, complaint: String) -> Vec<u8> {
        self.complaints.push(complaint);
        Vec::new()
    }
}
