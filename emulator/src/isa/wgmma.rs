//! `wgmma` of sm_90a (PTX ISA, 9.7.15; brief, 5.1).
//!
//! Four warps execute it together, but no warp's result depends on another's registers: warp w owns rows 16w to 16w+15
//! of A and D. So each warp computes its own part when its turn comes, as a whole operation of which it keeps its rows.

use super::form::Form;
use super::integer::slots;
use super::mma_sparse::Metadata;
use super::types::Ty;
use super::{Collective, Execute, Op, Slot, Src};
use crate::engine::descriptor::{Accumulator, Format};
use crate::engine::mma::format::element_bytes;
use crate::engine::mma::wgmma::Wgmma;
use crate::error::LoadError;
use crate::machine::{FaultKind, Flow, Step};

type Decoded = Result<Op, LoadError>;

pub(super) fn decode(f: &mut Form<'_>) -> Decoded {
    let actions = [
        ("fence", Action::Fence),
        ("commit_group", Action::Commit),
        ("wait_group", Action::Wait(0)),
    ];
    let multiply = f.take("mma_async");
    let sparse = f.take("sp");
    f.require("`.sync`", &[("sync", ())])?;
    f.require("`.aligned`", &[("aligned", ())])?;
    if multiply {
        return mma(f, sparse);
    }
    let mut action = f.require("an operation that is implemented", &actions)?;
    if let Action::Wait(keep) = &mut action {
        *keep = f.immediate(0)? as u32;
    }
    Ok(Box::new(Order { action }))
}

#[derive(Clone, Copy)]
enum Action {
    /// Orders register accesses before the MMAs that follow.
    Fence,
    Commit,
    /// At most so many of the youngest groups may stay incomplete.
    Wait(u32),
}

struct Order {
    action: Action,
}

impl Execute for Order {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        match self.action {
            Action::Fence => step.warp.warpgroup.fence(),
            Action::Commit => step.warp.warpgroup.commit(),
            Action::Wait(keep) => {
                step.finish_warpgroup(keep)?;
                return Ok(step.wait_for_warpgroup(keep));
            }
        }
        Ok(Flow::Next)
    }

    fn collective(&self) -> Collective {
        Collective::Warp
    }
}

/// Where A comes from.
enum A {
    Shared(Src),
    Registers(Vec<Src>),
}

struct Multiply {
    operation: Wgmma,
    d: Vec<Slot>,
    a: A,
    b: Src,
    accumulate: (Src, bool),
    /// Of a sparse A (PTX ISA, 9.7.15.6).
    metadata: Option<Metadata>,
}

impl Execute for Multiply {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        let enabled = step.uniform(self.accumulate.0, "scale-d")? & 1 != 0;
        let operation = Wgmma {
            accumulate: enabled != self.accumulate.1,
            ..self.operation
        };
        let b = step.uniform(self.b, "descriptor of B")?;
        let descriptor = match &self.a {
            A::Shared(src) => Some(step.uniform(*src, "descriptor of A")?),
            A::Registers(_) => None,
        };
        let registers = match &self.a {
            A::Shared(_) => Vec::new(),
            A::Registers(list) => list.clone(),
        };
        if let Some(metadata) = &self.metadata {
            metadata.places(step)?;
        }
        step.warpgroup_multiply(operation, &self.d, descriptor, registers, b, self.metadata)?;
        Ok(Flow::Next)
    }

    fn collective(&self) -> Collective {
        Collective::Warp
    }
}

fn formats(f: &mut Form<'_>) -> Result<(Accumulator, Format, Format), LoadError> {
    let results = [
        ("f32", Accumulator::F32),
        ("f16", Accumulator::F16),
        ("s32", Accumulator::S32),
    ];
    let elements = [
        ("f16", Format::F16),
        ("bf16", Format::Bf16),
        ("tf32", Format::Tf32),
        ("e4m3", Format::E4m3),
        ("e5m2", Format::E5m2),
        ("u8", Format::U8),
        ("s8", Format::S8),
    ];
    let d = f.require("a result type", &results)?;
    Ok((
        d,
        f.require("a type of A", &elements)?,
        f.require("a type of B", &elements)?,
    ))
}

/// N of `m64nNkK`.
fn columns(word: &str) -> Option<usize> {
    word.strip_prefix("m64n")?.split_once('k')?.0.parse().ok()
}

/// The metadata and the selector in front of scale-d. Sparse rows have 64 bytes with what is not stored.
fn metadata(f: &mut Form<'_>, format: Format) -> Result<Metadata, LoadError> {
    let bits = 8 * element_bytes(format);
    Metadata::decode(f, 3, false, bits, 64)
}

/// `wgmma.mma_async d, a, b, scale-d, imm-scale-a, imm-scale-b {, imm-trans-a}, imm-trans-b`.
fn mma(f: &mut Form<'_>, sparse: bool) -> Decoded {
    let n = f
        .take_map(columns)
        .ok_or_else(|| f.unsupported("needs a shape m64nNkK"))?;
    let (d, a, b) = formats(f)?;
    let saturate = f.take("satfinite");
    let mut operation = Wgmma {
        n,
        a,
        b,
        d,
        accumulate: true,
        negate_a: false,
        negate_b: false,
        transpose_a: false,
        transpose_b: false,
        saturate,
        sparse,
    };
    let from_registers = f.is_vector(1);
    let registers = slots(&f.dsts(0)?);
    if registers.len() != operation.d_registers() {
        let needed = operation.d_registers();
        return Err(f.invalid(format!(
            "needs {needed} result registers, has {}",
            registers.len()
        )));
    }
    let source = if from_registers {
        A::Registers(f.srcs(1, Ty::B32)?)
    } else {
        A::Shared(f.src(1, Ty::B64)?)
    };
    if matches!(&source, A::Registers(list) if list.len() != 4) {
        return Err(f.invalid("needs 4 registers of A"));
    }
    let metadata = sparse.then(|| metadata(f, a)).transpose()?;
    let mut next = if sparse { 5 } else { 3 };
    let (b, accumulate) = (f.src(2, Ty::B64)?, f.pred(next)?);
    next += 1;
    if f.count() > next {
        operation.negate_a = f.immediate(next)? as i64 == -1;
        operation.negate_b = f.immediate(next + 1)? as i64 == -1;
        next += 2;
    }
    if f.count() > next && !from_registers {
        operation.transpose_a = f.immediate(next)? != 0;
        next += 1;
    }
    if f.count() > next {
        operation.transpose_b = f.immediate(next)? != 0;
    }
    Ok(Box::new(Multiply {
        operation,
        d: registers,
        a: source,
        b,
        accumulate,
        metadata,
    }))
}
