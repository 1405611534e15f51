//! Stream capture: work of the streams that take part becomes nodes of a graph.
//!
//! CUDA driver API, stream management and graph management: the rules for what ends or spoils a capture.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::ThreadId;

use crate::driver::lock;
use crate::error::{Error, Outcome};
use crate::graph::{self, Graph};
use crate::object;
use crate::pointer::Handle;
use crate::stream::{Bond, Stream};
use crate::work::Work;

/// `CUstreamCaptureMode`.
pub(crate) const GLOBAL: u32 = 0;
pub(crate) const THREAD_LOCAL: u32 = 1;
pub(crate) const RELAXED: u32 = 2;

/// One capture: the graph that it builds and the streams that take part.
pub(crate) struct Capture {
    pub id: u64,
    pub graph: Handle<Graph>,
    /// Whether the graph came into being with the capture.
    owns_graph: bool,
    mode: u32,
    thread: ThreadId,
    origin: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    spoilt: bool,
    ended: bool,
    /// By stream: what its next node depends on.
    members: BTreeMap<u64, (Arc<Stream>, Vec<usize>)>,
}

static ACTIVE: Mutex<Vec<Arc<Capture>>> = Mutex::new(Vec::new());
static COUNT: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// What `cuThreadExchangeStreamCaptureMode` has set.
    static MODE: Cell<u32> = const { Cell::new(GLOBAL) };
}

impl Capture {
    /// What the next node of a stream will depend on.
    pub(crate) fn dependencies(&self, stream: &Stream) -> Result<Vec<usize>, Error> {
        let state = lock(&self.state);
        if state.spoilt {
            return Err(Error::STREAM_CAPTURE_INVALIDATED);
        }
        let member = state.members.get(&stream.id);
        member
            .map(|(_, nodes)| nodes.clone())
            .ok_or(Error::ILLEGAL_STATE)
    }

    /// Adds to, or replaces, what the next node of a stream will depend on.
    pub(crate) fn set_dependencies(
        &self,
        stream: &Stream,
        nodes: Vec<usize>,
        replace: bool,
    ) -> Outcome {
        let mut state = lock(&self.state);
        let (_, member) = state
            .members
            .get_mut(&stream.id)
            .ok_or(Error::ILLEGAL_STATE)?;
        if replace {
            member.clear();
        }
        for node in nodes {
            if !member.contains(&node) {
                member.push(node);
            }
        }
        Ok(())
    }

    pub(crate) fn is_spoilt(&self) -> bool {
        lock(&self.state).spoilt
    }

    fn spoil(&self) {
        lock(&self.state).spoilt = true;
    }

    /// Whether every branch leads back to the origin.
    fn is_joined(&self, graph: &Graph) -> bool {
        let state = lock(&self.state);
        let Some((_, last)) = state.members.get(&self.origin) else {
            return false;
        };
        let reached = graph.ancestors(last);
        state
            .members
            .values()
            .flat_map(|(_, nodes)| nodes)
            .all(|node| reached.contains(node))
    }

    /// Lets go of the streams.
    fn end(self: &Arc<Self>) {
        let members = {
            let mut state = lock(&self.state);
            state.ended = true;
            std::mem::take(&mut state.members)
        };
        for (stream, _) in members.values() {
            stream.set_capture(None);
        }
        lock(&ACTIVE).retain(|capture| !Arc::ptr_eq(capture, self));
        COUNT.fetch_sub(1, Ordering::Release);
    }
}

/// `cuStreamBeginCapture`, into a new graph or behind given nodes of an existing one.
pub(crate) fn begin(
    stream: &Arc<Stream>,
    mode: u32,
    into: Option<(Handle<Graph>, Vec<usize>)>,
) -> Outcome {
    static IDS: AtomicUsize = AtomicUsize::new(1);
    if mode > RELAXED {
        return Err(Error::INVALID_VALUE);
    }
    if stream.bond == Bond::Legacy {
        return Err(Error::STREAM_CAPTURE_UNSUPPORTED);
    }
    if stream.is_capturing() {
        return Err(Error::ILLEGAL_STATE);
    }
    let owns_graph = into.is_none();
    let (graph, nodes) = into.unwrap_or_else(|| (object::add(Graph::default()), Vec::new()));
    let capture = Arc::new(Capture {
        id: IDS.fetch_add(1, Ordering::Relaxed) as u64,
        graph,
        owns_graph,
        mode,
        thread: std::thread::current().id(),
        origin: stream.id,
        state: Mutex::default(),
    });
    lock(&capture.state)
        .members
        .insert(stream.id, (stream.clone(), nodes));
    stream.set_capture(Some(capture.clone()));
    lock(&ACTIVE).push(capture);
    COUNT.fetch_add(1, Ordering::Release);
    Ok(())
}

/// `cuStreamEndCapture`.
pub(crate) fn end(stream: &Arc<Stream>) -> Result<Handle<Graph>, Error> {
    let capture = stream.capture().ok_or(Error::ILLEGAL_STATE)?;
    if capture.origin != stream.id {
        capture.spoil();
        return Err(Error::STREAM_CAPTURE_UNMATCHED);
    }
    if capture.mode != RELAXED && capture.thread != std::thread::current().id() {
        return Err(Error::STREAM_CAPTURE_WRONG_THREAD);
    }
    let graph = capture.graph.get()?;
    let outcome = match (capture.is_spoilt(), capture.is_joined(&graph)) {
        (true, _) => Err(Error::STREAM_CAPTURE_INVALIDATED),
        (false, false) => Err(Error::STREAM_CAPTURE_UNJOINED),
        (false, true) => Ok(capture.graph),
    };
    capture.end();
    if outcome.is_err() && capture.owns_graph {
        graph::destroy(capture.graph)?;
    }
    outcome
}

/// Turns work of a stream into a node.
pub(crate) fn record(stream: &Arc<Stream>, work: Work) -> Outcome {
    let capture = stream.capture().ok_or(Error::ILLEGAL_STATE)?;
    if matches!(work, Work::Free(_) | Work::Record(..) | Work::Wait(..)) {
        capture.spoil();
        return Err(Error::STREAM_CAPTURE_UNSUPPORTED);
    }
    let dependencies = capture.dependencies(stream)?;
    let node = graph::add(capture.graph, dependencies, work)?;
    capture.set_dependencies(stream, vec![node.bits()], true)
}

/// Makes a stream wait for nodes of a capture: it takes part from then on.
pub(crate) fn join(capture: &Arc<Capture>, stream: &Arc<Stream>, nodes: &[usize]) -> Outcome {
    match stream.capture() {
        Some(own) if Arc::ptr_eq(&own, capture) => {}
        Some(own) => {
            own.spoil();
            capture.spoil();
            return Err(Error::STREAM_CAPTURE_MERGE);
        }
        None => enlist(capture, stream)?,
    }
    capture.set_dependencies(stream, nodes.to_vec(), false)
}

fn enlist(capture: &Arc<Capture>, stream: &Arc<Stream>) -> Outcome {
    let mut state = lock(&capture.state);
    if state.ended {
        return Err(Error::CAPTURED_EVENT);
    }
    if state.spoilt {
        return Err(Error::STREAM_CAPTURE_INVALIDATED);
    }
    if stream.bond == Bond::Legacy {
        state.spoilt = true;
        return Err(Error::STREAM_CAPTURE_IMPLICIT);
    }
    state
        .members
        .insert(stream.id, (stream.clone(), Vec::new()));
    drop(state);
    stream.set_capture(Some(capture.clone()));
    Ok(())
}

/// A captured stream was made to wait for work outside: the capture is spoilt.
pub(crate) fn isolation(stream: &Stream) -> Error {
    if let Some(capture) = stream.capture() {
        capture.spoil();
    }
    Error::STREAM_CAPTURE_ISOLATION
}

/// For calls that cannot be part of a capture: they spoil it.
#[inline]
pub(crate) fn forbid_in(stream: &Stream) -> Outcome {
    match stream.capture() {
        None => Ok(()),
        Some(capture) => {
            capture.spoil();
            Err(Error::STREAM_CAPTURE_UNSUPPORTED)
        }
    }
}

/// For work in the legacy stream: a blocking stream that is being captured would depend on it.
#[inline]
pub(crate) fn check_implicit(stream: &Stream) -> Outcome {
    if COUNT.load(Ordering::Acquire) == 0 || stream.bond != Bond::Legacy {
        return Ok(());
    }
    let active = lock(&ACTIVE);
    let blocking = |capture: &&Arc<Capture>| {
        let members = &lock(&capture.state).members;
        members
            .values()
            .any(|(s, _)| s.bond == Bond::Blocking && s.context == stream.context)
    };
    match active.iter().find(blocking) {
        None => Ok(()),
        Some(capture) => {
            capture.spoil();
            Err(Error::STREAM_CAPTURE_IMPLICIT)
        }
    }
}

/// For calls that the capture mode of this thread may prohibit: those that can synchronise behind the scenes.
#[inline]
pub(crate) fn check_unsafe() -> Outcome {
    if COUNT.load(Ordering::Acquire) == 0 || MODE.get() == RELAXED {
        return Ok(());
    }
    let thread = std::thread::current().id();
    let mode = MODE.get();
    let active = lock(&ACTIVE);
    let prohibits = |capture: &&Arc<Capture>| match capture.mode {
        RELAXED => false,
        THREAD_LOCAL => capture.thread == thread,
        _ => capture.thread == thread || mode == GLOBAL,
    };
    match active.iter().find(prohibits) {
        None => Ok(()),
        Some(capture) => {
            capture.spoil();
            Err(Error::STREAM_CAPTURE_UNSUPPORTED)
        }
    }
}

/// `cuThreadExchangeStreamCaptureMode`: returns the old mode.
pub(crate) fn exchange_mode(mode: u32) -> Result<u32, Error> {
    match mode {
        GLOBAL..=RELAXED => Ok(MODE.replace(mode)),
        _ => Err(Error::INVALID_VALUE),
    }
}
