//! Launches that may overlap (programmatic dependent launch): what one does before it has waited for the other.
//!
//! Clusters that run apart list what they touch before `griddepcontrol.wait`, and the lists are compared with everything
//! that the earlier launches have touched. Clusters that run together have clocks: a completed launch leaves what it
//! knows, and whoever waits for it takes that over.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;

use super::Check;
use super::clock::PREREQUISITES;
use super::clusters::{Summary, describe};
use super::global::{Extent, note};
use super::granules;
use super::knowledge::{Knowledge, Semantics, Thread};
use super::shadow::Entry;
use crate::machine::{Fault, FaultKind};

/// What a gang knows of the launches that its clusters belong to.
#[derive(Default)]
pub(crate) struct Launches {
    /// For clusters that run together: what each launch has left behind, and whether it is complete.
    left: Vec<(Knowledge, bool)>,
    /// For clusters that run apart: accesses before griddepcontrol.wait, by allocation.
    early: BTreeMap<u64, Vec<(Extent, Entry)>>,
    waited: bool,
}

impl Launches {
    /// Launches whose clusters run together.
    pub fn together(count: usize) -> Self {
        let mut left = Vec::new();
        left.resize_with(count, Default::default);
        Launches {
            left,
            ..Launches::default()
        }
    }

    /// Clusters that run apart have nobody to wait for: the launch before theirs has been executed.
    pub fn is_complete(&self, launch: usize) -> bool {
        self.left.get(launch).is_none_or(|(_, complete)| *complete)
    }

    pub fn complete(&mut self, launch: usize) {
        if let Some((_, complete)) = self.left.get_mut(launch) {
            *complete = true;
        }
    }

    pub fn note_early(&mut self, base: u64, extent: &Extent, entry: Entry) {
        if !self.left.is_empty() {
            return;
        }
        note(self.early.entry(base).or_default(), extent.clone(), entry);
    }

    pub fn take_early(&mut self) -> (BTreeMap<u64, Vec<(Extent, Entry)>>, bool) {
        (std::mem::take(&mut self.early), self.waited)
    }
}

impl Check {
    pub fn prerequisites_complete(&self) -> bool {
        let before = self.launch.checked_sub(1);
        before.is_none_or(|launch| self.gang.borrow().launches.is_complete(launch))
    }

    /// Threads have passed griddepcontrol.wait: what the launch before did is complete and visible to every proxy.
    pub fn prerequisites_passed(&mut self, rank: u32, warp: u32, mask: u32) {
        if !self.on {
            return;
        }
        let known = {
            let launches = &mut self.gang.borrow_mut().launches;
            launches.waited = true;
            let left = self
                .launch
                .checked_sub(1)
                .and_then(|l| launches.left.get(l));
            left.map(|(known, _)| known.clone()).unwrap_or_default()
        };
        self.update(rank, warp, mask, |thread, _| {
            thread.acquire(&known, Semantics::Strong);
            thread.completed(PREREQUISITES, 1);
        });
        self.tick(rank, warp);
    }

    /// Whether a thread acts before the launch in front of its own is known to be complete.
    pub(super) fn is_early(&self, thread: &Thread) -> bool {
        self.launch > 0 && thread.now.order.stream(PREREQUISITES) == 0
    }

    /// The digest of a value, told apart from equal ones that other launches store.
    pub(super) fn of_launch(&self, value: u32) -> u32 {
        match value {
            0 => 0,
            _ => (value ^ (self.launch as u32).wrapping_mul(0x9E37_79B9)).max(1),
        }
    }

    /// The cluster has exited: its launch leaves what it knows and has done, complete and visible.
    pub fn depart(&mut self) {
        if !self.on {
            return;
        }
        let mut gang = self.gang.borrow_mut();
        if gang.launches.left.is_empty() {
            return;
        }
        let mut known = Knowledge::default();
        let threads = self.warps.iter().flat_map(|warp| &warp.classes);
        threads.for_each(|(_, thread)| known.join(&thread.now));
        let mut order = (*known.order).clone();
        (0..self.warps.len())
            .for_each(|local| order.raise_lanes(self.component(local), u32::MAX, u32::MAX));
        (gang.streams_of(self.cluster)).for_each(|stream| order.raise_stream(stream, u32::MAX));
        let order = Rc::new(order);
        known.seen = order.clone();
        known.global_proxy = order.clone();
        known.maps = order.clone();
        known.order = order;
        if let Some((left, _)) = gang.launches.left.get_mut(self.launch) {
            left.join(&known);
        }
    }
}

/// An access in a granule of global memory.
type Touched<'a> = (u64, &'a Summary, Entry);

/// The first access of a launch that conflicts with an earlier launch which may not be complete: its number, and the
/// fault.
pub(crate) fn dependency(launches: &[Vec<Summary>]) -> Result<(), (usize, Fault)> {
    for (number, later) in launches.iter().enumerate().skip(1) {
        // What a wait says is complete: the launch before, and what that one has waited for itself.
        let mut complete = number - 1;
        while complete > 0 && launches[complete].iter().any(|cluster| cluster.waited) {
            complete -= 1;
        }
        for (other, earlier) in launches[..number].iter().enumerate() {
            let accesses = if other >= complete {
                early_accesses(later, earlier)
            } else {
                all_accesses(later)
            };
            if let Some(fault) = clash(&accesses, earlier, other) {
                return Err((number, fault));
            }
        }
    }
    Ok(())
}

fn touched<'a>(
    cluster: &'a Summary,
    list: &'a [(Extent, Entry)],
) -> impl Iterator<Item = Touched<'a>> {
    list.iter().flat_map(move |(extent, entry)| {
        let pieces = extent.pieces().into_iter();
        pieces
            .flat_map(|(address, len)| granules(address, len))
            .map(move |(granule, mask)| (granule, cluster, Entry { mask, ..*entry }))
    })
}

/// What was done before a wait to allocations that the earlier launch writes, and what was written of all.
fn early_accesses<'a>(later: &'a [Summary], earlier: &[Summary]) -> Vec<Touched<'a>> {
    let written: HashSet<u64> = (earlier.iter())
        .flat_map(|cluster| cluster.written.iter().copied())
        .collect();
    let lists = |cluster: &'a Summary| {
        cluster
            .early
            .iter()
            .map(move |(base, l)| (cluster, base, l))
    };
    (later.iter().flat_map(lists))
        .flat_map(|(cluster, base, list)| {
            let counts = written.contains(base);
            touched(cluster, list).filter(move |(_, _, entry)| counts || entry.write)
        })
        .collect()
}

fn all_accesses(later: &[Summary]) -> Vec<Touched<'_>> {
    let of = |cluster| {
        let Summary { writes, reads, .. }: &Summary = cluster;
        let writes = writes
            .iter()
            .map(move |(granule, e)| (*granule, cluster, *e));
        writes.chain(reads.values().flat_map(move |list| touched(cluster, list)))
    };
    let mut all: Vec<Touched> = later.iter().flat_map(of).collect();
    all.sort_by_key(|(granule, _, e)| (*granule, e.line, e.warp, e.lane));
    all
}

/// The first of the accesses that conflicts with anything the earlier launch has done.
fn clash(accesses: &[Touched<'_>], earlier: &[Summary], launch: usize) -> Option<Fault> {
    let mut by_granule: HashMap<u64, Vec<usize>> = HashMap::new();
    for (index, (granule, ..)) in accesses.iter().enumerate() {
        by_granule.entry(*granule).or_default().push(index);
    }
    let mut first: Option<(usize, &Summary, Entry)> = None;
    let mut compare = |granule: u64, cluster, entry: Entry| {
        for &index in by_granule.get(&granule).into_iter().flatten() {
            let own = &accesses[index].2;
            let conflicts = own.mask & entry.mask != 0
                && (own.write || entry.write)
                && !(own.strong && entry.strong);
            if conflicts && first.as_ref().is_none_or(|(known, ..)| index < *known) {
                first = Some((index, cluster, entry));
            }
        }
    };
    for cluster in earlier.iter().filter(|_| !accesses.is_empty()) {
        for (granule, entry) in &cluster.writes {
            compare(*granule, cluster, *entry);
        }
        // Reads count only where something was written, and few of a launch's accesses come early.
        if accesses.iter().any(|(_, _, e)| e.write) {
            let mut bases: Vec<&u64> = cluster.reads.keys().collect();
            bases.sort();
            for (granule, _, entry) in
                (bases.into_iter()).flat_map(|base| touched(cluster, &cluster.reads[base]))
            {
                compare(granule, cluster, entry);
            }
        }
    }
    let (index, cluster, entry) = first?;
    let (granule, own, access) = &accesses[index];
    let conflict = Box::new(describe((cluster, &entry), (own, access), *granule));
    Some(Fault {
        kind: FaultKind::LaunchDependency { conflict, launch },
        site: own.site(access),
    })
}
