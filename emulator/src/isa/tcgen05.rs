//! The fifth-generation tensor core: allocation, transfers, MMA and commit (PTX ISA, 9.7.16; brief, 1 and 2).
//!
//! What the operations compute is the engine's; when they happen is the machine's; this file reads their text.

use super::form::{Addr, Form};
use super::integer::slots;
use super::types::Ty;
use super::{Collective, Execute, Op, Slot, Src, Taint};
use crate::check::Fence;
use crate::engine::descriptor::{CtaGroup, Kind, ScaleVector};
use crate::engine::mma::{AOperand, Mma, ScaleOperands};
use crate::engine::tensor_memory::{Access, AccessShape, CopyShape};
use crate::error::LoadError;
use crate::machine::{AccessKind, FaultKind, Flow, Space, Step, Wait, Work};

type Decoded = Result<Op, LoadError>;

pub(super) fn decode(f: &mut Form<'_>) -> Decoded {
    let fences = [
        ("fence::before_thread_sync", Fence::TensorBefore),
        ("fence::after_thread_sync", Fence::TensorAfter),
    ];
    if let Some(fence) = f.choose(&fences) {
        return Ok(super::fence::of(fence));
    }
    type Decode = fn(&mut Form<'_>) -> Decoded;
    let kinds: [(&str, Decode); 10] = [
        ("alloc", alloc),
        ("dealloc", dealloc),
        ("relinquish_alloc_permit", relinquish),
        ("ld", load),
        ("st", store),
        ("wait::ld", |f| wait(f, false)),
        ("wait::st", |f| wait(f, true)),
        ("cp", copy),
        ("mma", mma),
        ("commit", commit),
    ];
    if f.take("shift") {
        return Err(f.unsupported("which rows move is not documented"));
    }
    match f.choose(&kinds) {
        Some(decode) => decode(f),
        None => Err(f.unsupported("unknown instruction")),
    }
}

fn group(f: &mut Form<'_>) -> Result<CtaGroup, LoadError> {
    f.require(
        "`.cta_group::1` or `.cta_group::2`",
        &[
            ("cta_group::1", CtaGroup::One),
            ("cta_group::2", CtaGroup::Two),
        ],
    )
}

fn warp_wide(f: &mut Form<'_>) -> Result<(), LoadError> {
    f.require("`.sync`", &[("sync", ())])?;
    f.require("`.aligned`", &[("aligned", ())])
}

// ---- allocation

struct Alloc {
    addr: Addr,
    space: Space,
    columns: Src,
}

impl Execute for Alloc {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        let columns = step.uniform(self.columns, "column count")? as u32;
        let rank = step.warp.rank as usize;
        let tensor = &mut step.state.ctas[rank].tensor;
        match tensor
            .allocate(columns)
            .map_err(|e| FaultKind::engine(e.into()))?
        {
            None => Ok(Flow::Wait(Wait::Columns { columns })),
            Some(address) => {
                let lane = step.mask.trailing_zeros() as usize;
                let (agent, mask) = (step.agent(lane), step.mask);
                step.state
                    .check
                    .tensor_allocated(agent, mask, address, columns)?;
                let at = step.addresses(self.addr)[lane];
                step.write(
                    lane,
                    self.space,
                    at,
                    AccessKind::Allocation,
                    &address.to_le_bytes(),
                )?;
                Ok(Flow::Next)
            }
        }
    }

    fn collective(&self) -> Collective {
        Collective::Warp
    }
}

fn alloc(f: &mut Form<'_>) -> Decoded {
    group(f)?;
    warp_wide(f)?;
    let space = f
        .choose(&[("shared::cta", Space::Shared)])
        .unwrap_or(Space::Generic);
    f.ty()?;
    Ok(Box::new(Alloc {
        addr: f.addr(0)?,
        space,
        columns: f.src(1, Ty::B32)?,
    }))
}

struct Dealloc {
    address: Src,
    columns: Src,
}

impl Execute for Dealloc {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        let address = step.uniform(self.address, "tensor address")? as u32;
        let columns = step.uniform(self.columns, "column count")? as u32;
        let rank = step.warp.rank as usize;
        let tensor = &mut step.state.ctas[rank].tensor;
        tensor
            .deallocate(address, columns)
            .map_err(|e| FaultKind::engine(e.into()))?;
        let agent = step.agent(step.mask.trailing_zeros() as usize & 31);
        step.state
            .check
            .tensor_deallocated(agent, step.mask, address, columns)?;
        step.state.progress += 1;
        Ok(Flow::Next)
    }

    fn collective(&self) -> Collective {
        Collective::Warp
    }
}

fn dealloc(f: &mut Form<'_>) -> Decoded {
    group(f)?;
    warp_wide(f)?;
    f.ty()?;
    Ok(Box::new(Dealloc {
        address: f.src(0, Ty::B32)?,
        columns: f.src(1, Ty::B32)?,
    }))
}

struct Relinquish;

impl Execute for Relinquish {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        let rank = step.warp.rank as usize;
        step.state.ctas[rank].tensor.relinquish();
        Ok(Flow::Next)
    }

    fn collective(&self) -> Collective {
        Collective::Warp
    }
}

fn relinquish(f: &mut Form<'_>) -> Decoded {
    group(f)?;
    warp_wide(f)?;
    Ok(Box::new(Relinquish))
}

// ---- loads and stores

struct Transfer {
    access: Access,
    addr: Addr,
    registers: Vec<Slot>,
    /// Sources of a store.
    sources: Vec<Src>,
}

impl Execute for Transfer {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        let addresses = step.addresses(self.addr);
        let lane = step.mask.trailing_zeros() as usize;
        let address = addresses[lane] as u32;
        if let Some(other) = step.lanes().find(|&l| addresses[l] as u32 != address) {
            return Err(FaultKind::operand(
                other,
                format!(
                    "tensor address {:#x} differs from lane {lane}'s {address:#x}",
                    addresses[other] as u32
                ),
            ));
        }
        if self.sources.is_empty() {
            step.tensor_load(self.access, address, &self.registers)?;
        } else {
            step.tensor_store(self.access, address, &self.sources)?;
        }
        Ok(Flow::Next)
    }

    fn taint(&self) -> Taint {
        Taint::Own
    }

    fn collective(&self) -> Collective {
        Collective::Warp
    }
}

const REPEATS: [(&str, u32); 8] = [
    ("x1", 1),
    ("x2", 2),
    ("x4", 4),
    ("x8", 8),
    ("x16", 16),
    ("x32", 32),
    ("x64", 64),
    ("x128", 128),
];

fn shape(f: &mut Form<'_>) -> Result<(AccessShape, u32), LoadError> {
    let shapes = [
        ("32x32b", AccessShape::S32x32b),
        ("16x64b", AccessShape::S16x64b),
        ("16x128b", AccessShape::S16x128b),
        ("16x256b", AccessShape::S16x256b),
        ("16x32bx2", AccessShape::S16x32bx2 { offset: 0 }),
    ];
    Ok((
        f.require("a shape", &shapes)?,
        f.require("`.x1` to `.x128`", &REPEATS)?,
    ))
}

fn access(
    f: &Form<'_>,
    shape: AccessShape,
    repeat: u32,
    packed: bool,
    registers: usize,
) -> Result<Access, LoadError> {
    let access = Access::new(shape, repeat, packed).map_err(|e| f.invalid(e.to_string()))?;
    if access.registers() != registers {
        return Err(f.invalid(format!(
            "needs {} registers, has {registers}",
            access.registers()
        )));
    }
    Ok(access)
}

fn load(f: &mut Form<'_>) -> Decoded {
    warp_wide(f)?;
    let (mut shape, repeat) = shape(f)?;
    let packed = f.take("pack::16b");
    f.ty()?;
    let (registers, addr) = (slots(&f.dsts(0)?), f.addr(1)?);
    if let AccessShape::S16x32bx2 { offset } = &mut shape {
        *offset = f.immediate(2)? as u32;
    }
    let access = access(f, shape, repeat, packed, registers.len())?;
    Ok(Box::new(Transfer {
        access,
        addr,
        registers,
        sources: Vec::new(),
    }))
}

fn store(f: &mut Form<'_>) -> Decoded {
    warp_wide(f)?;
    let (mut shape, repeat) = shape(f)?;
    let packed = f.take("unpack::16b");
    f.ty()?;
    let addr = f.addr(0)?;
    let last = f.count().saturating_sub(1);
    if let AccessShape::S16x32bx2 { offset } = &mut shape {
        *offset = f.immediate(1)? as u32;
    }
    let sources = f.srcs(last, Ty::B32)?;
    let access = access(f, shape, repeat, packed, sources.len())?;
    Ok(Box::new(Transfer {
        access,
        addr,
        registers: Vec::new(),
        sources,
    }))
}

struct WaitTransfers {
    stores: bool,
}

impl Execute for WaitTransfers {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        step.finish_transfers(self.stores)?;
        Ok(Flow::Next)
    }

    fn collective(&self) -> Collective {
        Collective::Warp
    }
}

fn wait(f: &mut Form<'_>, stores: bool) -> Decoded {
    warp_wide(f)?;
    Ok(Box::new(WaitTransfers { stores }))
}

// ---- asynchronous operations of one thread

struct Copy {
    group: CtaGroup,
    shape: CopyShape,
    addr: Addr,
    matrix: Src,
}

impl Execute for Copy {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        let (addresses, matrices) = (step.addresses(self.addr), step.get(self.matrix));
        for lane in step.lanes() {
            let work = Work::TensorCopy {
                group: self.group,
                shape: self.shape,
                address: addresses[lane] as u32,
                matrix: matrices[lane],
            };
            step.issue(lane, work)?;
        }
        Ok(Flow::Next)
    }
}

fn copy(f: &mut Form<'_>) -> Decoded {
    let group = group(f)?;
    let shapes = [
        ("128x256b", 0),
        ("4x256b", 1),
        ("128x128b", 2),
        ("64x128b", 3),
        ("32x128b", 4),
    ];
    let shape = f.require("a shape", &shapes)?;
    let multicast = f
        .choose(&[("warpx2::02_13", 1), ("warpx2::01_23", 2), ("warpx4", 3)])
        .unwrap_or(0);
    let shape = match (shape, multicast) {
        (0, 0) => CopyShape::S128x256b,
        (1, 0) => CopyShape::S4x256b,
        (2, 0) => CopyShape::S128x128b,
        (3, 1) => CopyShape::S64x128bWarpx2_02_13,
        (3, 2) => CopyShape::S64x128bWarpx2_01_23,
        (4, 3) => CopyShape::S32x128bWarpx4,
        _ => return Err(f.invalid("the shape and the multicast do not fit")),
    };
    if f.take("b8x16") {
        return Err(f.unsupported("where the narrow elements go is not documented"));
    }
    Ok(Box::new(Copy {
        group,
        shape,
        addr: f.addr(0)?,
        matrix: f.src(1, Ty::B64)?,
    }))
}

enum A {
    Shared(Src),
    Tensor(Addr),
}

struct Multiply {
    kind: Kind,
    group: CtaGroup,
    d: Addr,
    a: A,
    b: Src,
    instruction: Src,
    scales: Option<(ScaleVector, Addr, Addr)>,
    disabled: Vec<Src>,
    accumulate: (Src, bool),
    scale_input_d: u32,
}

impl Execute for Multiply {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        for lane in step.lanes() {
            let mma = self.operands(step, lane);
            step.issue(lane, Work::Multiply(Box::new(mma)))?;
        }
        Ok(Flow::Next)
    }

    fn refusal(&self, constant: &dyn Fn(Src) -> Option<u64>) -> Option<&'static str> {
        let instruction = constant(self.instruction)? as u32;
        let vector = self.scales.map(|(vector, ..)| vector);
        let in_tensor_memory = matches!(self.a, A::Tensor(_));
        Mma::unsupported(instruction, self.kind, self.group, vector, in_tensor_memory)
    }
}

impl Multiply {
    fn operands(&self, step: &Step<'_>, lane: usize) -> Mma {
        let address = |a: Addr| step.addresses(a)[lane] as u32;
        let mut disabled_lanes = [0; 8];
        for (mask, src) in disabled_lanes.iter_mut().zip(&self.disabled) {
            *mask = step.get(*src)[lane] as u32;
        }
        Mma {
            kind: self.kind,
            group: self.group,
            d: address(self.d),
            a: match self.a {
                A::Shared(src) => AOperand::Shared(step.get(src)[lane]),
                A::Tensor(addr) => AOperand::Tensor(address(addr)),
            },
            b: step.get(self.b)[lane],
            instruction: step.get(self.instruction)[lane] as u32,
            scales: self.scales.map(|(vector, a, b)| ScaleOperands {
                vector,
                a: address(a),
                b: address(b),
            }),
            accumulate: (step.get(self.accumulate.0)[lane] & 1 != 0) != self.accumulate.1,
            disabled_lanes,
            scale_input_d: self.scale_input_d,
        }
    }
}

const KINDS: [(&str, Kind); 7] = [
    ("kind::f16", Kind::F16),
    ("kind::tf32", Kind::Tf32),
    ("kind::f8f6f4", Kind::F8f6f4),
    ("kind::i8", Kind::I8),
    ("kind::mxf8f6f4", Kind::Mxf8f6f4),
    ("kind::mxf4", Kind::Mxf4),
    ("kind::mxf4nvf4", Kind::Mxf4nvf4),
];

fn scale_vector(f: &mut Form<'_>, kind: Kind) -> Result<ScaleVector, LoadError> {
    let wide = if kind == Kind::Mxf8f6f4 {
        ScaleVector::X1
    } else {
        ScaleVector::X2
    };
    let vectors = [
        ("scale_vec::1X", ScaleVector::X1),
        ("scale_vec::2X", ScaleVector::X2),
        ("scale_vec::4X", ScaleVector::X4),
        ("block16", ScaleVector::X4),
        ("block32", wide),
    ];
    match (f.choose(&vectors), kind) {
        (Some(vector), _) => Ok(vector),
        (None, Kind::Mxf4nvf4) => Err(f.invalid("kind::mxf4nvf4 needs a scale vector size")),
        (None, _) => Ok(wide),
    }
}

fn mma(f: &mut Form<'_>) -> Decoded {
    let group = group(f)?;
    let kind = f.require("a kind", &KINDS)?;
    let scaled = f.take("block_scale");
    if scaled != matches!(kind, Kind::Mxf8f6f4 | Kind::Mxf4 | Kind::Mxf4nvf4) {
        return Err(f.invalid("`.block_scale` belongs to the mx kinds, and they need it"));
    }
    let vector = if scaled {
        Some(scale_vector(f, kind)?)
    } else {
        None
    };
    // The collector only saves reads of A; results do not change (brief, 1.2).
    f.ignore(&[
        "collector::a::fill",
        "collector::a::use",
        "collector::a::lastuse",
        "collector::a::discard",
    ]);
    let d = f.addr(0)?;
    let a = if f.is_address(1) {
        A::Tensor(f.addr(1)?)
    } else {
        A::Shared(f.src(1, Ty::B64)?)
    };
    let (b, instruction) = (f.src(2, Ty::B64)?, f.src(3, Ty::B32)?);
    let mut next = 4;
    let scales = match vector {
        Some(vector) => {
            next = 6;
            Some((vector, f.addr(4)?, f.addr(5)?))
        }
        None => None,
    };
    let disabled = if f.is_vector(next) {
        next += 1;
        f.srcs(next - 1, Ty::B32)?
    } else {
        Vec::new()
    };
    let accumulate = f.pred(next)?;
    let scale_input_d = if f.count() > next + 1 {
        f.immediate(next + 1)? as u32
    } else {
        0
    };
    Ok(Box::new(Multiply {
        kind,
        group,
        d,
        a,
        b,
        instruction,
        scales,
        disabled,
        accumulate,
        scale_input_d,
    }))
}

struct Commit {
    addr: Addr,
    space: Space,
    mask: Option<Src>,
}

impl Execute for Commit {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        let (addresses, mask) = (step.addresses(self.addr), self.mask.map(|m| step.get(m)));
        for lane in step.lanes() {
            let barrier = step.shared_address(lane, self.space, addresses[lane])?;
            let mask = mask.map(|m| m[lane] as u16);
            step.issue(lane, Work::Commit { barrier, mask })?;
        }
        Ok(Flow::Next)
    }
}

fn commit(f: &mut Form<'_>) -> Decoded {
    group(f)?;
    f.require("`.mbarrier::arrive::one`", &[("mbarrier::arrive::one", ())])?;
    let cluster = f.take("shared::cluster");
    let multicast = f.take("multicast::cluster");
    f.ty()?;
    let addr = f.addr(0)?;
    let mask = if multicast {
        Some(f.src(1, Ty::B16)?)
    } else {
        None
    };
    // Without a space the address is generic; compilers pass shared addresses there too (see `shared_address`).
    let space = if cluster {
        Space::SharedCluster
    } else {
        Space::Generic
    };
    Ok(Box::new(Commit { addr, space, mask }))
}
