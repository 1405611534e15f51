//! Where the time goes, from nothing to a steady state.

use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::super::{Device, Error, Event, Library, Stream};
use super::data::DataSet;
use super::{median, summation};
use crate::problem::Set;

/// Binds that are timed together: one alone is shorter than a clock's tick.
const BINDS: usize = 1000;

/// Times of one set, in the order in which a program meets them.
#[derive(Clone, Debug, Serialize)]
pub struct Profile {
    /// The set's name.
    pub name: String,
    /// Its key.
    pub key: String,
    /// Once: each step and its microseconds.
    pub once: Vec<(&'static str, f64)>,
    /// Per call: each step and its microseconds.
    pub each: Vec<(&'static str, f64)>,
    /// Whether the outputs were right.
    pub right: bool,
}

impl Profile {
    /// The steps of a list with their shares in percent.
    pub fn shares(steps: &[(&'static str, f64)]) -> Vec<(&'static str, f64, f64)> {
        let sum: f64 = steps.iter().map(|(_, time)| time).sum();
        let share = |time: f64| if sum > 0.0 { time / sum * 100.0 } else { 0.0 };
        (steps.iter())
            .map(|(step, time)| (*step, *time, share(*time)))
            .collect()
    }
}

/// Goes all the way for one set, from opening the library, and times every step. Data are drawn in between, untimed.
///
/// # Errors
/// As [`Library::open`], [`Device::new`], [`Library::load`] and what follows them.
pub fn profile(
    directory: &Path,
    ordinal: u32,
    set: &Set,
    repeats: usize,
) -> Result<Profile, Error> {
    let (library, opening) = timed(|| Library::open(directory))?;
    let (device, starting) = timed(|| Device::new(ordinal))?;
    let (kernel, loading) = timed(|| library.load_set(&device, set))?;
    let (mut launch, preparing) = timed(|| Ok(kernel.prepare()))?;
    let stream = Stream::new(&device)?;
    let data = DataSet::new(&device, &stream, set, 1)?;
    let ((), first) = timed(|| {
        launch.launch(&stream, data.pointers())?;
        stream.synchronize()
    })?;
    let once = [
        ("open the library", opening),
        ("driver and context", starting),
        ("load the kernel", loading),
        ("prepare the launch", preparing),
        ("first launch, all of it", first),
    ];

    let (start, end) = (Event::new(&device)?, Event::new(&device)?);
    let (mut binds, mut enqueues, mut gpus) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..repeats.max(1) {
        let ((), bind) = timed(|| (0..BINDS).try_for_each(|_| launch.bind(data.pointers())))?;
        start.record(&stream)?;
        let ((), enqueue) = timed(|| launch.enqueue(&stream))?;
        end.record(&stream)?;
        binds.push(microseconds(bind) / BINDS as f64);
        enqueues.push(microseconds(enqueue));
        gpus.push(end.microseconds_since(&start)?);
    }
    Ok(Profile {
        name: set.name.clone(),
        key: set.key(),
        once: once.map(|(step, time)| (step, microseconds(time))).to_vec(),
        each: vec![
            ("bind", median(&mut binds)),
            ("enqueue", median(&mut enqueues)),
            ("GPU, start to end", median(&mut gpus)),
        ],
        right: data.is_right(&stream, summation(&kernel))?,
    })
}

fn timed<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<(T, Duration), Error> {
    let start = Instant::now();
    let done = work()?;
    Ok((done, start.elapsed()))
}

fn microseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
