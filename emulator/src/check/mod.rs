//! Happens-before checking: finds what no schedule needs to show. Every access to shared, tensor and global memory, by
//! threads and by asynchronous operations, is compared with the earlier ones to the same bytes; if nothing orders the two
//! the launch stops and names both.
//!
//! The method is that of vector clocks (Flanagan and Freund, FastTrack, 2009) with the orders that the PTX ISA has in
//! addition: see [`knowledge`]. An asynchronous operation is checked and recorded when it is issued, with what its
//! thread knows at that moment; it counts as complete for whoever has observed its stream's progress.
//!
//! What it cannot see: lanes of one warp share what tcgen05.fence orders; scopes count only for accesses to memory, not
//! for mbarriers; relaxed atomics are taken to pass on what a fence before them released, whoever wrote in between.

mod access;
mod barriers;
mod clock;
mod clusters;
mod footprint;
mod gang;
mod global;
mod initialised;
mod knowledge;
mod launches;
mod loads;
mod reads;
mod registers;
mod report;
mod shadow;
mod stores;
mod stream;
mod warpgroups;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use crate::machine::{Checks, SharedAddress};
use barriers::{BarrierKnowledge, Meeting};
use clock::Stream;
use knowledge::{Actors, Thread};
use loads::Load;
use reads::Reads;
use shadow::{Entry, Granule};

pub use registers::Undefined;
pub use report::Conflict;

pub(crate) use barriers::Fence;
pub(crate) use clusters::{Summary, conflict};
pub(crate) use footprint::{Touch, warpgroup_footprint};
pub(crate) use gang::Gang;
pub(crate) use global::{Extent, Sync};
pub(crate) use initialised::{Initialised, multiply};
pub(crate) use knowledge::Semantics;
pub(crate) use launches::dependency;
pub(crate) use registers::{Registers, require};
pub(crate) use stream::Ticket;

/// Bytes of a granule of shared and global memory.
pub(crate) const GRANULE: u32 = 16;

/// What a warp knows: lanes that know the same share it.
struct WarpKnowledge {
    time: u32,
    /// Instructions that it has executed.
    steps: u32,
    /// Reads of shared memory that may not have ended.
    reads: Reads,
    /// tcgen05.ld whose values nobody has used.
    loads: Vec<Load>,
    classes: Vec<(u32, Thread)>,
}

/// The checker of one cluster.
pub(crate) struct Check {
    pub on: bool,
    /// See [`Checks::Strict`].
    pub strict: bool,
    /// Number of the cluster in its gang, and of its first warp.
    cluster: u32,
    first_warp: u32,
    /// Number of its launch among those that may overlap.
    launch: usize,
    warps_per_cta: u32,
    warps: Vec<WarpKnowledge>,
    shared: Vec<Vec<Granule>>,
    tensor: Vec<Vec<Granule>>,
    barriers: HashMap<SharedAddress, BarrierKnowledge>,
    named: HashMap<(u32, u32), Meeting>,
    cluster_barrier: Meeting,
    gang: Rc<RefCell<Gang>>,
    /// The latest operation in each stream that concerns a CTA, by rank.
    outstanding: HashMap<(u32, Stream), Entry>,
    /// Commits of other CTAs that arrive in a CTA, by its rank.
    expected: HashMap<(u32, Stream), Entry>,
    /// By CTA.
    pub initialised: Vec<Initialised>,
    /// The instruction at hand has read shared memory.
    has_read_shared: bool,
}

impl Check {
    pub fn new(
        checks: Checks,
        gang: Rc<RefCell<Gang>>,
        launch: usize,
        ids: &[[u32; 3]],
        warps_per_cta: u32,
        shared: u32,
    ) -> Self {
        let on = checks != Checks::None;
        let (cluster, first_warp) = gang.borrow_mut().introduce(launch, ids, warps_per_cta);
        let warps = if on {
            ids.len() as u32 * warps_per_cta
        } else {
            0
        };
        let granules = if on {
            shared.div_ceil(GRANULE) as usize
        } else {
            0
        };
        let warp = |_| WarpKnowledge {
            time: 1,
            steps: 0,
            reads: Reads::new(),
            loads: Vec::new(),
            classes: vec![(u32::MAX, Thread::new(checks == Checks::Strict))],
        };
        Check {
            on,
            strict: checks == Checks::Strict,
            cluster,
            first_warp,
            launch,
            warps_per_cta,
            warps: (0..warps).map(warp).collect(),
            shared: vec![vec![Granule::default(); granules]; ids.len()],
            tensor: vec![Vec::new(); ids.len()],
            barriers: HashMap::new(),
            named: HashMap::new(),
            cluster_barrier: Meeting::default(),
            gang,
            outstanding: HashMap::new(),
            expected: HashMap::new(),
            initialised: ids
                .iter()
                .map(|_| Initialised::new(if on { shared } else { 0 }))
                .collect(),
            has_read_shared: false,
        }
    }

    // ---- who knows what

    /// Index of a warp in this cluster.
    fn local(&self, rank: u32, warp: u32) -> usize {
        (rank * self.warps_per_cta + warp) as usize
    }

    /// The component of a warp in clocks, unique among the clusters that run together.
    fn component(&self, local: usize) -> u32 {
        self.first_warp + local as u32
    }

    fn actors(&self, rank: u32, warp: u32, mask: u32) -> Actors {
        let local = self.local(rank, warp);
        Actors {
            warp: self.component(local),
            mask,
            time: self.warps[local].time,
        }
    }

    /// What a lane knows.
    fn thread(&self, rank: u32, warp: u32, lane: u32) -> &Thread {
        let classes = &self.warps[self.local(rank, warp)].classes;
        let found = classes.iter().find(|(mask, _)| mask >> lane & 1 != 0);
        &found.unwrap_or(&classes[0]).1
    }

    /// What any of the lanes knows.
    fn together(&self, rank: u32, warp: u32, mask: u32) -> Thread {
        let classes = &self.warps[self.local(rank, warp)].classes;
        let mut members = classes
            .iter()
            .filter(|(lanes, _)| lanes & mask != 0)
            .map(|(_, t)| t);
        let mut all = members.next().cloned().unwrap_or_default();
        members.for_each(|t| all.meet(t));
        all
    }

    /// Changes what the lanes know; the others of their classes keep what they knew.
    fn update(
        &mut self,
        rank: u32,
        warp: u32,
        mask: u32,
        mut change: impl FnMut(&mut Thread, Actors),
    ) {
        let local = self.local(rank, warp);
        let component = self.component(local);
        let warp = &mut self.warps[local];
        for i in 0..warp.classes.len() {
            let (lanes, thread) = &mut warp.classes[i];
            let part = *lanes & mask;
            if part == 0 {
                continue;
            }
            let actors = Actors {
                warp: component,
                mask: part,
                time: warp.time,
            };
            if part == *lanes {
                change(thread, actors);
            } else {
                *lanes &= !part;
                let mut thread = thread.clone();
                change(&mut thread, actors);
                warp.classes.push((part, thread));
            }
        }
    }

    /// What follows is later than what has been passed on.
    fn tick(&mut self, rank: u32, warp: u32) {
        let local = self.local(rank, warp);
        self.warps[local].time += 1;
    }

    /// Lanes that have met know the same (bar.warp.sync, and the wider barriers).
    pub fn meet(&mut self, rank: u32, warp: u32, mask: u32) {
        if !self.on {
            return;
        }
        let actors = self.actors(rank, warp, mask);
        let all = self.together(rank, warp, mask).snapshot(actors);
        let local = self.local(rank, warp);
        let classes = &mut self.warps[local].classes;
        classes.iter_mut().for_each(|(lanes, _)| *lanes &= !mask);
        classes.retain(|(lanes, _)| *lanes != 0);
        classes.push((mask, all));
        self.tick(rank, warp);
    }

    // ---- accesses of threads
}

/// A digest of bytes that are stored, never 0 (FNV-1a).
pub(crate) fn digest(bytes: &[u8]) -> u32 {
    bytes
        .iter()
        .fold(0x811C_9DC5u32, |hash, byte| {
            (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
        })
        .max(1)
}

/// The granules of a byte range, with the bytes touched in each.
pub(crate) fn granules(start: u64, len: u64) -> impl Iterator<Item = (u64, u32)> {
    let size = u64::from(GRANULE);
    (start / size..(start + len).div_ceil(size)).map(move |granule| {
        let from = start.max(granule * size) - granule * size;
        let to = (start + len).min((granule + 1) * size) - granule * size;
        (granule, ((1u32 << to) - 1) & !((1u32 << from) - 1))
    })
}
