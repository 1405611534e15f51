//! Graphs of one launch.

use std::ffi::c_void;

use nvfp4gen::runtime::{Graph, Stream};

use crate::border::{Status, borrow, borrow_mut, call, give, take};
use crate::launch::LaunchHandle;

/// A CUDA graph of one launch. One thread at a time may use it.
pub struct GraphHandle(Graph);

/// Records a bound launch into a graph. Launches can be captured by the caller's own graphs as well: enqueue into a stream
/// that is being captured.
///
/// # Safety
/// `launch` is a live handle that no other thread uses meanwhile, `out` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvfp4gen_graph_record(
    launch: *const LaunchHandle,
    out: *mut *mut GraphHandle,
) -> Status {
    // SAFETY: the caller's promise.
    call(|| unsafe { give(out, || Ok(GraphHandle(Graph::record(&borrow(launch)?.0)?))) })
}

/// Takes over the addresses of a launch of the same kernel, for the replays to come.
///
/// # Safety
/// Both are live handles that no other thread uses meanwhile.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvfp4gen_graph_update(
    graph: *mut GraphHandle,
    launch: *const LaunchHandle,
) -> Status {
    // SAFETY: the caller's promise.
    call(|| unsafe { Ok(borrow_mut(graph)?.0.update(&borrow(launch)?.0)?) })
}

/// Launches the graph on a `CUstream` (null is the default one).
///
/// # Safety
/// `graph` is a live handle that no other thread uses meanwhile, `stream` a live stream or null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvfp4gen_graph_replay(
    graph: *const GraphHandle,
    stream: *mut c_void,
) -> Status {
    // SAFETY: the caller's promise.
    call(|| unsafe { Ok(borrow(graph)?.0.replay(&Stream::from_raw(stream.cast()))?) })
}

/// Gives a graph back. Replays in flight go on.
///
/// # Safety
/// `graph` is a live handle or null; it is not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvfp4gen_graph_release(graph: *mut GraphHandle) {
    // SAFETY: the caller's promise.
    unsafe { take(graph) };
}
