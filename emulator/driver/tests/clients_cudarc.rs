//! cudarc's safe interface over the emulated driver: the steps of its own examples.

// The driver is reached through C functions.
#![allow(unsafe_code)]

mod common;

use std::ffi::{CStr, CString};
use std::sync::Arc;

use common::raw::{self, Kernel};
use common::with_driver;
use cudarc::driver::sys::{self, CUfunction_attribute as Attribute};
use cudarc::driver::{CudaContext, CudaStream, DevicePtr, DevicePtrMut};

const VECTOR_ADD: &CStr = raw::text(concat!(include_str!("ptx/vector_add.ptx"), "\0"));

/// Adds two vectors on a stream and returns the sum.
fn add_on(stream: &Arc<CudaStream>, kernel: &Kernel, a: &[f32], b: &[f32]) -> Vec<f32> {
    let a = stream.clone_htod(a).unwrap();
    let b = stream.clone_htod(b).unwrap();
    let mut c = stream.alloc_zeros::<f32>(a.len()).unwrap();
    let n = a.len() as u32;
    {
        let (c, _c) = c.device_ptr_mut(stream);
        let (a, _a) = a.device_ptr(stream);
        let (b, _b) = b.device_ptr(stream);
        let mut params = raw::params![c, a, b, n];
        kernel
            .launch(
                stream.cu_stream(),
                [n.div_ceil(64), 1, 1],
                [64, 1, 1],
                &mut params,
            )
            .unwrap();
    }
    stream.clone_dtoh(&c).unwrap()
}

#[test]
fn allocate_and_copy() {
    with_driver("allocate_and_copy", &[], || {
        let context = CudaContext::new(0).unwrap();
        let stream = context.default_stream();
        let zeros = stream.alloc_zeros::<f64>(10).unwrap();
        let mut copy = stream.alloc_zeros::<f64>(10).unwrap();
        stream.memcpy_dtod(&zeros, &mut copy).unwrap();
        assert_eq!(stream.clone_dtoh(&copy).unwrap(), [0.0; 10]);
        stream.memcpy_htod(&[2.5; 10], &mut copy).unwrap();
        assert_eq!(stream.clone_dtoh(&copy).unwrap(), [2.5; 10]);
        let words = stream.clone_htod(&[1u32, 2, 3]).unwrap();
        assert_eq!(stream.clone_dtoh(&words.slice(1..)).unwrap(), [2, 3]);
        let (free, total) = context.mem_get_info().unwrap();
        assert!(free < total && total == context.total_mem().unwrap());
    });
}

#[test]
fn device_properties() {
    with_driver("device_properties", &[], || {
        let context = CudaContext::new(0).unwrap();
        assert_eq!(CudaContext::device_count().unwrap(), 1);
        assert_eq!(context.compute_capability().unwrap(), (10, 0));
        let attribute = |which| context.attribute(which).unwrap();
        use sys::CUdevice_attribute as A;
        assert_eq!(attribute(A::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT), 148);
        assert_eq!(
            attribute(A::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN),
            232_448
        );
        assert_eq!(attribute(A::CU_DEVICE_ATTRIBUTE_CLUSTER_LAUNCH), 1);
        assert_eq!(
            attribute(A::CU_DEVICE_ATTRIBUTE_TENSOR_MAP_ACCESS_SUPPORTED),
            1
        );
        assert!(context.name().unwrap().contains("sm_100"));
        let stack = context
            .get_limit(sys::CUlimit::CU_LIMIT_STACK_SIZE)
            .unwrap();
        context
            .set_limit(sys::CUlimit::CU_LIMIT_STACK_SIZE, 2 * stack)
            .unwrap();
        assert_eq!(
            context
                .get_limit(sys::CUlimit::CU_LIMIT_STACK_SIZE)
                .unwrap(),
            2 * stack
        );
    });
}

#[test]
fn another_device() {
    let environment = [
        ("PTXEMU_CAPABILITY", "9.0"),
        ("PTXEMU_SM_COUNT", "7"),
        ("PTXEMU_MEMORY", "1M"),
    ];
    with_driver("another_device", &environment, || {
        let context = CudaContext::new(0).unwrap();
        assert_eq!(context.compute_capability().unwrap(), (9, 0));
        use sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT as SM_COUNT;
        assert_eq!(context.attribute(SM_COUNT).unwrap(), 7);
        assert_eq!(context.total_mem().unwrap(), 1 << 20);
        let error = context
            .default_stream()
            .alloc_zeros::<u8>(2 << 20)
            .unwrap_err();
        assert_eq!(error.0, sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY);
    });
}

#[test]
fn no_device() {
    with_driver("no_device", &[("PTXEMU_DEVICES", "0")], || {
        let error = CudaContext::new(0).unwrap_err();
        assert_eq!(error.0, sys::CUresult::CUDA_ERROR_NO_DEVICE);
    });
}

#[test]
fn launch_a_kernel() {
    with_driver("launch_a_kernel", &[], || {
        let context = CudaContext::new(0).unwrap();
        let kernel = Kernel::load(VECTOR_ADD, c"vector_add").unwrap();
        let a: Vec<f32> = (0..1000).map(|i| i as f32).collect();
        let b: Vec<f32> = (0..1000).map(|i| 0.5 * i as f32).collect();
        let expected: Vec<f32> = a.iter().zip(&b).map(|(a, b)| a + b).collect();
        assert_eq!(add_on(&context.default_stream(), &kernel, &a, &b), expected);
        assert_eq!(
            add_on(&context.per_thread_stream(), &kernel, &a, &b),
            expected
        );
        assert_eq!(
            add_on(&context.new_stream().unwrap(), &kernel, &a, &b),
            expected
        );
    });
}

#[test]
fn function_attributes() {
    with_driver("function_attributes", &[], || {
        let _context = CudaContext::new(0).unwrap();
        let kernel = Kernel::load(VECTOR_ADD, c"vector_add").unwrap();
        let get = |attribute| kernel.attribute(attribute).unwrap();
        assert_eq!(
            get(Attribute::CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK),
            1024
        );
        assert_eq!(get(Attribute::CU_FUNC_ATTRIBUTE_PTX_VERSION), 80);
        assert_eq!(get(Attribute::CU_FUNC_ATTRIBUTE_BINARY_VERSION), 100);
        let dynamic = Attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
        assert_eq!(get(dynamic), 48 << 10);
        kernel.set_attribute(dynamic, 232_448).unwrap();
        assert_eq!(get(dynamic), 232_448);
        assert!(kernel.set_attribute(dynamic, 232_449).is_err());
    });
}

#[test]
fn streams_run_in_the_order_of_their_events() {
    for order in ["eager", "lazy", "random:1", "random:2", "random:3"] {
        with_driver(
            "streams_run_in_the_order_of_their_events",
            &[("PTXEMU_STREAMS", order)],
            || {
                let context = CudaContext::new(0).unwrap();
                let kernel = Kernel::load(VECTOR_ADD, c"vector_add").unwrap();
                let first = context.default_stream();
                let x = first.clone_htod(&[1.0f32; 64]).unwrap();
                let mut y = first.alloc_zeros::<f32>(64).unwrap();
                let second = first.fork().unwrap();
                for stream in [&first, &second, &first, &second] {
                    let n = 64u32;
                    {
                        let (x, _x) = x.device_ptr(stream);
                        let (y, _y) = y.device_ptr_mut(stream);
                        let mut params = raw::params![y, y, x, n];
                        kernel
                            .launch(stream.cu_stream(), [1, 1, 1], [64, 1, 1], &mut params)
                            .unwrap();
                    }
                    // Each stream waits for what the other has done so far.
                    let other = if Arc::ptr_eq(stream, &first) {
                        &second
                    } else {
                        &first
                    };
                    other.join(stream).unwrap();
                }
                assert_eq!(first.clone_dtoh(&y).unwrap(), [4.0; 64]);
            },
        );
    }
}

#[test]
fn events_tell_the_time() {
    with_driver("events_tell_the_time", &[], || {
        let context = CudaContext::new(0).unwrap();
        let stream = context.new_stream().unwrap();
        let timed = || {
            stream
                .record_event(Some(sys::CUevent_flags::CU_EVENT_DEFAULT))
                .unwrap()
        };
        let start = timed();
        std::thread::sleep(std::time::Duration::from_millis(20));
        let end = timed();
        let elapsed = start.elapsed_ms(&end).unwrap();
        assert!((20.0..10_000.0).contains(&elapsed), "{elapsed} ms");
        assert!(start.is_complete());
        let untimed = stream.record_event(None).unwrap();
        let error = start.elapsed_ms(&untimed).unwrap_err();
        assert_eq!(error.0, sys::CUresult::CUDA_ERROR_INVALID_HANDLE);
    });
}

#[test]
fn a_graph_is_captured_and_replayed() {
    with_driver("a_graph_is_captured_and_replayed", &[], || {
        let context = CudaContext::new(0).unwrap();
        // SAFETY: one stream orders all accesses.
        unsafe { context.disable_event_tracking() };
        let kernel = Kernel::load(VECTOR_ADD, c"vector_add").unwrap();
        let stream = context.new_stream().unwrap();
        let x = stream.clone_htod(&[3.0f32; 64]).unwrap();
        let mut y = stream.clone_htod(&[9.0f32; 64]).unwrap();
        stream
            .begin_capture(sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL)
            .unwrap();
        assert_eq!(
            stream.capture_status().unwrap(),
            sys::CUstreamCaptureStatus::CU_STREAM_CAPTURE_STATUS_ACTIVE
        );
        stream.memset_zeros(&mut y).unwrap();
        for _ in 0..2 {
            let n = 64u32;
            let (x, _x) = x.device_ptr(&stream);
            let (y, _y) = y.device_ptr_mut(&stream);
            let mut params = raw::params![y, y, x, n];
            kernel
                .launch(stream.cu_stream(), [1, 1, 1], [64, 1, 1], &mut params)
                .unwrap();
        }
        let graph = stream
            .end_capture(sys::CUgraphInstantiate_flags(0))
            .unwrap()
            .unwrap();
        assert_eq!(
            stream.clone_dtoh(&y).unwrap(),
            [9.0; 64],
            "capturing executes nothing"
        );
        graph.upload().unwrap();
        for _ in 0..3 {
            graph.launch().unwrap();
            assert_eq!(stream.clone_dtoh(&y).unwrap(), [6.0; 64]);
        }
    });
}

#[test]
fn contradictory_instantiation_flags_are_refused() {
    with_driver("contradictory_instantiation_flags_are_refused", &[], || {
        use sys::CUgraphInstantiate_flags as Flags;
        let stream = CudaContext::new(0).unwrap().new_stream().unwrap();
        stream
            .begin_capture(sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_RELAXED)
            .unwrap();
        let flags = Flags::CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH
            | Flags::CUDA_GRAPH_INSTANTIATE_FLAG_DEVICE_LAUNCH;
        let error = stream.end_capture(flags).err().unwrap();
        assert_eq!(error.0, sys::CUresult::CUDA_ERROR_INVALID_VALUE);
    });
}

#[test]
fn threads_share_a_context() {
    with_driver("threads_share_a_context", &[], || {
        let context = CudaContext::new(0).unwrap();
        let kernel = Kernel::load(VECTOR_ADD, c"vector_add").unwrap();
        std::thread::scope(|scope| {
            for i in 0..8 {
                let (context, kernel) = (&context, &kernel);
                scope.spawn(move || {
                    context.bind_to_thread().unwrap();
                    let stream = context.new_stream().unwrap();
                    let a = vec![i as f32; 100];
                    for _ in 0..5 {
                        assert_eq!(add_on(&stream, kernel, &a, &a), vec![2.0 * i as f32; 100]);
                    }
                });
            }
        });
        context.synchronize().unwrap();
    });
}

#[test]
fn occupancy_is_sane() {
    with_driver("occupancy_is_sane", &[], || {
        let _context = CudaContext::new(0).unwrap();
        let kernel = Kernel::load(VECTOR_ADD, c"vector_add").unwrap();
        assert_eq!(kernel.blocks_per_sm(128, 0).unwrap(), 16);
        kernel
            .set_attribute(
                Attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
                200 << 10,
            )
            .unwrap();
        assert_eq!(kernel.blocks_per_sm(128, 200 << 10).unwrap(), 1);
    });
}

#[test]
fn variables_of_a_module_have_addresses() {
    with_driver("variables_of_a_module_have_addresses", &[], || {
        let context = CudaContext::new(0).unwrap();
        let text = CString::new(include_str!("ptx/counter.ptx")).unwrap();
        let kernel = Kernel::load(&text, c"count").unwrap();
        let (address, size) = kernel.global(c"counter").unwrap();
        assert_eq!(size, 8);
        assert!(kernel.global(c"no_such_variable").is_err());
        let stream = context.default_stream();
        kernel
            .launch(stream.cu_stream(), [5, 1, 1], [32, 1, 1], &mut [])
            .unwrap();
        let mut counts = [0u32; 2];
        // SAFETY: the variable is two words.
        unsafe { cudarc::driver::result::memcpy_dtoh_sync(&mut counts, address) }.unwrap();
        assert_eq!(counts, [7 + 5 * 32, 11]);
    });
}
