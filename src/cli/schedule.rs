//! The schedules of the emulated GPU, as arguments.

use std::fmt;
use std::str::FromStr;

use nvfp4gen::device::Schedule;

/// When asynchronous operations happen, and in which order warps run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScheduleArg {
    /// Copies, MMAs and commits happen at once.
    Eager,
    /// They happen as late as the memory model allows.
    Lazy,
    /// They happen at any permitted time, drawn from this seed.
    Random(u64),
}

impl From<ScheduleArg> for Schedule {
    fn from(schedule: ScheduleArg) -> Self {
        match schedule {
            ScheduleArg::Eager => Schedule::Eager,
            ScheduleArg::Lazy => Schedule::Lazy,
            ScheduleArg::Random(seed) => Schedule::Random(seed),
        }
    }
}

impl fmt::Display for ScheduleArg {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ScheduleArg::Eager => out.write_str("eager"),
            ScheduleArg::Lazy => out.write_str("lazy"),
            ScheduleArg::Random(seed) => write!(out, "random:{seed}"),
        }
    }
}

impl FromStr for ScheduleArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let seed = || text.strip_prefix("random:")?.parse().ok();
        match text {
            "eager" => Ok(ScheduleArg::Eager),
            "lazy" => Ok(ScheduleArg::Lazy),
            _ => seed()
                .map(ScheduleArg::Random)
                .ok_or_else(|| "expected eager, lazy or random:SEED, e.g. random:7".into()),
        }
    }
}
