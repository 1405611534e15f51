//! The memories and barriers of a cluster of CTAs: everything its warps share.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use super::agent::{AccessKind, Agent};
use super::fault::{FaultKind, Site};
use super::grid::Grid;
use super::mbarrier::{Mbarrier, SharedAddress};
use super::misuse::Misuse;
use super::schedule::{Policy, Schedule};
use super::warpgroup_log::{Together, WARPS, WarpgroupLog};
use super::work::AsyncOp;
use crate::check::{Check, Gang, digest};
use crate::engine::tensor_memory::TensorMemory;

/// What every byte of fresh shared memory holds, four at a time: a NaN.
const POISON: [u8; 4] = 0x7FFF_DEADu32.to_le_bytes();

/// A result of `barrier.red`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reduction {
    Count,
    And,
    Or,
}

/// One of the 16 named barriers of a CTA.
#[derive(Clone, Debug, Default)]
pub(crate) struct NamedBarrier {
    pub generation: u64,
    pub arrived: u32,
    /// Threads expected in this generation; none means all live warps of the CTA.
    pub threads: Option<u32>,
    votes: u32,
    /// Votes and threads of the generation that completed last.
    result: (u32, u32),
}

/// The cluster barrier.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClusterBarrier {
    pub generation: u64,
    pub arrived: u32,
}

/// One CTA.
pub(crate) struct Cta {
    pub id: [u32; 3],
    pub shared: Vec<u8>,
    pub tensor: TensorMemory,
    /// Allocations of tensor memory that were made for a pair of CTAs.
    pub paired: u32,
    pub barriers: BTreeMap<u32, Mbarrier>,
    /// Those that were overwritten before anything had happened to them.
    pub overwritten: BTreeMap<u32, Mbarrier>,
    /// First and last byte that any barrier has occupied, for a quick look before each write.
    barrier_range: (u32, u32),
    pub named: [NamedBarrier; 16],
    pub live_warps: u32,
    /// All of its warps.
    pub warps: u32,
    /// wgmma and setmaxnreg of each warpgroup.
    pub warpgroups: Vec<[WarpgroupLog; 2]>,
    /// A thread has executed griddepcontrol.launch_dependents.
    pub triggered: bool,
    /// A thread has seen that a request to cancel a cluster failed.
    pub saw_cancel_fail: bool,
}

/// What happened, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Instructions executed by warps (fragments of a warp count separately).
    pub instructions: u64,
    /// `tcgen05.mma` operations, and `wgmma.mma_async` operations of warpgroups.
    pub mmas: u64,
    /// Bytes that bulk and tensor copies brought to shared memory.
    pub bytes_loaded: u64,
    /// Bytes that threads, bulk and tensor copies stored to global memory.
    pub bytes_stored: u64,
}

/// Everything the warps of a cluster share.
pub(crate) struct ClusterState {
    pub ctas: Vec<Cta>,
    pub cluster_barrier: ClusterBarrier,
    /// Threads of the cluster that have not exited.
    pub live_threads: u32,
    pub queue: Vec<AsyncOp>,
    pub policy: Policy,
    /// Group counters of threads: (thread, bulk) to the number of committed groups.
    pub groups: HashMap<(u32, bool), u32>,
    pub counts: Counts,
    /// Counts events that can let somebody go on.
    pub progress: u64,
    /// Where the asynchronous operation that failed was issued, if one did.
    pub blame: Option<Site>,
    /// Who may touch what, and who has.
    pub check: Check,
    /// Room for one tensor-memory transfer.
    pub scratch: Vec<u32>,
}

impl Cta {
    /// True if all warps of a warp's warpgroup have waited for the wgmma groups below `groups`.
    pub fn warpgroup_has_waited(&self, warp: u32, groups: u32) -> bool {
        let (index, first) = (warp / WARPS, warp / WARPS * WARPS);
        let log = &self.warpgroups[index as usize][Together::Multiply as usize];
        log.have_waited(self.warps - first, groups)
    }

    fn new(id: [u32; 3], shared_bytes: u32, live_warps: u32) -> Self {
        let mut shared = POISON.repeat(shared_bytes as usize / 4 + 1);
        shared.truncate(shared_bytes as usize);
        Cta {
            id,
            shared,
            tensor: TensorMemory::new(),
            paired: 0,
            barriers: BTreeMap::new(),
            overwritten: BTreeMap::new(),
            barrier_range: (u32::MAX, 0),
            named: Default::default(),
            live_warps,
            warps: live_warps,
            warpgroups: vec![Default::default(); live_warps.div_ceil(4) as usize],
            triggered: false,
            saw_cancel_fail: false,
        }
    }

    pub fn insert_barrier(&mut self, offset: u32, barrier: Mbarrier) {
        self.barriers.insert(offset, barrier);
        self.overwritten.remove(&offset);
        self.barrier_range = (
            self.barrier_range.0.min(offset),
            self.barrier_range.1.max(offset + 7),
        );
    }

    /// The barrier that a write would destroy.
    fn barrier_in(&self, offset: u32, len: u32) -> Option<(u32, &Mbarrier)> {
        let (first, last) = self.barrier_range;
        if offset > last || offset + len <= first {
            return None;
        }
        self.barriers
            .range(offset.saturating_sub(7)..offset + len)
            .next()
            .map(|(o, b)| (*o, b))
    }
}

impl ClusterState {
    pub fn new(
        ids: Vec<[u32; 3]>,
        grid: &Grid<'_>,
        schedule: Schedule,
        index: u64,
        gang: Rc<RefCell<Gang>>,
    ) -> Self {
        let warps = grid.block_threads.div_ceil(32);
        let live_threads = grid.block_threads * ids.len() as u32;
        ClusterState {
            check: Check::new(
                grid.checks,
                gang,
                grid.launch,
                &ids,
                warps,
                grid.shared_bytes,
            ),
            ctas: ids
                .into_iter()
                .map(|id| Cta::new(id, grid.shared_bytes, warps))
                .collect(),
            cluster_barrier: ClusterBarrier::default(),
            live_threads,
            queue: Vec::new(),
            policy: Policy::new(schedule, index),
            groups: HashMap::new(),
            counts: Counts::default(),
            progress: 0,
            blame: None,
            scratch: Vec::new(),
        }
    }

    /// Bounds and alignment of an access to shared memory.
    pub fn check_shared(&self, at: SharedAddress, len: u32, align: u32) -> Result<(), FaultKind> {
        let out = |near: String| FaultKind::OutOfBounds {
            space: "shared",
            address: at.offset.into(),
            bytes: len.into(),
            near,
        };
        let Some(cta) = self.ctas.get(at.rank as usize) else {
            return Err(out(format!(
                "CTA rank {} in a cluster of {}",
                at.rank,
                self.ctas.len()
            )));
        };
        let size = cta.shared.len() as u32;
        if at.offset > size || len > size - at.offset {
            return Err(out(format!("the CTA has shared memory up to {size:#x}")));
        }
        if len > 0 {
            self.check_alive(at)?;
        }
        if !at.offset.is_multiple_of(align) {
            return Err(FaultKind::Misaligned {
                space: "shared",
                address: at.offset.into(),
                needed: align.into(),
            });
        }
        Ok(())
    }

    /// The shared memory of a CTA that has exited may belong to another one by now.
    pub fn check_alive(&self, at: SharedAddress) -> Result<(), FaultKind> {
        match self.ctas.get(at.rank as usize) {
            Some(cta) if cta.live_warps == 0 => Err(FaultKind::PeerExited(at.to_string())),
            _ => Ok(()),
        }
    }

    /// All reads of shared memory by threads and copies come through here.
    pub fn shared_read(
        &mut self,
        agent: Agent,
        at: SharedAddress,
        kind: AccessKind,
        len: u32,
    ) -> Result<&[u8], FaultKind> {
        self.check_shared(at, len, 1)?;
        if kind != AccessKind::AsyncLoad {
            self.check.shared_access(agent, at, len, kind, 0)?;
        }
        let start = at.offset as usize;
        Ok(&self.ctas[at.rank as usize].shared[start..start + len as usize])
    }

    /// All writes of shared memory by threads and copies come through here.
    pub fn shared_write(
        &mut self,
        agent: Agent,
        at: SharedAddress,
        kind: AccessKind,
        bytes: &[u8],
    ) -> Result<(), FaultKind> {
        self.check_shared_write(agent, at, bytes.len() as u32)?;
        if kind != AccessKind::AsyncStore {
            self.check
                .shared_access(agent, at, bytes.len() as u32, kind, digest(bytes))?;
        }
        self.check.initialised[at.rank as usize].set(at.offset, bytes.len() as u32, true);
        let start = at.offset as usize;
        self.ctas[at.rank as usize].shared[start..start + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    /// Bounds of a write, and that it does not destroy a barrier in use.
    pub fn check_shared_write(
        &mut self,
        agent: Agent,
        at: SharedAddress,
        len: u32,
    ) -> Result<(), FaultKind> {
        self.check_shared(at, len, 1)?;
        let rank = at.rank;
        while let Some((offset, barrier)) = self.ctas[rank as usize].barrier_in(at.offset, len) {
            let place = SharedAddress { rank, offset };
            if !barrier.retired && !self.may_forget(agent, place, barrier) {
                let what = format!(
                    "{len} bytes written at {at} destroy the barrier at {offset:#x}, {barrier}"
                );
                return Err(FaultKind::Mbarrier(Misuse::Overwritten, what));
            }
            let cta = &mut self.ctas[rank as usize];
            if let Some(barrier) = cta.barriers.remove(&offset).filter(|b| !b.retired) {
                cta.overwritten.insert(offset, barrier);
            }
        }
        Ok(())
    }

    // ---- named barriers

    /// Adds threads to a named barrier and returns the generation they wait out.
    pub fn arrive_named(
        &mut self,
        rank: u32,
        id: u32,
        arriving: u32,
        threads: Option<u32>,
        votes: u32,
    ) -> Result<u64, FaultKind> {
        let cta = &mut self.ctas[rank as usize];
        let live = cta.live_warps * 32;
        let Some(barrier) = cta.named.get_mut(id as usize) else {
            return Err(FaultKind::Barrier(format!(
                "barrier {id} does not exist, there are 16"
            )));
        };
        if threads.is_some_and(|t| t == 0 || t % 32 != 0) {
            return Err(FaultKind::Barrier(format!(
                "barrier {id}: thread count {threads:?} is no multiple of 32"
            )));
        }
        if barrier.arrived > 0 && barrier.threads != threads {
            let what = format!(
                "barrier {id}: thread count {threads:?} differs from the {:?} of those who wait",
                barrier.threads
            );
            return Err(FaultKind::Barrier(what));
        }
        barrier.threads = threads;
        barrier.arrived += arriving;
        barrier.votes += votes;
        let expected = threads.unwrap_or(live);
        if barrier.arrived > expected {
            return Err(FaultKind::Barrier(format!(
                "barrier {id}: {} threads arrived, {expected} expected",
                barrier.arrived
            )));
        }
        let generation = barrier.generation;
        if barrier.complete(expected) {
            self.check.named_completed(rank, id);
        }
        self.progress += 1;
        Ok(generation)
    }

    pub fn named_result(&self, rank: u32, id: u32, reduction: Reduction) -> u64 {
        let (votes, threads) = self.ctas[rank as usize].named[id as usize].result;
        match reduction {
            Reduction::Count => votes.into(),
            Reduction::And => (votes == threads).into(),
            Reduction::Or => (votes > 0).into(),
        }
    }

    /// Completes the cluster barrier if everybody has arrived.
    pub fn check_cluster_barrier(&mut self) {
        if self.cluster_barrier.arrived > 0 && self.cluster_barrier.arrived >= self.live_threads {
            self.cluster_barrier.arrived = 0;
            self.cluster_barrier.generation += 1;
            self.check.cluster_completed();
            self.progress += 1;
        }
    }

    /// A warp has exited: barriers without a thread count no longer wait for it.
    pub fn warp_exited(&mut self, rank: u32) {
        let cta = &mut self.ctas[rank as usize];
        cta.live_warps -= 1;
        let live = cta.live_warps * 32;
        for (id, barrier) in cta.named.iter_mut().enumerate() {
            if barrier.threads.is_none() && barrier.arrived > 0 && barrier.complete(live) {
                self.check.named_completed(rank, id as u32);
            }
        }
        self.progress += 1;
    }
}

impl NamedBarrier {
    /// Starts the next generation if everybody is here.
    fn complete(&mut self, expected: u32) -> bool {
        let complete = self.arrived >= expected;
        if complete {
            self.result = (self.votes, self.arrived);
            self.generation += 1;
            self.arrived = 0;
            self.votes = 0;
            self.threads = None;
        }
        complete
    }
}
