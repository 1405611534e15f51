//! Null mode: launches are checked and counted as done. The driver is linked into the test here, so that its own
//! allocations are counted too.

// The driver is reached through C functions, and an allocator is unsafe by nature.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ffi::{CStr, c_void};
use std::time::Instant;

use cuda as _;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: everything is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|n| n.set(n.get() + 1));
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[repr(C)]
struct Config {
    grid: [u32; 3],
    block: [u32; 3],
    shared: u32,
    stream: usize,
    attributes: *const [u64; 9],
    count: u32,
}

// SAFETY: these are the driver's functions as `cuda.h` declares them, with handles as numbers.
unsafe extern "C" {
    fn cuInit(flags: u32) -> u32;
    fn cuDevicePrimaryCtxRetain(context: *mut usize, device: i32) -> u32;
    fn cuCtxSetCurrent(context: usize) -> u32;
    fn cuModuleLoadData(module: *mut usize, image: *const c_void) -> u32;
    fn cuModuleGetFunction(
        function: *mut usize,
        module: usize,
        name: *const std::ffi::c_char,
    ) -> u32;
    fn cuStreamCreate(stream: *mut usize, flags: u32) -> u32;
    fn cuMemAlloc_v2(address: *mut u64, size: usize) -> u32;
    fn cuMemsetD8_v2(address: u64, value: u8, size: usize) -> u32;
    fn cuMemcpyDtoH_v2(host: *mut c_void, address: u64, size: usize) -> u32;
    fn cuLaunchKernelEx(
        config: *const Config,
        function: usize,
        params: *const *const c_void,
        extra: *const c_void,
    ) -> u32;
}

const FILL: &str = concat!(include_str!("ptx/fill.ptx"), "\0");
const NAME: &CStr = c"fill";

struct Session {
    context: usize,
    function: usize,
    stream: usize,
    p: u64,
}

fn session() -> Session {
    // SAFETY: no other thread reads the environment yet: this binary has one test.
    unsafe { std::env::set_var("PTXEMU_NULL", "1") };
    let (mut context, mut module, mut function, mut stream, mut p) = (0, 0, 0, 0, 0);
    // SAFETY: places for all outputs.
    unsafe {
        let results = [
            cuInit(0),
            cuDevicePrimaryCtxRetain(&mut context, 0),
            cuCtxSetCurrent(context),
            cuModuleLoadData(&mut module, FILL.as_ptr().cast()),
            cuModuleGetFunction(&mut function, module, NAME.as_ptr()),
            cuStreamCreate(&mut stream, 1),
            cuMemAlloc_v2(&mut p, 64),
            cuMemsetD8_v2(p, 7, 64),
        ];
        assert_eq!(results, [0; 8]);
    }
    Session {
        context,
        function,
        stream,
        p,
    }
}

/// Launches `n` times with a cluster attribute; returns nanoseconds and allocations of each.
fn launch(session: &Session, n: u64, grid: u32) -> Result<(f64, u64), u32> {
    let value = 3u32;
    let params = [
        (&raw const session.p).cast::<c_void>(),
        (&raw const value).cast(),
    ];
    let cluster = [4, 2 | 1 << 32, 1, 0, 0, 0, 0, 0, 0];
    let config = Config {
        grid: [grid, 1, 1],
        block: [8, 1, 1],
        shared: 0,
        stream: session.stream,
        attributes: &cluster,
        count: 1,
    };
    let before = ALLOCATIONS.get();
    let start = Instant::now();
    for _ in 0..n {
        // SAFETY: everything lives through the call.
        match unsafe {
            cuLaunchKernelEx(&config, session.function, params.as_ptr(), std::ptr::null())
        } {
            0 => {}
            error => return Err(error),
        }
    }
    let nanoseconds = start.elapsed().as_nanos() as f64 / n as f64;
    Ok((nanoseconds, ALLOCATIONS.get() - before))
}

#[test]
fn launches_are_checked_and_cost_little() {
    let session = session();
    launch(&session, 1, 2).unwrap();
    let (nanoseconds, allocations) = launch(&session, 100_000, 2).unwrap();
    println!("{nanoseconds:.0} ns per launch");
    assert_eq!(allocations, 0);
    // A bound that only a lock, an allocation or a system call would break.
    assert!(nanoseconds < 2000.0, "{nanoseconds} ns per launch");
    assert_eq!(
        launch(&session, 1, 3),
        Err(912),
        "the grid is no multiple of the cluster"
    );
    assert_eq!(
        launch(
            &Session {
                function: 99,
                ..session
            },
            1,
            2
        ),
        Err(400)
    );
    let mut bytes = [0u8; 64];
    // SAFETY: the host memory is large enough.
    assert_eq!(
        unsafe { cuMemcpyDtoH_v2(bytes.as_mut_ptr().cast(), session.p, 64) },
        0
    );
    assert_eq!(bytes, [7; 64], "nothing was executed, and the copy was");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                // SAFETY: a plain call.
                assert_eq!(unsafe { cuCtxSetCurrent(session.context) }, 0);
                launch(&session, 1, 2).unwrap();
                assert_eq!(launch(&session, 1000, 2).unwrap().1, 0);
            });
        }
    });
}
