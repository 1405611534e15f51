//! Device memory and events, for tests, benchmarks and small programs. Launches take addresses of anyone's.

use std::ffi::c_void;

use cudarc::driver::sys::{CUevent, CUevent_flags, CUresult};

use super::device::Device;
use super::error::Error;
use super::stream::Stream;

/// Device memory, freed when dropped.
#[derive(Debug)]
pub struct Buffer {
    device: Device,
    address: u64,
    bytes: usize,
}

impl Buffer {
    /// New memory, its contents undefined, its address a multiple of 256. At least one byte is allocated.
    ///
    /// # Errors
    /// [`Error::Call`].
    pub fn new(device: &Device, bytes: usize) -> Result<Self, Error> {
        device.within(|| {
            let mut address = 0;
            // SAFETY: writes one address.
            unsafe { device.driver().cuMemAlloc_v2(&mut address, bytes.max(1))? };
            Ok(Buffer {
                device: device.clone(),
                address,
                bytes,
            })
        })
    }

    /// New memory with these contents.
    ///
    /// # Errors
    /// [`Error::Call`].
    pub fn from_bytes(device: &Device, stream: &Stream, bytes: &[u8]) -> Result<Self, Error> {
        let buffer = Self::new(device, bytes.len())?;
        buffer.write(stream, bytes)?;
        Ok(buffer)
    }

    /// The device address.
    pub fn address(&self) -> u64 {
        self.address
    }

    /// Its size in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Overwrites the whole buffer and waits until that is done.
    ///
    /// # Errors
    /// [`Error::Length`], [`Error::Call`].
    pub fn write(&self, stream: &Stream, bytes: &[u8]) -> Result<(), Error> {
        self.check(bytes.len())?;
        if bytes.is_empty() {
            return Ok(());
        }
        let (driver, from) = (self.device.driver(), bytes.as_ptr().cast::<c_void>());
        self.device.within(|| {
            // SAFETY: both sides have this many bytes, and `bytes` is borrowed until the copy is done.
            unsafe { driver.cuMemcpyHtoDAsync_v2(self.address, from, bytes.len(), stream.raw()) }
        })?;
        stream.synchronize()
    }

    /// Reads the whole buffer after all work of the stream.
    ///
    /// # Errors
    /// [`Error::Length`], [`Error::Call`].
    pub fn read(&self, stream: &Stream, bytes: &mut [u8]) -> Result<(), Error> {
        self.check(bytes.len())?;
        if bytes.is_empty() {
            return Ok(());
        }
        let (driver, to) = (self.device.driver(), bytes.as_mut_ptr().cast::<c_void>());
        self.device.within(|| {
            // SAFETY: both sides have this many bytes, and `bytes` is borrowed until the copy is done.
            unsafe { driver.cuMemcpyDtoHAsync_v2(to, self.address, bytes.len(), stream.raw()) }
        })?;
        stream.synchronize()
    }

    /// Copies all of another buffer of the same size, in the stream's order.
    ///
    /// # Errors
    /// [`Error::Length`], [`Error::Call`].
    pub fn copy_from(&self, stream: &Stream, from: &Buffer) -> Result<(), Error> {
        self.check(from.bytes)?;
        let driver = self.device.driver();
        self.device.within(|| {
            // SAFETY: both have this many bytes.
            unsafe {
                driver.cuMemcpyDtoDAsync_v2(self.address, from.address, self.bytes, stream.raw())
            }
        })?;
        Ok(())
    }

    /// Overwrites the whole buffer, in the stream's order.
    pub(super) fn copy_from_pinned(&self, stream: &Stream, from: &Pinned) -> Result<(), Error> {
        self.check(from.bytes)?;
        let driver = self.device.driver();
        self.device.within(|| {
            // SAFETY: both have this many bytes; whoever frees or fills `from` waits for the copy.
            unsafe {
                driver.cuMemcpyHtoDAsync_v2(self.address, from.memory, self.bytes, stream.raw())
            }
        })?;
        Ok(())
    }

    /// Sets every byte, in the stream's order.
    ///
    /// # Errors
    /// [`Error::Call`].
    pub fn fill(&self, stream: &Stream, value: u8) -> Result<(), Error> {
        let driver = self.device.driver();
        self.device.within(|| {
            // SAFETY: the buffer has this many bytes.
            unsafe { driver.cuMemsetD8Async(self.address, value, self.bytes, stream.raw()) }
        })?;
        Ok(())
    }

    fn check(&self, given: usize) -> Result<(), Error> {
        if given == self.bytes {
            Ok(())
        } else {
            Err(Error::Length {
                buffer: self.bytes,
                given,
            })
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let driver = self.device.driver();
        // SAFETY: allocated in `new`; the driver waits for work that uses it.
        let _ = (self.device).within(|| unsafe { driver.cuMemFree_v2(self.address) });
    }
}

/// Host memory that the device copies from by itself, freed when dropped.
pub(super) struct Pinned {
    device: Device,
    memory: *mut c_void,
    bytes: usize,
}

// SAFETY: plain memory; only `fill` writes it, which says when it may.
unsafe impl Send for Pinned {}
// SAFETY: as above.
unsafe impl Sync for Pinned {}

impl Pinned {
    pub fn new(device: &Device, bytes: usize) -> Result<Self, Error> {
        device.within(|| {
            let mut memory = std::ptr::null_mut();
            // SAFETY: writes one address.
            unsafe { device.driver().cuMemAllocHost_v2(&mut memory, bytes)? };
            Ok(Pinned {
                device: device.clone(),
                memory,
                bytes,
            })
        })
    }

    /// Overwrites all of it.
    ///
    /// # Safety
    /// There must be so many bytes at `from`, and no copy from this memory under way.
    pub unsafe fn fill(&self, from: *const c_void) {
        // SAFETY: the caller's promise; the driver gave so many bytes.
        unsafe { std::ptr::copy_nonoverlapping(from.cast::<u8>(), self.memory.cast(), self.bytes) };
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        let driver = self.device.driver();
        // SAFETY: allocated in `new`; its owner has waited for copies from it.
        let _ = (self.device).within(|| unsafe { driver.cuMemFreeHost(self.memory) });
    }
}

/// A point in a stream's work whose time is taken.
#[derive(Debug)]
pub struct Event {
    device: Device,
    raw: CUevent,
}

// SAFETY: an event handle may be used from every thread (CUDA driver API, Event Management).
unsafe impl Send for Event {}
// SAFETY: as above; the driver serialises the calls.
unsafe impl Sync for Event {}

impl Event {
    /// A new event.
    ///
    /// # Errors
    /// [`Error::Call`].
    pub fn new(device: &Device) -> Result<Self, Error> {
        Self::create(device, CUevent_flags::CU_EVENT_DEFAULT)
    }

    /// A new event whose time is not taken, which costs less.
    pub(super) fn untimed(device: &Device) -> Result<Self, Error> {
        Self::create(device, CUevent_flags::CU_EVENT_DISABLE_TIMING)
    }

    fn create(device: &Device, flags: CUevent_flags) -> Result<Self, Error> {
        device.within(|| {
            let mut raw = std::ptr::null_mut();
            // SAFETY: writes one handle.
            unsafe { device.driver().cuEventCreate(&mut raw, flags as u32)? };
            Ok(Event {
                device: device.clone(),
                raw,
            })
        })
    }

    /// Marks the present end of the stream's work.
    ///
    /// # Errors
    /// [`Error::Call`].
    pub fn record(&self, stream: &Stream) -> Result<(), Error> {
        let driver = self.device.driver();
        // SAFETY: both handles are live.
        self.device
            .within(|| unsafe { driver.cuEventRecord(self.raw, stream.raw()) })?;
        Ok(())
    }

    /// Whether all work before it is done; so it is if it was never recorded.
    pub(super) fn is_done(&self) -> Result<bool, Error> {
        let driver = self.device.driver();
        // SAFETY: the event is live.
        match (self.device).within(|| unsafe { driver.cuEventQuery(self.raw) }) {
            Err(error) if error.is(CUresult::CUDA_ERROR_NOT_READY) => Ok(false),
            Err(error) => Err(error.into()),
            Ok(()) => Ok(true),
        }
    }

    /// Waits until all work before it is done.
    pub(super) fn wait(&self) -> Result<(), Error> {
        let driver = self.device.driver();
        // SAFETY: the event is live.
        (self.device).within(|| unsafe { driver.cuEventSynchronize(self.raw) })?;
        Ok(())
    }

    /// Has the stream's later work wait for it.
    pub(super) fn order_before(&self, stream: &Stream) -> Result<(), Error> {
        let driver = self.device.driver();
        self.device.within(|| {
            // SAFETY: both handles are live.
            unsafe { driver.cuStreamWaitEvent(stream.raw(), self.raw, 0) }
        })?;
        Ok(())
    }

    /// Waits for this event and gives the microseconds since an earlier one.
    ///
    /// # Errors
    /// [`Error::Call`].
    pub fn microseconds_since(&self, start: &Event) -> Result<f64, Error> {
        let driver = self.device.driver();
        let mut milliseconds = 0.0;
        self.device.within(|| {
            // SAFETY: both events are live and recorded, or the driver says so.
            unsafe {
                driver.cuEventSynchronize(self.raw)?;
                driver.cuEventElapsedTime(&mut milliseconds, start.raw, self.raw)
            }
        })?;
        Ok(f64::from(milliseconds) * 1e3)
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        let driver = self.device.driver();
        // SAFETY: created in `new` and not destroyed before.
        let _ = (self.device).within(|| unsafe { driver.cuEventDestroy_v2(self.raw) });
    }
}
