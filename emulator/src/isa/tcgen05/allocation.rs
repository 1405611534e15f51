//! Columns of tensor memory: `tcgen05.alloc`, `dealloc` and `relinquish_alloc_permit` (PTX ISA, 9.7.16.7).

use super::{Decoded, group, warp_wide};
use crate::isa::form::{Addr, Form};
use crate::isa::types::Ty;
use crate::isa::{Collective, Execute, Src};
use crate::machine::{AccessKind, FaultKind, Flow, Space, Step, Wait};

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

pub(super) fn alloc(f: &mut Form<'_>) -> Decoded {
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

pub(super) fn dealloc(f: &mut Form<'_>) -> Decoded {
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

pub(super) fn relinquish(f: &mut Form<'_>) -> Decoded {
    group(f)?;
    warp_wide(f)?;
    Ok(Box::new(Relinquish))
}
