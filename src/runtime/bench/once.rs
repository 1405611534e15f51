//! One launch, from operands in host memory to C in host memory.

use super::super::{Error, Kernel, Stream};
use super::data::DataSet;
use crate::problem::Set;
use crate::verify::GroupInputs;

/// Computes a set once on the kernel's device: C of each group, [M, N] row-major, in the bytes of the output type.
/// Elements that the kernel does not store are NaN.
///
/// # Errors
/// [`Error::Call`] if the driver refuses something or the kernel faults, and what [`super::Launch::bind`] refuses.
pub fn compute(kernel: &Kernel, set: &Set, inputs: &[GroupInputs]) -> Result<Vec<Vec<u8>>, Error> {
    let stream = Stream::new(kernel.device())?;
    let operands = inputs.iter().cloned().map(Ok);
    let data = DataSet::copied(kernel.device(), &stream, set, operands)?;
    kernel.prepare().launch(&stream, data.pointers())?;
    (0..inputs.len())
        .map(|group| data.output(&stream, group))
        .collect()
}
