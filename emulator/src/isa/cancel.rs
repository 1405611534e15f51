//! `clusterlaunchcontrol`: a running cluster takes over the work of one that has not started (PTX ISA, 9.7.13.17).

use super::form::{Addr, Dst, Form};
use super::types::Ty;
use super::{Execute, Op, Slot, Src, Taint};
use crate::error::LoadError;
use crate::machine::{CancelResponse, FaultKind, Flow, Space, Step, Work};

type Decoded = Result<Op, LoadError>;

pub(super) fn decode(f: &mut Form<'_>) -> Decoded {
    let query = f.require(
        "`.try_cancel` or `.query_cancel`",
        &[("try_cancel", false), ("query_cancel", true)],
    )?;
    if !query {
        return try_cancel(f);
    }
    let handle = |f: &mut Form<'_>| match f.src(1, Ty::B128)? {
        Src::Reg(slot) => Ok(slot),
        _ => Err(f.invalid("the response must be a 128-bit register")),
    };
    if f.take("is_canceled") {
        f.require("`.pred`", &[("pred", ())])?;
        f.require("`.b128`", &[("b128", ())])?;
        return Ok(Box::new(IsCanceled {
            p: f.dst_as(0, Ty::Pred)?,
            response: handle(f)?,
        }));
    }
    let axes = [
        ("get_first_ctaid", None),
        ("get_first_ctaid::x", Some(0)),
        ("get_first_ctaid::y", Some(1)),
        ("get_first_ctaid::z", Some(2)),
    ];
    let axis = f.require("a query", &axes)?;
    if axis.is_none() {
        f.require("`.v4`", &[("v4", ())])?;
    }
    f.require("`.b32`", &[("b32", ())])?;
    f.require("`.b128`", &[("b128", ())])?;
    let dsts = f.dsts(0)?;
    if dsts.len() != if axis.is_some() { 1 } else { 4 } {
        return Err(f.invalid("needs one register with an axis, and four without"));
    }
    Ok(Box::new(FirstCta {
        dsts,
        first: axis.unwrap_or(0),
        response: handle(f)?,
    }))
}

// ---- the request

struct TryCancel {
    addr: Addr,
    barrier: Addr,
    space: Space,
    everyone: bool,
}

fn try_cancel(f: &mut Form<'_>) -> Decoded {
    f.require("`.async`", &[("async", ())])?;
    let space = f.choose(&[("shared::cta", Space::Shared)]);
    f.require(
        "`.mbarrier::complete_tx::bytes`",
        &[("mbarrier::complete_tx::bytes", ())],
    )?;
    let everyone = f.take("multicast::cluster::all");
    f.require("`.b128`", &[("b128", ())])?;
    Ok(Box::new(TryCancel {
        addr: f.addr(0)?,
        barrier: f.addr(1)?,
        space: space.unwrap_or(Space::Generic),
        everyone,
    }))
}

impl Execute for TryCancel {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        let (addresses, barriers) = (step.addresses(self.addr), step.addresses(self.barrier));
        for lane in step.lanes() {
            let own = step.warp.rank as usize;
            if step.state.ctas[own].saw_cancel_fail {
                return Err(FaultKind::operand(
                    lane,
                    "this CTA has seen a request fail and must not make another",
                ));
            }
            let dst = step.shared_address(lane, self.space, addresses[lane])?;
            let barrier = step.shared_address(lane, self.space, barriers[lane])?;
            step.state
                .check_shared(dst, CancelResponse::BYTES, CancelResponse::BYTES)?;
            let all = (1u32 << step.state.ctas.len()) - 1;
            let mask = self.everyone.then_some(all as u16);
            step.issue(lane, Work::Cancel { dst, barrier, mask })?;
        }
        Ok(Flow::Next)
    }

    fn couples_clusters(&self) -> bool {
        true
    }

    fn cancels_clusters(&self) -> bool {
        true
    }
}

// ---- the response

fn responses(step: &Step<'_>, slot: Slot) -> [CancelResponse; 32] {
    let (low, high) = (step.get(Src::Reg(slot)), step.get(Src::Reg(slot + 1)));
    std::array::from_fn(|i| CancelResponse::from_words(low[i], high[i]))
}

struct IsCanceled {
    p: Dst,
    response: Slot,
}

impl Execute for IsCanceled {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        let responses = responses(step, self.response);
        let failed = step.lanes().any(|lane| responses[lane].0.is_none());
        let own = step.warp.rank as usize;
        step.state.ctas[own].saw_cancel_fail |= failed;
        let canceled = responses.map(|r| u64::from(r.0.is_some()));
        step.set(self.p.slot, &canceled);
        Ok(Flow::Next)
    }
}

/// The place of the canceled cluster, which only a request that succeeded has.
struct FirstCta {
    dsts: Vec<Dst>,
    /// The axis of the first destination.
    first: usize,
    response: Slot,
}

impl Execute for FirstCta {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        let responses = responses(step, self.response);
        let (unknown, _) = step.warp.defined.undefined(Src::Reg(self.response));
        let failed = (0..32).fold(unknown, |lanes, i| {
            lanes | u32::from(responses[i].0.is_none()) << i
        });
        for (i, d) in self.dsts.iter().enumerate() {
            let axis = self.first + i;
            let value = |r: CancelResponse| r.0.and_then(|id| id.get(axis).copied());
            // The fourth element is 0, as in `%ctaid`; what a failed request has nobody may use.
            step.set(d.slot, &responses.map(|r| value(r).unwrap_or(0).into()));
            let (mask, line) = (step.mask, step.line);
            step.warp.defined.define(d.slot, mask, failed, line);
        }
        Ok(Flow::Next)
    }

    fn taint(&self) -> Taint {
        Taint::Own
    }
}
