//! Kernels put to the test: run on the emulated device, their results held to the exact reference.
//!
//! This house joins `device`, which runs and does not judge, with `verify`, which judges and does not run.

mod mutants;

pub use mutants::{Finding, MutantVerdict, try_mutant, try_mutants};

use crate::artifact::Kernel;
use crate::device::{DeviceError, Emulated, GroupBuffers, Schedule};
use crate::problem::Set;
use crate::verify::{Data, GroupInputs, SetVerdict, Summation, VerifyError, check_group, draw};

/// Draws the inputs of every group of a set.
///
/// # Errors
/// If a group is too deep for the exact reference.
pub fn inputs(set: &Set, seed: u64, data: Data) -> Result<Vec<GroupInputs>, VerifyError> {
    let draw = |(index, group)| {
        draw::group(group, index, seed, data).map_err(|error| VerifyError::Inputs {
            group: index,
            error,
        })
    };
    set.groups.iter().enumerate().map(draw).collect()
}

/// Runs a kernel and returns C of every group. A kernel made for programmatic dependent launch runs twice, behind a launch
/// that writes its tokens and each time as early as it may.
///
/// # Errors
/// If the kernel cannot be loaded, or does something that no correct kernel does.
pub fn execute(
    kernel: &Kernel,
    inputs: &[GroupInputs],
    schedule: Schedule,
) -> Result<Vec<Vec<u8>>, DeviceError> {
    execute_as(kernel, inputs, schedule, is_programmatic(kernel))
}

/// Whether a kernel is made for programmatic dependent launch.
fn is_programmatic(kernel: &Kernel) -> bool {
    kernel.ptx.contains("griddepcontrol.wait")
}

/// Runs a kernel as a programmatic launch or as an ordinary one, whatever it is made for.
fn execute_as(
    kernel: &Kernel,
    inputs: &[GroupInputs],
    schedule: Schedule,
    programmatic: bool,
) -> Result<Vec<Vec<u8>>, DeviceError> {
    let buffers: Vec<_> = inputs.iter().map(borrow).collect();
    let emulated = Emulated::load(kernel)?;
    if !programmatic {
        return emulated.run(&buffers, schedule);
    }
    let [first, second] = emulated.run_overlapping(&buffers, schedule)?;
    match (0..first.len()).find(|&group| first[group] != second[group]) {
        Some(group) => Err(DeviceError::Unequal { group }),
        None => Ok(second),
    }
}

/// How a kernel adds up: by the MMAs in its text, and the parts that its manifest tells of.
fn summation(kernel: &Kernel) -> Summation {
    if kernel.ptx.contains("wgmma.mma_async") {
        Summation::dequantised()
    } else {
        Summation::block_scaled(kernel.entry.split_k)
    }
}

/// Holds every element of C that the kernel computed to the exact reference.
///
/// # Errors
/// If the inputs or outputs do not have the sizes of the set.
pub fn judge(
    kernel: &Kernel,
    set: &Set,
    inputs: &[GroupInputs],
    outputs: &[Vec<u8>],
) -> Result<SetVerdict, VerifyError> {
    let summation = summation(kernel);
    let check = |(index, group)| {
        check_group(
            index,
            group,
            set.output,
            summation,
            &inputs[index],
            &outputs[index],
        )
    };
    let groups = set.groups.iter().enumerate().map(check);
    Ok(SetVerdict {
        name: set.name.clone(),
        groups: groups.collect::<Result<_, _>>()?,
    })
}

fn borrow(group: &GroupInputs) -> GroupBuffers<'_> {
    GroupBuffers {
        a: &group.a,
        b: &group.b,
        sfa_blocked: &group.sfa_blocked,
        sfb_blocked: &group.sfb_blocked,
    }
}
