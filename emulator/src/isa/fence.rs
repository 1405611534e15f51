//! Fences, `membar` and `griddepcontrol` (PTX ISA, 9.7.13.4 on; brief, 4.3).
//!
//! The machine executes one instruction at a time on one memory, so fences change no values; they count for the checks.

use super::control::Nothing;
use super::form::Form;
use super::memory::scope;
use super::types::Ty;
use super::{Collective, Execute, Op};
use crate::check::Fence;
use crate::error::LoadError;
use crate::machine::{FaultKind, Flow, Step};

type Decoded = Result<Op, LoadError>;

pub(super) fn decode(f: &mut Form<'_>) -> Decoded {
    match f.opcode() {
        "membar" => membar(f),
        "griddepcontrol" => {
            let choices = [("wait", true), ("launch_dependents", false)];
            let wait = f.require("`.wait` or `.launch_dependents`", &choices)?;
            Ok(Box::new(LaunchControl { wait }))
        }
        _ => fence(f),
    }
}

/// griddepcontrol (PTX ISA, 9.7.13.14).
struct LaunchControl {
    wait: bool,
}

impl Execute for LaunchControl {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        if self.wait {
            return Ok(step.wait_for_prerequisites());
        }
        step.allow_dependents();
        Ok(Flow::Yield)
    }
}

struct Order(Fence);

impl Execute for Order {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        step.fence(self.0);
        Ok(Flow::Next)
    }
}

/// The instruction that is this fence and nothing else.
pub(super) fn of(fence: Fence) -> Op {
    Box::new(Order(fence))
}

const ALL_PROXIES: Fence = Fence::Proxy {
    shared: true,
    global: true,
};

fn membar(f: &mut Form<'_>) -> Decoded {
    let levels = [
        ("cta", Fence::Both),
        ("gl", Fence::Both),
        ("sys", Fence::Both),
        ("proxy", ALL_PROXIES),
    ];
    let fence = f.require("a level such as .cta", &levels)?;
    f.ignore(&["alias", "async", "async.global"]);
    Ok(of(fence))
}

fn fence(f: &mut Form<'_>) -> Decoded {
    if f.take("proxy") {
        return proxy(f);
    }
    if f.take("mbarrier_init") {
        f.require("`.release.cluster`", &[("release", ())])?;
        scope(f);
        return Ok(of(Fence::BarrierInit));
    }
    let orders = [
        ("sc", Fence::Both),
        ("acq_rel", Fence::Both),
        ("acquire", Fence::Acquire),
        ("release", Fence::Release),
    ];
    let fence = f.choose(&orders).unwrap_or(Fence::Both);
    f.ignore(&[
        "sync_restrict::shared::cta",
        "sync_restrict::shared::cluster",
    ]);
    scope(f);
    Ok(of(fence))
}

fn proxy(f: &mut Form<'_>) -> Decoded {
    let kinds = [
        ("alias", None),
        ("async", Some(ALL_PROXIES)),
        ("async::generic", Some(ALL_PROXIES)),
        ("tensormap::generic", Some(Fence::Map)),
    ];
    let mut fence = f.require("a proxy that is implemented", &kinds)?;
    let release = f.choose(&[("acquire", false), ("release", true)]);
    let spaces = [
        ("global", false),
        ("shared::cta", true),
        ("shared::cluster", true),
    ];
    if let (Some(shared), Some(Fence::Proxy { .. })) = (f.choose(&spaces), fence) {
        fence = Some(Fence::Proxy {
            shared,
            global: !shared,
        });
    }
    f.ignore(&[
        "sync_restrict::shared::cta",
        "sync_restrict::shared::cluster",
    ]);
    scope(f);
    if f.count() > 0 {
        f.addr(0)?;
        f.src(1, Ty::B32)?;
    }
    // The release side of the tensormap proxy publishes nothing by itself: the acquire side is what is checked.
    let nothing = fence.is_none() || fence == Some(Fence::Map) && release == Some(true);
    match fence {
        Some(fence) if !nothing => Ok(of(fence)),
        _ => Ok(Box::new(Nothing {
            collective: Collective::None,
        })),
    }
}
