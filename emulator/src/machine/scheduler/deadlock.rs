//! When nobody can run: who waits, and for what.

use super::Cluster;
use crate::machine::cluster::ClusterState;
use crate::machine::fault::{Fault, FaultKind, Site};
use crate::machine::grid::Grid;
use crate::machine::mbarrier::SharedAddress;
use crate::machine::warp::{Fragment, Wait, Warp};

impl Cluster {
    /// Somebody waits for a barrier whose arrivals are complete, but not its bytes, and nothing will bring any.
    fn starved(&self, grid: &Grid<'_>) -> Option<Fault> {
        let waiting = self.warps.iter().enumerate();
        let fragments = waiting.flat_map(|(i, w)| w.fragments.iter().map(move |f| (i, f)));
        for (index, fragment) in fragments {
            let Some(Wait::Phase(phases)) = &fragment.wait else {
                continue;
            };
            for (at, _) in phases {
                let barrier = self.state.ctas[at.rank as usize].barriers.get(&at.offset)?;
                if barrier.pending == 0 && barrier.tx != 0 {
                    let site = self.site(grid, index, fragment.pc, None);
                    let kind = FaultKind::ExpectTx(format!("the mbarrier at {at} is {barrier}"));
                    return Some(Fault { kind, site });
                }
            }
        }
        None
    }

    /// The report of a deadlock: everybody who waits, and for what.
    ///
    /// It is divergence if some warp's fragments wait for nothing but each other. A collective whose missing lanes
    /// wait for a barrier is only a victim.
    pub fn deadlock(&self, grid: &Grid<'_>) -> Fault {
        let mut waiting = Vec::new();
        let mut first = None;
        let mut divergent = None;
        for (index, warp) in self.warps.iter().enumerate() {
            let waits_for_itself = |f: &Fragment| matches!(f.wait, Some(Wait::Converge { .. }));
            let diverged = warp.fragments.iter().all(waits_for_itself);
            for fragment in &warp.fragments {
                let site = self.site(grid, index, fragment.pc, None);
                let text = format!(
                    "{site}, lanes {:#010x}: {}",
                    fragment.mask,
                    describe(&self.state, warp, fragment)
                );
                if diverged && divergent.is_none() {
                    divergent = Some((site.clone(), text.clone()));
                }
                first.get_or_insert(site);
                waiting.push(text);
            }
        }
        let unknown = Site {
            line: 0,
            cta: [0; 3],
            warp: 0,
            lane: None,
        };
        if let Some(starved) = self.starved(grid) {
            return starved;
        }
        match divergent {
            Some((site, text)) => Fault {
                kind: FaultKind::Divergence(text),
                site,
            },
            None => Fault {
                kind: FaultKind::Deadlock(waiting),
                site: first.unwrap_or(unknown),
            },
        }
    }
}

fn describe(state: &ClusterState, warp: &Warp, fragment: &Fragment) -> String {
    match &fragment.wait {
        None => "can run".into(),
        Some(Wait::Phase(phases)) => {
            let one = |(at, phase): &(SharedAddress, u64)| {
                let barrier = state.ctas[at.rank as usize].barriers.get(&at.offset);
                let now = barrier.map_or("not initialised any more".into(), |b| b.to_string());
                format!("waits for phase {phase} of the mbarrier at {at}, which is {now}")
            };
            phases.iter().map(one).collect::<Vec<_>>().join("; ")
        }
        Some(Wait::Barrier { id, .. }) => {
            let cta = &state.ctas[warp.rank as usize];
            let barrier = &cta.named[*id as usize];
            let expected = barrier.threads.unwrap_or(cta.live_warps * 32);
            format!(
                "waits at barrier {id}, where {} of {expected} threads have arrived",
                barrier.arrived
            )
        }
        Some(Wait::Cluster { .. }) => {
            format!(
                "waits at the cluster barrier, where {} of {} threads have arrived",
                state.cluster_barrier.arrived, state.live_threads
            )
        }
        Some(Wait::Converge { need }) => {
            format!(
                "needs lanes {need:#010x} of its warp at this instruction, others are elsewhere"
            )
        }
        Some(Wait::Prerequisites) => "waits for the launch before this one to complete".into(),
        Some(Wait::Warpgroup { groups }) => format!(
            "waits for the other warps of its warpgroup to wait for {groups} groups of wgmma"
        ),
        Some(Wait::Pair { .. }) => {
            "waits for the other CTA of the pair to execute tcgen05.alloc.cta_group::2".into()
        }
        Some(Wait::Columns { columns }) => {
            format!("waits for {columns} free columns of tensor memory")
        }
    }
}
