//! Launches in CUDA graphs: recorded once, given new addresses, replayed.

use std::fmt;
use std::sync::Arc;

use cudarc::driver::sys::{
    CUDA_KERNEL_NODE_PARAMS, CUgraph, CUgraphExec, CUgraphNode, CUstreamCaptureMode,
    CUstreamCaptureStatus,
};

use super::driver::{CallError, Driver};
use super::error::Error;
use super::kernel::Kernel;
use super::launch::Launch;
use super::memory::Buffer;
use super::stream::Stream;
use super::table::{Table, is_capturing};

/// A graph of one launch.
pub struct Graph {
    kernel: Kernel,
    /// None if the kernel has no tiles, so that the graph is empty.
    node: Option<Node>,
    exec: Exec,
    /// The table that replays read, where the kernel has one, behind those that earlier replays may still be reading.
    tables: Vec<Arc<Table>>,
    /// Those of the launches that it was recorded from and updated to, each once.
    workspaces: Vec<Arc<Buffer>>,
    /// Keeps the node's handle valid.
    _recorded: Recorded,
}

/// A launch that was captured into a graph of the caller's.
#[derive(Clone)]
pub struct Node {
    kernel: Kernel,
    raw: CUgraphNode,
}

// SAFETY: graph objects may be used from every thread, by one at a time: whatever changes one takes `&mut` or is
// `unsafe` (CUDA driver API, Graph Management).
unsafe impl Send for Graph {}
// SAFETY: a node is only read; the graph it is changed in is the caller's promise.
unsafe impl Send for Node {}
// SAFETY: as above.
unsafe impl Sync for Node {}

impl Graph {
    /// Records the launch with the addresses it is bound to.
    ///
    /// # Errors
    /// [`Error::Unbound`], [`Error::Call`].
    pub fn record(launch: &Launch) -> Result<Self, Error> {
        launch.check_bound()?;
        let kernel = launch.kernel().clone();
        let stream = Stream::new(kernel.device())?;
        let table = launch.freeze()?;
        let recorded = capture(&stream, launch, table.as_deref())?;
        let node = recorded.only_node()?;
        let exec = recorded.instantiate(&kernel)?;
        Ok(Graph {
            node: node.map(|raw| Node {
                kernel: kernel.clone(),
                raw,
            }),
            kernel,
            exec,
            tables: Vec::from_iter(table),
            workspaces: Vec::from_iter(launch.workspace()),
            _recorded: recorded,
        })
    }

    /// Takes over the addresses of a launch of the same kernel, for the replays to come: those in flight keep theirs.
    ///
    /// # Errors
    /// [`Error::OtherKernel`], [`Error::Unbound`], [`Error::Call`].
    pub fn update(&mut self, launch: &Launch) -> Result<(), Error> {
        check_kernel(&self.kernel, launch)?;
        let Some(node) = &self.node else {
            return Ok(());
        };
        let table = launch.freeze()?;
        // SAFETY: the node is of the graph that `exec` was made from, and both live; so does the table.
        unsafe { node.set(self.exec.raw, launch, table.as_deref())? };
        self.tables.retain(|table| !table.is_idle());
        self.tables.extend(table);
        // Replays in flight may still use the ones before.
        let known = |memory: &Arc<Buffer>| self.workspaces.iter().any(|w| Arc::ptr_eq(w, memory));
        if let Some(memory) = launch.workspace().filter(|memory| !known(memory)) {
            self.workspaces.push(memory);
        }
        Ok(())
    }

    /// Launches the graph on a stream. It may be launched again while it runs; the driver then orders the replays.
    ///
    /// # Errors
    /// [`Error::Call`].
    pub fn replay(&self, stream: &Stream) -> Result<(), Error> {
        let driver = self.kernel.device().driver();
        // SAFETY: both handles are live.
        unsafe { driver.cuGraphLaunch(self.exec.raw, stream.raw())? };
        match self.tables.last() {
            Some(table) if !is_capturing(self.kernel.device(), stream)? => table.mark(stream),
            _ => Ok(()),
        }
    }
}

impl Node {
    /// The node of the last `enqueue` of this launch into a stream that the caller is capturing.
    ///
    /// # Errors
    /// [`Error::Capture`] if the stream is not being captured or its last node is not one launch; [`Error::Call`].
    pub fn captured(stream: &Stream, launch: &Launch) -> Result<Self, Error> {
        let kernel = launch.kernel().clone();
        match frontier(kernel.device().driver(), stream)? {
            Some(raw) => Ok(Node { kernel, raw }),
            None => Err(Error::Capture(
                "the stream is not capturing, or not right behind one launch: ask directly after enqueue",
            )),
        }
    }

    /// The driver's handle.
    pub fn raw(&self) -> CUgraphNode {
        self.raw
    }

    /// Gives the node in an instantiated graph the addresses of a launch of the same kernel. Where
    /// [`Kernel::uses_table`], that launch must live as long as the graph.
    ///
    /// # Safety
    /// `exec` must be a live graph, instantiated from the one that the node was captured into, which must live too; no
    /// other thread may be using it.
    ///
    /// # Errors
    /// [`Error::OtherKernel`], [`Error::Unbound`], [`Error::Call`].
    pub unsafe fn update(&self, exec: CUgraphExec, launch: &Launch) -> Result<(), Error> {
        check_kernel(&self.kernel, launch)?;
        let table = launch.keep()?;
        // SAFETY: the caller's promise; the launch keeps the table.
        unsafe { self.set(exec, launch, table.as_deref()) }
    }

    /// # Safety
    /// As [`Node::update`]; the table must live as long as the graph or until its next update's replays are done.
    unsafe fn set(
        &self,
        exec: CUgraphExec,
        launch: &Launch,
        table: Option<&Table>,
    ) -> Result<(), Error> {
        let loaded = &*self.kernel.loaded;
        let shape = &loaded.entry.launch;
        let mut parameters = [launch.parameter(table).cast_mut().cast()];
        let node = CUDA_KERNEL_NODE_PARAMS {
            func: loaded.function.0,
            gridDimX: shape.grid[0],
            gridDimY: shape.grid[1],
            gridDimZ: shape.grid[2],
            blockDimX: shape.block[0],
            blockDimY: shape.block[1],
            blockDimZ: shape.block[2],
            sharedMemBytes: shape.dynamic_shared,
            kernelParams: parameters.as_mut_ptr(),
            extra: std::ptr::null_mut(),
            kern: std::ptr::null_mut(),
            ctx: std::ptr::null_mut(),
        };
        // SAFETY: the caller's promise for the handles; block or address is as large as the function's parameter, and copied.
        Ok(loaded.device.within(|| unsafe {
            (loaded.device.driver()).cuGraphExecKernelNodeSetParams_v2(exec, self.raw, &node)
        })?)
    }
}

fn check_kernel(expected: &Kernel, launch: &Launch) -> Result<(), Error> {
    if !Arc::ptr_eq(&expected.loaded, &launch.kernel().loaded) {
        return Err(Error::OtherKernel {
            expected: expected.key().to_owned(),
            given: launch.kernel().key().to_owned(),
        });
    }
    launch.check_bound()
}

/// A captured graph, destroyed when dropped.
struct Recorded {
    driver: &'static Driver,
    raw: CUgraph,
}

/// An instantiated graph, destroyed when dropped.
struct Exec {
    driver: &'static Driver,
    raw: CUgraphExec,
}

fn capture(stream: &Stream, launch: &Launch, table: Option<&Table>) -> Result<Recorded, Error> {
    let device = launch.kernel().device();
    let driver = device.driver();
    // Calls of other threads, and of this one, are none of this capture's business: it sees one launch.
    let mode = CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_RELAXED;
    device.within(|| {
        // SAFETY: the stream is our own and not capturing.
        unsafe { driver.cuStreamBeginCapture_v2(stream.raw(), mode)? };
        let enqueued = launch.capture(stream, table);
        let mut raw = std::ptr::null_mut();
        // SAFETY: the capture was begun above. It has to end even if a call in it failed.
        let mut end = || unsafe { driver.cuStreamEndCapture(stream.raw(), &mut raw) };
        // A stream that is still capturing would keep its graph: ask twice, and report the first answer.
        let ended = end().inspect_err(|_| {
            let _ = end();
        });
        let recorded = Recorded { driver, raw };
        enqueued?;
        ended?;
        Ok::<_, Error>(recorded)
    })
}

impl Recorded {
    /// The node of the one launch; None if there was nothing to launch.
    fn only_node(&self) -> Result<Option<CUgraphNode>, Error> {
        let mut node = std::ptr::null_mut();
        let mut count = 1;
        // SAFETY: the graph is live; there is room for one node, as said.
        unsafe { (self.driver).cuGraphGetNodes(self.raw, &mut node, &mut count)? };
        match count {
            0 => Ok(None),
            1 if !node.is_null() => Ok(Some(node)),
            _ => Err(Error::Capture("the graph of one launch has several nodes")),
        }
    }

    fn instantiate(&self, kernel: &Kernel) -> Result<Exec, Error> {
        kernel.device().within(|| {
            let mut exec = std::ptr::null_mut();
            // SAFETY: the graph is live; writes one handle.
            unsafe { (self.driver).cuGraphInstantiateWithFlags(&mut exec, self.raw, 0)? };
            Ok(Exec {
                driver: self.driver,
                raw: exec,
            })
        })
    }
}

impl Drop for Recorded {
    fn drop(&mut self) {
        if !self.raw.is_null() {
            // SAFETY: ended in `capture` and not destroyed before.
            let _ = unsafe { self.driver.cuGraphDestroy(self.raw) };
        }
    }
}

impl Drop for Exec {
    fn drop(&mut self) {
        // SAFETY: instantiated above and not destroyed before; replays in flight finish by themselves.
        let _ = unsafe { self.driver.cuGraphExecDestroy(self.raw) };
    }
}

/// The one node that the next work of a capturing stream would depend on.
fn frontier(driver: &Driver, stream: &Stream) -> Result<Option<CUgraphNode>, CallError> {
    let mut status = 0;
    let (mut id, mut graph) = (0, std::ptr::null_mut());
    let (mut nodes, mut edges) = (std::ptr::null(), std::ptr::null());
    let mut count = 0;
    // SAFETY: the stream is live; every out parameter is a variable above. Version 2 cannot describe programmatic
    // dependence, version 3 came with CUDA 12.3.
    unsafe {
        let newest = driver.cuStreamGetCaptureInfo_v3(
            stream.raw(),
            &mut status,
            &mut id,
            &mut graph,
            &mut nodes,
            &mut edges,
            &mut count,
        );
        match newest {
            Some(done) => done?,
            None => {
                let older = driver.cuStreamGetCaptureInfo_v2(
                    stream.raw(),
                    &mut status,
                    &mut id,
                    &mut graph,
                    &mut nodes,
                    &mut count,
                );
                older.unwrap_or(Ok(()))?;
            }
        }
    }
    let capturing = status == CUstreamCaptureStatus::CU_STREAM_CAPTURE_STATUS_ACTIVE as u32;
    if !capturing || count != 1 || nodes.is_null() {
        return Ok(None);
    }
    // SAFETY: the driver gave `count` nodes, valid until the next call for this stream.
    Ok(Some(unsafe { *nodes }))
}

impl fmt::Debug for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Graph").field(&self.kernel).finish()
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Node").field(&self.kernel).finish()
    }
}
