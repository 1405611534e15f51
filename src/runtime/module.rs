//! One loaded module and the one function in it.

use std::ffi::{CStr, CString, c_int, c_uint, c_void};

use cudarc::driver::sys::{CUfunction, CUfunction_attribute, CUjit_option, CUmodule};

use super::device::Device;
use super::driver::CallError;
use super::error::Error;
use crate::artifact::KernelEntry;

/// Bytes for the driver's error log.
const LOG_BYTES: usize = 8192;
/// Clusters of up to so many CTAs run on every device that has clusters (CUDA programming guide, clusters).
const PORTABLE_CLUSTER: u32 = 8;

/// A module in a device's context, unloaded when dropped.
pub(super) struct Module {
    device: Device,
    raw: CUmodule,
}

// SAFETY: a module handle may be used from every thread, with its context current.
unsafe impl Send for Module {}
// SAFETY: as above; nothing in it changes.
unsafe impl Sync for Module {}

/// A function of a module that its owner keeps loaded.
#[derive(Clone, Copy)]
pub(super) struct Function(pub CUfunction);

// SAFETY: a function handle may be used from every thread (CUDA driver API, Execution Control).
unsafe impl Send for Function {}
// SAFETY: as above.
unsafe impl Sync for Function {}

/// Why the driver did not take a module.
pub(super) struct Refusal {
    pub error: CallError,
    pub log: String,
}

impl From<CallError> for Refusal {
    fn from(error: CallError) -> Self {
        Refusal {
            error,
            log: String::new(),
        }
    }
}

impl Module {
    /// Loads PTX text.
    ///
    /// # Errors
    /// What the driver said, with its log.
    pub fn from_ptx(device: &Device, ptx: &CStr) -> Result<Self, Refusal> {
        Self::load(device, ptx.as_ptr().cast())
    }

    /// Loads machine code: an ELF file, which says itself how long it is.
    ///
    /// # Errors
    /// What the driver said, with its log.
    pub fn from_cubin(device: &Device, cubin: &[u8]) -> Result<Self, Refusal> {
        Self::load(device, cubin.as_ptr().cast())
    }

    fn load(device: &Device, image: *const c_void) -> Result<Self, Refusal> {
        let mut log = vec![0u8; LOG_BYTES];
        let mut names = [
            CUjit_option::CU_JIT_ERROR_LOG_BUFFER,
            CUjit_option::CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES,
        ];
        let mut values = [log.as_mut_ptr().cast(), LOG_BYTES as *mut c_void];
        let loaded = device.within(|| {
            let mut raw = std::ptr::null_mut();
            // SAFETY: the image is NUL-terminated text or a whole ELF file; both options have their values, and the log
            // is as long as said.
            unsafe {
                device.driver().cuModuleLoadDataEx(
                    &mut raw,
                    image,
                    names.len() as c_uint,
                    names.as_mut_ptr(),
                    values.as_mut_ptr(),
                )?;
            }
            Ok::<_, CallError>(Module {
                device: device.clone(),
                raw,
            })
        });
        loaded.map_err(|error| Refusal {
            error,
            log: log_text(&log),
        })
    }

    /// The kernel's function, made ready for its launches.
    ///
    /// # Errors
    /// [`Error::Inconsistent`] if the module is not what the manifest says, [`Error::Call`].
    pub fn function(&self, entry: &KernelEntry) -> Result<Function, Error> {
        let inconsistent = |reason: String| Error::Inconsistent {
            key: entry.key.clone(),
            reason,
        };
        let name = CString::new(entry.function.as_str())
            .map_err(|_| inconsistent("its function's name has a NUL in it".into()))?;
        self.device.within(|| {
            let mut function = std::ptr::null_mut();
            let driver = self.device.driver();
            // SAFETY: the module is loaded, the name is terminated.
            let found =
                unsafe { driver.cuModuleGetFunction(&mut function, self.raw, name.as_ptr()) };
            found.map_err(|error| match error.code {
                500 => inconsistent(format!("its text has no function {}", entry.function)),
                _ => error.into(),
            })?;
            let function = Function(function);
            self.check_parameter(function, entry)?;
            self.set_attributes(function, entry)?;
            Ok(function)
        })
    }

    /// The block, or its address, must be as large as the function's parameter: the driver copies that many bytes.
    fn check_parameter(&self, function: Function, entry: &KernelEntry) -> Result<(), Error> {
        let (mut offset, mut bytes) = (0, 0);
        // SAFETY: the function is of this module; writes two numbers.
        let known = unsafe {
            (self.device.driver()).cuFuncGetParamInfo(function.0, 0, &mut offset, &mut bytes)
        };
        // Drivers before CUDA 12.4 do not tell.
        let Some(found) = known else { return Ok(()) };
        found?;
        let expected = entry.parameters.parameter_bytes();
        if bytes != expected as usize {
            return Err(Error::Inconsistent {
                key: entry.key.clone(),
                reason: format!(
                    "its function takes {bytes} bytes of parameters, the manifest says {expected}"
                ),
            });
        }
        Ok(())
    }

    fn set_attributes(&self, function: Function, entry: &KernelEntry) -> Result<(), Error> {
        use CUfunction_attribute::*;
        let driver = self.device.driver();
        let shared = entry.launch.dynamic_shared;
        if shared > 0 {
            let attribute = CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            // SAFETY: the function is of this module.
            unsafe { driver.cuFuncSetAttribute(function.0, attribute, shared as c_int)? };
        }
        if entry.launch.cluster.iter().product::<u32>() > PORTABLE_CLUSTER {
            let attribute = CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED;
            // SAFETY: the function is of this module.
            unsafe { driver.cuFuncSetAttribute(function.0, attribute, 1)? };
        }
        Ok(())
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        let driver = self.device.driver();
        // SAFETY: loaded in `load` and not unloaded before; every launch and graph of it keeps its kernel.
        let _ = (self.device).within(|| unsafe { driver.cuModuleUnload(self.raw) });
    }
}

/// The log up to its terminator.
fn log_text(log: &[u8]) -> String {
    let end = log.iter().position(|byte| *byte == 0).unwrap_or(log.len());
    String::from_utf8_lossy(&log[..end]).trim_end().to_owned()
}
