//! What a launch costs, and why.

use super::machine::Machine;
use super::timeline::Lane;
use super::workload::{Early, Programmatic, Reduction, Workload};
use std::fmt;

/// The price of a launch: the distance of two launches of the same kernel on one stream, on data that are not in L2.
#[derive(Clone, Debug, PartialEq)]
pub struct Price {
    /// What was priced.
    pub name: String,
    /// On which machine.
    pub machine: &'static str,
    /// Microseconds from launch to launch.
    pub total_us: f64,
    /// Where they go, on the worker that finishes last. The parts sum up to the total.
    pub parts: Parts,
    /// What device memory alone would take for the bytes read and written.
    pub dram_us: f64,
    /// What the busiest SM alone would take to take its bytes in.
    pub fill_us: f64,
    /// What the busiest tensor core alone would take.
    pub tensor_us: f64,
    /// Bytes read from device memory.
    pub read_bytes: u64,
    /// Bytes that loads asked for.
    pub requested_bytes: u64,
    /// Bytes of C.
    pub stored_bytes: u64,
    /// SMs with work.
    pub busy_sms: u32,
    /// Whether launches overlap.
    pub programmatic: Option<Programmatic>,
    /// Whether each launch is behind the upload of a table.
    pub uploads: bool,
    /// How split sums are brought together.
    pub reduction: Reduction,
    /// Each worker's intervals.
    pub lanes: Vec<Lane>,
}

/// Where the time of the last worker to finish goes, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Parts {
    /// End of the previous launch to the worker's start; negative if they overlap.
    pub launch_us: f64,
    /// Start to the first load.
    pub prologue_us: f64,
    /// First load to the first multiplication.
    pub first_load_us: f64,
    /// The tensor core is at work.
    pub tensor_us: f64,
    /// The tensor core waits for loads.
    pub load_wait_us: f64,
    /// The tensor core waits for an accumulator.
    pub accumulator_wait_us: f64,
    /// Last multiplication to the end: commit, last epilogue, drain.
    pub tail_us: f64,
}

impl Parts {
    /// The parts with their names.
    pub fn named(&self) -> [(&'static str, f64); 7] {
        [
            ("launch", self.launch_us),
            ("prologue", self.prologue_us),
            ("first load", self.first_load_us),
            ("tensor core", self.tensor_us),
            ("waits for loads", self.load_wait_us),
            ("waits for accumulators", self.accumulator_wait_us),
            ("tail", self.tail_us),
        ]
    }

    /// Adds a share of other parts.
    pub(super) fn add(&mut self, share: f64, other: &Parts) {
        self.launch_us += share * other.launch_us;
        self.prologue_us += share * other.prologue_us;
        self.first_load_us += share * other.first_load_us;
        self.tensor_us += share * other.tensor_us;
        self.load_wait_us += share * other.load_wait_us;
        self.accumulator_wait_us += share * other.accumulator_wait_us;
        self.tail_us += share * other.tail_us;
    }

    /// All parts together.
    pub fn sum(&self) -> f64 {
        self.named().iter().map(|(_, us)| us).sum()
    }
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}: {:.2} us predicted on {}",
            self.name, self.total_us, self.machine
        )?;
        for (name, us) in self.parts.named() {
            writeln!(f, "  {us:>7.2}  {name}")?;
        }
        writeln!(
            f,
            "bounds: memory {:.2} us, fill of the busiest SM {:.2} us, tensor core {:.2} us",
            self.dram_us, self.fill_us, self.tensor_us
        )?;
        writeln!(
            f,
            "bytes: {} read, {} requested, {} stored; {} SMs at work",
            self.read_bytes, self.requested_bytes, self.stored_bytes, self.busy_sms
        )?;
        writeln!(f, "assumed: {}", self.assumptions())
    }
}

impl Price {
    /// What a launch without work costs.
    pub(super) fn of_nothing(workload: &Workload, machine: &Machine) -> Self {
        Price {
            name: workload.name.clone(),
            machine: machine.name,
            total_us: 0.0,
            parts: Parts::default(),
            dram_us: 0.0,
            fill_us: 0.0,
            tensor_us: 0.0,
            read_bytes: 0,
            requested_bytes: 0,
            stored_bytes: workload.stored_bytes(),
            busy_sms: workload.busy_sms(),
            programmatic: workload.kernel.programmatic,
            uploads: workload.kernel.uploads,
            reduction: workload.kernel.reduction,
            lanes: Vec::new(),
        }
    }

    /// What the price takes for granted.
    pub fn assumptions(&self) -> String {
        let overlap = match self.programmatic.map(|p| p.early) {
            None if self.uploads => {
                "addresses are new in every call: a launch starts when the previous one has ended and its table of \
                 addresses has been copied to the device"
            }
            None => "a launch starts when the previous one has ended",
            Some(Early::Nothing) => "set-up overlaps the previous launch, loads do not",
            Some(Early::Weights) => {
                "the first weights are loaded before the previous launch has ended"
            }
            Some(Early::Everything) => "launches do not wait for each other at all",
        };
        format!(
            "launches follow each other on one stream, inputs are not in L2, bytes fetched twice hit L2 the second time, \
             C goes to memory at once, host time is hidden; {overlap}"
        )
    }
}
