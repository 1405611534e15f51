//! Graph nodes: adding them, their parameters.

use std::sync::Arc;

use super::memcpy;
use crate::copy::Fill;
use crate::error::{Error, Outcome};
use crate::graph::{self, node_type};
use crate::graph_exec::GraphExec;
use crate::launch::{Arguments, Extras, Launch, Shape};
use crate::pointer::{Callback, Handle, In, Out};
use crate::types::{
    CUcontext, CUgraph, CUgraphNode, HostNodeParams, KernelNodeParams, KernelNodeParamsV1,
    LaunchAttribute, LaunchAttributeValue, Memcpy3D, MemsetNodeParams,
};
use crate::work::Work;

fn add(
    out: Out<CUgraphNode>,
    graph: CUgraph,
    after: In<CUgraphNode>,
    count: usize,
    work: Work,
) -> Outcome {
    if out.is_null() {
        return Err(Error::INVALID_VALUE);
    }
    let after = after
        .list(count)?
        .into_iter()
        .map(|node| node.bits())
        .collect();
    out.set(graph::add(graph, after, work)?)
}

/// A kernel node's work. What launch attributes said of an earlier version of the node stays.
pub(super) fn kernel(params: &KernelNodeParamsV1, earlier: Option<&Launch>) -> Result<Work, Error> {
    let function = params.function.get()?;
    let shape = Shape {
        grid: params.grid,
        block: params.block,
        shared: params.shared,
        cluster: earlier.map_or([0; 3], |launch| launch.shape.cluster),
        cooperative: earlier.is_some_and(|launch| launch.shape.cooperative),
    };
    shape.check(&function)?;
    let arguments = Arguments {
        each: params.params,
        packed: params.extra,
    };
    let params = arguments.read(function.entry())?;
    let extras = earlier.map_or(Extras::NONE, |launch| launch.extras);
    Ok(Work::Kernel(Arc::new(Launch {
        handle: function.handle(),
        function,
        shape,
        extras,
        params,
    })))
}

/// The function may be named as a function or as a kernel.
pub(super) fn either(params: &KernelNodeParams) -> KernelNodeParamsV1 {
    let mut v1 = params.v1;
    if v1.function.is_null() {
        v1.function = params.kernel;
    }
    v1
}

fn launch_of(node: CUgraphNode) -> Result<Arc<Launch>, Error> {
    match node.vertex()?.work {
        Work::Kernel(launch) => Ok(launch),
        _ => Err(Error::INVALID_VALUE),
    }
}

fn kernel_params(node: CUgraphNode) -> Result<KernelNodeParamsV1, Error> {
    let launch = launch_of(node)?;
    let params = match launch.params.addresses.is_empty() {
        true => In::NULL,
        // The node keeps them alive until it is changed or destroyed.
        false => In::from_address(launch.params.addresses.as_ptr() as usize),
    };
    Ok(KernelNodeParamsV1 {
        function: launch.handle,
        grid: launch.shape.grid,
        block: launch.shape.block,
        shared: launch.shape.shared,
        params,
        extra: In::NULL,
    })
}

fn set_kernel(node: CUgraphNode, params: &KernelNodeParamsV1) -> Outcome {
    let earlier = launch_of(node)?;
    node.set_work(kernel(params, Some(&earlier))?)
}

/// A fill node's work.
pub(super) fn fill(params: In<MemsetNodeParams>) -> Result<Work, Error> {
    let p = params.get()?;
    let element = p.element as usize;
    let pitch = if p.height > 1 {
        p.pitch
    } else {
        p.width * element
    };
    let fill = Fill {
        address: p.address,
        pitch,
        value: p.value,
        element,
        width: p.width,
        height: p.height,
    };
    fill.check()?;
    Ok(Work::Fill(fill))
}

/// A copy node's work.
pub(super) fn copy(params: In<Memcpy3D>) -> Result<Work, Error> {
    let copy = memcpy::spatial(params)?;
    copy.check()?;
    Ok(Work::Copy(Arc::new(copy)))
}

/// A host node's work.
pub(super) fn host(params: In<HostNodeParams>) -> Result<Work, Error> {
    let params = params.get()?;
    Ok(Work::Host(Callback::new(params.function, params.data)?))
}

/// Replaces a node's work by one of the same kind.
fn replace(node: CUgraphNode, work: Work) -> Outcome {
    if node_type(&node.vertex()?.work) != node_type(&work) {
        return Err(Error::INVALID_VALUE);
    }
    node.set_work(work)
}

fn attribute(launch: &Launch, attribute: u32) -> Result<LaunchAttributeValue, Error> {
    let [x, y, z] = launch.shape.cluster.map(u64::from);
    let words = match attribute {
        1 | 3 | 5 | 9 | 10 => [0, 0],
        2 => [u64::from(launch.shape.cooperative), 0],
        4 => [x | y << 32, z],
        8 => [u64::from(launch.extras.priority.unwrap_or(0) as u32), 0],
        _ => return Err(Error::INVALID_VALUE),
    };
    Ok(LaunchAttributeValue([words[0], words[1], 0, 0, 0, 0, 0, 0]))
}

fn with_attribute(launch: &Launch, id: u32, value: LaunchAttributeValue) -> Result<Work, Error> {
    let mut shape = launch.shape;
    let attribute = LaunchAttribute { id, pad: 0, value };
    let new = shape.apply(In::to(&attribute), 1)?;
    shape.check(&launch.function)?;
    let extras = Extras {
        priority: new.priority.or(launch.extras.priority),
        ..launch.extras
    };
    let params = launch.params.duplicate(launch.function.entry());
    let (function, handle) = (launch.function.clone(), launch.handle);
    Ok(Work::Kernel(Arc::new(Launch {
        function,
        handle,
        shape,
        extras,
        params,
    })))
}

abi! { SYMBOLS:
    fn cuGraphAddKernelNode(node: Out<CUgraphNode>, graph: CUgraph, after: In<CUgraphNode>, count: usize, params: In<KernelNodeParamsV1>) = "cuGraphAddKernelNode" since 10000 {
        add(node, graph, after, count, kernel(&params.get()?, None)?)
    }

    fn cuGraphAddKernelNode_v2(node: Out<CUgraphNode>, graph: CUgraph, after: In<CUgraphNode>, count: usize, params: In<KernelNodeParams>) = "cuGraphAddKernelNode" since 12000 {
        add(node, graph, after, count, kernel(&either(&params.get()?), None)?)
    }

    fn cuGraphKernelNodeGetParams(node: CUgraphNode, params: Out<KernelNodeParamsV1>) = "cuGraphKernelNodeGetParams" since 10000 {
        params.set(kernel_params(node)?)
    }

    fn cuGraphKernelNodeGetParams_v2(node: CUgraphNode, params: Out<KernelNodeParams>) = "cuGraphKernelNodeGetParams" since 12000 {
        let v1 = kernel_params(node)?;
        params.set(KernelNodeParams { v1, kernel: Handle::NULL, context: CUcontext::NULL })
    }

    fn cuGraphKernelNodeSetParams(node: CUgraphNode, params: In<KernelNodeParamsV1>) = "cuGraphKernelNodeSetParams" since 10000 {
        set_kernel(node, &params.get()?)
    }

    fn cuGraphKernelNodeSetParams_v2(node: CUgraphNode, params: In<KernelNodeParams>) = "cuGraphKernelNodeSetParams" since 12000 {
        set_kernel(node, &either(&params.get()?))
    }

    fn cuGraphKernelNodeGetAttribute(node: CUgraphNode, id: u32, value: Out<LaunchAttributeValue>) = "cuGraphKernelNodeGetAttribute" since 11000 {
        value.set(attribute(&*launch_of(node)?, id)?)
    }

    fn cuGraphKernelNodeSetAttribute(node: CUgraphNode, id: u32, value: In<LaunchAttributeValue>) = "cuGraphKernelNodeSetAttribute" since 11000 {
        node.set_work(with_attribute(&*launch_of(node)?, id, value.get()?)?)
    }

    fn cuGraphKernelNodeCopyAttributes(to: CUgraphNode, from: CUgraphNode) = "cuGraphKernelNodeCopyAttributes" since 11000 {
        let source = launch_of(from)?;
        let cluster = attribute(&source, 4)?;
        to.set_work(with_attribute(&*launch_of(to)?, 4, cluster)?)
    }

    fn cuGraphAddMemcpyNode(node: Out<CUgraphNode>, graph: CUgraph, after: In<CUgraphNode>, count: usize, params: In<Memcpy3D>, context: CUcontext) = "cuGraphAddMemcpyNode" since 10000 {
        context.get()?;
        add(node, graph, after, count, copy(params)?)
    }

    fn cuGraphMemcpyNodeGetParams(node: CUgraphNode, params: Out<Memcpy3D>) = "cuGraphMemcpyNodeGetParams" since 10000 {
        match node.vertex()?.work {
            Work::Copy(copy) => params.set(memcpy::parameters(&copy)),
            _ => Err(Error::INVALID_VALUE),
        }
    }

    fn cuGraphMemcpyNodeSetParams(node: CUgraphNode, params: In<Memcpy3D>) = "cuGraphMemcpyNodeSetParams" since 10000 {
        replace(node, copy(params)?)
    }

    fn cuGraphAddMemsetNode(node: Out<CUgraphNode>, graph: CUgraph, after: In<CUgraphNode>, count: usize, params: In<MemsetNodeParams>, context: CUcontext) = "cuGraphAddMemsetNode" since 10000 {
        context.get()?;
        add(node, graph, after, count, fill(params)?)
    }

    fn cuGraphMemsetNodeGetParams(node: CUgraphNode, params: Out<MemsetNodeParams>) = "cuGraphMemsetNodeGetParams" since 10000 {
        let Work::Fill(fill) = node.vertex()?.work else {
            return Err(Error::INVALID_VALUE);
        };
        let Fill { address, pitch, value, element, width, height } = fill;
        params.set(MemsetNodeParams { address, pitch, value, element: element as u32, width, height })
    }

    fn cuGraphMemsetNodeSetParams(node: CUgraphNode, params: In<MemsetNodeParams>) = "cuGraphMemsetNodeSetParams" since 10000 {
        replace(node, fill(params)?)
    }

    fn cuGraphAddHostNode(node: Out<CUgraphNode>, graph: CUgraph, after: In<CUgraphNode>, count: usize, params: In<HostNodeParams>) = "cuGraphAddHostNode" since 10000 {
        add(node, graph, after, count, host(params)?)
    }

    fn cuGraphHostNodeGetParams(node: CUgraphNode, params: Out<HostNodeParams>) = "cuGraphHostNodeGetParams" since 10000 {
        let Work::Host(callback) = node.vertex()?.work else {
            return Err(Error::INVALID_VALUE);
        };
        let (function, data) = callback.parts();
        params.set(HostNodeParams { function: Some(function), data })
    }

    fn cuGraphHostNodeSetParams(node: CUgraphNode, params: In<HostNodeParams>) = "cuGraphHostNodeSetParams" since 10000 {
        replace(node, host(params)?)
    }

    fn cuGraphAddChildGraphNode(node: Out<CUgraphNode>, graph: CUgraph, after: In<CUgraphNode>, count: usize, child: CUgraph) = "cuGraphAddChildGraphNode" since 10000 {
        if child == graph {
            return Err(Error::INVALID_VALUE);
        }
        let work = GraphExec::new(&*child.get()?, 0)?.as_work();
        add(node, graph, after, count, work)
    }

    fn cuGraphAddEmptyNode(node: Out<CUgraphNode>, graph: CUgraph, after: In<CUgraphNode>, count: usize) = "cuGraphAddEmptyNode" since 10000 {
        add(node, graph, after, count, Work::Empty)
    }

    fn cuGraphDestroyNode(node: CUgraphNode) = "cuGraphDestroyNode" since 10000 {
        node.destroy()
    }

    fn cuGraphNodeGetType(node: CUgraphNode, kind: Out<u32>) = "cuGraphNodeGetType" since 10000 {
        kind.set(node_type(&node.vertex()?.work))
    }

    fn cuGraphNodeGetContainingGraph(node: CUgraphNode, graph: Out<CUgraph>) = "cuGraphNodeGetContainingGraph" since 13010 {
        graph.set(node.get()?.graph)
    }
}
