//! What instructions tell the checks (`crate::check`): accesses to global memory, synchronisation through memory, fences,
//! and which bytes hold defined values.

use super::agent::AccessKind;
use super::fault::FaultKind;
use super::step::{Flow, Space, Step};
use super::warp::Wait;
use crate::check::{Extent, Fence, Sync, require};
use crate::engine::tensor_memory::Access;
use crate::isa::Src;

impl Step<'_> {
    /// A thread has touched global memory. Tensor maps are read by the unit that uses them, behind its own proxy.
    pub(super) fn global_access(
        &mut self,
        lane: usize,
        address: u64,
        len: usize,
        kind: AccessKind,
        value: u32,
    ) -> Result<(), FaultKind> {
        let agent = self.agent(lane);
        let extent = Extent::Bytes(address, len as u64);
        if kind == AccessKind::AsyncLoad {
            return self.state.check.map_access(agent, extent, self.grid.global);
        }
        self.state
            .check
            .global_access(agent, extent, self.grid.global, kind, value)
    }

    // ---- programmatic dependent launch

    /// `griddepcontrol.wait`: without a launch in front there is nothing to wait for.
    pub fn wait_for_prerequisites(&mut self) -> Flow {
        if self.grid.launch == 0 {
            return Flow::Next;
        }
        if !self.state.check.prerequisites_complete() {
            return Flow::Wait(Wait::Prerequisites);
        }
        let (rank, warp) = (self.warp.rank, self.warp.index);
        self.state.check.prerequisites_passed(rank, warp, self.mask);
        Flow::Next
    }

    /// `griddepcontrol.launch_dependents`: any thread speaks for its CTA.
    pub fn allow_dependents(&mut self) {
        self.state.ctas[self.warp.rank as usize].triggered = true;
        self.state.progress += 1;
    }

    // ---- what is defined

    /// Whether bytes that a lane has read hold defined values. Global memory counts as defined.
    pub fn is_defined(&mut self, lane: usize, space: Space, address: u64, len: usize) -> bool {
        let (space, address) = self.concrete(space, address);
        match space {
            Space::Shared | Space::SharedCluster => {
                let at = self.shared_address(lane, space, address);
                at.is_ok_and(|at| {
                    self.state.check.initialised[at.rank as usize].is_set(at.offset, len as u32)
                })
            }
            Space::Local => {
                let start = lane * self.grid.local_bytes as usize + address as usize;
                let bytes = self.warp.local_defined.get(start..start + len);
                bytes.is_none_or(|bytes| bytes.iter().all(|b| *b))
            }
            _ => true,
        }
    }

    /// Which of at most 16 bytes that a lane has read hold no defined values.
    pub fn undefined_bytes(&mut self, lane: usize, space: Space, address: u64, len: usize) -> u32 {
        if self.is_defined(lane, space, address, len) {
            return 0;
        }
        let undefined =
            |i: &usize| !self.is_defined(lane, space, address.wrapping_add(*i as u64), 1);
        (0..len).filter(undefined).fold(0, |mask, i| mask | 1 << i)
    }

    pub fn set_defined(
        &mut self,
        lane: usize,
        space: Space,
        address: u64,
        len: usize,
        defined: bool,
    ) {
        let (space, address) = self.concrete(space, address);
        match space {
            Space::Shared | Space::SharedCluster => {
                if let Ok(at) = self.shared_address(lane, space, address) {
                    self.state.check.initialised[at.rank as usize]
                        .set(at.offset, len as u32, defined);
                }
            }
            Space::Local => {
                let start = lane * self.grid.local_bytes as usize + address as usize;
                if let Some(bytes) = self.warp.local_defined.get_mut(start..start + len) {
                    bytes.fill(defined);
                }
            }
            _ => {}
        }
    }

    /// A lane has stored a register: memory is now as defined as it is, and global memory must be.
    pub fn stored(
        &mut self,
        lane: usize,
        space: Space,
        address: u64,
        len: usize,
        src: Src,
    ) -> Result<(), FaultKind> {
        let undefined = self.warp.defined.undefined_below(src, len, lane);
        let is_global = matches!(
            self.concrete(space, address).0,
            Space::Global | Space::Generic
        );
        if is_global {
            let here = || {
                let agent = self.agent(lane);
                self.state.site(agent)
            };
            return require(
                undefined,
                1 << lane,
                "a value stored to global memory",
                &here,
            );
        }
        self.set_defined(lane, space, address, len, true);
        if undefined.0 >> lane & 1 == 0 {
            return Ok(());
        }
        let missing = self.warp.defined.undefined_bytes(src, 1 << lane);
        for i in (0..len.min(8)).filter(|i| missing >> i & 1 != 0) {
            self.set_defined(lane, space, address.wrapping_add(i as u64), 1, false);
        }
        Ok(())
    }

    /// A strong load has observed what others passed on through this place.
    pub fn take_over(&mut self, lane: usize, space: Space, address: u64, sync: Sync) {
        let (agent, place) = (self.agent(lane), self.place(lane, space, address));
        self.state.check.take_over(agent, place, sync);
    }

    /// A strong store passes on what the thread knows.
    pub fn pass_on(&mut self, lane: usize, space: Space, address: u64, sync: Sync) {
        let (agent, place) = (self.agent(lane), self.place(lane, space, address));
        self.state.check.pass_on(agent, place, sync);
    }

    /// A name for the place behind an address: shared memory with its CTA's rank, or global.
    fn place(&mut self, lane: usize, space: Space, address: u64) -> (Option<u32>, u64) {
        let (space, address) = self.concrete(space, address);
        match space {
            Space::Shared | Space::SharedCluster => self
                .shared_address(lane, space, address)
                .map_or((None, address), |at| (Some(at.rank), at.offset.into())),
            _ => (None, address),
        }
    }

    /// The lanes execute a fence.
    pub fn fence(&mut self, fence: Fence) {
        let (rank, warp) = (self.warp.rank, self.warp.index);
        self.state.check.fence(rank, warp, self.mask, fence);
    }

    /// A transfer is legal and in order when it is issued, whenever it happens. It is one operation of the whole warp.
    pub(super) fn check_transfer(
        &mut self,
        access: &Access,
        address: u32,
        store: bool,
    ) -> Result<(), FaultKind> {
        self.state.ctas[self.warp.rank as usize]
            .tensor
            .check_access(access, address, self.warp.index)
            .map_err(|e| FaultKind::engine(e.into()))?;
        let agent = self.agent(self.mask.trailing_zeros() as usize & 31);
        self.state
            .check
            .transfer(agent, self.mask, access, address, store)
    }
}
