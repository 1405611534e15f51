//! Times of kernels on a device: the contest's protocol, and single calls with warm and cold caches.
//!
//! | protocol | what is between the two events |
//! |---|---|
//! | contest | one call for each data set, back to back, the L2 cache cleared before the first; divided by their number |
//! | hot | one call whose data the call before it has used as well |
//! | cold | one call, the L2 cache cleared before it |
//!
//! Each is measured with launches and with replays of graphs, and with programmatic dependent launch where the kernel is
//! made for it. Every output is held to the exact reference afterwards, on the data that was timed.

mod contest;
mod data;
mod once;
mod profile;

use std::time::Instant;

use serde::Serialize;

pub use contest::{Contest, Timed};
pub use data::Bandwidth;
pub use once::compute;
pub use profile::{Profile, profile};

use super::{Device, Error, Event, Graph, Kernel, Launch, Stream};
use crate::problem::Set;
use crate::verify::Summation;
use data::{DataSet, Flush};

/// Bytes a second that the contest calls the speed of light of a B200 (brief, problems 4).
const CONTEST_BANDWIDTH: f64 = 7.68e12;

/// How much to measure.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Distinct sets of operands; the contest has 15.
    pub data_sets: usize,
    /// Times that everything is measured; the contest has up to 200.
    pub repeats: usize,
    /// Seed of the data.
    pub seed: u64,
}

/// What is between the two events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// All data sets back to back.
    Contest,
    /// One call, again on the same data.
    Hot,
    /// One call after the L2 cache was cleared.
    Cold,
}

/// One way to launch, timed in one way.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What is between the two events.
    pub protocol: Protocol,
    /// Whether calls are replays of graphs.
    pub graph: bool,
    /// Whether programmatic dependent launch is on.
    pub programmatic: bool,
    /// Median over the repeats, microseconds per call, by events.
    pub gpu_us: f64,
    /// The fastest repeat.
    pub gpu_us_best: f64,
    /// Median over the repeats, nanoseconds of host time per call.
    pub host_ns: f64,
    /// Percent of the contest's speed of light; None on other devices than a B200.
    pub percent_of_light: Option<f64>,
    /// Percent of the time that a copy of as many bytes takes; None on an emulated device.
    pub percent_of_copy: Option<f64>,
}

/// All times of a set.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The set's name.
    pub name: String,
    /// Its key.
    pub key: String,
    /// Bytes that must cross the memory bus.
    pub bytes: u64,
    /// Data sets whose outputs were checked.
    pub checked: usize,
    /// Those of them that were wrong.
    pub wrong: usize,
    /// The times.
    pub rows: Vec<Row>,
}

/// Measures a loaded kernel, and checks what it computed.
///
/// # Errors
/// [`Error::Call`] and what [`Launch::bind`] refuses; device memory has to hold all data sets at once.
pub fn bench(
    kernel: &Kernel,
    set: &Set,
    options: Options,
    copy: Option<Bandwidth>,
) -> Result<Report, Error> {
    let bench = Bench::new(kernel.device(), set, options)?;
    let mut rows = Vec::new();
    for programmatic in [false, true] {
        if programmatic && !kernel.is_programmatic() {
            continue;
        }
        let mut calls = Calls::new(&bench, kernel, programmatic)?;
        for graph in [false, true] {
            for protocol in [Protocol::Contest, Protocol::Hot, Protocol::Cold] {
                let times = bench.measure(protocol, |index| calls.call(&bench, index, graph))?;
                rows.push(times.row(protocol, graph, programmatic));
            }
        }
    }
    let bytes = set.bytes_moved();
    for row in &mut rows {
        row.percent_of_light = percent(light(kernel.device(), bytes), row.gpu_us);
        row.percent_of_copy = percent(copy.map(|copy| copy.microseconds(bytes)), row.gpu_us);
    }
    let mut wrong = 0;
    for data in &bench.data {
        wrong += usize::from(!data.is_right(&bench.stream, summation(kernel))?);
    }
    Ok(Report {
        name: set.name.clone(),
        key: set.key(),
        bytes,
        checked: bench.data.len(),
        wrong,
        rows,
    })
}

/// How a kernel adds up: Hopper's are the only ones that dequantise.
fn summation(kernel: &Kernel) -> Summation {
    match kernel.device().properties().capability {
        (9, _) => Summation::dequantised(),
        _ => Summation::block_scaled(kernel.entry().split_k),
    }
}

/// Microseconds that the contest's bandwidth takes for so many bytes.
fn light(device: &Device, bytes: u64) -> Option<f64> {
    let is_b200 = device.properties().capability == (10, 0) && !device.is_emulated();
    is_b200.then(|| bytes as f64 / CONTEST_BANDWIDTH * 1e6)
}

fn percent(least: Option<f64>, took: f64) -> Option<f64> {
    least
        .filter(|_| took > 0.0)
        .map(|least| least / took * 100.0)
}

/// Everything that is needed for a call, made beforehand.
struct Bench {
    stream: Stream,
    data: Vec<DataSet>,
    flush: Flush,
    start: Event,
    end: Event,
    repeats: usize,
}

impl Bench {
    fn new(device: &Device, set: &Set, options: Options) -> Result<Self, Error> {
        let stream = Stream::new(device)?;
        let seeds = (0..options.data_sets.max(1) as u64).map(|i| options.seed.wrapping_add(i));
        let data: Result<_, Error> = seeds
            .map(|seed| DataSet::new(device, &stream, set, seed))
            .collect();
        Ok(Bench {
            data: data?,
            flush: Flush::new(device)?,
            start: Event::new(device)?,
            end: Event::new(device)?,
            stream,
            repeats: options.repeats.max(1),
        })
    }

    /// Repeats one protocol. `call` makes one call on the data set of that number.
    fn measure(
        &self,
        protocol: Protocol,
        mut call: impl FnMut(usize) -> Result<(), Error>,
    ) -> Result<Times, Error> {
        let mut times = Times::default();
        let calls = match protocol {
            Protocol::Contest => self.data.len(),
            Protocol::Hot | Protocol::Cold => 1,
        };
        for _ in 0..self.repeats {
            match protocol {
                Protocol::Hot => call(0)?,
                Protocol::Contest | Protocol::Cold => self.flush.clear(&self.stream)?,
            }
            self.stream.synchronize()?;
            self.start.record(&self.stream)?;
            let begun = Instant::now();
            for index in 0..calls {
                call(index)?;
            }
            let host = begun.elapsed();
            self.end.record(&self.stream)?;
            let gpu = self.end.microseconds_since(&self.start)?;
            times.gpu_us.push(gpu / calls as f64);
            times.host_ns.push(host.as_secs_f64() * 1e9 / calls as f64);
        }
        Ok(times)
    }
}

/// The two ways to make a call: a launch that is bound each time, and one recorded graph for each data set.
struct Calls {
    launch: Launch,
    graphs: Vec<Graph>,
}

impl Calls {
    fn new(bench: &Bench, kernel: &Kernel, programmatic: bool) -> Result<Self, Error> {
        let mut launch = kernel.prepare();
        launch.set_programmatic(programmatic)?;
        let mut graphs = Vec::new();
        for data in &bench.data {
            launch.bind(data.pointers())?;
            graphs.push(Graph::record(&launch)?);
        }
        Ok(Calls { launch, graphs })
    }

    fn call(&mut self, bench: &Bench, index: usize, graph: bool) -> Result<(), Error> {
        if graph {
            self.graphs[index].replay(&bench.stream)
        } else {
            self.launch
                .launch(&bench.stream, bench.data[index].pointers())
        }
    }
}

/// The repeats of one protocol.
#[derive(Default)]
struct Times {
    gpu_us: Vec<f64>,
    host_ns: Vec<f64>,
}

impl Times {
    fn row(mut self, protocol: Protocol, graph: bool, programmatic: bool) -> Row {
        let gpu_us = median(&mut self.gpu_us);
        Row {
            protocol,
            graph,
            programmatic,
            gpu_us,
            gpu_us_best: self.gpu_us.first().copied().unwrap_or(gpu_us),
            host_ns: median(&mut self.host_ns),
            percent_of_light: None,
            percent_of_copy: None,
        }
    }
}

/// Sorts, and gives the middle one.
pub(super) fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(0.0)
}
