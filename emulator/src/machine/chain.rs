//! Running launches: one, or several that may overlap (programmatic dependent launch; PTX ISA, griddepcontrol).

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use super::cluster::Counts;
use super::device::Checks;
use super::fault::{Fault, Stop, Stopped};
use super::grid::Grid;
use super::launch::{Report, volume};
use super::schedule::{Policy, Schedule};
use super::scheduler::{Cluster, Turn};
use crate::check::{Gang, Summary, conflict, dependency};

impl Stopped {
    fn at(launch: usize, fault: Fault) -> Self {
        Stopped {
            launch,
            stop: Stop::from(fault),
        }
    }

    /// The same, for a chain that starts behind other launches.
    pub(super) fn behind(mut self, first: usize) -> Self {
        self.launch += first;
        if let Stop::Fault(fault) = &mut self.stop {
            fault.kind.renumber(first);
        }
        self
    }
}

/// Runs launches of which each may start before the one in front of it is complete.
pub(super) fn run(grids: &[Grid<'_>], schedule: Schedule) -> Result<Vec<Report>, Stopped> {
    let coupled = grids.iter().any(|grid| grid.code.couples_clusters);
    // Without checks only the values can show that a launch reads too early.
    let unchecked = grids.len() > 1 && grids[0].checks == Checks::None;
    let counts = if coupled || unchecked {
        Together::new(grids, schedule).run()?
    } else {
        run_apart(grids, schedule)?
    };
    let report = |(grid, counts): (&Grid<'_>, Counts)| Report {
        counts,
        ctas: volume(grid.dims),
    };
    Ok(grids.iter().zip(counts).map(report).collect())
}

// ---- clusters that have nothing to do with each other

/// Launches one after the other, and their accesses compared. Independent clusters run on all host threads, which
/// changes nothing but the time it takes.
fn run_apart(grids: &[Grid<'_>], schedule: Schedule) -> Result<Vec<Counts>, Stopped> {
    let mut summaries = Vec::with_capacity(grids.len());
    let mut counts = Vec::with_capacity(grids.len());
    for (number, grid) in grids.iter().enumerate() {
        let (total, clusters) =
            run_clusters(grid, schedule).map_err(|fault| Stopped::at(number, fault))?;
        counts.push(total);
        summaries.push(clusters);
    }
    dependency(&summaries).map_err(|(number, fault)| Stopped::at(number, fault))?;
    Ok(counts)
}

fn run_clusters(grid: &Grid<'_>, schedule: Schedule) -> Result<(Counts, Vec<Summary>), Fault> {
    // Clusters behind the first one that failed need not run; those before it must, so that the report is the same each time.
    let failed = AtomicUsize::new(usize::MAX);
    let one = |index: usize| {
        if index > failed.load(Ordering::Relaxed) {
            return Ok(Default::default());
        }
        let gang = Rc::new(RefCell::new(Gang::default()));
        let cluster = Cluster::new(grid, schedule, index as u64, gang.clone());
        let result = run_alone(grid, cluster);
        if result.is_err() {
            failed.fetch_min(index, Ordering::Relaxed);
        }
        result.map(|counts| (counts, Summary::new(&mut gang.borrow_mut())))
    };
    let results: Vec<Result<(Counts, Summary), Fault>> = (0..grid.clusters() as usize)
        .into_par_iter()
        .with_max_len(1)
        .map(one)
        .collect();
    let mut total = Counts::default();
    let mut summaries = Vec::with_capacity(results.len());
    for result in results {
        let (counts, summary) = result?;
        total.add(counts);
        summaries.push(summary);
    }
    conflict(&summaries)?;
    Ok((total, summaries))
}

fn run_alone(grid: &Grid<'_>, mut cluster: Cluster) -> Result<Counts, Fault> {
    loop {
        match cluster.turn(grid)? {
            Turn::Finished => return Ok(cluster.counts()),
            Turn::Stuck if !cluster.time_out() => return Err(cluster.deadlock(grid)),
            Turn::Stuck | Turn::Advanced => {}
        }
    }
}

// ---- clusters that communicate

/// Clusters that wait for each other take turns on one thread, as many of a launch as a device holds at a time.
struct Together<'a> {
    grids: &'a [Grid<'a>],
    schedule: Schedule,
    policy: Policy,
    gang: Rc<RefCell<Gang>>,
    /// Launch and cluster.
    running: Vec<(usize, Cluster)>,
    counts: Vec<Counts>,
    /// Somebody advanced in the latest round.
    drifts: bool,
    /// Fewer clusters are started than would fit, so that there are some to cancel.
    holds_back: bool,
}

impl<'a> Together<'a> {
    fn new(grids: &'a [Grid<'a>], schedule: Schedule) -> Self {
        let gang = Gang::together(grids.len());
        Together {
            grids,
            schedule,
            policy: Policy::new(schedule, u64::MAX),
            gang: Rc::new(RefCell::new(gang)),
            running: Vec::new(),
            counts: vec![Counts::default(); grids.len()],
            drifts: true,
            holds_back: schedule != Schedule::Eager,
        }
    }

    fn run(mut self) -> Result<Vec<Counts>, Stopped> {
        loop {
            (0..self.grids.len()).for_each(|launch| self.admit(launch));
            if self.running.is_empty() && self.grids.iter().all(|grid| grid.backlog.is_empty()) {
                return Ok(self.counts);
            }
            self.round()?;
        }
    }

    /// Starts clusters of a launch, if it may run.
    fn admit(&mut self, launch: usize) {
        let grid = &self.grids[launch];
        if grid.backlog.is_empty() || !self.may_start(launch) {
            return;
        }
        let resident = self.resident(grid);
        let running = self.running.iter().filter(|(l, _)| *l == launch).count() as u64;
        for _ in running..resident {
            let Some(index) = grid.backlog.take() else {
                return;
            };
            let cluster = Cluster::new(grid, self.schedule, index, self.gang.clone());
            // A schedule that starts launches early also lets them go first.
            let place = match self.schedule {
                Schedule::Lazy => 0,
                _ => self.running.len(),
            };
            self.running.insert(place, (launch, cluster));
        }
    }

    /// How many clusters may run at a time: those that fit, or fewer if some are to be left for others to cancel.
    fn resident(&mut self, grid: &Grid<'_>) -> u64 {
        let fit = (u64::from(grid.sm_count) / volume(grid.cluster)).max(1);
        match self.schedule {
            _ if !(self.holds_back && grid.code.cancels_clusters) => fit,
            Schedule::Random(_) => (1 + self.policy.below(4) as u64).min(fit),
            _ => 1,
        }
    }

    /// Whether everybody in front allows it, and the schedule does not prefer to wait.
    fn may_start(&mut self, launch: usize) -> bool {
        let Some(before) = launch.checked_sub(1) else {
            return true;
        };
        if self.is_complete(before) || !self.grids[launch].backlog.is_untouched() {
            return true;
        }
        let mut clusters = self.running.iter().filter(|(l, _)| *l == before);
        let allowed =
            self.grids[before].backlog.is_empty() && clusters.all(|(_, c)| c.has_triggered());
        allowed
            && match self.schedule {
                Schedule::Eager => false,
                Schedule::Lazy => true,
                Schedule::Random(_) => self.policy.below(4) == 0,
            }
    }

    fn is_complete(&self, launch: usize) -> bool {
        self.gang.borrow().launches.is_complete(launch)
    }

    /// Gives each cluster a turn; removes those that finish. All stuck is a deadlock.
    fn round(&mut self) -> Result<(), Stopped> {
        let (mut advanced, mut skipped) = (false, false);
        let mut index = 0;
        while index < self.running.len() {
            if self.passes_over() {
                skipped = true;
                index += 1;
                continue;
            }
            let (launch, cluster) = &mut self.running[index];
            let launch = *launch;
            let turn = cluster.turn(&self.grids[launch]);
            match turn.map_err(|fault| Stopped::at(launch, fault))? {
                Turn::Finished => {
                    let (_, cluster) = self.running.remove(index);
                    self.counts[launch].add(cluster.counts());
                    self.finished(launch);
                    advanced = true;
                    continue;
                }
                Turn::Advanced => advanced = true,
                Turn::Stuck => {}
            }
            index += 1;
        }
        // Nobody is passed over in the round that decides on a deadlock.
        self.drifts = advanced;
        if advanced || skipped {
            return Ok(());
        }
        // Those who run may wait for some that would have fitted.
        if self.holds_back && self.grids.iter().any(|grid| !grid.backlog.is_empty()) {
            self.holds_back = false;
            return Ok(());
        }
        let hope =
            (self.running.iter_mut()).fold(false, |hope, (_, cluster)| cluster.time_out() | hope);
        match self.running.first() {
            Some((launch, cluster)) if !hope => {
                Err(Stopped::at(*launch, cluster.deadlock(&self.grids[*launch])))
            }
            _ => Ok(()),
        }
    }

    /// Lets launches that overlap drift apart.
    fn passes_over(&mut self) -> bool {
        let random = self.grids.len() > 1 && matches!(self.schedule, Schedule::Random(_));
        random && self.drifts && self.policy.below(2) == 0
    }

    /// A cluster of a launch has finished: perhaps all have.
    fn finished(&mut self, launch: usize) {
        let last =
            self.grids[launch].backlog.is_empty() && self.running.iter().all(|(l, _)| *l != launch);
        if last {
            self.gang.borrow_mut().launches.complete(launch);
        }
    }
}
