//! The entry points of libcuda, found once, each call checked.
//!
//! Types and the library's handle are `cudarc::driver::sys`. The functions themselves are looked up here, for two
//! reasons: cudarc panics where a driver is too old to have one, and it takes results as a Rust `enum`, which a newer
//! driver's codes would leave undefined.

use std::ffi::{CStr, c_char, c_int, c_uint, c_ulonglong, c_void};
use std::fmt;
use std::sync::OnceLock;

use cudarc::driver::sys::{
    self, CUcontext, CUdevice, CUdevice_attribute, CUdeviceptr, CUevent, CUfunction,
    CUfunction_attribute, CUgraph, CUgraphEdgeData, CUgraphExec, CUgraphNode, CUjit_option,
    CUlaunchConfig, CUmodule, CUstream, CUstreamCaptureMode, CUtensorMap, CUtensorMapDataType,
    CUtensorMapFloatOOBfill, CUtensorMapInterleave, CUtensorMapL2promotion, CUtensorMapSwizzle,
};

use super::error::Error;

/// A driver call that did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallError {
    /// The function of the driver API.
    pub call: &'static str,
    /// The `CUresult`.
    pub code: u32,
}

/// Declares the table of entry points, and for each a method of its name that turns a result code into a [`CallError`].
macro_rules! entry_points {
    (
        required { $($name:ident($($arg:ident: $type:ty),* $(,)?);)* }
        optional { $($maybe:ident($($maybe_arg:ident: $maybe_type:ty),* $(,)?);)* }
    ) => {
        /// Every entry point in use.
        #[allow(non_snake_case)]
        pub(super) struct Driver {
            $($name: unsafe extern "C" fn($($type),*) -> u32,)*
            $($maybe: Option<unsafe extern "C" fn($($maybe_type),*) -> u32>,)*
        }

        impl Driver {
            fn find(find: &Finder) -> Result<Self, Error> {
                // SAFETY: the types are those of the driver API's headers, under the names with their version suffix.
                unsafe {
                    Ok(Driver {
                        $($name: find.required(stringify!($name))?,)*
                        $($maybe: find.optional(stringify!($maybe)),)*
                    })
                }
            }
        }

        #[allow(non_snake_case, clippy::too_many_arguments)]
        impl Driver {
            $(
                /// # Safety
                /// As the driver API documents.
                #[inline]
                pub(super) unsafe fn $name(&self, $($arg: $type),*) -> Result<(), CallError> {
                    // SAFETY: the caller's promise.
                    check(stringify!($name), unsafe { (self.$name)($($arg),*) })
                }
            )*
            $(
                /// `None` if the driver is too old to have it.
                ///
                /// # Safety
                /// As the driver API documents.
                #[inline]
                pub(super) unsafe fn $maybe(&self, $($maybe_arg: $maybe_type),*) -> Option<Result<(), CallError>> {
                    // SAFETY: the caller's promise.
                    self.$maybe.map(|f| check(stringify!($maybe), unsafe { f($($maybe_arg),*) }))
                }
            )*
        }
    };
}

entry_points! {
    required {
        cuInit(flags: c_uint);
        cuDriverGetVersion(version: *mut c_int);
        cuGetErrorName(code: u32, name: *mut *const c_char);
        cuGetErrorString(code: u32, text: *mut *const c_char);
        cuDeviceGetCount(count: *mut c_int);
        cuDeviceGet(device: *mut CUdevice, ordinal: c_int);
        cuDeviceGetName(name: *mut c_char, length: c_int, device: CUdevice);
        cuDeviceGetAttribute(value: *mut c_int, attribute: CUdevice_attribute, device: CUdevice);
        cuDeviceTotalMem_v2(bytes: *mut usize, device: CUdevice);
        cuDevicePrimaryCtxRetain(context: *mut CUcontext, device: CUdevice);
        cuDevicePrimaryCtxRelease_v2(device: CUdevice);
        cuCtxGetCurrent(context: *mut CUcontext);
        cuCtxSetCurrent(context: CUcontext);
        cuCtxPushCurrent_v2(context: CUcontext);
        cuCtxPopCurrent_v2(context: *mut CUcontext);
        cuThreadExchangeStreamCaptureMode(mode: *mut CUstreamCaptureMode);
        cuModuleLoadDataEx(
            module: *mut CUmodule,
            image: *const c_void,
            options: c_uint,
            names: *mut CUjit_option,
            values: *mut *mut c_void,
        );
        cuModuleUnload(module: CUmodule);
        cuModuleGetFunction(function: *mut CUfunction, module: CUmodule, name: *const c_char);
        cuFuncSetAttribute(function: CUfunction, attribute: CUfunction_attribute, value: c_int);
        cuTensorMapEncodeTiled(
            map: *mut CUtensorMap,
            element: CUtensorMapDataType,
            rank: u32,
            address: *mut c_void,
            dims: *const u64,
            strides: *const u64,
            tile: *const u32,
            element_strides: *const u32,
            interleave: CUtensorMapInterleave,
            swizzle: CUtensorMapSwizzle,
            promotion: CUtensorMapL2promotion,
            fill: CUtensorMapFloatOOBfill,
        );
        cuTensorMapReplaceAddress(map: *mut CUtensorMap, address: *mut c_void);
        cuLaunchKernelEx(
            config: *const CUlaunchConfig,
            function: CUfunction,
            parameters: *mut *mut c_void,
            extra: *mut *mut c_void,
        );
        cuStreamCreate(stream: *mut CUstream, flags: c_uint);
        cuStreamDestroy_v2(stream: CUstream);
        cuStreamSynchronize(stream: CUstream);
        cuStreamWaitEvent(stream: CUstream, event: CUevent, flags: c_uint);
        cuStreamIsCapturing(stream: CUstream, status: *mut c_uint);
        cuStreamBeginCapture_v2(stream: CUstream, mode: CUstreamCaptureMode);
        cuStreamEndCapture(stream: CUstream, graph: *mut CUgraph);
        cuGraphGetNodes(graph: CUgraph, nodes: *mut CUgraphNode, count: *mut usize);
        cuGraphDestroy(graph: CUgraph);
        cuGraphInstantiateWithFlags(exec: *mut CUgraphExec, graph: CUgraph, flags: c_ulonglong);
        cuGraphExecDestroy(exec: CUgraphExec);
        cuGraphExecKernelNodeSetParams_v2(
            exec: CUgraphExec,
            node: CUgraphNode,
            parameters: *const sys::CUDA_KERNEL_NODE_PARAMS,
        );
        cuGraphLaunch(exec: CUgraphExec, stream: CUstream);
        cuMemAlloc_v2(address: *mut CUdeviceptr, bytes: usize);
        cuMemFree_v2(address: CUdeviceptr);
        cuMemAllocHost_v2(memory: *mut *mut c_void, bytes: usize);
        cuMemFreeHost(memory: *mut c_void);
        cuMemcpyHtoDAsync_v2(to: CUdeviceptr, from: *const c_void, bytes: usize, stream: CUstream);
        cuMemcpyDtoHAsync_v2(to: *mut c_void, from: CUdeviceptr, bytes: usize, stream: CUstream);
        cuMemcpyDtoDAsync_v2(to: CUdeviceptr, from: CUdeviceptr, bytes: usize, stream: CUstream);
        cuMemsetD8Async(address: CUdeviceptr, value: u8, bytes: usize, stream: CUstream);
        cuEventCreate(event: *mut CUevent, flags: c_uint);
        cuEventDestroy_v2(event: CUevent);
        cuEventRecord(event: CUevent, stream: CUstream);
        cuEventSynchronize(event: CUevent);
        cuEventQuery(event: CUevent);
        cuEventElapsedTime(milliseconds: *mut f32, start: CUevent, end: CUevent);
    }
    optional {
        cuFuncGetParamInfo(function: CUfunction, index: usize, offset: *mut usize, bytes: *mut usize);
        cuStreamGetCaptureInfo_v2(
            stream: CUstream,
            status: *mut c_uint,
            id: *mut u64,
            graph: *mut CUgraph,
            nodes: *mut *const CUgraphNode,
            count: *mut usize,
        );
        cuStreamGetCaptureInfo_v3(
            stream: CUstream,
            status: *mut c_uint,
            id: *mut u64,
            graph: *mut CUgraph,
            nodes: *mut *const CUgraphNode,
            edges: *mut *const CUgraphEdgeData,
            count: *mut usize,
        );
    }
}

static DRIVER: OnceLock<Driver> = OnceLock::new();

impl Driver {
    /// The driver of this process, loaded at the first call that succeeds.
    ///
    /// # Errors
    /// [`Error::NoDriver`] if there is no libcuda, [`Error::OldDriver`] if it lacks an entry point.
    pub(super) fn get() -> Result<&'static Driver, Error> {
        if let Some(driver) = DRIVER.get() {
            return Ok(driver);
        }
        // SAFETY: loading libcuda runs its initialisers, which is what everyone who uses CUDA asks for.
        if !unsafe { sys::is_culib_present() } {
            return Err(Error::NoDriver);
        }
        let driver = Driver::find(&Finder)?;
        Ok(DRIVER.get_or_init(|| driver))
    }
}

impl Driver {
    /// Whether libcuda is the emulated one, which has functions of its own.
    pub(super) fn is_emulated(&self) -> bool {
        // SAFETY: only asked for, never called.
        unsafe { Finder.optional::<unsafe extern "C" fn()>("ptxemu_live") }.is_some()
    }
}

/// Symbols of the loaded library.
struct Finder;

impl Finder {
    /// # Safety
    /// `F` must be the type of the function of that name.
    unsafe fn optional<F: Copy>(&self, name: &str) -> Option<F> {
        // SAFETY: `is_culib_present` has been asked, so there is a library; the type is the caller's promise.
        unsafe { sys::culib().get::<F>(name.as_bytes()) }
            .ok()
            .map(|symbol| *symbol)
    }

    /// # Safety
    /// `F` must be the type of the function of that name.
    unsafe fn required<F: Copy>(&self, name: &'static str) -> Result<F, Error> {
        // SAFETY: the caller's promise.
        unsafe { self.optional(name) }.ok_or(Error::OldDriver { lacks: name })
    }
}

#[inline]
fn check(call: &'static str, code: u32) -> Result<(), CallError> {
    if code == 0 {
        Ok(())
    } else {
        Err(CallError { call, code })
    }
}

impl CallError {
    /// Whether the driver gave this result.
    pub(super) fn is(self, code: sys::CUresult) -> bool {
        self.code == code as u32
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |get: fn(&Driver, u32, *mut *const c_char) -> Result<(), CallError>| {
            let mut text = std::ptr::null();
            get(DRIVER.get()?, self.code, &mut text).ok()?;
            // SAFETY: on success the driver gives a string that lives as long as it does.
            (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_string_lossy())
        };
        // SAFETY: both write one pointer to where they are told.
        let name = text(|driver, code, to| unsafe { driver.cuGetErrorName(code, to) });
        let words = text(|driver, code, to| unsafe { driver.cuGetErrorString(code, to) });
        let name = name.unwrap_or("a code that it has no name for".into());
        let words = words.unwrap_or("no description".into());
        write!(f, "{} returned {} ({name}: {words})", self.call, self.code)
    }
}
