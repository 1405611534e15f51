//! Failures on demand, counts of live objects, and bad environments.

// The driver is reached through C functions.
#![allow(unsafe_code)]

mod common;

use std::ffi::CStr;
use std::ptr::null_mut;

use common::driver::{event, fail, live, ok, start, stream, words};
use common::raw::{self, Kernel, params};
use common::with_driver;
use cudarc::driver::sys::{self, CUresult};

const VECTOR_ADD: &CStr = raw::text(concat!(include_str!("ptx/vector_add.ptx"), "\0"));

fn allocate() -> CUresult {
    let mut p = 0;
    // SAFETY: a place for the output.
    unsafe { sys::cuMemAlloc_v2(&mut p, 64) }
}

#[test]
fn the_nth_call_fails() {
    let rules = "cuMemAlloc:2:CUDA_ERROR_OUT_OF_MEMORY,cuModuleLoadDataEx:1+:INVALID_PTX";
    with_driver("the_nth_call_fails", &[("PTXEMU_FAIL", rules)], || {
        start();
        let results: Vec<_> = (0..3).map(|_| allocate()).collect();
        let success = CUresult::CUDA_SUCCESS;
        assert_eq!(
            results,
            [success, CUresult::CUDA_ERROR_OUT_OF_MEMORY, success]
        );
        assert_eq!(live(c"allocations"), 2);
        for _ in 0..2 {
            assert_eq!(
                raw::load_text(VECTOR_ADD).unwrap_err().error,
                CUresult::CUDA_ERROR_INVALID_PTX
            );
        }
        assert_eq!(fail(c""), 0);
        assert!(raw::load_text(VECTOR_ADD).is_ok());
        assert_eq!(fail(c"cuMemAlloc:nonsense"), 1);
    });
}

#[test]
fn initialisation_can_fail() {
    with_driver(
        "initialisation_can_fail",
        &[("PTXEMU_FAIL", "cuInit:1:CUDA_ERROR_SYSTEM_NOT_READY")],
        || {
            // SAFETY: a plain call.
            let results = unsafe { [sys::cuInit(0), sys::cuInit(0)] };
            assert_eq!(
                results,
                [
                    CUresult::CUDA_ERROR_SYSTEM_NOT_READY,
                    CUresult::CUDA_SUCCESS
                ]
            );
        },
    );
}

/// A whole session; what it creates it ends, whatever fails.
fn session() -> Result<(), CUresult> {
    struct Guard(Vec<Box<dyn FnOnce()>>);
    impl Drop for Guard {
        fn drop(&mut self) {
            // The calls of the end are not the ones to fail.
            fail(c"");
            while let Some(end) = self.0.pop() {
                end();
            }
        }
    }
    let mut guard = Guard(Vec::new());
    let (mut context, mut stream, mut event, mut p) = (null_mut(), null_mut(), null_mut(), 0);
    // SAFETY: places for all outputs; everything is alive while it is used.
    unsafe {
        let check = |result: CUresult| result.result().map_err(|e| e.0);
        check(sys::cuInit(0))?;
        check(sys::cuDevicePrimaryCtxRetain(&mut context, 0))?;
        guard
            .0
            .push(Box::new(|| ok(sys::cuDevicePrimaryCtxRelease_v2(0))));
        check(sys::cuCtxSetCurrent(context))?;
        check(sys::cuStreamCreate(&mut stream, 1))?;
        guard
            .0
            .push(Box::new(move || ok(sys::cuStreamDestroy_v2(stream))));
        check(sys::cuEventCreate(&mut event, 0))?;
        guard
            .0
            .push(Box::new(move || ok(sys::cuEventDestroy_v2(event))));
        check(sys::cuMemAllocAsync(&mut p, 256, stream))?;
        guard
            .0
            .push(Box::new(move || ok(sys::cuMemFreeAsync(p, stream))));
        check(sys::cuMemsetD8Async(p, 0, 256, stream))?;
        check(sys::cuEventRecord(event, stream))?;
        check(sys::cuStreamSynchronize(stream))
    }
}

#[test]
fn every_call_fails_once() {
    with_driver("every_call_fails_once", &[], || {
        let kinds = [
            c"allocations",
            c"allocated_bytes",
            c"streams",
            c"events",
            c"contexts",
            c"leaked",
        ];
        for n in 1..=10 {
            let rule = std::ffi::CString::new(format!("*:{n}:CUDA_ERROR_UNKNOWN")).unwrap();
            assert_eq!(fail(&rule), 0);
            let expected = if n == 10 {
                Ok(())
            } else {
                Err(CUresult::CUDA_ERROR_UNKNOWN)
            };
            assert_eq!(session(), expected, "a session is 9 calls; call {n} failed");
            assert_eq!(kinds.map(live), [0; 6], "after call {n} failed");
        }
    });
}

#[test]
fn what_is_forgotten_is_counted() {
    with_driver("what_is_forgotten_is_counted", &[], || {
        start();
        let (kernel, stream, _event, p) = (
            Kernel::load(VECTOR_ADD, c"vector_add").unwrap(),
            stream(1),
            event(),
            words(&[1]),
        );
        let n = 0u32;
        kernel
            .launch(stream, [1; 3], [1; 3], &mut params![p, p, p, n])
            .unwrap();
        assert_eq!(
            [
                c"modules",
                c"functions",
                c"streams",
                c"events",
                c"allocations"
            ]
            .map(live),
            [1; 5]
        );
        assert_eq!(
            (live(c"allocated_bytes"), live(c"contexts"), live(c"leaked")),
            (4, 1, 0)
        );
        assert_eq!(live(c"no such kind"), u64::MAX);
        std::mem::forget(kernel);
        // SAFETY: a plain call.
        unsafe { ok(sys::cuDevicePrimaryCtxRelease_v2(0)) };
        assert_eq!(
            [
                c"modules",
                c"functions",
                c"streams",
                c"events",
                c"allocations",
                c"contexts"
            ]
            .map(live),
            [0; 6]
        );
        assert_eq!(live(c"leaked"), 4);
    });
}

#[test]
fn nonsense_is_refused() {
    with_driver(
        "nonsense_is_refused",
        &[("PTXEMU_SM_COUNT", "many")],
        || {
            // SAFETY: a plain call.
            assert_eq!(
                unsafe { sys::cuInit(0) },
                CUresult::CUDA_ERROR_INVALID_VALUE
            );
        },
    );
}

#[test]
fn nothing_works_before_initialisation() {
    with_driver("nothing_works_before_initialisation", &[], || {
        let (mut count, mut version) = (0, 0);
        // SAFETY: places for the outputs.
        unsafe {
            assert_eq!(
                sys::cuDeviceGetCount(&mut count),
                CUresult::CUDA_ERROR_NOT_INITIALIZED
            );
            ok(sys::cuDriverGetVersion(&mut version));
            ok(sys::cuInit(0));
            ok(sys::cuDeviceGetCount(&mut count));
        }
        assert_eq!((count, version), (1, 13000));
        assert_eq!(allocate(), CUresult::CUDA_ERROR_INVALID_CONTEXT);
    });
}
