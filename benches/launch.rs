//! What the host pays for a launch: bind, enqueue, both, and the driver's part of it, over the emulated driver's null
//! mode, which checks a launch and copies its parameters nowhere.
//!
//! `cargo bench --bench launch`. The process starts itself again with the emulated driver in its loader's path.

// The driver's own cost is measured by calling it.
#![allow(unsafe_code)]

mod common;

use std::cell::RefCell;

use common::{GROUPS, Raw, kernel, tables};
use divan::Bencher;
use divan::counter::ItemsCount;
use nvfp4gen::runtime::{Launch, Pointers, Stream};

fn main() {
    common::with_null_driver();
    divan::main();
}

/// A prepared launch with its stream and two tables of addresses.
struct Bench {
    launch: Launch,
    stream: Stream,
    tables: [Vec<Pointers>; 2],
    turn: usize,
}

impl Bench {
    fn new(groups: usize) -> Self {
        let kernel = kernel(groups);
        let tables = tables(groups);
        let mut launch = kernel.prepare();
        launch.bind(&tables[0]).expect("addresses");
        Bench {
            launch,
            stream: Stream::new(kernel.device()).expect("a stream"),
            tables,
            turn: 0,
        }
    }

    fn bind(&mut self) {
        self.turn ^= 1;
        let table = divan::black_box(&self.tables[self.turn]);
        self.launch.bind(table).expect("addresses");
    }

    fn enqueue(&self) {
        divan::black_box(&self.launch)
            .enqueue(&self.stream)
            .expect("a launch");
    }
}

#[divan::bench(args = GROUPS, sample_size = 1000)]
fn bind(bencher: Bencher, groups: usize) {
    let mut bench = Bench::new(groups);
    bencher
        .counter(ItemsCount::new(groups))
        .bench_local(|| bench.bind());
}

#[divan::bench(args = GROUPS, sample_size = 1000)]
fn enqueue(bencher: Bencher, groups: usize) {
    let bench = Bench::new(groups);
    bencher.bench_local(|| bench.enqueue());
}

#[divan::bench(args = GROUPS, sample_size = 1000)]
fn bind_and_enqueue(bencher: Bencher, groups: usize) {
    let mut bench = Bench::new(groups);
    bencher.bench_local(|| {
        bench.bind();
        bench.enqueue();
    });
}

/// The driver's part of `enqueue`: cuLaunchKernelEx with everything at hand.
#[divan::bench(args = GROUPS, sample_size = 1000)]
fn driver_call_alone(bencher: Bencher, groups: usize) {
    let bench = Bench::new(groups);
    let entry = bench.launch.kernel().entry().clone();
    let mut raw = Raw::load(&entry);
    raw.config.hStream = bench.stream.raw();
    bencher.bench_local(|| raw.call());
}

/// Threads, each with a launch of its own of one kernel, into one stream.
#[divan::bench(args = [8], threads = [1, 8], sample_size = 1000)]
fn bind_and_enqueue_in_threads(bencher: Bencher, groups: usize) {
    thread_local! { static MINE: RefCell<Option<(Launch, usize)>> = const { RefCell::new(None) }; }
    let kernel = kernel(groups);
    // The threads' launches live as long as the threads: the kernel must be there until the process ends.
    std::mem::forget(kernel.clone());
    let stream = Stream::new(kernel.device()).expect("a stream");
    let tables = tables(groups);
    bencher.bench(|| {
        MINE.with_borrow_mut(|mine| {
            let (launch, turn) = mine.get_or_insert_with(|| (kernel.prepare(), 0));
            *turn ^= 1;
            let table = divan::black_box(&tables[*turn]);
            launch.launch(&stream, table).expect("a launch");
        })
    });
}
