//! What the driver checks of a launch.

// The driver is reached through C functions.
#![allow(unsafe_code)]

mod common;

use std::ffi::{CStr, c_void};

use common::driver::{attribute, config, event, ok, read, start, stream, words};
use common::raw::{self, Kernel, params};
use common::with_driver;
use cudarc::driver::sys::{self, CUlaunchAttributeID as Id, CUresult};

const FILL: &CStr = raw::text(concat!(include_str!("ptx/fill.ptx"), "\0"));
const LEGACY: sys::CUstream = std::ptr::null_mut();

/// Launches with attributes.
fn launch_ex(
    kernel: &Kernel,
    grid: u32,
    block: u32,
    attributes: &mut [sys::CUlaunchAttribute],
    params: &mut [*mut c_void],
) -> CUresult {
    let config = config(grid, block, attributes);
    // SAFETY: everything lives through the call.
    unsafe {
        sys::cuLaunchKernelEx(
            &config,
            kernel.function,
            params.as_mut_ptr(),
            std::ptr::null_mut(),
        )
    }
}

#[test]
fn shapes() {
    with_driver("shapes", &[], || {
        start();
        let kernel = Kernel::load(FILL, c"fill").unwrap();
        let (p, value) = (words(&[0; 2048]), 5u32);
        let launch = |grid, block| kernel.launch(LEGACY, grid, block, &mut params![p, value]);
        assert_eq!(launch([2, 1, 1], [1024, 1, 1]), Ok(()));
        let invalid = Err(CUresult::CUDA_ERROR_INVALID_VALUE);
        for (grid, block) in [
            ([0, 1, 1], [1, 1, 1]),
            ([1, 1, 1], [1, 0, 1]),
            ([1, 65536, 1], [1, 1, 1]),
            ([1, 1, 1], [1025, 1, 1]),
            ([1, 1, 1], [1, 1, 65]),
            ([1, 1, 1], [32, 32, 2]),
        ] {
            assert_eq!(launch(grid, block), invalid, "{grid:?} {block:?}");
        }
        // SAFETY: no arguments.
        unsafe { ok(sys::cuCtxSynchronize()) };
        assert_eq!(read(p, 2), [5 + (1 << 16); 2]);
    });
}

#[test]
fn clusters() {
    with_driver("clusters", &[], || {
        start();
        let kernel = Kernel::load(FILL, c"fill").unwrap();
        let (p, value) = (words(&[0; 48]), 1u32);
        let launch = |grid, cluster| {
            let mut attributes = [attribute(
                Id::CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION,
                cluster,
            )];
            launch_ex(&kernel, grid, 1, &mut attributes, &mut params![p, value])
        };
        assert_eq!(launch(8, [4, 1, 1]), CUresult::CUDA_SUCCESS);
        assert_eq!(read(p, 8), [1 + (4 << 16); 8]);
        for (grid, cluster) in [
            (6, [4, 1, 1]),
            (8, [4, 2, 1]),
            (16, [16, 1, 1]),
            (8, [0, 1, 1]),
        ] {
            assert_eq!(
                launch(grid, cluster),
                CUresult::CUDA_ERROR_INVALID_CLUSTER_SIZE,
                "{grid} {cluster:?}"
            );
        }
        let non_portable =
            sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED;
        kernel.set_attribute(non_portable, 1).unwrap();
        assert_eq!(launch(16, [16, 1, 1]), CUresult::CUDA_SUCCESS);
        assert_eq!(
            launch(32, [32, 1, 1]),
            CUresult::CUDA_ERROR_INVALID_CLUSTER_SIZE
        );
    });
}

#[test]
fn what_the_entry_requires() {
    with_driver("what_the_entry_requires", &[], || {
        start();
        let kernel = Kernel::load(FILL, c"paired").unwrap();
        let p = words(&[0]);
        let width = sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH;
        assert_eq!(kernel.attribute(width), Ok(2));
        let launch =
            |grid, block| kernel.launch(LEGACY, [grid, 1, 1], [block, 1, 1], &mut params![p]);
        assert_eq!(launch(2, 32), Ok(()));
        assert_eq!(launch(2, 64), Err(CUresult::CUDA_ERROR_INVALID_VALUE));
        assert_eq!(
            launch(3, 32),
            Err(CUresult::CUDA_ERROR_INVALID_CLUSTER_SIZE)
        );
        let mut four = [attribute(
            Id::CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION,
            [4, 1, 1],
        )];
        let result = launch_ex(&kernel, 4, 32, &mut four, &mut params![p]);
        assert_eq!(result, CUresult::CUDA_ERROR_INVALID_CLUSTER_SIZE);
    });
}

#[test]
fn shared_memory() {
    with_driver("shared_memory", &[], || {
        start();
        let kernel = Kernel::load(FILL, c"shared_hungry").unwrap();
        use sys::CUfunction_attribute as A;
        assert_eq!(
            kernel.attribute(A::CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES),
            Ok(1024)
        );
        let p = words(&[0]);
        let mut params = params![p];
        let mut launch = |shared| {
            let params = params.as_mut_ptr();
            let (f, extra) = (kernel.function, std::ptr::null_mut());
            // SAFETY: the parameters live through the call.
            unsafe { sys::cuLaunchKernel(f, 1, 1, 1, 1, 1, 1, shared, LEGACY, params, extra) }
        };
        assert_eq!(launch(47 << 10), CUresult::CUDA_SUCCESS);
        assert_eq!(launch((47 << 10) + 1), CUresult::CUDA_ERROR_INVALID_VALUE);
        kernel
            .set_attribute(
                A::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
                226 << 10,
            )
            .unwrap();
        assert_eq!(launch(226 << 10), CUresult::CUDA_SUCCESS);
        assert!(
            kernel
                .set_attribute(
                    A::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
                    227 << 10
                )
                .is_err()
        );
    });
}

#[test]
fn parameters_in_a_buffer() {
    with_driver("parameters_in_a_buffer", &[], || {
        start();
        let kernel = Kernel::load(FILL, c"fill").unwrap();
        let p = words(&[0; 4]);
        #[repr(C)]
        struct Block {
            p: u64,
            value: u32,
        }
        let block = Block { p, value: 77 };
        let launch = |size: usize, params: *mut *mut c_void| {
            let buffer = &raw const block;
            let mut extra = [1, buffer as usize, 2, &raw const size as usize, 0];
            let (f, extra) = (kernel.function, extra.as_mut_ptr().cast());
            // SAFETY: everything lives through the call.
            unsafe { sys::cuLaunchKernel(f, 1, 1, 1, 4, 1, 1, 0, LEGACY, params, extra) }
        };
        let none: *mut c_void = std::ptr::null_mut();
        assert_eq!(launch(16, none.cast()), CUresult::CUDA_SUCCESS);
        assert_eq!(read(p, 4), [77 + (1 << 16); 4]);
        assert_eq!(launch(12, none.cast()), CUresult::CUDA_SUCCESS);
        assert_eq!(launch(8, none.cast()), CUresult::CUDA_ERROR_INVALID_VALUE);
        assert_eq!(
            launch(16, [none; 2].as_mut_ptr()),
            CUresult::CUDA_ERROR_INVALID_VALUE
        );
        assert_eq!(
            kernel.launch(LEGACY, [1; 3], [1; 3], &mut [none; 2]),
            Err(CUresult::CUDA_ERROR_INVALID_VALUE)
        );
        // SAFETY: the driver must refuse before it reads anything.
        let result = unsafe {
            sys::cuLaunchKernel(
                kernel.function,
                1,
                1,
                1,
                1,
                1,
                1,
                0,
                LEGACY,
                none.cast(),
                none.cast(),
            )
        };
        assert_eq!(result, CUresult::CUDA_ERROR_INVALID_VALUE);
        let (mut offset, mut size) = (0, 0);
        // SAFETY: places for the outputs.
        unsafe {
            ok(sys::cuFuncGetParamInfo(
                kernel.function,
                1,
                &mut offset,
                &mut size,
            ))
        };
        assert_eq!((offset, size), (8, 4));
    });
}

#[test]
fn attributes_that_only_advise() {
    with_driver("attributes_that_only_advise", &[], || {
        start();
        let kernel = Kernel::load(FILL, c"fill").unwrap();
        let (p, value, done) = (words(&[0; 4]), 9u32, event());
        let [low, high] = [done as usize as u32, (done as usize >> 32) as u32];
        let mut attributes = [
            attribute(
                Id::CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION,
                [1, 0, 0],
            ),
            attribute(Id::CU_LAUNCH_ATTRIBUTE_PRIORITY, [u32::MAX, 0, 0]),
            attribute(
                Id::CU_LAUNCH_ATTRIBUTE_LAUNCH_COMPLETION_EVENT,
                [low, high, 0],
            ),
        ];
        assert_eq!(
            launch_ex(&kernel, 1, 4, &mut attributes, &mut params![p, value]),
            CUresult::CUDA_SUCCESS
        );
        // SAFETY: the event is alive.
        unsafe { ok(sys::cuEventSynchronize(done)) };
        assert_eq!(read(p, 4), [9 + (1 << 16); 4]);
        let mut cooperative = [attribute(Id::CU_LAUNCH_ATTRIBUTE_COOPERATIVE, [1, 0, 0])];
        let result = launch_ex(
            &kernel,
            1 << 20,
            1024,
            &mut cooperative,
            &mut params![p, value],
        );
        assert_eq!(result, CUresult::CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE);
    });
}

/// Under the lazy order of streams both launches are there when the first one starts, as on a GPU.
#[test]
fn programmatic_launches_overlap() {
    const PAIR: &CStr = raw::text(concat!(include_str!("ptx/pair.ptx"), "\0"));
    let environment = [("PTXEMU_STREAMS", "lazy")];
    with_driver("programmatic_launches_overlap", &environment, || {
        start();
        let [produce, late, early] =
            [c"produce", c"late", c"early"].map(|name| Kernel::load(PAIR, name).unwrap());
        let (p, copy) = (words(&[0; 32]), words(&[0; 32]));
        let run = |consume: &Kernel, overlaps: u32| {
            let id = Id::CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION;
            let mut attributes = [attribute(id, [overlaps, 0, 0])];
            let first = launch_ex(&produce, 1, 32, &mut [], &mut params![p, copy]);
            let second = launch_ex(consume, 1, 32, &mut attributes, &mut params![p, copy]);
            assert_eq!([first, second], [CUresult::CUDA_SUCCESS; 2]);
            // SAFETY: no arguments.
            unsafe { sys::cuCtxSynchronize() }
        };
        for (consume, overlaps) in [(&late, 1), (&early, 0)] {
            assert_eq!(run(consume, overlaps), CUresult::CUDA_SUCCESS);
            assert_eq!(read(copy, 32), (0..32).collect::<Vec<_>>());
        }
        assert_eq!(run(&early, 1), CUresult::CUDA_ERROR_LAUNCH_FAILED);
    });
}

#[test]
fn stale_and_foreign_handles() {
    with_driver("stale_and_foreign_handles", &[], || {
        let context = start();
        let kernel = Kernel::load(FILL, c"fill").unwrap();
        let (p, value, stream) = (words(&[0; 4]), 9u32, stream(1));
        let launch = |f, stream| {
            let mut params = params![p, value];
            // SAFETY: the parameters live through the call; handles are what is tested.
            unsafe {
                sys::cuLaunchKernel(
                    f,
                    1,
                    1,
                    1,
                    4,
                    1,
                    1,
                    0,
                    stream,
                    params.as_mut_ptr(),
                    std::ptr::null_mut(),
                )
            }
        };
        let bad = CUresult::CUDA_ERROR_INVALID_HANDLE;
        assert_eq!(launch(kernel.function, stream), CUresult::CUDA_SUCCESS);
        assert_eq!(launch(kernel.module.cast(), stream), bad);
        assert_eq!(launch(kernel.function, kernel.module.cast()), bad);
        assert_eq!(launch(std::ptr::null_mut(), stream), bad);
        assert_eq!(launch(0xDEAD_BEEF_usize as _, stream), bad);
        // SAFETY: plain calls on handles.
        unsafe {
            ok(sys::cuStreamDestroy_v2(stream));
            assert_eq!(sys::cuStreamDestroy_v2(stream), bad);
            assert_eq!(launch(kernel.function, stream), bad);
            let function = kernel.function;
            drop(kernel);
            assert_eq!(launch(function, LEGACY), bad);
            assert_eq!(
                sys::cuCtxSetCurrent(stream.cast()),
                CUresult::CUDA_ERROR_INVALID_CONTEXT
            );
            let mut other = std::ptr::null_mut();
            ok(sys::cuCtxCreate_v2(&mut other, 0, 0));
            let elsewhere = Kernel::load(FILL, c"fill").unwrap();
            ok(sys::cuCtxSetCurrent(context));
            assert_eq!(
                launch(elsewhere.function, LEGACY),
                bad,
                "a function of another context"
            );
            ok(sys::cuCtxDestroy_v2(other));
            assert_eq!(
                sys::cuCtxSetCurrent(other),
                CUresult::CUDA_ERROR_INVALID_CONTEXT
            );
            assert_eq!(launch(elsewhere.function, LEGACY), bad);
            // Once for each context that was pushed.
            ok(sys::cuCtxSetCurrent(std::ptr::null_mut()));
            ok(sys::cuCtxSetCurrent(std::ptr::null_mut()));
            assert_eq!(
                launch(elsewhere.function, LEGACY),
                CUresult::CUDA_ERROR_INVALID_CONTEXT
            );
        }
    });
}
