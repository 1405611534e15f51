//! The C structures that cross the ABI (`cuda.h`), each with its size checked.

use std::ffi::c_void;

use crate::context::Context;
use crate::event::Event;
use crate::graph::{Graph, Node};
use crate::graph_exec::GraphExec;
use crate::kernel::Function;
use crate::memory_pool::Pool;
use crate::module::Module;
use crate::pointer::{Handle, Host, In, Name, Out};
use crate::stream::Stream;

pub(crate) type CUdevice = i32;
pub(crate) type CUdeviceptr = u64;
pub(crate) type CUcontext = Handle<Context>;
pub(crate) type CUmodule = Handle<Module>;
pub(crate) type CUfunction = Handle<Function>;
pub(crate) type CUstream = Handle<Stream>;
pub(crate) type CUevent = Handle<Event>;
pub(crate) type CUgraph = Handle<Graph>;
pub(crate) type CUgraphNode = Handle<Node>;
pub(crate) type CUgraphExec = Handle<GraphExec>;
pub(crate) type CUmemoryPool = Handle<Pool>;
pub(crate) type HostFn = Option<extern "C" fn(*mut c_void)>;

/// `CUuuid`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Uuid(pub [u8; 16]);

/// `CUtensorMap`: opaque. Callers align it to 64 bytes at least, which is not relied on here.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct TensorMapBytes(pub [u8; 128]);

/// `CUlaunchAttribute`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct LaunchAttribute {
    pub id: u32,
    pub pad: u32,
    pub value: LaunchAttributeValue,
}

/// `CUlaunchAttributeValue`: a union, as words.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct LaunchAttributeValue(pub [u64; 8]);

/// `CUlaunchConfig`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct LaunchConfig {
    pub grid: [u32; 3],
    pub block: [u32; 3],
    pub shared: u32,
    pub stream: CUstream,
    pub attributes: In<LaunchAttribute>,
    pub attribute_count: u32,
}

/// `CUDA_KERNEL_NODE_PARAMS_v1`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct KernelNodeParamsV1 {
    pub function: CUfunction,
    pub grid: [u32; 3],
    pub block: [u32; 3],
    pub shared: u32,
    pub params: In<Host>,
    pub extra: In<usize>,
}

/// `CUDA_KERNEL_NODE_PARAMS_v2`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct KernelNodeParams {
    pub v1: KernelNodeParamsV1,
    pub kernel: CUfunction,
    pub context: CUcontext,
}

/// `CUDA_MEMSET_NODE_PARAMS`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct MemsetNodeParams {
    pub address: CUdeviceptr,
    pub pitch: usize,
    pub value: u32,
    pub element: u32,
    pub width: usize,
    pub height: usize,
}

/// One end of `CUDA_MEMCPY3D`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Memcpy3DSide {
    pub x: usize,
    pub y: usize,
    pub z: usize,
    pub lod: usize,
    pub kind: u32,
    pub host: Host,
    pub device: CUdeviceptr,
    pub array: usize,
    pub reserved: usize,
    pub pitch: usize,
    pub height: usize,
}

/// `CUDA_MEMCPY3D`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Memcpy3D {
    pub source: Memcpy3DSide,
    pub target: Memcpy3DSide,
    pub width: usize,
    pub height: usize,
    pub depth: usize,
}

/// One end of `CUDA_MEMCPY2D`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Memcpy2DSide {
    pub x: usize,
    pub y: usize,
    pub kind: u32,
    pub host: Host,
    pub device: CUdeviceptr,
    pub array: usize,
    pub pitch: usize,
}

/// `CUDA_MEMCPY2D`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Memcpy2D {
    pub source: Memcpy2DSide,
    pub target: Memcpy2DSide,
    pub width: usize,
    pub height: usize,
}

/// `CUDA_HOST_NODE_PARAMS`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct HostNodeParams {
    pub function: HostFn,
    pub data: Host,
}

/// `CUDA_GRAPH_INSTANTIATE_PARAMS`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct GraphInstantiateParams {
    pub flags: u64,
    pub upload: CUstream,
    pub error_node: CUgraphNode,
    pub result: u32,
}

/// `CUgraphExecUpdateResultInfo`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct GraphExecUpdateResult {
    pub result: u32,
    pub error_node: CUgraphNode,
    pub error_from: CUgraphNode,
}

/// `CUgraphEdgeData`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct EdgeData(pub [u8; 8]);

/// `CUmemPoolProps`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct MemPoolProps {
    pub allocation: u32,
    pub handles: u32,
    pub location_kind: u32,
    pub location: i32,
    pub security: usize,
    pub max_size: usize,
    pub reserved: [u64; 7],
}

/// `CUdevprop`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct DevProp(pub [i32; 14]);

const _: () = {
    use std::mem::size_of;
    assert!(size_of::<LaunchAttribute>() == 72);
    assert!(size_of::<LaunchConfig>() == 56);
    assert!(size_of::<KernelNodeParamsV1>() == 56);
    assert!(size_of::<KernelNodeParams>() == 72);
    assert!(size_of::<MemsetNodeParams>() == 40);
    assert!(size_of::<Memcpy3DSide>() == 88);
    assert!(size_of::<Memcpy3D>() == 200);
    assert!(size_of::<Memcpy2D>() == 128);
    assert!(size_of::<HostNodeParams>() == 16);
    assert!(size_of::<GraphInstantiateParams>() == 32);
    assert!(size_of::<GraphExecUpdateResult>() == 24);
    assert!(size_of::<MemPoolProps>() == 88);
    assert!(size_of::<CUstream>() == 8 && size_of::<Name>() == 8 && size_of::<Out<u8>>() == 8);
};

#[cfg(test)]
mod tests {
    use super::*;
    use cudarc::driver::sys;
    use std::mem::{offset_of, size_of};

    /// Compares size and field offsets of a structure with those generated from NVIDIA's header.
    macro_rules! same {
        ($ours:ty, $theirs:ty: $($our:ident$(.$inner:ident)* = $their:ident),* $(,)?) => {
            assert_eq!(size_of::<$ours>(), size_of::<$theirs>(), stringify!($ours));
            $(assert_eq!(
                offset_of!($ours, $our$(.$inner)*),
                offset_of!($theirs, $their),
                concat!(stringify!($ours), ".", stringify!($our))
            );)*
        };
    }

    #[test]
    fn layouts_are_those_of_the_header() {
        same!(Uuid, sys::CUuuid:);
        same!(TensorMapBytes, sys::CUtensorMap:);
        same!(LaunchAttribute, sys::CUlaunchAttribute: id = id, value = value);
        same!(LaunchConfig, sys::CUlaunchConfig: grid = gridDimX, block = blockDimX, shared = sharedMemBytes,
            stream = hStream, attributes = attrs, attribute_count = numAttrs);
        same!(KernelNodeParamsV1, sys::CUDA_KERNEL_NODE_PARAMS_v1: function = func, grid = gridDimX,
            block = blockDimX, shared = sharedMemBytes, params = kernelParams, extra = extra);
        same!(KernelNodeParams, sys::CUDA_KERNEL_NODE_PARAMS_v2: v1.function = func, v1.grid = gridDimX,
            v1.block = blockDimX, v1.shared = sharedMemBytes, v1.params = kernelParams, v1.extra = extra,
            kernel = kern, context = ctx);
        same!(MemsetNodeParams, sys::CUDA_MEMSET_NODE_PARAMS: address = dst, pitch = pitch, value = value,
            element = elementSize, width = width, height = height);
        same!(Memcpy3D, sys::CUDA_MEMCPY3D: source.x = srcXInBytes, source.y = srcY, source.z = srcZ,
            source.lod = srcLOD, source.kind = srcMemoryType, source.host = srcHost, source.device = srcDevice,
            source.array = srcArray, source.pitch = srcPitch, source.height = srcHeight, target.x = dstXInBytes,
            target.kind = dstMemoryType, target.host = dstHost, target.device = dstDevice, target.pitch = dstPitch,
            target.height = dstHeight, width = WidthInBytes, height = Height, depth = Depth);
        same!(Memcpy2D, sys::CUDA_MEMCPY2D: source.x = srcXInBytes, source.y = srcY, source.kind = srcMemoryType,
            source.host = srcHost, source.device = srcDevice, source.array = srcArray, source.pitch = srcPitch,
            target.x = dstXInBytes, target.kind = dstMemoryType, target.pitch = dstPitch, width = WidthInBytes,
            height = Height);
        same!(HostNodeParams, sys::CUDA_HOST_NODE_PARAMS: function = fn_, data = userData);
        same!(GraphInstantiateParams, sys::CUDA_GRAPH_INSTANTIATE_PARAMS: flags = flags, upload = hUploadStream,
            error_node = hErrNode_out, result = result_out);
        same!(GraphExecUpdateResult, sys::CUgraphExecUpdateResultInfo: result = result, error_node = errorNode,
            error_from = errorFromNode);
        same!(EdgeData, sys::CUgraphEdgeData:);
        same!(MemPoolProps, sys::CUmemPoolProps: allocation = allocType, handles = handleTypes,
            location_kind = location, security = win32SecurityAttributes, max_size = maxSize);
        same!(DevProp, sys::CUdevprop:);
    }
}
