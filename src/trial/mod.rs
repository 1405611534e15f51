//! Kernels put to the test: run on the emulated device, their results held to the exact reference.
//!
//! This house joins `device`, which runs and does not judge, with `verify`, which judges and does not run.

mod mutants;

pub use mutants::{Finding, MutantVerdict, try_mutant, try_mutants};

use crate::artifact::Kernel;
use crate::device::{DeviceError, Emulated, GroupBuffers, Schedule};
use crate::problem::Set;
use crate::verify::{Arithmetic, Data, GroupInputs, SetVerdict, VerifyError, check_group, draw};

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

/// Runs a kernel and returns C of every group.
///
/// # Errors
/// If the kernel cannot be loaded, or does something that no correct kernel does.
pub fn execute(
    kernel: &Kernel,
    inputs: &[GroupInputs],
    schedule: Schedule,
) -> Result<Vec<Vec<u8>>, DeviceError> {
    let buffers: Vec<_> = inputs.iter().map(borrow).collect();
    Emulated::load(kernel)?.run(&buffers, schedule)
}

/// Holds every element of C to the exact reference, within the bound of the arithmetic.
///
/// # Errors
/// If the inputs or outputs do not have the sizes of the set.
pub fn judge(
    set: &Set,
    arithmetic: Arithmetic,
    inputs: &[GroupInputs],
    outputs: &[Vec<u8>],
) -> Result<SetVerdict, VerifyError> {
    let check = |(index, group)| {
        let (inputs, output) = (&inputs[index], &outputs[index]);
        check_group(index, group, set.output, arithmetic, inputs, output)
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
