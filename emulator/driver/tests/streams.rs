//! Streams and events: what waits for what, and what does not.

// The driver is reached through C functions.
#![allow(unsafe_code)]

mod common;

use std::ffi::{CStr, c_void};

use common::driver::{event, ok, read, start, stream, words};
use common::raw::{self, Kernel, params};
use common::with_driver;
use cudarc::driver::sys::{self, CUresult};

const FILL: &CStr = raw::text(concat!(include_str!("ptx/fill.ptx"), "\0"));
const LEGACY: sys::CUstream = std::ptr::null_mut();
const PER_THREAD: sys::CUstream = 2 as sys::CUstream;
const LAZY: [(&str, &str); 1] = [("PTXEMU_STREAMS", "lazy")];

fn fill(kernel: &Kernel, stream: sys::CUstream, p: u64, value: u32) {
    kernel
        .launch(stream, [1; 3], [4, 1, 1], &mut params![p, value])
        .unwrap();
}

fn filled(value: u32) -> Vec<u32> {
    vec![value + (1 << 16); 4]
}

#[test]
fn nothing_runs_before_it_is_waited_for() {
    with_driver("nothing_runs_before_it_is_waited_for", &LAZY, || {
        start();
        let kernel = Kernel::load(FILL, c"fill").unwrap();
        let (p, free) = (words(&[0; 4]), stream(1));
        fill(&kernel, free, p, 3);
        // SAFETY: the stream is alive.
        unsafe {
            assert_eq!(
                read(p, 4),
                [0; 4],
                "a non-blocking stream has nothing to do with a copy in the legacy one"
            );
            ok(sys::cuStreamSynchronize(free));
        }
        assert_eq!(read(p, 4), filled(3));
    });
}

#[test]
fn the_legacy_stream_waits_for_blocking_streams() {
    with_driver(
        "the_legacy_stream_waits_for_blocking_streams",
        &LAZY,
        || {
            start();
            let kernel = Kernel::load(FILL, c"fill").unwrap();
            let (p, blocking) = (words(&[0; 4]), stream(0));
            for (stream, value) in [(blocking, 3), (PER_THREAD, 4), (LEGACY, 5)] {
                fill(&kernel, stream, p, value);
                assert_eq!(read(p, 4), filled(value));
            }
        },
    );
}

#[test]
fn blocking_streams_wait_for_the_legacy_stream() {
    for order in ["lazy", "random:1", "random:2", "random:3", "random:4"] {
        with_driver(
            "blocking_streams_wait_for_the_legacy_stream",
            &[("PTXEMU_STREAMS", order)],
            || {
                start();
                let kernel = Kernel::load(FILL, c"fill").unwrap();
                let (p, blocking) = (words(&[0; 4]), stream(0));
                fill(&kernel, LEGACY, p, 1);
                fill(&kernel, blocking, p, 2);
                fill(&kernel, LEGACY, p, 3);
                fill(&kernel, PER_THREAD, p, 4);
                // SAFETY: no arguments.
                unsafe { ok(sys::cuCtxSynchronize()) };
                assert_eq!(read(p, 4), filled(4));
            },
        );
    }
}

#[test]
fn events_order_streams() {
    with_driver("events_order_streams", &LAZY, || {
        start();
        let kernel = Kernel::load(FILL, c"fill").unwrap();
        let (p, first, second, done) = (words(&[0; 4]), stream(1), stream(1), event());
        // SAFETY: all handles are alive.
        unsafe {
            fill(&kernel, first, p, 1);
            ok(sys::cuEventRecord(done, first));
            assert_eq!(
                sys::cuEventQuery(event()),
                CUresult::CUDA_SUCCESS,
                "never recorded"
            );
            ok(sys::cuStreamWaitEvent(second, done, 0));
            fill(&kernel, second, p, 2);
            // The wait was for the record of its time, not for this one.
            ok(sys::cuEventRecord(done, second));
            ok(sys::cuEventDestroy_v2(done));
            ok(sys::cuStreamSynchronize(second));
        }
        assert_eq!(read(p, 4), filled(2));
    });
}

#[test]
fn asking_again_and_again_comes_to_an_end() {
    with_driver("asking_again_and_again_comes_to_an_end", &LAZY, || {
        start();
        let kernel = Kernel::load(FILL, c"fill").unwrap();
        let (p, stream, done) = (words(&[0; 4]), stream(1), event());
        (0..3).for_each(|i| fill(&kernel, stream, p, i));
        let until_ready = |query: &dyn Fn() -> CUresult| {
            let answers: Vec<_> = (0..10)
                .map(|_| query())
                .take_while(|r| *r == CUresult::CUDA_ERROR_NOT_READY)
                .collect();
            assert!((1..10).contains(&answers.len()), "{answers:?}");
            ok(query());
        };
        // SAFETY: all handles are alive.
        unsafe {
            ok(sys::cuEventRecord(done, stream));
            until_ready(&|| sys::cuEventQuery(done));
            assert_eq!(read(p, 4), filled(2));
            fill(&kernel, stream, p, 9);
            until_ready(&|| sys::cuStreamQuery(stream));
            assert_eq!(read(p, 4), filled(9));
        }
    });
}

#[test]
fn pageable_memory_is_staged_and_pinned_memory_is_not() {
    with_driver(
        "pageable_memory_is_staged_and_pinned_memory_is_not",
        &LAZY,
        || {
            start();
            let (p, stream) = (words(&[0; 1]), stream(1));
            let mut pageable = [1u32];
            let mut pinned: *mut c_void = std::ptr::null_mut();
            // SAFETY: the memory is alive until the stream has been waited for.
            unsafe {
                ok(sys::cuMemcpyHtoDAsync_v2(
                    p,
                    pageable.as_ptr().cast(),
                    4,
                    stream,
                ));
                pageable[0] = 2;
                ok(sys::cuStreamSynchronize(stream));
                assert_eq!((read(p, 1), pageable), (vec![1], [2]));
                ok(sys::cuMemHostAlloc(&mut pinned, 4, 0));
                pinned.cast::<u32>().write(3);
                ok(sys::cuMemcpyHtoDAsync_v2(p, pinned, 4, stream));
                pinned.cast::<u32>().write(4);
                ok(sys::cuStreamSynchronize(stream));
                assert_eq!(read(p, 1), [4]);
                ok(sys::cuMemFreeHost(pinned));
                assert_eq!(
                    sys::cuMemFreeHost(pinned),
                    CUresult::CUDA_ERROR_INVALID_VALUE
                );
            }
        },
    );
}

unsafe extern "C" fn note(data: *mut c_void) {
    // SAFETY: the test passes an array of two words that outlives the stream's work.
    let seen = unsafe { &mut *data.cast::<[u32; 2]>() };
    seen[0] += 1;
    // SAFETY: no arguments.
    seen[1] = unsafe { sys::cuCtxSynchronize() } as u32;
}

#[test]
fn host_functions() {
    with_driver("host_functions", &LAZY, || {
        start();
        let stream = stream(1);
        let mut seen = [0u32; 2];
        // SAFETY: `seen` is alive until the stream has been waited for.
        unsafe {
            ok(sys::cuLaunchHostFunc(
                stream,
                Some(note),
                (&raw mut seen).cast(),
            ));
            assert_eq!((&raw const seen).read_volatile()[0], 0);
            ok(sys::cuStreamSynchronize(stream));
            let [calls, result] = (&raw const seen).read_volatile();
            assert_eq!(calls, 1);
            assert_eq!(result, CUresult::CUDA_ERROR_NOT_PERMITTED as u32);
        }
    });
}
