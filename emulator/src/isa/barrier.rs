//! Barriers of a CTA, a warp and a cluster: `bar`, `barrier`, `bar.warp.sync`, `barrier.cluster` (PTX ISA, 9.7.13).

use super::form::{Dst, Form};
use super::memory::{scope, semantics};
use super::types::Ty;
use super::{Collective, Execute, Op, Src};
use crate::check::Semantics;
use crate::error::LoadError;
use crate::machine::{FaultKind, Flow, Reduction, Step, Wait};

type Decoded = Result<Op, LoadError>;

pub(super) fn decode(f: &mut Form<'_>) -> Decoded {
    if f.take("warp") {
        f.require("`.sync`", &[("sync", ())])?;
        let members = f.src(0, Ty::B32)?;
        return Ok(Box::new(WarpSync { members }));
    }
    if f.take("cluster") {
        return cluster(f);
    }
    // `bar` is `barrier.cta` with `.aligned` implied.
    let aligned = f.opcode() == "bar" || f.take("aligned");
    scope(f);
    let kind = f.require(
        "`.sync`, `.arrive` or `.red`",
        &[
            ("sync", Kind::Sync),
            ("arrive", Kind::Arrive),
            ("red", Kind::Sync),
        ],
    )?;
    let aligned = aligned | f.take("aligned");
    let reduction = f.choose(&[
        ("popc", Reduction::Count),
        ("and", Reduction::And),
        ("or", Reduction::Or),
    ]);
    named(f, kind, aligned, reduction)
}

/// `bar.warp.sync`: orders memory among the members.
struct WarpSync {
    members: Src,
}

impl Execute for WarpSync {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        let (rank, warp) = (step.warp.rank, step.warp.index);
        step.state.check.meet(rank, warp, step.mask);
        Ok(Flow::Next)
    }

    fn collective(&self) -> Collective {
        Collective::Members(self.members)
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Sync,
    Arrive,
}

struct Named {
    kind: Kind,
    aligned: bool,
    id: Src,
    /// Threads that must arrive; all of the CTA if absent.
    threads: Option<Src>,
    reduction: Option<(Reduction, Dst, Src, bool)>,
}

fn named(f: &mut Form<'_>, kind: Kind, aligned: bool, reduction: Option<Reduction>) -> Decoded {
    let Some(reduction) = reduction else {
        let id = f.src(0, Ty::B32)?;
        let threads = if f.count() > 1 {
            Some(f.src(1, Ty::B32)?)
        } else {
            None
        };
        if kind == Kind::Arrive && threads.is_none() {
            return Err(f.invalid("needs the number of threads"));
        }
        return Ok(Box::new(Named {
            kind,
            aligned,
            id,
            threads,
            reduction: None,
        }));
    };
    f.ty()?;
    let last = f.count().saturating_sub(1);
    let (d, id, (value, negated)) = (f.dst(0)?, f.src(1, Ty::B32)?, f.pred(last)?);
    let threads = if f.count() > 3 {
        Some(f.src(2, Ty::B32)?)
    } else {
        None
    };
    Ok(Box::new(Named {
        kind,
        aligned,
        id,
        threads,
        reduction: Some((reduction, d, value, negated)),
    }))
}

impl Execute for Named {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        let id = step.uniform(self.id, "barrier")? as u32;
        if step.resumed {
            return Ok(self.finish(step, id));
        }
        let threads = self
            .threads
            .map(|t| step.uniform(t, "thread count"))
            .transpose()?
            .map(|t| t as u32);
        let votes = self.reduction.map_or(0, |(_, _, value, negated)| {
            let values = step.get(value);
            step.lanes()
                .filter(|&lane| (values[lane] & 1 != 0) != negated)
                .count() as u32
        });
        let generation = step.arrive_at_barrier(id, threads, votes)?;
        if self.kind == Kind::Arrive {
            return Ok(Flow::Next);
        }
        if step.barrier_passed(id, generation) {
            return Ok(self.finish(step, id));
        }
        Ok(Flow::Wait(Wait::Barrier { id, generation }))
    }

    fn collective(&self) -> Collective {
        if self.aligned {
            Collective::Warp
        } else {
            Collective::None
        }
    }
}

impl Named {
    fn finish(&self, step: &mut Step<'_>, id: u32) -> Flow {
        let (rank, warp) = (step.warp.rank, step.warp.index);
        step.state.check.named_passed(rank, warp, step.mask, id);
        if let Some((reduction, d, ..)) = self.reduction {
            let result = step.barrier_result(id, reduction);
            step.set(d.slot, &[result; 32]);
        }
        Flow::Next
    }
}

struct Cluster {
    arrive: bool,
    aligned: bool,
    semantics: Semantics,
}

fn cluster(f: &mut Form<'_>) -> Decoded {
    let arrive = f.require("`.arrive` or `.wait`", &[("arrive", true), ("wait", false)])?;
    let semantics = semantics(f);
    Ok(Box::new(Cluster {
        arrive,
        aligned: f.take("aligned"),
        semantics,
    }))
}

impl Execute for Cluster {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        if self.arrive {
            step.arrive_at_cluster(self.semantics)?;
            return Ok(Flow::Next);
        }
        if step.resumed || step.cluster_passed()? {
            step.leave_cluster_barrier(self.semantics);
            return Ok(Flow::Next);
        }
        Ok(Flow::Wait(Wait::Cluster {
            generation: step.state.cluster_barrier.generation,
        }))
    }

    fn collective(&self) -> Collective {
        if self.aligned {
            Collective::Warp
        } else {
            Collective::None
        }
    }
}
