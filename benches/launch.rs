//! What the host pays for a launch: bind, enqueue, both, and the driver's part of it, over the emulated driver's null
//! mode, which checks a launch and copies its parameters nowhere.
//!
//! `cargo bench --bench launch`. The process starts itself again with the emulated driver in its loader's path.

// The driver's own cost is measured by calling it.
#![allow(unsafe_code)]

#[path = "../tests/gpu/mod.rs"]
mod gpu;

use std::cell::RefCell;
use std::os::unix::process::CommandExt;
use std::process::Command;

use cudarc::driver::sys;
use divan::Bencher;
use divan::counter::ItemsCount;
use nvfp4gen::problem::{Group, OutputType, Set, Weights};
use nvfp4gen::runtime::{Device, Kernel, Launch, Library, Pointers, Stream};

/// Groups of the sets that are measured.
const GROUPS: [usize; 5] = [1, 2, 8, 32, 96];
const STARTED_AGAIN: &str = "NVFP4GEN_BENCH_CHILD";

fn main() {
    if std::env::var_os(STARTED_AGAIN).is_none() {
        let own = std::env::current_exe().expect("the benchmark's own path");
        let mut child = Command::new(own);
        child.args(std::env::args_os().skip(1));
        child.env("LD_LIBRARY_PATH", gpu::driver_folder());
        child.env("PTXEMU_NULL", "1").env(STARTED_AGAIN, "1");
        panic!("cannot start again: {}", child.exec());
    }
    divan::main();
}

/// A set of many small groups: what is measured does not depend on their sizes.
fn set(groups: usize) -> Set {
    let group = |index| Group {
        m: 16 + 8 * index as u32,
        n: 128,
        k: 256,
    };
    Set {
        name: format!("{groups} groups"),
        groups: (0..groups).map(group).collect(),
        output: OutputType::F16,
        weights: Weights::Static,
    }
}

fn kernel(groups: usize) -> Kernel {
    let set = set(groups);
    let home = gpu::library(&[&set]);
    let library = Library::open(home.path()).expect("a library");
    let device = Device::new(0).expect("the emulated device");
    library.load(&device, &set.key()).expect("a kernel")
}

/// Two tables of which no address is the same, in no order: every bind stores something new.
fn tables(groups: usize) -> [Vec<Pointers>; 2] {
    let mut state = 1_u64;
    let mut address = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        0x7F00_0000_0000 | state >> 32 << 8
    };
    [(); 2].map(|()| {
        (0..groups)
            // SAFETY: nothing is executed in null mode.
            .map(|_| unsafe {
                Pointers::new(address(), address(), address(), address(), address())
            })
            .collect()
    })
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

/// The same function of the same module, loaded again, to be called without our library.
struct Raw {
    call: unsafe extern "C" fn(
        *const sys::CUlaunchConfig,
        sys::CUfunction,
        *mut *mut std::ffi::c_void,
        *mut *mut std::ffi::c_void,
    ) -> u32,
    function: sys::CUfunction,
    config: sys::CUlaunchConfig,
    block: Vec<u64>,
}

impl Raw {
    fn load(entry: &nvfp4gen::artifact::KernelEntry) -> Self {
        let ptx = gpu::compile(&set(entry.sizes.m.len()), nvfp4gen::plan::target::SM_100A).ptx;
        let text = std::ffi::CString::new(ptx).expect("text");
        let name = std::ffi::CString::new(entry.function.as_str()).expect("a name");
        let (mut module, mut function) = (std::ptr::null_mut(), std::ptr::null_mut());
        // SAFETY: text and name are terminated; the symbol has this type in every driver.
        let call = unsafe {
            sys::cuModuleLoadData(&mut module, text.as_ptr().cast())
                .result()
                .expect("a module");
            sys::cuModuleGetFunction(&mut function, module, name.as_ptr())
                .result()
                .expect("a function");
            let attribute =
                sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            sys::cuFuncSetAttribute(function, attribute, entry.launch.dynamic_shared as i32)
                .result()
                .expect("shared memory");
            *sys::culib().get(b"cuLaunchKernelEx").expect("the driver")
        };
        let [x, y, z] = entry.launch.grid;
        let config = sys::CUlaunchConfig {
            gridDimX: x,
            gridDimY: y,
            gridDimZ: z,
            blockDimX: entry.launch.block[0],
            blockDimY: 1,
            blockDimZ: 1,
            sharedMemBytes: entry.launch.dynamic_shared,
            hStream: std::ptr::null_mut(),
            attrs: std::ptr::null_mut(),
            numAttrs: 0,
        };
        Raw {
            call,
            function,
            config,
            block: vec![0; entry.parameters.bytes as usize / 8],
        }
    }

    fn call(&mut self) {
        let mut parameters = [self.block.as_mut_ptr().cast()];
        // SAFETY: the function has one parameter of the block's size.
        let code = unsafe {
            (self.call)(
                divan::black_box(&self.config),
                self.function,
                parameters.as_mut_ptr(),
                std::ptr::null_mut(),
            )
        };
        assert_eq!(code, 0);
    }
}
