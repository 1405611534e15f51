//! Graphs: capture and its rules, explicit nodes, changes of executable graphs.

// The driver is reached through C functions.
#![allow(unsafe_code)]

mod common;

use std::ffi::CStr;
use std::ptr::null_mut;

use common::driver::{event, ok, read, start, stream, words};
use common::raw::{self, Kernel, params};
use common::with_driver;
use cudarc::driver::sys::{self, CUresult, CUstreamCaptureMode as Mode};

const FILL: &CStr = raw::text(concat!(include_str!("ptx/fill.ptx"), "\0"));
const LEGACY: sys::CUstream = null_mut();
const RELAXED: Mode = Mode::CU_STREAM_CAPTURE_MODE_RELAXED;

fn fill(kernel: &Kernel, stream: sys::CUstream, p: u64, value: u32) -> Result<(), CUresult> {
    kernel.launch(stream, [1; 3], [4, 1, 1], &mut params![p, value])
}

fn filled(value: u32) -> Vec<u32> {
    vec![value + (1 << 16); 4]
}

fn begin(stream: sys::CUstream, mode: Mode) {
    // SAFETY: the stream is alive.
    unsafe { ok(sys::cuStreamBeginCapture_v2(stream, mode)) };
}

fn end(stream: sys::CUstream) -> Result<sys::CUgraph, CUresult> {
    let mut graph = null_mut();
    // SAFETY: a place for the output.
    let result = unsafe { sys::cuStreamEndCapture(stream, &mut graph) };
    assert_eq!(graph.is_null(), result != CUresult::CUDA_SUCCESS);
    result.result().map(|()| graph).map_err(|e| e.0)
}

fn instantiate(graph: sys::CUgraph) -> sys::CUgraphExec {
    let mut exec = null_mut();
    // SAFETY: a place for the output.
    unsafe { ok(sys::cuGraphInstantiateWithFlags(&mut exec, graph, 0)) };
    exec
}

fn replay(exec: sys::CUgraphExec) {
    // SAFETY: the graph is alive.
    unsafe {
        ok(sys::cuGraphLaunch(exec, LEGACY));
        ok(sys::cuStreamSynchronize(LEGACY));
    }
}

fn nodes(graph: sys::CUgraph) -> Vec<sys::CUgraphNode> {
    let mut count = 0;
    // SAFETY: the list is as long as the count says.
    unsafe {
        ok(sys::cuGraphGetNodes(graph, null_mut(), &mut count));
        let mut nodes = vec![null_mut(); count];
        ok(sys::cuGraphGetNodes(graph, nodes.as_mut_ptr(), &mut count));
        nodes
    }
}

fn edges(graph: sys::CUgraph) -> usize {
    let mut count = 0;
    // SAFETY: null lists ask for the count.
    unsafe {
        ok(sys::cuGraphGetEdges(
            graph,
            null_mut(),
            null_mut(),
            &mut count,
        ))
    };
    count
}

#[test]
fn branches_are_captured_and_joined() {
    with_driver("branches_are_captured_and_joined", &[], || {
        start();
        let kernel = Kernel::load(FILL, c"fill").unwrap();
        let (p, q, r) = (words(&[0; 4]), words(&[0; 4]), words(&[0; 4]));
        let (main, side, fork, join) = (stream(1), stream(1), event(), event());
        begin(main, RELAXED);
        fill(&kernel, main, p, 1).unwrap();
        // SAFETY: all handles are alive.
        unsafe {
            ok(sys::cuEventRecord(fork, main));
            ok(sys::cuStreamWaitEvent(side, fork, 0));
            fill(&kernel, side, q, 2).unwrap();
            fill(&kernel, main, r, 3).unwrap();
            ok(sys::cuEventRecord(join, side));
            ok(sys::cuStreamWaitEvent(main, join, 0));
            ok(sys::cuMemcpyDtoDAsync_v2(p, q, 8, main));
            ok(sys::cuMemsetD32Async(p + 12, 7, 1, main));
        }
        let graph = end(main).unwrap();
        assert_eq!((nodes(graph).len(), edges(graph)), (5, 5));
        assert_eq!(read(q, 4), [0; 4]);
        replay(instantiate(graph));
        assert_eq!(read(p, 4), [2 + (1 << 16), 2 + (1 << 16), 1 + (1 << 16), 7]);
        assert_eq!(read(r, 4), filled(3));
        // The side stream is an ordinary stream again.
        fill(&kernel, side, q, 8).unwrap();
        assert_eq!(read(q, 4), filled(8));
    });
}

#[test]
fn what_spoils_a_capture() {
    with_driver("what_spoils_a_capture", &[], || {
        start();
        let kernel = Kernel::load(FILL, c"fill").unwrap();
        let (p, main, side, free) = (words(&[0; 4]), stream(0), stream(1), stream(1));
        let (fork, outside, mut memory) = (event(), event(), 0);
        let unsupported = CUresult::CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
        let invalidated = Err(CUresult::CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
        // SAFETY: all handles are alive.
        unsafe {
            begin(main, RELAXED);
            assert_eq!(
                sys::cuStreamBeginCapture_v2(main, RELAXED),
                CUresult::CUDA_ERROR_ILLEGAL_STATE
            );
            assert_eq!(sys::cuStreamSynchronize(main), unsupported);
            assert_eq!(fill(&kernel, main, p, 1), invalidated);
            assert_eq!(end(main).map(|_| ()), invalidated);

            begin(main, RELAXED);
            ok(sys::cuEventRecord(fork, main));
            assert_eq!(sys::cuEventQuery(fork), CUresult::CUDA_ERROR_CAPTURED_EVENT);
            ok(sys::cuStreamWaitEvent(side, fork, 0));
            fill(&kernel, side, p, 1).unwrap();
            assert_eq!(
                end(side),
                Err(CUresult::CUDA_ERROR_STREAM_CAPTURE_UNMATCHED)
            );
            assert_eq!(end(main).map(|_| ()), invalidated);

            begin(main, RELAXED);
            ok(sys::cuEventRecord(fork, main));
            ok(sys::cuStreamWaitEvent(side, fork, 0));
            fill(&kernel, side, p, 1).unwrap();
            assert_eq!(end(main), Err(CUresult::CUDA_ERROR_STREAM_CAPTURE_UNJOINED));

            ok(sys::cuEventRecord(outside, free));
            begin(main, RELAXED);
            let result = sys::cuStreamWaitEvent(main, outside, 0);
            assert_eq!(result, CUresult::CUDA_ERROR_STREAM_CAPTURE_ISOLATION);
            assert_eq!(end(main).map(|_| ()), invalidated);

            begin(main, RELAXED);
            assert_eq!(
                fill(&kernel, LEGACY, p, 1),
                Err(CUresult::CUDA_ERROR_STREAM_CAPTURE_IMPLICIT)
            );
            assert_eq!(end(main).map(|_| ()), invalidated);

            begin(main, Mode::CU_STREAM_CAPTURE_MODE_GLOBAL);
            assert_eq!(sys::cuMemAlloc_v2(&mut memory, 16), unsupported);
            assert_eq!(end(main).map(|_| ()), invalidated);

            begin(main, RELAXED);
            ok(sys::cuMemAlloc_v2(&mut memory, 16));
            assert!(end(main).is_ok());
            assert_eq!(end(main), Err(CUresult::CUDA_ERROR_ILLEGAL_STATE));
            assert_eq!(sys::cuStreamBeginCapture_v2(LEGACY, RELAXED), unsupported);
        }
    });
}

fn kernel_params(
    kernel: &Kernel,
    params: &mut [*mut std::ffi::c_void],
) -> sys::CUDA_KERNEL_NODE_PARAMS_v2 {
    sys::CUDA_KERNEL_NODE_PARAMS_v2 {
        func: kernel.function,
        gridDimX: 1,
        gridDimY: 1,
        gridDimZ: 1,
        blockDimX: 4,
        blockDimY: 1,
        blockDimZ: 1,
        sharedMemBytes: 0,
        kernelParams: params.as_mut_ptr(),
        extra: null_mut(),
        kern: null_mut(),
        ctx: null_mut(),
    }
}

#[test]
fn kernel_nodes_can_be_changed() {
    with_driver("kernel_nodes_can_be_changed", &[], || {
        start();
        let kernel = Kernel::load(FILL, c"fill").unwrap();
        let (p, q, main) = (words(&[0; 4]), words(&[0; 4]), stream(1));
        begin(main, RELAXED);
        fill(&kernel, main, p, 1).unwrap();
        let graph = end(main).unwrap();
        let exec = instantiate(graph);
        let node = nodes(graph)[0];
        let value = 2u32;
        let mut arguments = params![q, value];
        let changed = kernel_params(&kernel, &mut arguments);
        // SAFETY: all handles and arrays are alive.
        unsafe {
            let mut seen = std::mem::zeroed();
            ok(sys::cuGraphKernelNodeGetParams_v2(node, &mut seen));
            assert_eq!((seen.func, seen.blockDimX), (kernel.function, 4));
            assert_eq!((*seen.kernelParams).cast::<u64>().read(), p);
            ok(sys::cuGraphExecKernelNodeSetParams_v2(exec, node, &changed));
            replay(exec);
            assert_eq!(
                (read(p, 4), read(q, 4)),
                (vec![0; 4], filled(2)),
                "the executable graph has changed"
            );
            replay(instantiate(graph));
            assert_eq!(read(p, 4), filled(1), "the graph has not");
            ok(sys::cuGraphKernelNodeSetParams_v2(node, &changed));
            ok(sys::cuGraphDestroy(graph));
            assert_eq!(
                sys::cuGraphKernelNodeGetParams_v2(node, &mut seen),
                CUresult::CUDA_ERROR_INVALID_VALUE
            );
            replay(exec);
            ok(sys::cuGraphExecDestroy(exec));
            assert_eq!(
                sys::cuGraphLaunch(exec, LEGACY),
                CUresult::CUDA_ERROR_INVALID_VALUE
            );
        }
    });
}

#[test]
fn graphs_can_be_built_by_hand() {
    with_driver("graphs_can_be_built_by_hand", &[], || {
        let context = start();
        let kernel = Kernel::load(FILL, c"fill").unwrap();
        let (p, q, value) = (words(&[0; 4]), words(&[0; 4]), 6u32);
        let mut arguments = params![p, value];
        let kernel_params = kernel_params(&kernel, &mut arguments);
        let memset = sys::CUDA_MEMSET_NODE_PARAMS {
            dst: q,
            pitch: 0,
            value: 9,
            elementSize: 4,
            width: 4,
            height: 1,
        };
        // SAFETY: all handles and structures are alive; with its two enums set, the rest of a copy may be zero.
        unsafe {
            let mut copy = std::mem::MaybeUninit::<sys::CUDA_MEMCPY3D>::zeroed();
            (*copy.as_mut_ptr()).srcMemoryType = sys::CUmemorytype::CU_MEMORYTYPE_DEVICE;
            (*copy.as_mut_ptr()).dstMemoryType = sys::CUmemorytype::CU_MEMORYTYPE_DEVICE;
            let mut copy = copy.assume_init();
            (copy.srcDevice, copy.dstDevice) = (p, q);
            (copy.WidthInBytes, copy.Height, copy.Depth) = (8, 1, 1);
            let mut graph = null_mut();
            ok(sys::cuGraphCreate(&mut graph, 0));
            let [mut a, mut b, mut c] = [null_mut(); 3];
            ok(sys::cuGraphAddMemcpyNode(
                &mut c,
                graph,
                null_mut(),
                0,
                &copy,
                context,
            ));
            ok(sys::cuGraphAddMemsetNode(
                &mut b,
                graph,
                null_mut(),
                0,
                &memset,
                context,
            ));
            ok(sys::cuGraphAddKernelNode_v2(
                &mut a,
                graph,
                &b,
                1,
                &kernel_params,
            ));
            // The copy was added first and comes last.
            ok(sys::cuGraphAddDependencies(
                graph,
                [a].as_ptr(),
                [c].as_ptr(),
                1,
            ));
            let exec = instantiate(graph);
            replay(exec);
            assert_eq!(read(q, 4), [6 + (1 << 16), 6 + (1 << 16), 9, 9]);
            ok(sys::cuGraphNodeSetEnabled(exec, c, 0));
            replay(exec);
            assert_eq!(read(q, 4), [9; 4]);
            let again = sys::CUDA_MEMSET_NODE_PARAMS { value: 5, ..memset };
            ok(sys::cuGraphExecMemsetNodeSetParams(
                exec, b, &again, context,
            ));
            replay(exec);
            assert_eq!(read(q, 4), [5; 4]);
            let mut info = std::mem::zeroed();
            ok(sys::cuGraphExecUpdate_v2(exec, graph, &mut info));
            replay(exec);
            assert_eq!(
                read(q, 4),
                [9; 4],
                "the update brought the graph's own parameters back"
            );
            ok(sys::cuGraphAddDependencies(
                graph,
                [c].as_ptr(),
                [b].as_ptr(),
                1,
            ));
            let mut circular = null_mut();
            let result = sys::cuGraphInstantiateWithFlags(&mut circular, graph, 0);
            assert_eq!(result, CUresult::CUDA_ERROR_INVALID_VALUE);
            let result = sys::cuGraphExecUpdate_v2(exec, graph, &mut info);
            assert_eq!(result, CUresult::CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE);
        }
    });
}

#[test]
fn clones_know_their_originals() {
    with_driver("clones_know_their_originals", &[], || {
        start();
        // SAFETY: all handles are alive.
        unsafe {
            let [mut graph, mut clone] = [null_mut(); 2];
            let [mut a, mut b, mut found] = [null_mut(); 3];
            ok(sys::cuGraphCreate(&mut graph, 0));
            ok(sys::cuGraphAddEmptyNode(&mut a, graph, null_mut(), 0));
            ok(sys::cuGraphAddEmptyNode(&mut b, graph, &a, 1));
            ok(sys::cuGraphClone(&mut clone, graph));
            ok(sys::cuGraphNodeFindInClone(&mut found, b, clone));
            assert_eq!((found, edges(clone)), (nodes(clone)[1], 1));
            ok(sys::cuGraphDestroyNode(a));
            assert_eq!((edges(graph), edges(clone)), (0, 1));
        }
    });
}
