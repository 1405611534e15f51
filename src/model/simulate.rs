//! The launches of a workload, event by event.
//!
//! An event is one worker's load warp at the next stage of its ring. Everything that follows for that K block is then
//! known: when its bytes arrive, when the tensor core gets to it, when the stage is free again, and at the end of a tile
//! when the epilogue runs. Events are taken in the order of their times, so that all SMs share memory in the order in
//! which they ask. Launches follow each other on one stream, each on data of its own, as the contest times them; what is
//! reported is the distance of two launches in the steady state.

use super::machine::Machine;
use super::memory::Memory;
use super::price::{Parts, Price};
use super::track::{Rates, Track};
use super::workload::{Early, Programmatic, Reduction, Workload};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Prices a launch in the steady state.
pub fn price(workload: &Workload, machine: &Machine) -> Price {
    let launches = match workload.kernel.programmatic {
        // Without overlap every launch is like the first.
        None => 1,
        Some(_) => 5,
    };
    let mut memory = Memory::new(machine, workload.chunks);
    let rates = Rates::new(machine, &workload.kernel);
    let mut before = Finished::idle(workload, machine);
    for launch in 0..launches {
        memory.forget();
        let bytes = (memory.read_bytes, memory.requested_bytes);
        let mut run = Launch::new(workload, machine, &rates, &before, launch > 0);
        run.execute(&mut memory);
        let finished = run.finished();
        if launch + 1 == launches {
            let read = memory.read_bytes - bytes.0;
            let requested = memory.requested_bytes - bytes.1;
            return summary(workload, machine, &rates, run, before.end, read, requested);
        }
        before = finished;
    }
    unreachable!("at least one launch is run")
}

/// What a launch leaves behind.
struct Finished {
    /// When each worker's place is free, soonest first.
    free: Vec<f64>,
    /// When the last worker was through and its stores had drained.
    end: f64,
}

impl Finished {
    fn idle(workload: &Workload, machine: &Machine) -> Self {
        let places = (machine.sms.value / f64::from(workload.kernel.sms)).floor() as usize;
        Finished {
            free: vec![0.0; places.max(1)],
            end: 0.0,
        }
    }
}

/// One launch in progress.
struct Launch<'a> {
    workload: &'a Workload,
    machine: &'a Machine,
    rates: &'a Rates,
    tracks: Vec<Track<'a>>,
    events: BinaryHeap<Reverse<(u64, usize)>>,
    /// Workers that wait for a place.
    next_worker: usize,
    /// Shares of split sums: how many are there, and the latest.
    sums: Vec<(u32, f64)>,
    idle_places: Vec<f64>,
}

impl<'a> Launch<'a> {
    fn new(
        workload: &'a Workload,
        machine: &'a Machine,
        rates: &'a Rates,
        before: &Finished,
        overlaps: bool,
    ) -> Self {
        let (start, dependency) = match workload.kernel.programmatic.filter(|_| overlaps) {
            Some(Programmatic {
                early: Early::Everything,
                ..
            }) => (machine.handover_us.value, f64::NEG_INFINITY),
            Some(_) => {
                let dependency = before.end + machine.dependency_us.value;
                (machine.handover_us.value, dependency)
            }
            None => {
                let kilobytes = f64::from(workload.kernel.parameter_bytes) / 1024.0;
                let parameters = kilobytes * machine.parameter_us_per_kb.value;
                (machine.launch_gap_us.value + parameters, f64::NEG_INFINITY)
            }
        };
        let sums = workload
            .workers
            .iter()
            .flat_map(|w| &w.tiles)
            .filter_map(|t| t.sum)
            .max();
        let mut launch = Launch {
            workload,
            machine,
            rates,
            tracks: Vec::with_capacity(workload.workers.len()),
            events: BinaryHeap::with_capacity(workload.workers.len()),
            next_worker: 0,
            sums: vec![(0, 0.0); sums.map_or(0, |s| s as usize + 1)],
            idle_places: Vec::new(),
        };
        for (place, free) in before.free.iter().enumerate() {
            let dispatched = place as f64 * machine.dispatch_ns.value * 1e-3;
            launch.start_worker(place as u32, free + start + dispatched, dependency);
        }
        launch
    }

    /// Starts the next worker at a place, if there is one.
    fn start_worker(&mut self, place: u32, at: f64, dependency: f64) {
        let Some(worker) = self.workload.workers.get(self.next_worker) else {
            self.idle_places.push(at);
            return;
        };
        self.next_worker += 1;
        let track = Track::new(
            worker,
            &self.workload.kernel,
            self.rates,
            place,
            at,
            dependency,
        );
        self.tracks.push(track);
        self.schedule(self.tracks.len() - 1);
    }

    fn schedule(&mut self, track: usize) {
        if let Some(time) = self.tracks[track].next_issue() {
            self.events.push(Reverse((order(time), track)));
        }
    }

    fn execute(&mut self, memory: &mut Memory) {
        while let Some(Reverse((_, index))) = self.events.pop() {
            let track = &mut self.tracks[index];
            let share = track.block(self.rates, memory);
            if let Some((sum, full)) = share {
                let (count, latest) = &mut self.sums[sum as usize];
                *count += 1;
                *latest = latest.max(full);
            }
            let (done, place, end) = (track.is_done(), track.lane.sm, track.end);
            self.schedule(index);
            if done && self.next_worker < self.workload.workers.len() {
                let dispatched = self.machine.dispatch_ns.value * 1e-3;
                self.start_worker(place, end + dispatched, f64::NEG_INFINITY);
            }
        }
        if let Reduction::Cluster(shares) = self.workload.kernel.reduction {
            for track in &mut self.tracks {
                track.reduce(self.rates, self.machine, shares, &self.sums);
            }
        }
    }

    fn finished(&self) -> Finished {
        let places =
            (self.machine.sms.value / f64::from(self.workload.kernel.sms)).floor() as usize;
        let mut free = vec![0.0f64; places.max(1)];
        // A place that had no work is free from the start of the launch.
        for (place, time) in self.idle_places.iter().enumerate() {
            free[places.max(1) - 1 - place] = *time;
        }
        let beside = self.workload.kernel.programmatic.is_some_and(|p| p.beside);
        for track in &self.tracks {
            let place = &mut free[track.lane.sm as usize];
            // With room for two, the next CTA may start when this one has let it.
            *place = place.max(if beside { track.lane.span.0 } else { track.end });
        }
        free.sort_by(f64::total_cmp);
        Finished {
            free,
            end: self.end(),
        }
    }

    fn end(&self) -> f64 {
        let last = self.tracks.iter().map(|t| t.end).fold(0.0, f64::max);
        last + self.machine.drain_us.value
    }
}

/// Times are not negative, so their bit patterns are ordered as they are.
fn order(time: f64) -> u64 {
    time.max(0.0).to_bits()
}

fn summary(
    workload: &Workload,
    machine: &Machine,
    rates: &Rates,
    run: Launch<'_>,
    before: f64,
    read: u64,
    requested: u64,
) -> Price {
    let end = run.end();
    let critical = run.tracks.iter().max_by(|a, b| a.end.total_cmp(&b.end));
    let parts = critical.map_or(Parts::default(), |track| {
        track.parts(before, machine.drain_us.value)
    });
    let fill = |track: &Track<'_>| track.filled as f64 * rates.fill_us_per_byte;
    let busy = |track: &Track<'_>| track.multiplied;
    let most = |f: &dyn Fn(&Track<'_>) -> f64| run.tracks.iter().map(f).fold(0.0, f64::max);
    let moved = read as f64 + workload.stored_bytes() as f64 * machine.write_cost.value;
    Price {
        name: workload.name.clone(),
        machine: machine.name,
        total_us: if run.tracks.is_empty() {
            0.0
        } else {
            end - before
        },
        parts,
        dram_us: moved * 1e-6 / machine.dram_tb_s.value,
        fill_us: most(&fill),
        tensor_us: most(&busy),
        read_bytes: read,
        requested_bytes: requested,
        stored_bytes: workload.stored_bytes(),
        busy_sms: workload.busy_sms(),
        programmatic: workload.kernel.programmatic,
        reduction: workload.kernel.reduction,
        lanes: run
            .tracks
            .into_iter()
            .map(|t| t.lane.since(before))
            .collect(),
    }
}
