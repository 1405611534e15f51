//! What has been enqueued and not yet run.
//!
//! Work runs inside driver calls, on the caller's thread. Under the eager order a call runs what it enqueues; under
//! the lazy order nothing runs until a call waits for it, and then only what it depends on; under the random order a
//! seed decides. A missing event between two streams shows under the latter two as it would on a bad day on a GPU.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use crate::config::Order;
use crate::context::Context;
use crate::driver::lock;
use crate::error::Error;
use crate::event::Event;
use crate::pointer::Handle;
use crate::stream::{Bond, Stream};
use crate::work::Work;

/// More than this in one stream makes even the lazy order run some, as a GPU's launch queue does.
const DEPTH: usize = 1024;

pub(crate) struct Queue {
    order: Order,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// Streams with pending work.
    lanes: BTreeMap<u64, Lane>,
    /// Number of the next piece of work: work is numbered in the order of the calls.
    next: u64,
    random: u64,
}

struct Lane {
    stream: Arc<Stream>,
    /// The first ones may be running.
    pending: VecDeque<(u64, Work)>,
    /// So many of them are running.
    running: usize,
}

impl Lane {
    /// The number of the oldest work that has not completed.
    fn oldest(&self) -> u64 {
        self.pending.front().map_or(u64::MAX, |(number, _)| *number)
    }

    /// The first work, together with the programmatic launches behind it that may overlap with it.
    fn next(&self) -> Option<Work> {
        let (_, first) = self.pending.front()?;
        let Work::Kernel(launch) = first else {
            return Some(first.clone());
        };
        let behind = self
            .pending
            .iter()
            .skip(1)
            .map_while(|(_, work)| match work {
                Work::Kernel(launch) if launch.extras.programmatic => Some(launch.clone()),
                _ => None,
            });
        let launches: Arc<[_]> = std::iter::once(launch.clone()).chain(behind).collect();
        Some(match launches.len() {
            1 => first.clone(),
            _ => Work::Overlapping(launches),
        })
    }
}

type Guard<'a> = MutexGuard<'a, State>;

impl Queue {
    pub(crate) fn new(order: Order) -> Self {
        let random = if let Order::Random(seed) = order {
            seed
        } else {
            0
        };
        Queue {
            order,
            state: Mutex::new(State {
                lanes: BTreeMap::new(),
                next: 1,
                random,
            }),
            changed: Condvar::new(),
        }
    }

    /// Enqueues work and runs as much as the order asks for.
    pub(crate) fn submit(&self, stream: &Arc<Stream>, work: Work) {
        let mut state = lock(&self.state);
        let number = state.next;
        state.next += 1;
        let lane = state.lanes.entry(stream.id).or_insert_with(|| Lane {
            stream: stream.clone(),
            pending: VecDeque::new(),
            running: 0,
        });
        lane.pending.push_back((number, work));
        let backlog = lane.pending.len();
        match self.order {
            Order::Eager => {
                drop(self.run_until(state, Some(stream.id), |s| s.oldest(stream.id) > number))
            }
            Order::Lazy if backlog > DEPTH => {
                drop(self.run_until(state, Some(stream.id), |s| s.backlog(stream.id) <= DEPTH));
            }
            Order::Lazy => {}
            Order::Random(_) => {
                let mut steps = state.draw(3);
                drop(self.run_until(state, None, |s| {
                    s.count_down(&mut steps) || s.lanes.is_empty()
                }));
            }
        }
    }

    /// Runs until a stream is empty.
    pub(crate) fn finish_stream(&self, stream: &Stream) {
        let state = lock(&self.state);
        drop(self.run_until(state, Some(stream.id), |s| {
            !s.lanes.contains_key(&stream.id)
        }));
    }

    /// Runs until a context has no work.
    pub(crate) fn finish_context(&self, context: Handle<Context>) {
        let state = lock(&self.state);
        let idle = |s: &State| s.lanes.values().all(|lane| lane.stream.context != context);
        drop(self.run_until(state, None, idle));
    }

    /// Runs until no stream has work.
    pub(crate) fn finish_all(&self) {
        drop(self.run_until(lock(&self.state), None, |s| s.lanes.is_empty()));
    }

    /// Runs until an event's record has been reached.
    pub(crate) fn finish_event(&self, event: &Event, number: u64) {
        let state = lock(&self.state);
        let lane = state.lane_of_record(event, number);
        drop(self.run_until(state, lane, |_| event.has_reached(number)));
    }

    /// Whether a stream is empty. Asking lets some work happen, so that polling comes to an end.
    pub(crate) fn poll_stream(&self, stream: &Stream) -> bool {
        let state = lock(&self.state);
        let empty = !state.lanes.contains_key(&stream.id);
        if !empty {
            drop(self.step(state, Some(stream.id)));
        }
        empty
    }

    /// Whether an event's record has been reached; asking lets some work happen.
    pub(crate) fn poll_event(&self, event: &Event, number: u64) -> bool {
        let reached = event.has_reached(number);
        if !reached {
            let state = lock(&self.state);
            let lane = state.lane_of_record(event, number);
            drop(self.step(state, lane));
        }
        reached
    }

    fn run_until<'a>(
        &'a self,
        mut state: Guard<'a>,
        lane: Option<u64>,
        mut done: impl FnMut(&State) -> bool,
    ) -> Guard<'a> {
        // Without lanes there is nothing left that could bring it about.
        while !done(&state) && !state.lanes.is_empty() {
            state = self.step(state, lane);
        }
        state
    }

    /// Runs one piece of work, or waits until another thread has done so.
    fn step<'a>(&'a self, mut state: Guard<'a>, lane: Option<u64>) -> Guard<'a> {
        let picked = match self.order {
            Order::Random(_) => state.pick_at_random(),
            _ => state.pick(lane),
        };
        let Some(picked) = picked else {
            if state.lanes.values().any(|lane| lane.running > 0) {
                return self.changed.wait(state).unwrap_or_else(|e| e.into_inner());
            }
            return state;
        };
        let Some((stream, work)) = state.start(picked) else {
            return state;
        };
        drop(state);
        if catch_unwind(AssertUnwindSafe(|| work.run(&stream))).is_err() {
            stream.fate.seal(Error::UNKNOWN);
        }
        let mut state = lock(&self.state);
        state.complete(picked);
        self.changed.notify_all();
        state
    }
}

impl State {
    fn oldest(&self, lane: u64) -> u64 {
        self.lanes.get(&lane).map_or(u64::MAX, Lane::oldest)
    }

    fn backlog(&self, lane: u64) -> usize {
        self.lanes.get(&lane).map_or(0, |lane| lane.pending.len())
    }

    fn count_down(&self, steps: &mut u64) -> bool {
        let over = *steps == 0;
        *steps = steps.saturating_sub(1);
        over
    }

    /// A number below `n` (splitmix64).
    fn draw(&mut self, n: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % n
    }

    fn lane_of_record(&self, event: &Event, number: u64) -> Option<u64> {
        let records = |work: &Work| matches!(work, Work::Record(e, n) if std::ptr::eq(&**e, event) && *n == number);
        (self.lanes.iter())
            .find(|(_, lane)| lane.pending.iter().any(|(_, work)| records(work)))
            .map(|(id, _)| *id)
    }

    /// The lane that must advance before the first work of `lane` can run; `None` if it can.
    fn blocker(&self, lane: &Lane) -> Option<u64> {
        let number = lane.oldest();
        if let Some((_, Work::Wait(event, n))) = lane.pending.front()
            && !event.has_reached(*n)
        {
            return self.lane_of_record(event, *n);
        }
        let older = |bond: Bond| {
            let of_context =
                |l: &&Lane| l.stream.context == lane.stream.context && l.stream.bond == bond;
            (self.lanes.values())
                .filter(of_context)
                .find(|l| l.oldest() < number)
                .map(|l| l.stream.id)
        };
        match lane.stream.bond {
            Bond::Legacy => older(Bond::Blocking),
            Bond::Blocking => older(Bond::Legacy),
            Bond::Free => None,
        }
    }

    /// The next lane to run: one that `goal` depends on, else the one with the oldest work.
    fn pick(&self, goal: Option<u64>) -> Option<u64> {
        let mut lane = goal
            .and_then(|id| self.lanes.get(&id))
            .or_else(|| self.lanes.values().min_by_key(|lane| lane.oldest()))?;
        // Dependencies lead to older work, so this ends.
        while let Some(next) = self.blocker(lane).and_then(|id| self.lanes.get(&id)) {
            lane = next;
        }
        (lane.running == 0).then_some(lane.stream.id)
    }

    fn pick_at_random(&mut self) -> Option<u64> {
        let ready: Vec<u64> = (self.lanes.values())
            .filter(|lane| lane.running == 0 && self.blocker(lane).is_none())
            .map(|lane| lane.stream.id)
            .collect();
        let i = self.draw(ready.len().max(1) as u64) as usize;
        ready.get(i).copied()
    }

    fn start(&mut self, lane: u64) -> Option<(Arc<Stream>, Work)> {
        let lane = self.lanes.get_mut(&lane)?;
        let work = lane.next()?;
        lane.running = match &work {
            Work::Overlapping(launches) => launches.len(),
            _ => 1,
        };
        Some((lane.stream.clone(), work))
    }

    fn complete(&mut self, id: u64) {
        if let Some(lane) = self.lanes.get_mut(&id) {
            lane.pending.drain(..lane.running);
            lane.running = 0;
            if lane.pending.is_empty() {
                self.lanes.remove(&id);
            }
        }
    }
}
