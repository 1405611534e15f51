//! The launches of a workload, event by event.
//!
//! An event is one worker's load warp at the next stage of its ring. Everything that follows for that K block is then
//! known: when its bytes arrive, when the tensor core gets to it, when the stage is free again, and at the end of a tile
//! when the epilogue runs. What a worker without tiles prefetches are events of their own. Events are taken in the order of their times, so that all SMs share memory in the order in
//! which they ask. Launches follow each other on one stream, each on data of its own, as the contest times them; what is
//! reported is the distance of two launches in the steady state.

use super::machine::Machine;
use super::memory::Memory;
use super::price::{Parts, Price};
use super::track::{Rates, Track, early_weights};
use super::workload::{Early, Programmatic, Reduction, Workload};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Launches that overlap settle into a rhythm of one or two launches; the first are left out, the rest averaged.
const SETTLING: u32 = 2;
const AVERAGED: u32 = 4;

/// Prices a launch in the steady state.
pub fn price(workload: &Workload, machine: &Machine) -> Price {
    let (settling, averaged) = match workload.kernel.programmatic {
        // Without overlap every launch is like the first.
        None => (0, 1),
        Some(_) => (SETTLING, AVERAGED),
    };
    let mut memory = Memory::new(machine, workload.chunks);
    let rates = Rates::new(machine, &workload.kernel);
    let mut before = Finished::idle(workload, machine);
    let mut price = Price::of_nothing(workload, machine);
    for launch in 0..settling + averaged {
        memory.next_launch();
        let mut run = Launch::new(workload, machine, &rates, &before, launch > 0);
        run.execute(&mut memory);
        let finished = run.finished();
        if launch >= settling && !run.tracks.is_empty() {
            let share = 1.0 / f64::from(averaged);
            price.total_us += share * (finished.end - before.end);
            price.parts.add(share, &run.parts(before.end));
            run.describe(&mut price, &memory, before.end);
        }
        before = finished;
    }
    price
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

/// What happens at some time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A worker's load warp gets to its next stage.
    Stage(usize),
    /// A worker without tiles asks L2 for a chunk of so many bytes.
    Prefetch { chunk: u32, bytes: u32 },
}

/// One launch in progress.
struct Launch<'a> {
    workload: &'a Workload,
    machine: &'a Machine,
    rates: &'a Rates,
    tracks: Vec<Track<'a>>,
    events: BinaryHeap<Reverse<(u64, Event)>>,
    /// Workers that wait for a place.
    next_worker: usize,
    /// Workers without tiles likewise.
    next_idle: usize,
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
                let upload = match workload.kernel.uploads {
                    true => machine.upload_us.value,
                    false => 0.0,
                };
                let gap = machine.launch_gap_us.value + parameters + upload;
                (gap, f64::NEG_INFINITY)
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
            next_idle: 0,
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
            let left = self.prefetch(at, dependency);
            self.idle_places.push(left);
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

    /// Lets the next worker without tiles fetch what it has to; returns when its place is free again. It asks as fast as
    /// an SM could take the bytes in, and waits for none.
    fn prefetch(&mut self, at: f64, dependency: f64) -> f64 {
        let Some(prefetches) = self.workload.prefetches.get(self.next_idle) else {
            return at;
        };
        self.next_idle += 1;
        let mut now = at + self.rates.until_load;
        if !early_weights(&self.workload.kernel) {
            now = now.max(dependency);
        }
        let sms = f64::from(self.workload.kernel.sms);
        for (chunk, bytes) in prefetches.iter().flat_map(|p| p.each()) {
            let event = Event::Prefetch { chunk, bytes };
            self.events.push(Reverse((order(now), event)));
            now += f64::from(bytes) / sms * self.rates.fill_us_per_byte;
        }
        now
    }

    fn schedule(&mut self, track: usize) {
        if let Some(time) = self.tracks[track].next_issue() {
            self.events
                .push(Reverse((order(time), Event::Stage(track))));
        }
    }

    fn execute(&mut self, memory: &mut Memory) {
        while let Some(Reverse((time, event))) = self.events.pop() {
            let index = match event {
                Event::Stage(index) => index,
                Event::Prefetch { chunk, bytes } => {
                    memory.load(f64::from_bits(time), chunk, bytes);
                    continue;
                }
            };
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
        // The next launch may start when every CTA of this one has started and let it.
        let started = self
            .tracks
            .iter()
            .map(|t| t.lane.span.0)
            .fold(0.0, f64::max);
        let beside = self.workload.kernel.programmatic.is_some_and(|p| p.beside);
        for track in &self.tracks {
            let place = &mut free[track.lane.sm as usize];
            *place = place.max(if beside { started } else { track.end });
        }
        free.iter_mut().for_each(|f| *f = f.max(started));
        free.sort_by(f64::total_cmp);
        Finished {
            free,
            end: self.end(),
        }
    }

    /// Where the time of the worker that is through last goes.
    fn parts(&self, before: f64) -> Parts {
        let last = self.tracks.iter().max_by(|a, b| a.end.total_cmp(&b.end));
        last.map_or(Parts::default(), |t| {
            t.parts(before, self.machine.drain_us.value)
        })
    }

    /// Writes down what the price says of a single launch.
    fn describe(self, price: &mut Price, memory: &Memory, before: f64) {
        let most = |of: &dyn Fn(&Track<'_>) -> f64| self.tracks.iter().map(of).fold(0.0, f64::max);
        let written = price.stored_bytes as f64 * self.machine.write_cost.value;
        price.read_bytes = memory.read_bytes;
        price.requested_bytes = memory.requested_bytes;
        price.dram_us = (memory.read_bytes as f64 + written) * 1e-6 / self.machine.dram_tb_s.value;
        price.fill_us = most(&|t| t.filled as f64 * self.rates.fill_us_per_byte);
        price.tensor_us = most(&|t| t.multiplied);
        let lanes = self.tracks.into_iter().map(|t| t.lane.since(before));
        price.lanes = lanes.collect();
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
