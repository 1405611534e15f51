//! Columns of tensor memory: `tcgen05.alloc`, `dealloc` and `relinquish_alloc_permit` (PTX ISA, 9.7.16.7).

use super::{Decoded, group, warp_wide};
use crate::engine::descriptor::CtaGroup;
use crate::isa::form::{Addr, Form};
use crate::isa::types::Ty;
use crate::isa::{Collective, Execute, Src};
use crate::machine::{AccessKind, FaultKind, Flow, Space, Step, Wait};

struct Alloc {
    group: CtaGroup,
    addr: Addr,
    space: Space,
    columns: Src,
}

impl Execute for Alloc {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        let columns = step.uniform(self.columns, "column count")? as u32;
        match self.group {
            CtaGroup::One => match self.reserve(step, columns, None)? {
                None => Ok(Flow::Wait(Wait::Columns { columns })),
                Some(address) => self.tell(step, address),
            },
            CtaGroup::Two => self.with_peer(step, columns),
        }
    }

    fn collective(&self) -> Collective {
        Collective::Warp
    }
}

impl Alloc {
    /// `.cta_group::2`: one warp of each CTA of the pair allocates, and neither goes on without the other (PTX ISA,
    /// 9.7.16.7.1). CUTLASS relies on that: nothing else tells the leader that its peer has tensor memory.
    fn with_peer(&self, step: &mut Step<'_>, columns: u32) -> Result<Flow, FaultKind> {
        let (own, index) = (step.warp.rank as usize, step.warp.index);
        let Some(peer) = step.state.ctas.get(own ^ 1).map(|cta| cta.paired) else {
            return Err(FaultKind::operand(
                step.mask.trailing_zeros() as usize,
                "cta_group::2 needs the other CTA of the pair in the cluster",
            ));
        };
        if step.warp.paired.is_none() {
            let number = step.state.ctas[own].paired + 1;
            let Some(address) = self.reserve(step, columns, Some(number))? else {
                return Ok(Flow::Wait(Wait::Columns { columns }));
            };
            step.state.ctas[own].paired = number;
            step.state.progress += 1;
            step.warp.paired = Some((address, number));
        }
        let Some((address, number)) = step.warp.paired.filter(|(_, number)| peer >= *number) else {
            let allocations = step.state.ctas[own].paired;
            return Ok(Flow::Wait(Wait::Pair { allocations }));
        };
        step.warp.paired = None;
        let (rank, mask) = (own as u32, step.mask);
        step.state.check.pair_allocated(rank, index, mask, number);
        self.tell(step, address)
    }

    /// Takes columns if they are free. `pair` is the number of an allocation together with the peer.
    fn reserve(
        &self,
        step: &mut Step<'_>,
        columns: u32,
        pair: Option<u32>,
    ) -> Result<Option<u32>, FaultKind> {
        let tensor = &mut step.state.ctas[step.warp.rank as usize].tensor;
        let allocated = tensor
            .allocate(columns)
            .map_err(|e| FaultKind::engine(e.into()))?;
        if let Some(address) = allocated {
            let agent = step.agent(step.mask.trailing_zeros() as usize);
            let columns = address..address + columns;
            let check = &mut step.state.check;
            check.tensor_allocated(agent, step.mask, columns, pair)?;
        }
        Ok(allocated)
    }

    /// Writes the address where the instruction wants it.
    fn tell(&self, step: &mut Step<'_>, address: u32) -> Result<Flow, FaultKind> {
        let lane = step.mask.trailing_zeros() as usize;
        let (at, kind) = (step.addresses(self.addr)[lane], AccessKind::Allocation);
        step.write(lane, self.space, at, kind, &address.to_le_bytes())?;
        Ok(Flow::Next)
    }
}

pub(super) fn alloc(f: &mut Form<'_>) -> Decoded {
    let group = group(f)?;
    warp_wide(f)?;
    let space = f
        .choose(&[("shared::cta", Space::Shared)])
        .unwrap_or(Space::Generic);
    f.ty()?;
    Ok(Box::new(Alloc {
        group,
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
