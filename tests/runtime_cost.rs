//! What bind and enqueue must not do, counted.

// A counting allocator cannot be had without it.
#![allow(unsafe_code)]

mod gpu;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use gpu::{shipped, with_driver};
use nvfp4gen::runtime::{Device, Kernel, Library, Pointers, Stream};

/// The system's allocator, which counts for each thread.
struct Counting;

thread_local! { static ALLOCATIONS: Cell<u64> = const { Cell::new(0) }; }

// SAFETY: everything is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn count(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

/// Addresses of which none is the same in another round.
fn table(groups: usize, round: u64) -> Vec<Pointers> {
    let address = |i: u64| (round << 20 | i) << 8;
    (0..groups as u64)
        // SAFETY: nothing is executed in null mode.
        .map(|g| unsafe {
            let at = |operand| address(5 * g + operand + 1);
            Pointers::new(at(0), at(1), at(2), at(3), at(4))
        })
        .collect()
}

fn bind_and_enqueue_allocate_nothing(kernel: &Kernel, device: &Device) {
    let groups = kernel.entry().sizes.m.len();
    let stream = Stream::new(device).unwrap();
    let mut launch = kernel.prepare();
    let tables: Vec<_> = (1..100).map(|round| table(groups, round)).collect();
    let allocations = count(|| {
        for table in &tables {
            launch.bind(table).unwrap();
            launch.enqueue(&stream).unwrap();
            launch.launch(&stream, table).unwrap();
        }
    });
    assert_eq!(allocations, 0, "{}", kernel.key());
}

#[test]
fn nothing_is_allocated_by_bind_and_enqueue() {
    assert_ne!(count(|| drop(vec![1, 2, 3])), 0, "the allocator counts");
    let null = [("PTXEMU_NULL", "1")];
    with_driver("nothing_is_allocated_by_bind_and_enqueue", &null, || {
        let sets = [
            shipped("leaderboard.toml", "P1"),
            shipped("edge.toml", "thirty-two-groups"),
            shipped("edge.toml", "empty-among-others"),
        ];
        let home = gpu::library(&sets.each_ref());
        let library = Library::open(home.path()).unwrap();
        let device = Device::new(0).unwrap();
        for kernel in library.load_all(&device).unwrap() {
            bind_and_enqueue_allocate_nothing(&kernel, &device);
            std::thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| bind_and_enqueue_allocate_nothing(&kernel, &device));
                }
            });
        }
    });
}
