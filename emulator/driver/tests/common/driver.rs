//! The driver's functions with results instead of codes, for tests that need them one by one.

// The driver is reached through C functions.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_void};

use cudarc::driver::sys::{self, CUresult};

/// Unwraps a call's result code.
#[track_caller]
pub fn ok(result: CUresult) {
    assert_eq!(result, CUresult::CUDA_SUCCESS);
}

/// Initialises the driver and makes the primary context current.
pub fn start() -> sys::CUcontext {
    let mut context = std::ptr::null_mut();
    // SAFETY: plain calls with places for their outputs.
    unsafe {
        ok(sys::cuInit(0));
        ok(sys::cuDevicePrimaryCtxRetain(&mut context, 0));
        ok(sys::cuCtxSetCurrent(context));
    }
    context
}

/// Device memory that holds the given words.
pub fn words(values: &[u32]) -> sys::CUdeviceptr {
    let (mut address, bytes) = (0, size_of_val(values));
    // SAFETY: the source is as large as said.
    unsafe {
        ok(sys::cuMemAlloc_v2(&mut address, bytes));
        ok(sys::cuMemcpyHtoD_v2(address, values.as_ptr().cast(), bytes));
    }
    address
}

/// The first words at an address.
pub fn read(address: sys::CUdeviceptr, count: usize) -> Vec<u32> {
    let mut values = vec![0u32; count];
    // SAFETY: the target is as large as said.
    unsafe {
        ok(sys::cuMemcpyDtoH_v2(
            values.as_mut_ptr().cast(),
            address,
            count * 4,
        ))
    };
    values
}

/// A stream; flag 1 makes it independent of the legacy stream.
pub fn stream(flags: u32) -> sys::CUstream {
    let mut stream = std::ptr::null_mut();
    // SAFETY: a place for the output.
    unsafe { ok(sys::cuStreamCreate(&mut stream, flags)) };
    stream
}

/// An event without timing.
pub fn event() -> sys::CUevent {
    let mut event = std::ptr::null_mut();
    // SAFETY: a place for the output.
    unsafe { ok(sys::cuEventCreate(&mut event, 2)) };
    event
}

/// A launch configuration for `cuLaunchKernelEx`.
pub fn config(
    grid: u32,
    block: u32,
    attributes: &mut [sys::CUlaunchAttribute],
) -> sys::CUlaunchConfig {
    sys::CUlaunchConfig {
        gridDimX: grid,
        gridDimY: 1,
        gridDimZ: 1,
        blockDimX: block,
        blockDimY: 1,
        blockDimZ: 1,
        sharedMemBytes: 0,
        hStream: std::ptr::null_mut(),
        attrs: attributes.as_mut_ptr(),
        numAttrs: attributes.len() as u32,
    }
}

/// A launch attribute with up to three words of value.
pub fn attribute(id: sys::CUlaunchAttributeID, words: [u32; 3]) -> sys::CUlaunchAttribute {
    // SAFETY: all zeros is a valid attribute, and its value is 64 bytes of which 12 are written.
    unsafe {
        let mut attribute: sys::CUlaunchAttribute = std::mem::zeroed();
        attribute.id = id;
        (&raw mut attribute.value).cast::<[u32; 3]>().write(words);
        attribute
    }
}

/// An exported function by name.
pub fn symbol(
    name: &CStr,
    version: i32,
    flags: u64,
) -> (*mut c_void, sys::CUdriverProcAddressQueryResult) {
    let mut pointer = std::ptr::null_mut();
    let mut status = sys::CUdriverProcAddressQueryResult::CU_GET_PROC_ADDRESS_SUCCESS;
    // SAFETY: places for both outputs.
    unsafe {
        ok(sys::cuGetProcAddress_v2(
            name.as_ptr(),
            &mut pointer,
            version,
            flags,
            &mut status,
        ))
    };
    (pointer, status)
}

/// `ptxemu_live`.
pub fn live(kind: &CStr) -> u64 {
    // SAFETY: the driver is loaded, and the function has this signature.
    unsafe {
        let live = sys::culib()
            .get::<unsafe extern "C" fn(*const std::ffi::c_char) -> u64>(b"ptxemu_live")
            .unwrap();
        live(kind.as_ptr())
    }
}

/// `ptxemu_fail`.
pub fn fail(rules: &CStr) -> u32 {
    // SAFETY: the driver is loaded, and the function has this signature.
    unsafe {
        let fail = sys::culib()
            .get::<unsafe extern "C" fn(*const std::ffi::c_char) -> u32>(b"ptxemu_fail")
            .unwrap();
        fail(rules.as_ptr())
    }
}
