//! Streams: the caller's, or our own.

use std::fmt;

use cudarc::driver::sys::{CUstream, CUstream_flags};

use super::device::Device;
use super::driver::Driver;
use super::error::Error;

/// A stream to launch into.
pub struct Stream {
    raw: CUstream,
    /// None if it is the caller's.
    owner: Option<Device>,
}

// SAFETY: a stream handle may be used from every thread (CUDA driver API, Stream Management).
unsafe impl Send for Stream {}
// SAFETY: as above; the driver serialises the calls.
unsafe impl Sync for Stream {}

impl Stream {
    /// A new stream of the device, not synchronised with the default stream. It is destroyed when dropped.
    ///
    /// # Errors
    /// [`Error::Call`].
    pub fn new(device: &Device) -> Result<Self, Error> {
        let flags = CUstream_flags::CU_STREAM_NON_BLOCKING as u32;
        device.within(|| {
            let mut raw = std::ptr::null_mut();
            // SAFETY: writes one handle.
            unsafe { device.driver().cuStreamCreate(&mut raw, flags)? };
            Ok(Stream {
                raw,
                owner: Some(device.clone()),
            })
        })
    }

    /// A stream of the caller's: a `CUstream` (of cudarc, of a framework), or null for the default one. It costs nothing,
    /// and dropping it does nothing.
    ///
    /// # Safety
    /// The handle must be of a live stream as long as this is used.
    pub const unsafe fn from_raw(raw: CUstream) -> Self {
        Stream { raw, owner: None }
    }

    /// The driver's handle.
    pub fn raw(&self) -> CUstream {
        self.raw
    }

    /// Waits until all work of the stream is done.
    ///
    /// # Errors
    /// [`Error::Call`]: also what earlier work of the stream came to.
    pub fn synchronize(&self) -> Result<(), Error> {
        let driver = Driver::get()?;
        // SAFETY: the stream is live.
        unsafe { driver.cuStreamSynchronize(self.raw) }.map_err(Error::from)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let Some(device) = &self.owner {
            // SAFETY: created in `new` and not destroyed before; work that is still in it goes on.
            let _ = device.within(|| unsafe { device.driver().cuStreamDestroy_v2(self.raw) });
        }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Stream").field(&self.raw).finish()
    }
}
