//! Events: a point in a stream, and the time when it was reached.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use crate::capture::{self, Capture};
use crate::context::{Context, Fate};
use crate::driver::{driver, lock};
use crate::error::{Error, Outcome};
use crate::object::object;
use crate::pointer::Handle;
use crate::stream::Stream;
use crate::work::Work;

/// `CU_EVENT_DISABLE_TIMING`.
pub(crate) const DISABLE_TIMING: u32 = 2;

/// An event.
pub(crate) struct Event {
    pub context: Handle<Context>,
    pub fate: Arc<Fate>,
    pub flags: u32,
    /// The number of the last record that has been reached.
    reached: AtomicU64,
    state: Mutex<State>,
}

object!(Event, Events, INVALID_HANDLE);

#[derive(Default)]
struct State {
    /// The number of the last record that was enqueued; 0 if never.
    recorded: u64,
    /// When the last reached record was reached.
    time: Option<Instant>,
    /// Set when the last record was in a stream being captured: the nodes that it stands for.
    captured: Option<(Arc<Capture>, Vec<usize>)>,
}

impl Event {
    pub(crate) fn new(context: &Context, flags: u32) -> Self {
        Event {
            context: context.handle,
            fate: context.fate.clone(),
            flags,
            reached: AtomicU64::new(0),
            state: Mutex::default(),
        }
    }

    /// `cuEventRecord`.
    pub(crate) fn record(self: &Arc<Self>, stream: &Arc<Stream>) -> Outcome {
        if let Some(capture) = stream.capture() {
            let nodes = capture.dependencies(stream)?;
            lock(&self.state).captured = Some((capture, nodes));
            return Ok(());
        }
        capture::check_implicit(stream)?;
        let number = {
            let mut state = lock(&self.state);
            state.captured = None;
            state.recorded += 1;
            state.recorded
        };
        driver()?
            .queue
            .submit(stream, Work::Record(self.clone(), number));
        Ok(())
    }

    /// `cuStreamWaitEvent`.
    pub(crate) fn delay(self: &Arc<Self>, stream: &Arc<Stream>) -> Outcome {
        let (captured, recorded) = {
            let state = lock(&self.state);
            (state.captured.clone(), state.recorded)
        };
        match captured {
            Some((capture, nodes)) => capture::join(&capture, stream, &nodes),
            None if stream.is_capturing() && recorded > 0 => Err(capture::isolation(stream)),
            None if stream.is_capturing() || self.has_reached(recorded) => Ok(()),
            None => {
                capture::check_implicit(stream)?;
                driver()?
                    .queue
                    .submit(stream, Work::Wait(self.clone(), recorded));
                Ok(())
            }
        }
    }

    /// The last record that was enqueued, unless it was captured.
    pub(crate) fn last_record(&self) -> Result<u64, Error> {
        let state = lock(&self.state);
        match state.captured {
            Some(_) => Err(Error::CAPTURED_EVENT),
            None => Ok(state.recorded),
        }
    }

    pub(crate) fn has_reached(&self, number: u64) -> bool {
        self.reached.load(Ordering::Acquire) >= number
    }

    /// A record has been reached.
    pub(crate) fn reach(&self, number: u64) {
        let mut state = lock(&self.state);
        if self.flags & DISABLE_TIMING == 0 {
            state.time = Some(Instant::now());
        }
        self.reached.fetch_max(number, Ordering::AcqRel);
    }

    /// Milliseconds from this event to a later one.
    pub(crate) fn milliseconds_to(&self, end: &Event) -> Result<f32, Error> {
        let start = self.time()?;
        let end = end.time()?;
        let elapsed = match end.checked_duration_since(start) {
            Some(later) => later.as_secs_f64(),
            None => -start.duration_since(end).as_secs_f64(),
        };
        Ok((elapsed * 1e3) as f32)
    }

    fn time(&self) -> Result<Instant, Error> {
        let number = self.last_record().map_err(|_| Error::INVALID_HANDLE)?;
        if self.flags & DISABLE_TIMING != 0 || number == 0 {
            return Err(Error::INVALID_HANDLE);
        }
        if !self.has_reached(number) {
            return Err(Error::NOT_READY);
        }
        lock(&self.state).time.ok_or(Error::INVALID_HANDLE)
    }
}
