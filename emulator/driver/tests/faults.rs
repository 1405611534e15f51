//! Kernel faults: the launch succeeds, the error comes later, and it stays.

// The driver is reached through C functions.
#![allow(unsafe_code)]

mod common;

use std::ffi::CStr;

use common::driver::{ok, read, start, words};
use common::raw::{self, Kernel, params};
use common::with_driver;
use cudarc::driver::sys::{self, CUresult};

const FAULTS: &CStr = raw::text(concat!(include_str!("ptx/faults.ptx"), "\0"));

fn run(name: &CStr) -> CUresult {
    start();
    let kernel = Kernel::load(FAULTS, name).unwrap();
    let p = words(&[0; 4]);
    let launched = kernel.launch(std::ptr::null_mut(), [1; 3], [1; 3], &mut params![p]);
    assert_eq!(launched, Ok(()), "the launch itself is in order");
    // SAFETY: no arguments.
    let first = unsafe { sys::cuCtxSynchronize() };
    let mut q = 0;
    // SAFETY: a place for the output.
    let second = unsafe { sys::cuMemAlloc_v2(&mut q, 16) };
    assert_eq!(first, second, "the error stays");
    first
}

fn report(name: &str) -> String {
    let path = std::env::var("PTXEMU_REPORT").unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert!(text.contains(name), "{text}");
    text
}

fn in_child(test: &str, body: fn()) {
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{test}.report"));
    with_driver(test, &[("PTXEMU_REPORT", path.to_str().unwrap())], body);
}

#[test]
fn out_of_bounds() {
    in_child("out_of_bounds", || {
        assert_eq!(run(c"out_of_bounds"), CUresult::CUDA_ERROR_ILLEGAL_ADDRESS);
        let text = report("out_of_bounds");
        assert!(
            text.contains("line 10") && text.contains("out of bounds"),
            "{text}"
        );
    });
}

#[test]
fn misaligned() {
    in_child("misaligned", || {
        assert_eq!(run(c"misaligned"), CUresult::CUDA_ERROR_MISALIGNED_ADDRESS);
        assert!(report("misaligned").contains("line 19"));
    });
}

#[test]
fn deadlock() {
    in_child("deadlock", || {
        assert_eq!(run(c"deadlock"), CUresult::CUDA_ERROR_LAUNCH_TIMEOUT);
        assert!(report("deadlock").contains("deadlock"));
    });
}

#[test]
fn trap() {
    in_child("trap", || {
        assert_eq!(run(c"trapped"), CUresult::CUDA_ERROR_LAUNCH_FAILED);
        assert!(report("trapped").contains("trap"));
    });
}

#[test]
fn a_reset_brings_the_device_back() {
    in_child("a_reset_brings_the_device_back", || {
        assert_eq!(run(c"trapped"), CUresult::CUDA_ERROR_LAUNCH_FAILED);
        // SAFETY: plain calls.
        unsafe {
            ok(sys::cuDevicePrimaryCtxReset_v2(0));
            assert_eq!(
                sys::cuCtxSynchronize(),
                CUresult::CUDA_ERROR_INVALID_CONTEXT
            );
        }
        start();
        let p = words(&[1, 2, 3]);
        assert_eq!(read(p, 3), [1, 2, 3]);
    });
}
