//! A warp: registers as arrays of 32 lanes, and its threads as convergence fragments.
//!
//! A fragment is a set of lanes with one program counter. The runnable fragment with the lowest counter goes first, and
//! fragments that meet at one place become one, so that threads reconverge where a compiler would make them. A fragment
//! that waits does not hold up the others.

use super::cluster::ClusterState;
use super::in_flight::InFlight;
use super::mbarrier::SharedAddress;
use super::warpgroup::Warpgroup;
use crate::check::Registers;
use crate::engine::tensor_memory::Access;
use crate::isa::{LoadReduction, Slot, Src};

/// What a fragment waits for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Wait {
    /// Any of these mbarrier phases.
    Phase(Vec<(SharedAddress, u64)>),
    /// A named barrier of the CTA to pass its generation.
    Barrier { id: u32, generation: u64 },
    /// The cluster barrier to pass its generation.
    Cluster { generation: u64 },
    /// The other lanes, at this instruction.
    Converge { need: u32 },
    /// The other warps of the warpgroup to have waited for the wgmma groups below this one.
    Warpgroup { groups: u32 },
    /// Free columns of tensor memory.
    Columns { columns: u32 },
    /// The other CTA of the pair to have allocated so many times.
    Pair { allocations: u32 },
    /// The launch in front of this one to complete.
    Prerequisites,
}

/// Lanes that run together.
#[derive(Clone, Debug)]
pub(crate) struct Fragment {
    pub pc: u32,
    pub mask: u32,
    pub wait: Option<Wait>,
    /// The machine has given up waiting for this fragment's phase: the wait answers "not yet".
    pub timed_out: bool,
}

/// A transfer between registers and tensor memory that has been issued and not yet happened.
#[derive(Clone, Debug)]
pub(crate) struct Transfer {
    pub access: Access,
    pub address: u32,
    /// Destination registers of a load.
    pub registers: Vec<Slot>,
    pub reduction: Option<LoadReduction>,
    /// Values of a store, and for each register the lanes in which they are undefined.
    pub values: Vec<u32>,
    pub undefined: Vec<u32>,
    pub line: u32,
}

/// A warp of a CTA.
pub(crate) struct Warp {
    /// CTA rank in the cluster.
    pub rank: u32,
    /// Index in the CTA.
    pub index: u32,
    pub registers: Vec<[u64; 32]>,
    /// Which registers and bytes of local memory hold defined values, if that is checked.
    pub defined: Registers,
    pub local_defined: Vec<bool>,
    /// Condition-code carry, one bit per lane.
    pub carry: u32,
    /// Lanes that have not exited.
    pub live: u32,
    pub fragments: Vec<Fragment>,
    pub local: Vec<u8>,
    pub transfers: Vec<Transfer>,
    /// Operations that keep registers, if that is checked.
    pub in_flight: Vec<InFlight>,
    /// Tensor memory allocated together with the other CTA of the pair, while that one is waited for: its address and
    /// the number of the allocation.
    pub paired: Option<(u32, u32)>,
    /// `wgmma` operations in flight.
    pub warpgroup: Warpgroup,
    /// Lanes that have arrived at the cluster barrier and not waited yet, and at which generation.
    pub cluster_arrived: u32,
    pub cluster_generation: u64,
    /// Passes over the lowest fragments, for fairness among lanes that spin.
    pub rotation: usize,
}

impl Warp {
    /// The lanes whose predicate register has the given value.
    pub fn predicate(&self, slot: Slot, value: bool) -> u32 {
        let register = &self.registers[slot as usize];
        let set = (0..32).fold(0, |mask, lane| mask | ((register[lane] & 1) as u32) << lane);
        if value { set } else { !set }
    }

    /// The values of a register or constant operand in all lanes.
    pub fn fetch(&self, src: Src, shared_base: u32, dynamic: u32, globals: &[u64]) -> [u64; 32] {
        match src {
            Src::Reg(slot) => self.registers[slot as usize],
            Src::Imm(value) => [value; 32],
            Src::Shared(offset) => [u64::from(shared_base | offset); 32],
            Src::Dynamic(offset) => [u64::from(shared_base | dynamic.wrapping_add(offset)); 32],
            Src::Global(index, offset) => [globals[index as usize].wrapping_add(offset); 32],
        }
    }

    /// True if the fragment can execute its instruction now.
    pub fn ready(&self, fragment: &Fragment, state: &ClusterState) -> bool {
        match &fragment.wait {
            None => true,
            Some(Wait::Phase(phases)) => {
                fragment.timed_out
                    || phases
                        .iter()
                        .any(|(at, phase)| state.phase_complete(*at, *phase))
            }
            Some(Wait::Barrier { id, generation }) => {
                state.ctas[self.rank as usize].named[*id as usize].generation > *generation
            }
            Some(Wait::Cluster { generation }) => state.cluster_barrier.generation > *generation,
            Some(Wait::Converge { need }) => need & self.live & !fragment.mask == 0,
            Some(Wait::Prerequisites) => state.check.prerequisites_complete(),
            Some(Wait::Warpgroup { groups }) => {
                state.ctas[self.rank as usize].warpgroup_has_waited(self.index, *groups)
            }
            Some(Wait::Pair { allocations }) => {
                let peer = state.ctas.get(self.rank as usize ^ 1);
                peer.is_some_and(|cta| cta.paired >= *allocations)
            }
            Some(Wait::Columns { columns }) => {
                // Allocation is tried on a copy: asking must not change anything.
                state.ctas[self.rank as usize]
                    .tensor
                    .clone()
                    .allocate(*columns)
                    .is_ok_and(|a| a.is_some())
            }
        }
    }

    /// The runnable fragment whose turn it is.
    pub fn pick(&self, state: &ClusterState) -> Option<usize> {
        if let [only] = self.fragments.as_slice() {
            return self.ready(only, state).then_some(0);
        }
        let mut ready: Vec<usize> = (0..self.fragments.len())
            .filter(|&i| self.ready(&self.fragments[i], state))
            .collect();
        ready.sort_by_key(|&i| self.fragments[i].pc);
        let turn = self.rotation % ready.len().max(1);
        ready.get(turn).copied()
    }

    /// Joins fragments that stand at one place and wait for nothing but each other.
    pub fn merge(&mut self) {
        if self.fragments.len() < 2 {
            return;
        }
        self.fragments.sort_by_key(|f| f.pc);
        let open = |f: &Fragment| matches!(f.wait, None | Some(Wait::Converge { .. }));
        let mut merged: Vec<Fragment> = Vec::with_capacity(self.fragments.len());
        for fragment in self.fragments.drain(..) {
            let partner = merged
                .iter_mut()
                .find(|f| f.pc == fragment.pc && open(f) && open(&fragment));
            match partner {
                Some(partner) => {
                    partner.mask |= fragment.mask;
                    partner.wait = None;
                    partner.timed_out = false;
                }
                None => merged.push(fragment),
            }
        }
        self.fragments = merged;
    }
}
