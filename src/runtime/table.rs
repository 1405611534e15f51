//! Tables in device memory, for the sets whose tensor maps and pointers do not fit a kernel's parameters.
//!
//! A table is written by a copy on the launch's own stream, and only if an address changed since. An event behind the
//! last work that reads a table says when it may be written again, so that launches in flight keep the table they were
//! given: a launch has a few in turn. One launch bound to one set of addresses may be enqueued in several streams only one
//! after the other, because all of them write the same outputs; so one event a table is enough.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cudarc::driver::sys::{CUresult, CUstreamCaptureStatus};

use super::block::Block;
use super::device::Device;
use super::driver::CallError;
use super::error::Error;
use super::memory::{Buffer, Event, Pinned};
use super::pointers::Pointers;
use super::stream::Stream;

/// Tables that a launch takes in turn. The host waits for the GPU only when it is so many changes of addresses ahead.
const MOST: usize = 8;

/// A table, the memory on the host that it is copied from, and the point from which on nothing reads either.
pub(super) struct Table {
    memory: Buffer,
    /// The table's address, as a kernel's parameter.
    parameter: u64,
    staging: Pinned,
    last: Event,
}

impl Table {
    fn new(device: &Device, bytes: u32) -> Result<Self, Error> {
        let memory = Buffer::new(device, bytes as usize)?;
        Ok(Table {
            parameter: memory.address(),
            memory,
            staging: Pinned::new(device, bytes as usize)?,
            last: Event::untimed(device)?,
        })
    }

    /// Where the driver finds the kernel's parameter.
    pub fn parameter(&self) -> *const u64 {
        &self.parameter
    }

    /// Queues the copy of the block. Nothing may be reading the table.
    fn write(&self, block: &Block, stream: &Stream) -> Result<(), Error> {
        // SAFETY: the block has at least as many bytes, and no copy from the staging memory is under way: the last one
        // was before the event that was waited for, or is before it in no stream.
        unsafe { self.staging.fill(block.as_ptr().cast()) };
        self.memory.copy_from_pinned(stream, &self.staging)
    }

    /// Marks the end of the stream's present work as the last that reads the table.
    ///
    /// # Errors
    /// [`Error::Call`]; then the work has been waited for instead.
    pub fn mark(&self, stream: &Stream) -> Result<(), Error> {
        self.last.record(stream).inspect_err(|_| {
            let _ = stream.synchronize();
        })
    }

    /// Whether nothing reads the table any more.
    pub fn is_idle(&self) -> bool {
        self.last.is_done().unwrap_or(false)
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        // Work in flight still reads it. If the driver refuses to wait, its context is lost and so is the work.
        let _ = self.last.wait();
    }
}

/// The tables of one launch.
pub(super) struct Tables {
    bytes: u32,
    /// The addresses in the launch's block; empty if it holds none or half of them.
    bound: Vec<Pointers>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// At most [`MOST`], in the order in which they were written.
    ring: Vec<Arc<Table>>,
    /// The table that holds the bound addresses.
    present: Option<usize>,
    /// A table that holds the bound addresses and will never be written again.
    frozen: Option<Arc<Table>>,
    /// Frozen tables that graphs of the caller's refer to.
    kept: Vec<Arc<Table>>,
}

impl Tables {
    pub fn new(bytes: u32) -> Self {
        Tables {
            bytes,
            bound: Vec::new(),
            state: Mutex::default(),
        }
    }

    /// To be told before the block is changed, which can go wrong half-way. Gives the addresses it held.
    pub fn begin_bind(&mut self) -> Vec<Pointers> {
        std::mem::take(&mut self.bound)
    }

    /// To be told when the block holds these addresses. `held` is what [`Tables::begin_bind`] gave.
    pub fn end_bind(&mut self, held: Vec<Pointers>, pointers: &[Pointers]) {
        self.bound = held;
        if self.bound != pointers {
            self.bound.clear();
            self.bound.extend_from_slice(pointers);
            let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
            state.present = None;
            state.frozen = None;
        }
    }

    /// Has `launch` launch with the parameter it is given, in the stream's order behind the copy that it needs.
    pub fn enqueue(
        &self,
        device: &Device,
        block: &Block,
        stream: &Stream,
        launch: impl FnOnce(*const u64) -> Result<(), CallError>,
    ) -> Result<(), Error> {
        if is_capturing(device, stream)? {
            let table = self.keep(device, block)?;
            return Ok(launch(table.parameter())?);
        }
        let mut state = self.state();
        let table = match state.present {
            Some(index) => {
                let table = &state.ring[index];
                table.last.order_before(stream)?;
                table
            }
            None => {
                let index = state.take(device, self.bytes)?;
                state.ring[index].write(block, stream)?;
                state.present = Some(index);
                &state.ring[index]
            }
        };
        let launched = launch(table.parameter());
        // The copy is in flight even if the launch is not.
        let marked = table.mark(stream);
        launched?;
        marked
    }

    /// A table that holds the bound addresses for good, written before this returns.
    pub fn freeze(&self, device: &Device, block: &Block) -> Result<Arc<Table>, Error> {
        let mut state = self.state();
        if let Some(table) = &state.frozen {
            return Ok(table.clone());
        }
        // The calling thread may be capturing: what is done here is no part of it.
        let table = device.outside_capture(|| {
            let table = Table::new(device, self.bytes)?;
            let stream = Stream::new(device)?;
            table.write(block, &stream)?;
            stream.synchronize()?;
            Ok::<_, Error>(Arc::new(table))
        })?;
        state.frozen = Some(table.clone());
        Ok(table)
    }

    /// As [`Tables::freeze`]; the table lives as long as the launch.
    pub fn keep(&self, device: &Device, block: &Block) -> Result<Arc<Table>, Error> {
        let table = self.freeze(device, block)?;
        let mut state = self.state();
        if !state.kept.iter().any(|kept| Arc::ptr_eq(kept, &table)) {
            state.kept.push(table.clone());
        }
        Ok(table)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clone for Tables {
    /// The same addresses, and no table yet.
    fn clone(&self) -> Self {
        Tables {
            bytes: self.bytes,
            bound: self.bound.clone(),
            state: Mutex::default(),
        }
    }
}

impl State {
    /// A table that nothing reads: the one unwritten for longest if its readers are through, else a new one, else, if
    /// there are too many, the first again after waiting for it.
    fn take(&mut self, device: &Device, bytes: u32) -> Result<usize, Error> {
        match self.ring.first() {
            Some(oldest) if oldest.is_idle() => self.ring.rotate_left(1),
            Some(oldest) if self.ring.len() == MOST => {
                oldest.last.wait()?;
                self.ring.rotate_left(1);
            }
            _ => self.ring.push(Arc::new(Table::new(device, bytes)?)),
        }
        Ok(self.ring.len() - 1)
    }
}

/// Whether work of the stream becomes part of a graph.
pub(super) fn is_capturing(device: &Device, stream: &Stream) -> Result<bool, CallError> {
    let mut status = CUstreamCaptureStatus::CU_STREAM_CAPTURE_STATUS_NONE as u32;
    // SAFETY: the stream is live; writes one number.
    let asked = unsafe { (device.driver()).cuStreamIsCapturing(stream.raw(), &mut status) };
    match asked {
        // The default stream, while another stream is being captured: the launch will say so.
        Err(error) if error.is(CUresult::CUDA_ERROR_STREAM_CAPTURE_IMPLICIT) => Ok(false),
        asked => {
            asked?;
            Ok(status != CUstreamCaptureStatus::CU_STREAM_CAPTURE_STATUS_NONE as u32)
        }
    }
}
