//! Fences, `membar` and `griddepcontrol` (PTX ISA, 9.7.13.4 on; brief, 4.3).
//!
//! The machine executes one instruction at a time on one memory, so fences have nothing to do; they are checked for form.
//! They are objects all the same, so that a check of proxies and races can hook in here.

use super::control::Nothing;
use super::form::Form;
use super::memory::scope;
use super::types::Ty;
use super::{Collective, Op};
use crate::error::LoadError;

type Decoded = Result<Op, LoadError>;

pub(super) fn decode(f: &mut Form<'_>) -> Decoded {
    match f.opcode() {
        "membar" => {
            f.require(
                "a level such as .cta",
                &[("cta", ()), ("gl", ()), ("sys", ()), ("proxy", ())],
            )?;
            f.ignore(&["alias", "async", "async.global"]);
        }
        "griddepcontrol" => {
            f.require(
                "`.wait` or `.launch_dependents`",
                &[("wait", ()), ("launch_dependents", ())],
            )?;
        }
        _ => fence(f)?,
    }
    Ok(Box::new(Nothing {
        collective: Collective::None,
    }))
}

fn fence(f: &mut Form<'_>) -> Result<(), LoadError> {
    if f.take("proxy") {
        return proxy(f);
    }
    if f.take("mbarrier_init") {
        f.require("`.release.cluster`", &[("release", ())])?;
        scope(f);
        return Ok(());
    }
    f.ignore(&["sc", "acq_rel", "acquire", "release"]);
    f.ignore(&[
        "sync_restrict::shared::cta",
        "sync_restrict::shared::cluster",
    ]);
    scope(f);
    Ok(())
}

fn proxy(f: &mut Form<'_>) -> Result<(), LoadError> {
    let kinds = [
        ("alias", ()),
        ("async", ()),
        ("async::generic", ()),
        ("tensormap::generic", ()),
    ];
    f.require("a proxy that is implemented", &kinds)?;
    f.ignore(&[
        "acquire",
        "release",
        "global",
        "shared::cta",
        "shared::cluster",
    ]);
    f.ignore(&[
        "sync_restrict::shared::cta",
        "sync_restrict::shared::cluster",
    ]);
    scope(f);
    if f.count() > 0 {
        f.addr(0)?;
        f.src(1, Ty::B32)?;
    }
    Ok(())
}
