//! Mutants put to the test: whatever is broken in a kernel must show.

use super::{execute_as, is_programmatic, judge};
use crate::artifact::Kernel;
use crate::device::Schedule;
use crate::problem::Set;
use crate::verify::{GroupInputs, Mutant, mutants, trapped};
use rayon::prelude::*;
use std::fmt;

/// What came of a mutant.
#[derive(Clone, Debug, PartialEq)]
pub enum Finding {
    /// A fault, or wrong numbers, under this schedule.
    Seen {
        /// The first schedule that showed it.
        schedule: Schedule,
        /// What was reported.
        report: String,
    },
    /// Passed everywhere, and hardware could not tell it from the original either, for this reason.
    Equivalent(&'static str),
    /// Passed everywhere, and should not have.
    Survived,
}

/// A mutant with what came of it.
#[derive(Clone, Debug)]
pub struct MutantVerdict {
    /// What was broken.
    pub mutant: Mutant,
    /// Whether it showed.
    pub finding: Finding,
}

impl fmt::Display for MutantVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.finding {
            Finding::Seen { schedule, report } => {
                let first = report.lines().next().unwrap_or_default();
                write!(f, "seen        {} ({schedule:?}: {first})", self.mutant)
            }
            Finding::Equivalent(why) => write!(f, "equivalent  {} ({why})", self.mutant),
            Finding::Survived => write!(f, "SURVIVED    {}", self.mutant),
        }
    }
}

/// Mutants that hardware cannot tell from the original, by the label they follow and the start of their instruction.
const EQUIVALENT: &[(&str, &str, &str)] = &[
    (
        "MMA_K_BLOCK",
        "tcgen05.fence::after_thread_sync",
        "where a CTA has one tile, nobody has used the tensor memory before",
    ),
    (
        "EPILOGUE_GATHER",
        "bar.warp.sync",
        "the warp reconverges where the loop before it ends; it only makes that explicit",
    ),
    (
        "FINISH",
        "barrier.cluster.wait",
        "the load warp has nothing of the other CTAs to wait for; it only closes the phase that it arrived in",
    ),
    (
        "SETUP_BARRIERS",
        "bar.warp.sync",
        "bar.arrive needs the warp converged, which it is where the branch before it ends; this only makes that explicit",
    ),
    (
        "SETUP_DONE",
        "bar.warp.sync",
        "the bar.sync after it waits for every thread; it only makes the warp's reconvergence explicit",
    ),
    (
        "LOAD_DRAIN",
        "mbarrier.try_wait",
        "the epilogue has waited for a later commit of the same thread before any warp passes FINISH",
    ),
    (
        "LOAD_DRAIN",
        "xor.b32 %parity",
        "as above: the waits of the drain are a precaution",
    ),
    (
        "EPILOGUE",
        "griddepcontrol.wait",
        "an accumulator is full only after tokens that the load thread fetched behind a wait of its own; the epilogue does \
         not rely on that",
    ),
    (
        "PREFETCH",
        "griddepcontrol.wait",
        "a prefetch reads no value: the weights may still be written behind it, and L2 is where they are written to",
    ),
    (
        "EPILOGUE_ACCUMULATOR",
        "bar.warp.sync",
        "the warp reconverges where the loop before it ends; it only makes that explicit",
    ),
    (
        "FINISH",
        "bar.warp.sync",
        "the bar.sync after it waits for every thread; it only makes the warp's reconvergence explicit",
    ),
];

/// Runs all mutants of a kernel under the schedules, each until it shows.
///
/// # Errors
/// If a mutant is no longer PTX, or the set cannot be judged: that says nothing about the kernel.
pub fn try_mutants(
    kernel: &Kernel,
    set: &Set,
    inputs: &[GroupInputs],
    schedules: &[Schedule],
) -> Result<Vec<MutantVerdict>, String> {
    mutants(&kernel.ptx)
        .into_par_iter()
        .map(|mutant| {
            let finding = try_mutant(kernel, &mutant, set, inputs, schedules)?;
            Ok(MutantVerdict { mutant, finding })
        })
        .collect()
}

/// Runs one mutant under the schedules until it shows.
///
/// # Errors
/// If the mutant is no longer PTX, or the set cannot be judged.
pub fn try_mutant(
    kernel: &Kernel,
    mutant: &Mutant,
    set: &Set,
    inputs: &[GroupInputs],
    schedules: &[Schedule],
) -> Result<Finding, String> {
    let run = |ptx: &str, schedule| {
        let changed = Kernel::new(kernel.entry.clone(), ptx.to_owned());
        execute_as(&changed, inputs, schedule, is_programmatic(kernel))
    };
    for &schedule in schedules {
        let report = match run(&mutant.ptx, schedule) {
            Err(error) if error.is_fault() => Some(error.to_string()),
            Err(error) => return Err(format!("{mutant}: {error}")),
            Ok(outputs) => {
                let verdict =
                    judge(kernel, set, inputs, &outputs).map_err(|error| error.to_string())?;
                (!verdict.passed()).then(|| "wrong numbers".to_owned())
            }
        };
        if let Some(report) = report {
            return Ok(Finding::Seen { schedule, report });
        }
    }
    if let Some(why) = equivalent(mutant) {
        return Ok(Finding::Equivalent(why));
    }
    let trapped = trapped(&kernel.ptx, mutant.line);
    let is_idle = trapped.is_some_and(|ptx| schedules.iter().all(|&s| run(&ptx, s).is_ok()));
    Ok(if is_idle {
        Finding::Equivalent("no thread executes it in this set")
    } else {
        Finding::Survived
    })
}

fn equivalent(mutant: &Mutant) -> Option<&'static str> {
    let known = EQUIVALENT.iter().find(|(label, opcode, _)| {
        mutant.label == *label && mutant.instruction.starts_with(opcode)
    });
    known.map(|(_, _, why)| *why)
}
