//! Streams, and what a stream argument means.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::capture::{self, Capture};
use crate::context::{self, Context, Fate};
use crate::driver::{driver, lock};
use crate::error::{Error, Outcome};
use crate::object::object;
use crate::pointer::Handle;
use crate::work::Work;

/// `CU_STREAM_LEGACY`.
pub(crate) const LEGACY: Handle<Stream> = Handle::from_bits(1);
/// `CU_STREAM_PER_THREAD`.
pub(crate) const PER_THREAD: Handle<Stream> = Handle::from_bits(2);
/// `CU_STREAM_NON_BLOCKING`.
pub(crate) const NON_BLOCKING: u32 = 1;

/// How a stream stands to the legacy stream (CUDA runtime API, stream synchronisation behaviour).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Bond {
    /// It is the legacy stream.
    Legacy,
    /// Its work and the legacy stream's wait for each other.
    Blocking,
    /// It has nothing to do with the legacy stream.
    Free,
}

/// A stream.
pub(crate) struct Stream {
    pub id: u64,
    pub context: Handle<Context>,
    pub fate: Arc<Fate>,
    pub bond: Bond,
    pub priority: i32,
    /// Whether `capture` holds something.
    capturing: AtomicBool,
    capture: Mutex<Option<Arc<Capture>>>,
}

object!(Stream, Streams, INVALID_HANDLE);

thread_local! {
    /// This thread's default stream of each context.
    static DEFAULTS: RefCell<BTreeMap<usize, Arc<Stream>>> = const { RefCell::new(BTreeMap::new()) };
}

impl Stream {
    pub(crate) fn new(
        context: Handle<Context>,
        fate: Arc<Fate>,
        bond: Bond,
        priority: i32,
    ) -> Self {
        static IDS: AtomicU64 = AtomicU64::new(1);
        Stream {
            id: IDS.fetch_add(1, Ordering::Relaxed),
            context,
            fate,
            bond,
            priority,
            capturing: AtomicBool::new(false),
            capture: Mutex::new(None),
        }
    }

    pub(crate) fn legacy(context: Handle<Context>, fate: Arc<Fate>) -> Self {
        Self::new(context, fate, Bond::Legacy, 0)
    }

    /// The flags that it was created with.
    pub(crate) fn flags(&self) -> u32 {
        if self.bond == Bond::Free {
            NON_BLOCKING
        } else {
            0
        }
    }

    /// Whether work becomes nodes of a graph instead of being executed.
    #[inline]
    pub(crate) fn is_capturing(&self) -> bool {
        self.capturing.load(Ordering::Acquire)
    }

    /// The capture that it takes part in.
    pub(crate) fn capture(&self) -> Option<Arc<Capture>> {
        lock(&self.capture).clone()
    }

    pub(crate) fn set_capture(&self, capture: Option<Arc<Capture>>) {
        let mut slot = lock(&self.capture);
        self.capturing.store(capture.is_some(), Ordering::Release);
        *slot = capture;
    }
}

/// What a stream argument means: `null` tells which default stream a null handle is.
pub(crate) fn resolve(handle: Handle<Stream>, null: Handle<Stream>) -> Result<Arc<Stream>, Error> {
    with(handle, null, |stream| Ok(stream.clone()))
}

/// Uses the stream that an argument means; no reference is counted for streams that callers created.
#[inline]
pub(crate) fn with<R>(
    handle: Handle<Stream>,
    null: Handle<Stream>,
    f: impl FnOnce(&Arc<Stream>) -> Result<R, Error>,
) -> Result<R, Error> {
    match if handle.is_null() { null } else { handle } {
        stream if stream == LEGACY => context::with_current(|context| f(&context.legacy)),
        stream if stream == PER_THREAD => {
            let stream = context::with_current(|context| Ok(per_thread(context)))?;
            f(&stream)
        }
        handle => {
            driver()?;
            handle.with(|stream| {
                stream.fate.check()?;
                f(stream)
            })?
        }
    }
}

fn per_thread(context: &Context) -> Arc<Stream> {
    DEFAULTS.with_borrow_mut(|defaults| {
        let new = || Stream::new(context.handle, context.fate.clone(), Bond::Blocking, 0);
        let stream = defaults.entry(context.handle.bits());
        stream.or_insert_with(|| Arc::new(new())).clone()
    })
}

/// Puts work into a stream: it becomes a node if the stream is being captured.
pub(crate) fn submit(stream: &Arc<Stream>, work: Work) -> Outcome {
    if stream.is_capturing() {
        return capture::record(stream, work);
    }
    capture::check_implicit(stream)?;
    driver()?.queue.submit(stream, work);
    Ok(())
}

/// Puts work into a stream and waits for it. Not possible while the stream is being captured.
pub(crate) fn submit_and_wait(stream: &Arc<Stream>, work: Work) -> Outcome {
    capture::forbid_in(stream)?;
    capture::check_implicit(stream)?;
    driver()?.queue.submit(stream, work);
    synchronise(stream)
}

/// Waits until the stream is empty.
pub(crate) fn synchronise(stream: &Arc<Stream>) -> Outcome {
    capture::forbid_in(stream)?;
    driver()?.queue.finish_stream(stream);
    stream.fate.check()
}
