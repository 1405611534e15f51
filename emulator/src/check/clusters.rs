//! Global memory between clusters that run independently of each other: nothing orders them, so whatever one writes, no
//! other may touch. The comparison comes last, in the order of the clusters, so that its report is always the same.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::GRANULE;
use super::gang::{Gang, Member};
use super::global::Extent;
use super::granules;
use super::report::Conflict;
use super::shadow::Entry;
use crate::machine::{Fault, FaultKind, Site};

/// What a cluster has done to global memory.
#[derive(Default)]
pub(crate) struct Summary {
    member: Option<Member>,
    /// Granule and access.
    pub(super) writes: Vec<(u64, Entry)>,
    /// Allocations that were written, and what was read of each.
    pub(super) written: HashSet<u64>,
    pub(super) reads: HashMap<u64, Vec<(Extent, Entry)>>,
    /// What was done before griddepcontrol.wait, by allocation.
    pub(super) early: BTreeMap<u64, Vec<(Extent, Entry)>>,
    /// A thread has executed griddepcontrol.wait.
    pub(super) waited: bool,
}

impl Summary {
    pub fn new(gang: &mut Gang) -> Self {
        let (writes, written, reads) = gang.take_accesses();
        let (early, waited) = gang.launches.take_early();
        Summary {
            member: gang.take_member(),
            writes,
            written,
            reads,
            early,
            waited,
        }
    }

    pub(super) fn site(&self, entry: &Entry) -> Site {
        let place = self.member.as_ref().map(|m| m.place(entry.warp));
        let (cta, warp) = place.unwrap_or_default();
        Site {
            line: entry.line,
            cta,
            warp,
            lane: Some(entry.lane),
        }
    }
}

/// The first conflict between clusters.
pub(crate) fn conflict(clusters: &[Summary]) -> Result<(), Fault> {
    let mut writers: HashMap<u64, Vec<(usize, Entry)>> = HashMap::new();
    for (index, cluster) in clusters.iter().enumerate() {
        for (granule, entry) in &cluster.writes {
            let others = writers.entry(*granule).or_default();
            if let Some((other, earlier)) =
                others.iter().find(|(i, e)| *i != index && clash(e, entry))
            {
                return Err(report(
                    clusters,
                    (*other, earlier),
                    (index, entry),
                    *granule,
                ));
            }
            others.push((index, *entry));
        }
    }
    let find = |index: usize, granule: u64, entry: &Entry| {
        let others = writers.get(&granule)?;
        let (other, earlier) = others
            .iter()
            .find(|(i, e)| *i != index && clash(e, entry))?;
        Some(report(clusters, (*other, earlier), (index, entry), granule))
    };
    let written: HashSet<u64> = clusters
        .iter()
        .flat_map(|c| c.written.iter().copied())
        .collect();
    for (index, cluster) in clusters.iter().enumerate() {
        let mut bases: Vec<&u64> = cluster
            .reads
            .keys()
            .filter(|base| written.contains(base))
            .collect();
        bases.sort();
        for (extent, entry) in bases.into_iter().flat_map(|base| &cluster.reads[base]) {
            let touched = extent
                .pieces()
                .into_iter()
                .flat_map(|(address, len)| granules(address, len));
            for (granule, mask) in touched {
                if let Some(fault) = find(index, granule, &Entry { mask, ..*entry }) {
                    return Err(fault);
                }
            }
        }
    }
    Ok(())
}

fn clash(a: &Entry, b: &Entry) -> bool {
    a.mask & b.mask != 0 && !(a.strong && b.strong) && !(a.mask == b.mask && a.stores_the_same(b))
}

fn report(
    clusters: &[Summary],
    earlier: (usize, &Entry),
    later: (usize, &Entry),
    granule: u64,
) -> Fault {
    let earlier = (&clusters[earlier.0], earlier.1);
    let later = (&clusters[later.0], later.1);
    Fault {
        kind: FaultKind::Race(Box::new(describe(earlier, later, granule))),
        site: later.0.site(later.1),
    }
}

/// Two accesses to a granule.
pub(super) fn describe(
    earlier: (&Summary, &Entry),
    later: (&Summary, &Entry),
    granule: u64,
) -> Conflict {
    let byte = (earlier.1.mask & later.1.mask).trailing_zeros();
    Conflict {
        space: "global",
        address: granule * u64::from(GRANULE) + u64::from(byte),
        owner: 0,
        operation: later.1.operation.name(),
        other_operation: earlier.1.operation.name(),
        other: earlier.0.site(earlier.1),
    }
}
