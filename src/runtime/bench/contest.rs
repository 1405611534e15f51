//! Several kernels of one set held against each other by the contest's protocol, on the same operands.

use super::{Bench, Options, Protocol, summation};
use crate::problem::Set;
use crate::runtime::{Device, Error, Kernel};

/// The operands of a set on a device, for any number of its kernels.
pub struct Contest {
    bench: Bench,
}

/// What one kernel did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timed {
    /// Median microseconds of a call; with programmatic dependent launch if that is quicker.
    pub us: f64,
    /// Whether it is.
    pub programmatic: bool,
}

impl Contest {
    /// Draws operands and copies them to the device.
    ///
    /// # Errors
    /// [`Error::Call`]; device memory has to hold all data sets at once.
    pub fn new(device: &Device, set: &Set, options: Options) -> Result<Self, Error> {
        let bench = Bench::new(device, set, options)?;
        Ok(Contest { bench })
    }

    /// Calls the kernel once for every data set, and holds what it computed of the first and of the last to the exact
    /// reference. Nothing of an earlier kernel's outputs is left.
    ///
    /// # Errors
    /// [`Error::Call`] and what [`super::Launch::bind`] refuses.
    pub fn is_right(&self, kernel: &Kernel) -> Result<bool, Error> {
        let Bench { stream, data, .. } = &self.bench;
        let mut launch = kernel.prepare();
        for data in data {
            data.clear(stream)?;
            launch.launch(stream, data.pointers())?;
        }
        stream.synchronize()?;
        let last = data.iter().skip(1).next_back();
        for data in data.iter().take(1).chain(last) {
            if !data.is_right(stream, summation(kernel))? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Times the kernel: calls back to back, one for each data set, the L2 cache cleared before the first.
    ///
    /// # Errors
    /// As [`Contest::is_right`].
    pub fn time(&self, kernel: &Kernel) -> Result<Timed, Error> {
        let apart = self.timed(kernel, false)?;
        if !kernel.is_programmatic() {
            return Ok(apart);
        }
        let early = self.timed(kernel, true)?;
        Ok(if early.us < apart.us { early } else { apart })
    }

    fn timed(&self, kernel: &Kernel, programmatic: bool) -> Result<Timed, Error> {
        let mut launch = kernel.prepare();
        launch.set_programmatic(programmatic)?;
        let (stream, data) = (&self.bench.stream, &self.bench.data);
        let call = |index: usize| launch.launch(stream, data[index].pointers());
        let times = self.bench.measure(Protocol::Contest, call)?;
        let us = times.row(Protocol::Contest, false, programmatic).gpu_us;
        Ok(Timed { us, programmatic })
    }
}
