//! nvfp4gen and cuda-bindings from PyPI, preparing and launching the same kernels over the same driver that does nothing.
//!
//! `emulator/driver/tests/fetch_python.sh && cargo bench --bench side_by_side` prints one table. Both sides take turns;
//! of many short samples of each step the smallest counts, so that what else runs on the machine counts least.

// The driver's own cost is measured by calling it.
#![allow(unsafe_code)]

mod common;

use std::hint::black_box;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Barrier;
use std::time::{Duration, Instant};

use common::{GROUPS, Raw, gpu, kernel, set, tables};
use nvfp4gen::artifact::Location;
use nvfp4gen::plan::target::SM_100A;
use nvfp4gen::runtime::{Launch, Pointers, Stream};
use serde_json::{Value, json};

const ROUNDS: usize = 15;
/// Short, so that some samples are not interrupted by what else runs.
const SAMPLE: Duration = Duration::from_micros(100);
const SAMPLES: usize = 20;
const THREADS: usize = 8;
/// Groups of the set that threads launch.
const CREW: usize = 8;

/// Nanoseconds per call of each step, for one number of groups.
#[derive(Clone, Copy)]
struct Times {
    bind: f64,
    enqueue: f64,
    both: f64,
    /// The driver's part of `enqueue`.
    driver: f64,
    /// cuda-bindings: addresses stored into maps that were encoded once; every map encoded anew.
    store: f64,
    encode: f64,
    python_enqueue: f64,
    store_both: f64,
    encode_both: f64,
}

fn main() {
    common::with_null_driver();
    // As divan's: everything once, to see that it runs.
    let rounds = match std::env::args().any(|argument| argument == "--test") {
        true => 1,
        false => ROUNDS,
    };
    let mut ours: Vec<Ours> = GROUPS.map(Ours::new).into();
    let mut theirs = Theirs::start();
    let mut best = vec![[f64::INFINITY; 9]; GROUPS.len()];
    let mut best_threads = [f64::INFINITY; 2];
    for round in 0..rounds {
        eprintln!("round {} of {rounds}", round + 1);
        let answer = theirs.measure();
        for (index, ours) in ours.iter_mut().enumerate() {
            let theirs = |step: &str| answer["kernels"][index][step].as_f64().expect("a time");
            let steps = [
                "store",
                "encode",
                "enqueue",
                "store_and_enqueue",
                "encode_and_enqueue",
            ];
            let times = ours.measure().into_iter().chain(steps.map(theirs));
            for (best, time) in best[index].iter_mut().zip(times) {
                *best = best.min(time);
            }
        }
        let theirs = answer["threads"].as_f64().expect("a time");
        for (best, time) in best_threads.iter_mut().zip([threads(), theirs]) {
            *best = best.min(time);
        }
    }
    theirs.stop();
    print(
        &best.into_iter().map(Times::from).collect::<Vec<_>>(),
        best_threads,
        rounds,
    );
}

impl From<[f64; 9]> for Times {
    fn from(t: [f64; 9]) -> Self {
        Times {
            bind: t[0],
            enqueue: t[1],
            both: t[2],
            driver: t[3],
            store: t[4],
            encode: t[5],
            python_enqueue: t[6],
            store_both: t[7],
            encode_both: t[8],
        }
    }
}

fn print(times: &[Times], [our_threads, their_threads]: [f64; 2], rounds: usize) {
    println!(
        "nanoseconds per call, the best of {rounds} x {SAMPLES} samples; all addresses new in each call\n"
    );
    println!("        nvfp4gen                            cuda-bindings");
    println!(
        "groups    bind  enqueue  (driver)    both     store   encode  enqueue  store+enq  encode+enq  ratio"
    );
    for (groups, t) in GROUPS.iter().zip(times) {
        println!(
            "{groups:>6} {:>7.0} {:>8.0} {:>9.0} {:>7.0} {:>9.0} {:>8.0} {:>8.0} {:>10.0} {:>11.0} {:>5.0}x",
            t.bind,
            t.enqueue,
            t.driver,
            t.both,
            t.store,
            t.encode,
            t.python_enqueue,
            t.store_both,
            t.encode_both,
            t.store_both / t.both,
        );
    }
    println!(
        "\n{THREADS} threads, {CREW} groups, wall clock per call of all together: nvfp4gen {our_threads:.0}, cuda-bindings \
         {their_threads:.0} (store + enqueue)"
    );
    println!(
        "driver: cuLaunchKernelEx alone, part of both sides' enqueue. ratio: store+enq by both."
    );
}

/// A prepared launch, two tables of addresses for it, and the driver's own launch.
struct Ours {
    launch: Launch,
    stream: Stream,
    tables: [Vec<Pointers>; 2],
    raw: Raw,
}

impl Ours {
    fn new(groups: usize) -> Self {
        let kernel = kernel(groups);
        let stream = Stream::new(kernel.device()).expect("a stream");
        let mut raw = Raw::load(kernel.entry());
        raw.config.hStream = stream.raw();
        Ours {
            launch: kernel.prepare(),
            stream,
            tables: tables(groups),
            raw,
        }
    }

    /// bind, enqueue, both, and the driver alone.
    fn measure(&mut self) -> [f64; 4] {
        let Ours {
            launch,
            stream,
            tables,
            raw,
        } = self;
        let mut turn = 0;
        let mut table = || {
            turn ^= 1;
            black_box(&tables[turn])
        };
        [
            sample(|| launch.bind(table()).expect("addresses")),
            sample(|| black_box(&*launch).enqueue(stream).expect("a launch")),
            sample(|| launch.launch(stream, table()).expect("a launch")),
            sample(|| raw.call()),
        ]
    }
}

/// Nanoseconds per call: the best of several samples, each of about as many calls as fit.
fn sample(mut call: impl FnMut()) -> f64 {
    let mut time = |calls: u32| {
        let begun = Instant::now();
        for _ in 0..calls {
            call();
        }
        begun.elapsed()
    };
    let mut calls = 1;
    while time(calls) * 2 < SAMPLE {
        calls *= 2;
    }
    let nanoseconds = |time: Duration| time.as_secs_f64() * 1e9 / f64::from(calls);
    (0..SAMPLES)
        .map(|_| nanoseconds(time(calls)))
        .fold(f64::INFINITY, f64::min)
}

/// Nanoseconds of wall clock per call of all threads together, each with a launch of its own.
fn threads() -> f64 {
    const CALLS: usize = 200_000;
    let kernel = kernel(CREW);
    let ready = Barrier::new(THREADS);
    let work = || {
        let stream = Stream::new(kernel.device()).expect("a stream");
        let (mut launch, tables) = (kernel.prepare(), tables(CREW));
        ready.wait();
        let begun = Instant::now();
        for call in 0..CALLS {
            launch
                .launch(&stream, black_box(&tables[call % 2]))
                .expect("a launch");
        }
        (begun, Instant::now())
    };
    let times: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        let join = |worker: std::thread::ScopedJoinHandle<_>| worker.join().expect("a thread");
        workers.into_iter().map(join).collect()
    });
    let begun = times.iter().map(|time| time.0).min().expect("threads");
    let end = times.iter().map(|time| time.1).max().expect("threads");
    (end - begun).as_secs_f64() * 1e9 / (THREADS * CALLS) as f64
}

/// The Python process.
struct Theirs {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Theirs {
    fn start() -> Self {
        let top = Path::new(env!("CARGO_MANIFEST_DIR"));
        let packages = top.join(".tools/python");
        assert!(
            packages.join("cuda/bindings").is_dir(),
            "no cuda-bindings in {}; run emulator/driver/tests/fetch_python.sh",
            packages.display()
        );
        let mut child = Command::new("python3")
            .arg(top.join("benches/cuda_bindings.py"))
            .env("PYTHONPATH", packages)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3");
        let mut theirs = Theirs {
            to: child.stdin.take().expect("a pipe"),
            from: BufReader::new(child.stdout.take().expect("a pipe")),
            child,
        };
        let facts = json!({
            "kernels": GROUPS.map(facts),
            "crew": facts(CREW),
            "threads": THREADS,
        });
        writeln!(theirs.to, "{facts}").expect("a listener");
        theirs
    }

    fn measure(&mut self) -> Value {
        writeln!(self.to, "once").expect("a listener");
        let mut line = String::new();
        self.from.read_line(&mut line).expect("an answer");
        serde_json::from_str(&line).expect("JSON")
    }

    fn stop(self) {
        let Theirs { mut child, to, .. } = self;
        drop(to);
        assert!(child.wait().expect("its end").success());
    }
}

/// What the Python side needs to know of a kernel.
fn facts(groups: usize) -> Value {
    let text = gpu::compile(&set(groups), SM_100A);
    assert_eq!(text.entry.parameters.location, Location::Parameter);
    let addresses = tables(groups).map(|table| {
        let addresses: Vec<_> = table.iter().map(Pointers::addresses).collect();
        addresses
    });
    json!({ "groups": groups, "ptx": text.ptx, "entry": text.entry, "tables": addresses })
}
