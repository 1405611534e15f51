//! Executable graphs.

use std::sync::Arc;

use super::graph_node;
use crate::driver::driver;
use crate::error::{Error, Outcome};
use crate::graph_exec::GraphExec;
use crate::launch::Launch;
use crate::object;
use crate::pointer::{Host, In, Out};
use crate::stream;
use crate::types::{
    CUcontext, CUgraph, CUgraphExec, CUgraphNode, CUstream, GraphExecUpdateResult,
    GraphInstantiateParams, HostNodeParams, KernelNodeParams, KernelNodeParamsV1, Memcpy3D,
    MemsetNodeParams,
};
use crate::work::Work;

/// `CUgraphInstantiate_flags`: automatic free, upload, device launch, node priorities.
const AUTO_FREE: u64 = 1;
const DEVICE_LAUNCH: u64 = 4;
const FLAGS: u64 = 15;

fn instantiate(out: Out<CUgraphExec>, graph: CUgraph, flags: u64) -> Outcome {
    driver()?;
    if out.is_null()
        || flags & !FLAGS != 0
        || flags & (AUTO_FREE | DEVICE_LAUNCH) == AUTO_FREE | DEVICE_LAUNCH
    {
        return Err(Error::INVALID_VALUE);
    }
    if flags & DEVICE_LAUNCH != 0 {
        return Err(Error::NOT_SUPPORTED);
    }
    let exec = GraphExec::new(&*graph.get()?, flags)?;
    out.set(object::add(exec))
}

fn set_kernel(exec: CUgraphExec, node: CUgraphNode, params: &KernelNodeParamsV1) -> Outcome {
    let exec = exec.get()?;
    let earlier: Arc<Launch> = match exec.work(node.bits())? {
        Work::Kernel(launch) => launch,
        _ => return Err(Error::INVALID_VALUE),
    };
    exec.set_work(node.bits(), graph_node::kernel(params, Some(&earlier))?)
}

fn update(exec: CUgraphExec, graph: CUgraph) -> Result<GraphExecUpdateResult, Error> {
    let (exec, graph) = (exec.get()?, graph.get()?);
    let none = CUgraphNode::NULL;
    Ok(match exec.update(&graph) {
        Ok(()) => GraphExecUpdateResult {
            result: 0,
            error_node: none,
            error_from: none,
        },
        Err(misfit) => GraphExecUpdateResult {
            result: misfit.result,
            error_node: CUgraphNode::from_bits(misfit.node),
            error_from: none,
        },
    })
}

fn verdict(result: u32) -> Outcome {
    if result == 0 {
        Ok(())
    } else {
        Err(Error::GRAPH_EXEC_UPDATE_FAILURE)
    }
}

abi! { SYMBOLS:
    fn cuGraphInstantiate(exec: Out<CUgraphExec>, graph: CUgraph, node: Out<CUgraphNode>, log: Host, size: usize) = "cuGraphInstantiate" since 10000 {
        let _ = (node, log, size);
        instantiate(exec, graph, 0)
    }

    fn cuGraphInstantiate_v2(exec: Out<CUgraphExec>, graph: CUgraph, node: Out<CUgraphNode>, log: Host, size: usize) = "cuGraphInstantiate" since 11000 {
        let _ = (node, log, size);
        instantiate(exec, graph, 0)
    }

    fn cuGraphInstantiateWithFlags(exec: Out<CUgraphExec>, graph: CUgraph, flags: u64) = "cuGraphInstantiateWithFlags" since 11040 {
        instantiate(exec, graph, flags)
    }

    fn cuGraphExecGetFlags(exec: CUgraphExec, flags: Out<u64>) = "cuGraphExecGetFlags" since 12000 {
        flags.set(exec.get()?.flags)
    }

    fn cuGraphExecDestroy(exec: CUgraphExec) = "cuGraphExecDestroy" since 10000 {
        driver()?;
        object::remove(exec).map(|_| ())
    }

    fn cuGraphExecKernelNodeSetParams(exec: CUgraphExec, node: CUgraphNode, params: In<KernelNodeParamsV1>) = "cuGraphExecKernelNodeSetParams" since 10010 {
        set_kernel(exec, node, &params.get()?)
    }

    fn cuGraphExecKernelNodeSetParams_v2(exec: CUgraphExec, node: CUgraphNode, params: In<KernelNodeParams>) = "cuGraphExecKernelNodeSetParams" since 12000 {
        set_kernel(exec, node, &graph_node::either(&params.get()?))
    }

    fn cuGraphExecMemcpyNodeSetParams(exec: CUgraphExec, node: CUgraphNode, params: In<Memcpy3D>, context: CUcontext) = "cuGraphExecMemcpyNodeSetParams" since 10020 {
        context.get()?;
        exec.get()?.set_work(node.bits(), graph_node::copy(params)?)
    }

    fn cuGraphExecMemsetNodeSetParams(exec: CUgraphExec, node: CUgraphNode, params: In<MemsetNodeParams>, context: CUcontext) = "cuGraphExecMemsetNodeSetParams" since 10020 {
        context.get()?;
        exec.get()?.set_work(node.bits(), graph_node::fill(params)?)
    }

    fn cuGraphExecHostNodeSetParams(exec: CUgraphExec, node: CUgraphNode, params: In<HostNodeParams>) = "cuGraphExecHostNodeSetParams" since 10020 {
        exec.get()?.set_work(node.bits(), graph_node::host(params)?)
    }

    fn cuGraphExecUpdate(exec: CUgraphExec, graph: CUgraph, node: Out<CUgraphNode>, result: Out<u32>) = "cuGraphExecUpdate" since 10020 {
        let info = update(exec, graph)?;
        node.set_if_wanted(info.error_node);
        result.set(info.result)?;
        verdict(info.result)
    }

    fn cuGraphExecUpdate_v2(exec: CUgraphExec, graph: CUgraph, result: Out<GraphExecUpdateResult>) = "cuGraphExecUpdate" since 12000 {
        let info = update(exec, graph)?;
        result.set(info)?;
        verdict(info.result)
    }

    fn cuGraphNodeSetEnabled(exec: CUgraphExec, node: CUgraphNode, enabled: u32) = "cuGraphNodeSetEnabled" since 11060 {
        exec.get()?.set_enabled(node.bits(), enabled != 0)
    }

    fn cuGraphNodeGetEnabled(exec: CUgraphExec, node: CUgraphNode, enabled: Out<u32>) = "cuGraphNodeGetEnabled" since 11060 {
        enabled.set(u32::from(exec.get()?.is_enabled(node.bits())?))
    }
}

abi! { STREAM_SYMBOLS |null|:
    fn cuGraphInstantiateWithParams / cuGraphInstantiateWithParams_ptsz(exec: Out<CUgraphExec>, graph: CUgraph, params: Out<GraphInstantiateParams>) = "cuGraphInstantiateWithParams" since 12000 {
        let _ = null;
        let mut info = params.as_in().get()?;
        let outcome = instantiate(exec, graph, info.flags);
        // CUDA_GRAPH_INSTANTIATE_SUCCESS or _ERROR.
        info.result = u32::from(outcome.is_err());
        info.error_node = CUgraphNode::NULL;
        params.set(info)?;
        outcome
    }

    fn cuGraphUpload / cuGraphUpload_ptsz(exec: CUgraphExec, stream: CUstream) = "cuGraphUpload" since 11010 {
        stream::resolve(stream, null)?;
        exec.get().map(|_| ())
    }

    fn cuGraphLaunch / cuGraphLaunch_ptsz(exec: CUgraphExec, stream: CUstream) = "cuGraphLaunch" since 10000 {
        driver()?;
        stream::with(stream, null, |stream| exec.with(|exec| exec.launch(stream))?)
    }
}
