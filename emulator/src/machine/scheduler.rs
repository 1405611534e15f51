//! Running clusters: whose turn it is, and what to do when nobody can run.

mod deadlock;
mod fragment;

use std::cell::RefCell;
use std::rc::Rc;

use super::cluster::{ClusterState, Counts};
use super::fault::{Fault, FaultKind, Site};
use super::grid::Grid;
use super::mbarrier::SharedAddress;
use super::schedule::Schedule;
use super::warp::{Wait, Warp};
use crate::check::Gang;
use fragment::run_fragment;

/// A cluster of CTAs that run together.
pub(super) struct Cluster {
    warps: Vec<Warp>,
    state: ClusterState,
    /// The progress count when waits were last told "not yet".
    timeout_progress: Option<u64>,
}

/// What a turn of a cluster came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Finished,
    Advanced,
    Stuck,
}

/// What one fragment did.
enum Ran {
    Instruction,
    Yielded,
    Blocked,
}

impl Cluster {
    pub fn new(grid: &Grid<'_>, schedule: Schedule, index: u64, gang: Rc<RefCell<Gang>>) -> Self {
        let ids = grid.cta_ids(index);
        let warps = (0..ids.len() as u32)
            .flat_map(|rank| grid.warps(&ids, rank, index))
            .collect();
        Cluster {
            warps,
            state: ClusterState::new(ids, grid, schedule, index, gang),
            timeout_progress: None,
        }
    }

    /// Whether every CTA has allowed dependent launches or has exited.
    pub fn has_triggered(&self) -> bool {
        (self.state.ctas.iter()).all(|cta| cta.triggered || cta.live_warps == 0)
    }

    pub fn counts(&self) -> Counts {
        self.state.counts
    }

    /// Lets every warp, or a random one, run for a while; if none can, lets something asynchronous happen.
    pub fn turn(&mut self, grid: &Grid<'_>) -> Result<Turn, Fault> {
        let advanced = match self.state.policy.schedule {
            Schedule::Random(_) => self.random_turn(grid)?,
            _ => self.round(grid)? || self.needed_operation(grid)?,
        };
        if self.state.counts.instructions > grid.instruction_limit {
            let site = self.warps[0].fragments.first().map_or(0, |f| f.pc);
            let site = self.site(grid, 0, site, None);
            return Err(Fault {
                kind: FaultKind::InstructionLimit(grid.instruction_limit),
                site,
            });
        }
        if self.warps.iter().all(|w| w.live == 0) {
            self.finish(grid)?;
            self.state.check.depart();
            return Ok(Turn::Finished);
        }
        Ok(if advanced {
            Turn::Advanced
        } else {
            Turn::Stuck
        })
    }

    fn round(&mut self, grid: &Grid<'_>) -> Result<bool, Fault> {
        let mut advanced = false;
        for warp in 0..self.warps.len() {
            advanced |= self.run_warp(grid, warp)?;
        }
        Ok(advanced)
    }

    fn random_turn(&mut self, grid: &Grid<'_>) -> Result<bool, Fault> {
        let asynchronous_first = self.state.policy.below(2) == 0;
        if asynchronous_first && self.random_operation(grid)? {
            return Ok(true);
        }
        let count = self.warps.len();
        let start = self.state.policy.below(count);
        for i in 0..count {
            if self.run_warp(grid, (start + i) % count)? {
                return Ok(true);
            }
        }
        self.random_operation(grid)
    }

    fn random_operation(&mut self, grid: &Grid<'_>) -> Result<bool, Fault> {
        let count = self.state.queue.len();
        if count == 0 {
            return Ok(false);
        }
        // The first that may happen from a random place on: to look at all would take long where copies are many.
        let start = self.state.policy.below(count);
        let chosen = (start..count)
            .chain(0..start)
            .find(|&i| self.state.eligible(i));
        let Some(chosen) = chosen else {
            return Ok(false);
        };
        self.state.run_queued(grid, chosen)?;
        Ok(true)
    }

    /// The lazy choice: what signals a barrier that somebody waits for; else the oldest.
    fn needed_operation(&mut self, grid: &Grid<'_>) -> Result<bool, Fault> {
        if self.state.queue.is_empty() || self.warps.iter().all(|w| w.live == 0) {
            return Ok(false);
        }
        let awaited: Vec<SharedAddress> = self
            .warps
            .iter()
            .flat_map(|w| &w.fragments)
            .filter_map(|f| match &f.wait {
                Some(Wait::Phase(phases)) => Some(phases.iter().map(|(at, _)| *at)),
                _ => None,
            })
            .flatten()
            .collect();
        let index = self.state.oldest_signalling(&awaited).unwrap_or(0);
        self.state.run_with_prerequisites(grid, index)?;
        Ok(true)
    }

    /// Runs one warp until it can do nothing or has used up its turn.
    fn run_warp(&mut self, grid: &Grid<'_>, index: usize) -> Result<bool, Fault> {
        let warp = &mut self.warps[index];
        if warp.live == 0 {
            return Ok(false);
        }
        let quantum = self.state.policy.quantum();
        let mut executed = 0;
        while executed < quantum && warp.live != 0 {
            let Some(fragment) = warp.pick(&self.state) else {
                break;
            };
            match run_fragment(warp, &mut self.state, grid, fragment)? {
                Ran::Instruction => executed += 1,
                Ran::Blocked => {}
                Ran::Yielded => {
                    executed += 1;
                    break;
                }
            }
            warp.merge();
        }
        // Lanes that spin must not keep their siblings from running.
        warp.rotation = if executed >= quantum {
            warp.rotation + 1
        } else {
            0
        };
        Ok(executed > 0)
    }

    /// Tells everybody who waits for an mbarrier "not yet". False if that was done before and nothing came of it.
    pub fn time_out(&mut self) -> bool {
        let fragments = self.warps.iter_mut().flat_map(|w| &mut w.fragments);
        let mut any = false;
        for fragment in fragments.filter(|f| matches!(f.wait, Some(Wait::Phase(_)))) {
            fragment.timed_out = true;
            any = true;
        }
        let again = self.timeout_progress == Some(self.state.progress);
        self.timeout_progress = Some(self.state.progress);
        any && !again
    }

    fn site(&self, grid: &Grid<'_>, warp: usize, pc: u32, lane: Option<u32>) -> Site {
        let warp = &self.warps[warp];
        site(warp, &self.state, grid, pc, lane)
    }

    /// All threads have exited: what must not be left behind?
    fn finish(&mut self, grid: &Grid<'_>) -> Result<(), Fault> {
        for cta in &self.state.ctas {
            if let Some((column, columns)) = cta.tensor.allocations().first() {
                let what = format!("{columns} columns from column {column} were never deallocated");
                let line = grid.code.instructions.last().map_or(0, |i| i.line);
                let site = Site {
                    line,
                    cta: cta.id,
                    warp: 0,
                    lane: None,
                };
                return Err(Fault {
                    kind: FaultKind::TensorMemoryLeak(what),
                    site,
                });
            }
        }
        Ok(())
    }
}

fn site(warp: &Warp, state: &ClusterState, grid: &Grid<'_>, pc: u32, lane: Option<u32>) -> Site {
    let line = grid
        .code
        .instructions
        .get(pc as usize)
        .map_or(0, |i| i.line);
    Site {
        line,
        cta: state.ctas[warp.rank as usize].id,
        warp: warp.index,
        lane,
    }
}
