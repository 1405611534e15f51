//! `cuGetProcAddress`: which function a name and a version lead to.

// The driver is reached through C functions.
#![allow(unsafe_code)]

mod common;

use std::ffi::{CStr, c_void};

use common::driver::{ok, symbol};
use common::with_driver;
use cudarc::driver::sys::{self, CUdriverProcAddressQueryResult as Query, CUresult};

fn exported(name: &CStr) -> *mut c_void {
    // SAFETY: the driver is loaded, and only the address is used.
    unsafe {
        *sys::culib()
            .get::<*mut c_void>(name.to_bytes_with_nul())
            .unwrap()
    }
}

const FOUND: Query = Query::CU_GET_PROC_ADDRESS_SUCCESS;
const ABSENT: Query = Query::CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND;
const TOO_NEW: Query = Query::CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT;

#[test]
fn versions() {
    with_driver("versions", &[("PTXEMU_DRIVER_VERSION", "12.8")], || {
        for (name, version, expected) in [
            (c"cuCtxCreate", 4000, Some(c"cuCtxCreate_v2")),
            (c"cuCtxCreate", 12000, Some(c"cuCtxCreate_v3")),
            (c"cuCtxCreate", 12080, Some(c"cuCtxCreate_v4")),
            (c"cuMemAlloc", 12080, Some(c"cuMemAlloc_v2")),
            (c"cuMemAlloc", 13050, Some(c"cuMemAlloc_v2")),
            (c"cuGetProcAddress", 12080, Some(c"cuGetProcAddress_v2")),
            (c"cuCtxSynchronize", 13000, Some(c"cuCtxSynchronize")),
            (c"cuLaunchKernelEx", 11000, None),
            (c"cuFuncGetParamCount", 13020, None),
        ] {
            let (pointer, status) = symbol(name, version, 0);
            let wanted = expected.map_or(std::ptr::null_mut(), exported);
            assert_eq!(
                (pointer, status),
                (wanted, if expected.is_some() { FOUND } else { TOO_NEW }),
                "{name:?} {version}"
            );
        }
        assert_eq!(
            symbol(c"cuNoSuchThing", 12080, 0),
            (std::ptr::null_mut(), ABSENT)
        );
        let mut pointer = std::ptr::null_mut();
        let status = std::ptr::null_mut();
        // SAFETY: a place for the output.
        unsafe {
            let result =
                sys::cuGetProcAddress_v2(c"cuNoSuchThing".as_ptr(), &mut pointer, 12080, 0, status);
            assert_eq!(result, CUresult::CUDA_ERROR_NOT_FOUND);
            ok(sys::cuGetProcAddress_v2(
                c"cuInit".as_ptr(),
                &mut pointer,
                12080,
                0,
                status,
            ));
        }
        assert_eq!(pointer, exported(c"cuInit"));
    });
}

#[test]
fn default_streams() {
    with_driver("default_streams", &[], || {
        for (flags, kernel, copy) in [
            (0, c"cuLaunchKernel", c"cuMemcpyHtoD_v2"),
            (1, c"cuLaunchKernel", c"cuMemcpyHtoD_v2"),
            (2, c"cuLaunchKernel_ptsz", c"cuMemcpyHtoD_v2_ptds"),
        ] {
            assert_eq!(symbol(c"cuLaunchKernel", 12080, flags).0, exported(kernel));
            assert_eq!(symbol(c"cuMemcpyHtoD", 12080, flags).0, exported(copy));
            assert_eq!(symbol(c"cuInit", 12080, flags).0, exported(c"cuInit"));
        }
    });
}

#[test]
fn errors_have_names() {
    with_driver("errors_have_names", &[], || {
        use cudarc::driver::DriverError;
        for (error, name, text) in [
            (CUresult::CUDA_SUCCESS, "CUDA_SUCCESS", "no error"),
            (
                CUresult::CUDA_ERROR_OUT_OF_MEMORY,
                "CUDA_ERROR_OUT_OF_MEMORY",
                "out of memory",
            ),
            (
                CUresult::CUDA_ERROR_UNKNOWN,
                "CUDA_ERROR_UNKNOWN",
                "unknown error",
            ),
        ] {
            let error = DriverError(error);
            assert_eq!(error.error_name().unwrap().to_str(), Ok(name));
            assert_eq!(error.error_string().unwrap().to_str(), Ok(text));
        }
    });
}
