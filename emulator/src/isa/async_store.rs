//! Stores that complete later: `st.async` and `red.async` (PTX ISA, 9.7.9.12 and 9.7.13.14), and `st.bulk` (9.7.9.13).

use super::form::{Addr, Form};
use super::memory::{Order, Store, scope};
use super::reduction::{OPERATIONS, Reduction};
use super::types::Ty;
use super::{Execute, Op, Src, Taint, atomic};
use crate::error::LoadError;
use crate::machine::{AccessKind, Deposit, FaultKind, Flow, Space, Step, Work};

type Decoded = Result<Op, LoadError>;

/// `st.async`, behind the opcode and `.async`.
pub(super) fn store(f: &mut Form<'_>) -> Decoded {
    if f.take("mmio") || f.take("release") {
        return store_to_global(f);
    }
    f.ignore(&["weak"]);
    let space = destination(f)?;
    let count = f.choose(&[("v2", 2), ("v4", 4)]).unwrap_or(1);
    let ty = f.ty()?;
    if !matches!(ty.bits(), 32 | 64) || count * ty.bytes() > 16 {
        return Err(f.invalid("stores one to four elements of 32 or 64 bits, 16 bytes at most"));
    }
    deposit(f, space, ty, count as usize, None)
}

/// `red.async`, behind the opcode and `.async`.
pub(super) fn reduce(f: &mut Form<'_>) -> Decoded {
    if f.take("mmio") || f.take("release") {
        f.ignore(&["release"]);
        return atomic::reduce_released(f);
    }
    f.ignore(&["relaxed", "cluster"]);
    let space = destination(f)?;
    let operation = f.require("an operation", &OPERATIONS.map(|o| (o, o)))?;
    let ty = f.ty()?;
    let reduction = Reduction::new(operation, ty)
        .filter(|_| !matches!(operation, "cas" | "exch"))
        .ok_or_else(|| f.invalid("has no such operation on this type"))?;
    deposit(f, space, ty, 1, Some(reduction))
}

/// What all have that signal an mbarrier.
fn destination(f: &mut Form<'_>) -> Result<Space, LoadError> {
    let space = f.choose(&[("shared::cluster", Space::SharedCluster)]);
    f.ignore(&["mbarrier::complete_tx::bytes"]);
    Ok(space.unwrap_or(Space::Generic))
}

/// To global memory nothing is signalled; the release orders it, so that it may as well happen at once.
fn store_to_global(f: &mut Form<'_>) -> Decoded {
    f.ignore(&["release"]);
    let wide = scope(f);
    let space = f.choose(&[("global", Space::Global)]);
    let ty = f.ty()?;
    Ok(Box::new(Store {
        addr: f.addr(0)?,
        srcs: vec![f.src(1, ty)?],
        space: space.unwrap_or(Space::Generic),
        ty,
        order: Order::Release,
        wide,
    }))
}

struct Async {
    addr: Addr,
    barrier: Addr,
    space: Space,
    values: Vec<Src>,
    /// Of one value.
    bytes: usize,
    reduction: Option<Reduction>,
}

fn deposit(
    f: &mut Form<'_>,
    space: Space,
    ty: Ty,
    count: usize,
    reduction: Option<Reduction>,
) -> Decoded {
    let values = f.srcs(1, ty)?;
    if values.len() != count {
        return Err(f.invalid(format!("needs {count} registers, has {}", values.len())));
    }
    Ok(Box::new(Async {
        addr: f.addr(0)?,
        barrier: f.addr(2)?,
        space,
        values,
        bytes: ty.bytes() as usize,
        reduction,
    }))
}

impl Execute for Async {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        let (addresses, barriers) = (step.addresses(self.addr), step.addresses(self.barrier));
        let values: Vec<_> = self.values.iter().map(|v| step.get(*v)).collect();
        let undefined =
            (self.values.iter()).fold(0, |lanes, v| lanes | step.warp.defined.undefined(*v).0);
        let len = self.bytes * values.len();
        for lane in step.lanes() {
            let mut bytes = [0; 16];
            for (element, value) in bytes.chunks_exact_mut(self.bytes).zip(&values) {
                element.copy_from_slice(&value[lane].to_le_bytes()[..self.bytes]);
            }
            let dst = step.shared_address(lane, self.space, addresses[lane])?;
            let barrier = step.shared_address(lane, self.space, barriers[lane])?;
            if dst.rank != barrier.rank {
                return Err(FaultKind::operand(
                    lane,
                    format!(
                        "the destination is {dst}, the mbarrier is in CTA rank {}",
                        barrier.rank
                    ),
                ));
            }
            let deposit = Deposit {
                dst,
                bytes,
                len: len as u32,
                defined: undefined >> lane & 1 == 0,
                barrier,
                reduction: self.reduction,
            };
            step.issue(lane, Work::Deposit(deposit))?;
        }
        Ok(Flow::Next)
    }

    fn taint(&self) -> Taint {
        Taint::Own
    }
}

/// `st.bulk`: zeros, as a thread stores them.
struct Zeros {
    addr: Addr,
    space: Space,
    bytes: Src,
}

/// Addresses and sizes are multiples of this.
const UNIT: u64 = 8;

/// `st.bulk`, behind the opcode and `.bulk`.
pub(super) fn bulk(f: &mut Form<'_>) -> Decoded {
    f.ignore(&["weak"]);
    let space = f.choose(&[("shared::cta", Space::Shared)]);
    let (addr, bytes) = (f.addr(0)?, f.src(1, Ty::B64)?);
    if f.immediate(2)? != 0 {
        return Err(f.invalid("stores zeros only"));
    }
    Ok(Box::new(Zeros {
        addr,
        space: space.unwrap_or(Space::Generic),
        bytes,
    }))
}

impl Execute for Zeros {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        let (addresses, bytes) = (step.addresses(self.addr), step.get(self.bytes));
        for lane in step.lanes() {
            let at = step.shared_address(lane, self.space, addresses[lane])?;
            let len = bytes[lane];
            if !len.is_multiple_of(UNIT) {
                return Err(FaultKind::operand(
                    lane,
                    format!("{len} bytes, not a multiple of {UNIT}"),
                ));
            }
            let len = u32::try_from(len).unwrap_or(u32::MAX);
            step.state.check_shared(at, len, UNIT as u32)?;
            let agent = step.agent(lane);
            let zeros = vec![0; len as usize];
            step.state
                .shared_write(agent, at, AccessKind::Store, &zeros)?;
        }
        Ok(Flow::Next)
    }
}
