//! Stream capture.

use std::cell::RefCell;

use crate::capture;
use crate::driver::driver;
use crate::error::{Error, Outcome};
use crate::pointer::{In, Out};
use crate::stream;
use crate::types::{CUgraph, CUgraphNode, CUstream, EdgeData};

/// `CUstreamCaptureStatus`.
const NONE: u32 = 0;
const ACTIVE: u32 = 1;
const INVALIDATED: u32 = 2;

thread_local! {
    /// What the dependency list of the last query of this thread points to.
    static LISTED: RefCell<(Vec<CUgraphNode>, Vec<EdgeData>)> = const { RefCell::new((Vec::new(), Vec::new())) };
}

/// Where the answers of a capture query go.
struct Query {
    status: Out<u32>,
    id: Out<u64>,
    graph: Out<CUgraph>,
    nodes: Out<*const CUgraphNode>,
    edges: Out<*const EdgeData>,
    count: Out<usize>,
}

impl Query {
    fn answer(&self, stream: CUstream, null: CUstream) -> Outcome {
        let stream = stream::resolve(stream, null)?;
        let Some(capture) = stream.capture() else {
            return self.status.set(NONE);
        };
        if capture.is_spoilt() {
            return self.status.set(INVALIDATED);
        }
        let nodes: Vec<_> = capture
            .dependencies(&stream)?
            .into_iter()
            .map(CUgraphNode::from_bits)
            .collect();
        self.status.set(ACTIVE)?;
        self.id.set_if_wanted(capture.id);
        self.graph.set_if_wanted(capture.graph);
        self.count.set_if_wanted(nodes.len());
        LISTED.with_borrow_mut(|listed| {
            *listed = (nodes.clone(), vec![EdgeData::default(); nodes.len()]);
            self.nodes.set_if_wanted(listed.0.as_ptr());
            self.edges.set_if_wanted(listed.1.as_ptr());
        });
        Ok(())
    }
}

fn bits(nodes: In<CUgraphNode>, count: usize) -> Result<Vec<usize>, Error> {
    Ok(nodes
        .list(count)?
        .into_iter()
        .map(|node| node.bits())
        .collect())
}

fn update(
    stream: CUstream,
    null: CUstream,
    nodes: In<CUgraphNode>,
    count: usize,
    flags: u32,
) -> Outcome {
    let stream = stream::resolve(stream, null)?;
    let capture = stream.capture().ok_or(Error::ILLEGAL_STATE)?;
    let nodes = nodes.list(count)?;
    for node in &nodes {
        if node.get()?.graph != capture.graph {
            return Err(Error::INVALID_VALUE);
        }
    }
    let nodes = nodes.into_iter().map(|node| node.bits()).collect();
    match flags {
        0 | 1 => capture.set_dependencies(&stream, nodes, flags == 1),
        _ => Err(Error::INVALID_VALUE),
    }
}

abi! { SYMBOLS:
    fn cuThreadExchangeStreamCaptureMode(mode: Out<u32>) = "cuThreadExchangeStreamCaptureMode" since 10010 {
        driver()?;
        let old = capture::exchange_mode(mode.as_in().get()?)?;
        mode.set(old)
    }
}

abi! { STREAM_SYMBOLS |null|:
    fn cuStreamBeginCapture / cuStreamBeginCapture_ptsz(stream: CUstream) = "cuStreamBeginCapture" since 10000 {
        capture::begin(&stream::resolve(stream, null)?, capture::GLOBAL, None)
    }

    fn cuStreamBeginCapture_v2 / cuStreamBeginCapture_v2_ptsz(stream: CUstream, mode: u32) = "cuStreamBeginCapture" since 10010 {
        capture::begin(&stream::resolve(stream, null)?, mode, None)
    }

    fn cuStreamBeginCaptureToGraph / cuStreamBeginCaptureToGraph_ptsz(
        stream: CUstream,
        graph: CUgraph,
        nodes: In<CUgraphNode>,
        edges: In<EdgeData>,
        count: usize,
        mode: u32,
    ) = "cuStreamBeginCaptureToGraph" since 12030 {
        let _ = edges;
        let stream = stream::resolve(stream, null)?;
        graph.get()?;
        capture::begin(&stream, mode, Some((graph, bits(nodes, count)?)))
    }

    fn cuStreamEndCapture / cuStreamEndCapture_ptsz(stream: CUstream, graph: Out<CUgraph>) = "cuStreamEndCapture" since 10000 {
        let stream = stream::resolve(stream, null)?;
        graph.set(CUgraph::NULL)?;
        graph.set(capture::end(&stream)?)
    }

    fn cuStreamIsCapturing / cuStreamIsCapturing_ptsz(stream: CUstream, status: Out<u32>) = "cuStreamIsCapturing" since 10000 {
        let stream = stream::resolve(stream, null)?;
        capture::check_implicit(&stream)?;
        status.set(match stream.capture() {
            None => NONE,
            Some(capture) if capture.is_spoilt() => INVALIDATED,
            Some(_) => ACTIVE,
        })
    }

    fn cuStreamGetCaptureInfo / cuStreamGetCaptureInfo_ptsz(stream: CUstream, status: Out<u32>, id: Out<u64>) = "cuStreamGetCaptureInfo" since 10010 {
        let query = Query { status, id, graph: Out::NULL, nodes: Out::NULL, edges: Out::NULL, count: Out::NULL };
        query.answer(stream, null)
    }

    fn cuStreamGetCaptureInfo_v2 / cuStreamGetCaptureInfo_v2_ptsz(
        stream: CUstream,
        status: Out<u32>,
        id: Out<u64>,
        graph: Out<CUgraph>,
        nodes: Out<*const CUgraphNode>,
        count: Out<usize>,
    ) = "cuStreamGetCaptureInfo" since 11030 {
        Query { status, id, graph, nodes, edges: Out::NULL, count }.answer(stream, null)
    }

    fn cuStreamGetCaptureInfo_v3 / cuStreamGetCaptureInfo_v3_ptsz(
        stream: CUstream,
        status: Out<u32>,
        id: Out<u64>,
        graph: Out<CUgraph>,
        nodes: Out<*const CUgraphNode>,
        edges: Out<*const EdgeData>,
        count: Out<usize>,
    ) = "cuStreamGetCaptureInfo" since 12030 {
        Query { status, id, graph, nodes, edges, count }.answer(stream, null)
    }

    fn cuStreamUpdateCaptureDependencies / cuStreamUpdateCaptureDependencies_ptsz(stream: CUstream, nodes: In<CUgraphNode>, count: usize, flags: u32) = "cuStreamUpdateCaptureDependencies" since 11030 {
        update(stream, null, nodes, count, flags)
    }

    fn cuStreamUpdateCaptureDependencies_v2 / cuStreamUpdateCaptureDependencies_v2_ptsz(
        stream: CUstream,
        nodes: In<CUgraphNode>,
        edges: In<EdgeData>,
        count: usize,
        flags: u32,
    ) = "cuStreamUpdateCaptureDependencies" since 12030 {
        let _ = edges;
        update(stream, null, nodes, count, flags)
    }
}
