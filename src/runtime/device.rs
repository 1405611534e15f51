//! One GPU and its primary context, the one that the CUDA runtime and every framework use.

use std::ffi::{CStr, c_int};
use std::fmt;
use std::sync::Arc;

use cudarc::driver::sys::{CUcontext, CUdevice, CUdevice_attribute, CUresult, CUstreamCaptureMode};

use super::checks;
use super::driver::{CallError, Driver};
use super::error::Error;

/// A GPU. Clones share it; the context is released with the last of them, and of the kernels loaded on it.
#[derive(Clone)]
pub struct Device {
    context: Arc<Context>,
}

/// What a device is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Properties {
    /// Which of the driver's devices.
    pub ordinal: u32,
    /// The product's name.
    pub name: String,
    /// Compute capability, major and minor.
    pub capability: (u32, u32),
    /// Streaming multiprocessors.
    pub sms: u32,
    /// Shared memory that a CTA can have, in bytes.
    pub shared_bytes: u32,
    /// L2 cache in bytes.
    pub l2_bytes: u32,
    /// Device memory in bytes.
    pub memory_bytes: u64,
    /// The newest CUDA version that the driver knows, such as 12080.
    pub driver_version: u32,
}

struct Context {
    driver: &'static Driver,
    raw: CUcontext,
    device: CUdevice,
    properties: Properties,
}

// SAFETY: a context handle may be used from every thread (CUDA driver API, Context Management).
unsafe impl Send for Context {}
// SAFETY: as above; nothing in it changes.
unsafe impl Sync for Context {}

impl Device {
    /// The device of this number and its primary context, which becomes the calling thread's if that has none.
    ///
    /// # Errors
    /// [`Error::NoDriver`], [`Error::OldDriver`], [`Error::NoDevice`], [`Error::NoSuchDevice`], [`Error::Call`].
    pub fn new(ordinal: u32) -> Result<Self, Error> {
        let driver = initialise()?;
        let device = find(driver, ordinal)?;
        let properties = properties(driver, device, ordinal)?;
        let mut raw = std::ptr::null_mut();
        // SAFETY: the device is the driver's own; the context is released in `Drop`.
        unsafe { driver.cuDevicePrimaryCtxRetain(&mut raw, device)? };
        let context = Arc::new(Context {
            driver,
            raw,
            device,
            properties,
        });
        let device = Device { context };
        device.adopt()?;
        Ok(device)
    }

    /// How many devices the driver has.
    ///
    /// # Errors
    /// As [`Device::new`].
    pub fn count() -> Result<u32, Error> {
        count(initialise()?)
    }

    /// What the device is.
    pub fn properties(&self) -> &Properties {
        &self.context.properties
    }

    /// Whether this is the project's own emulation, whose times say nothing about a GPU.
    pub fn is_emulated(&self) -> bool {
        self.driver().is_emulated()
    }

    /// Whether code for this target, such as `sm_90a`, runs on the device.
    pub fn runs(&self, target: &str) -> bool {
        checks::runs_on(target, self.properties().capability)
    }

    /// Makes the device's context the calling thread's. A thread that has none pays some hundred nanoseconds more for
    /// each launch.
    ///
    /// # Errors
    /// [`Error::Call`].
    pub fn make_current(&self) -> Result<(), Error> {
        // SAFETY: the context is retained.
        unsafe { self.driver().cuCtxSetCurrent(self.context.raw) }.map_err(Error::from)
    }

    /// Makes the device's context the calling thread's if that has none.
    pub(super) fn adopt(&self) -> Result<(), Error> {
        if self.current()?.is_null() {
            self.make_current()?;
        }
        Ok(())
    }

    /// Runs `work` with the device's context current, and restores the thread's.
    pub(super) fn within<T, E: From<CallError>>(
        &self,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        // SAFETY: the context is retained; what is pushed here is popped below.
        unsafe { self.driver().cuCtxPushCurrent_v2(self.context.raw)? };
        let done = work();
        let mut popped = std::ptr::null_mut();
        // SAFETY: pops what was pushed above: `work` leaves the stack as it finds it.
        let restored = unsafe { self.driver().cuCtxPopCurrent_v2(&mut popped) };
        let value = done?;
        restored?;
        Ok(value)
    }

    /// Runs `work`, with the device's context current, as if the thread were capturing no stream.
    pub(super) fn outside_capture<T>(
        &self,
        work: impl FnOnce() -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut mode = CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_RELAXED;
        self.within(|| {
            // SAFETY: exchanges one number of this thread's, and back again below.
            unsafe { self.driver().cuThreadExchangeStreamCaptureMode(&mut mode)? };
            let done = work();
            // SAFETY: as above.
            let restored = unsafe { self.driver().cuThreadExchangeStreamCaptureMode(&mut mode) };
            let value = done?;
            restored?;
            Ok(value)
        })
    }

    /// Whether another context than the device's, or none, is the calling thread's.
    pub(super) fn is_foreign(&self) -> Result<bool, CallError> {
        Ok(self.current()? != self.context.raw)
    }

    fn current(&self) -> Result<CUcontext, CallError> {
        let mut current = std::ptr::null_mut();
        // SAFETY: writes one handle.
        unsafe { self.driver().cuCtxGetCurrent(&mut current)? };
        Ok(current)
    }

    pub(super) fn driver(&self) -> &'static Driver {
        self.context.driver
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: retained once in `Device::new`. A driver that is shutting down refuses, which is as good.
        let _ = unsafe { self.driver.cuDevicePrimaryCtxRelease_v2(self.device) };
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Device").field(self.properties()).finish()
    }
}

fn initialise() -> Result<&'static Driver, Error> {
    let driver = Driver::get()?;
    // SAFETY: may be called any number of times.
    match unsafe { driver.cuInit(0) } {
        Ok(()) => Ok(driver),
        Err(error) if error.is(CUresult::CUDA_ERROR_NO_DEVICE) => Err(Error::NoDevice(error)),
        Err(error) => Err(error.into()),
    }
}

fn count(driver: &Driver) -> Result<u32, Error> {
    let mut count = 0;
    // SAFETY: writes one number.
    unsafe { driver.cuDeviceGetCount(&mut count)? };
    Ok(u32::try_from(count).unwrap_or(0))
}

fn find(driver: &Driver, ordinal: u32) -> Result<CUdevice, Error> {
    let count = count(driver)?;
    match c_int::try_from(ordinal) {
        Ok(number) if ordinal < count => {
            let mut device = 0;
            // SAFETY: writes one number.
            unsafe { driver.cuDeviceGet(&mut device, number)? };
            Ok(device)
        }
        _ => Err(Error::NoSuchDevice { ordinal, count }),
    }
}

fn properties(driver: &Driver, device: CUdevice, ordinal: u32) -> Result<Properties, Error> {
    use CUdevice_attribute::*;
    let get = |attribute| attribute_of(driver, device, attribute);
    let mut version = 0;
    let mut memory_bytes = 0;
    let mut name = [0; 256];
    // SAFETY: each writes what it is given room for; the name is cut to its length and terminated.
    unsafe {
        driver.cuDriverGetVersion(&mut version)?;
        driver.cuDeviceTotalMem_v2(&mut memory_bytes, device)?;
        driver.cuDeviceGetName(name.as_mut_ptr(), name.len() as c_int, device)?;
    }
    let bytes = name.map(|c| c as u8);
    let name = CStr::from_bytes_until_nul(&bytes).unwrap_or_default();
    Ok(Properties {
        ordinal,
        name: name.to_string_lossy().into_owned(),
        capability: (
            get(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
            get(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
        ),
        sms: get(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
        shared_bytes: get(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)?,
        l2_bytes: get(CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE)?,
        memory_bytes: memory_bytes as u64,
        driver_version: u32::try_from(version).unwrap_or(0),
    })
}

fn attribute_of(
    driver: &Driver,
    device: CUdevice,
    attribute: CUdevice_attribute,
) -> Result<u32, Error> {
    let mut value = 0;
    // SAFETY: writes one number.
    unsafe { driver.cuDeviceGetAttribute(&mut value, attribute, device)? };
    Ok(u32::try_from(value).unwrap_or(0))
}
