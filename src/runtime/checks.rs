//! Whether a device and its driver can run a kernel, before anything is loaded.

use std::fmt;

use super::device::Properties;
use super::error::Error;
use crate::artifact::KernelEntry;

/// Kernel parameters that every driver takes.
const OLD_PARAMETER_BYTES: u32 = 4096;
/// The CUDA version that raised the limit to 32,764.
const LARGE_PARAMETERS: u32 = 12010;

/// Something worth knowing about a kernel that was loaded all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The schedule was balanced for another number of SMs: correct, and not as fast as it could be.
    TunedForOther {
        /// What it was balanced for.
        tuned: u32,
        /// What the device has.
        has: u32,
    },
    /// The driver did not take the machine code that was built beforehand; the PTX was compiled instead.
    CubinRefused {
        /// What it said.
        reason: String,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Notice::TunedForOther { tuned, has } => write!(
                f,
                "tuned for {tuned} SMs, and the device has {has}: results are right, times are not the best"
            ),
            Notice::CubinRefused { reason } => write!(
                f,
                "the cubin was not taken ({reason}), the PTX was compiled at load; build again with a ptxas that is not \
                 newer than the driver"
            ),
        }
    }
}

/// Whether code for `target` (`sm_100a`, `sm_100f`, `sm_90`) runs on a device of this compute capability.
pub(super) fn runs_on(target: &str, (major, minor): (u32, u32)) -> bool {
    let Some(digits) = target.strip_prefix("sm_") else {
        return false;
    };
    let (number, kind) = match digits.strip_suffix(['a', 'f']) {
        Some(number) => (number, digits.as_bytes().last()),
        None => (digits, None),
    };
    let Ok(number) = number.parse::<u32>() else {
        return false;
    };
    let (wanted_major, wanted_minor) = (number / 10, number % 10);
    match kind {
        // Architecture-specific code runs there and nowhere else (PTX ISA, `.target`).
        Some(b'a') => (wanted_major, wanted_minor) == (major, minor),
        // Family-specific code runs on later members of the family.
        Some(_) => wanted_major == major && wanted_minor <= minor,
        None => (wanted_major, wanted_minor) <= (major, minor),
    }
}

/// Refuses what cannot run; says what runs less well. `needs_jit` is false if there is a cubin to try first.
pub(super) fn check(
    entry: &KernelEntry,
    device: &Properties,
    needs_jit: bool,
) -> Result<Option<Notice>, Error> {
    let key = || entry.key.clone();
    let launch = &entry.launch;
    if entry.schedule.co_resident && launch.grid.iter().product::<u32>() > device.sms {
        return Err(Error::Multiprocessors {
            key: key(),
            needs: launch.grid.iter().product(),
            has: device.sms,
        });
    }
    if launch.dynamic_shared > device.shared_bytes {
        return Err(Error::SharedMemory {
            key: key(),
            needs: launch.dynamic_shared,
            has: device.shared_bytes,
        });
    }
    let has = device.driver_version;
    let bytes = entry.parameters.parameter_bytes();
    if bytes > OLD_PARAMETER_BYTES && has < LARGE_PARAMETERS {
        return Err(Error::ParameterBytes {
            key: key(),
            bytes,
            has,
        });
    }
    match cuda_of_ptx(&entry.ptx_version) {
        Some(needs) if needs_jit && needs > has => Err(Error::PtxVersion {
            key: key(),
            version: entry.ptx_version.clone(),
            needs,
            has,
        }),
        _ => Ok(notice(entry.schedule.tuned_sms, device.sms)),
    }
}

fn notice(tuned: u32, has: u32) -> Option<Notice> {
    (tuned != 0 && tuned != has).then_some(Notice::TunedForOther { tuned, has })
}

/// The first CUDA version whose driver takes a PTX version (PTX ISA, release notes). None for versions that are not
/// known here: then the driver decides.
fn cuda_of_ptx(version: &str) -> Option<u32> {
    let cuda = match version {
        "7.8" => 11080,
        "8.0" => 12000,
        "8.1" => 12010,
        "8.2" => 12020,
        "8.3" => 12030,
        "8.4" => 12040,
        "8.5" => 12050,
        "8.6" => 12070,
        "8.7" => 12080,
        "8.8" => 12090,
        "9.0" => 13000,
        "9.1" => 13010,
        "9.2" => 13020,
        _ => return None,
    };
    Some(cuda)
}

#[cfg(test)]
mod tests {
    use super::runs_on;

    #[test]
    fn architectures() {
        let b200 = (10, 0);
        let b300 = (10, 3);
        assert!(runs_on("sm_100a", b200) && !runs_on("sm_100a", b300));
        assert!(runs_on("sm_100f", b200) && runs_on("sm_100f", b300));
        assert!(runs_on("sm_103a", b300) && !runs_on("sm_103a", b200));
        assert!(runs_on("sm_90", b200) && runs_on("sm_90", (9, 0)));
        assert!(!runs_on("sm_90a", b200) && !runs_on("sm_100a", (9, 0)));
        assert!(!runs_on("sm_120a", b200) && !runs_on("sm_100f", (12, 0)));
        assert!(!runs_on("gfx942", b200) && !runs_on("sm_", b200) && !runs_on("sm_a", b200));
    }
}
