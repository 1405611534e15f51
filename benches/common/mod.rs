//! What is measured in every benchmark: kernels of some numbers of groups, fresh addresses for them, and the driver's own
//! launch.

#![allow(dead_code)]

use std::ffi::{CString, c_void};
use std::os::unix::process::CommandExt;
use std::process::Command;

use cudarc::driver::sys;
use nvfp4gen::artifact::KernelEntry;
use nvfp4gen::plan::target::SM_100A;
use nvfp4gen::problem::{Group, OutputType, Set, Weights};
use nvfp4gen::runtime::{Device, Kernel, Library, Pointers};

#[path = "../../tests/gpu/mod.rs"]
pub mod gpu;

/// Groups of the sets that are measured.
pub const GROUPS: [usize; 5] = [1, 2, 8, 32, 96];
const STARTED_AGAIN: &str = "NVFP4GEN_BENCH_CHILD";

/// Goes on in a process that has the emulated driver in its loader's path, in null mode.
pub fn with_null_driver() {
    if std::env::var_os(STARTED_AGAIN).is_none() {
        let own = std::env::current_exe().expect("the benchmark's own path");
        let mut child = Command::new(own);
        child.args(std::env::args_os().skip(1));
        child.env("LD_LIBRARY_PATH", gpu::driver_folder());
        child.env("PTXEMU_NULL", "1").env(STARTED_AGAIN, "1");
        panic!("cannot start again: {}", child.exec());
    }
}

/// A set of many small groups: what is measured does not depend on their sizes.
pub fn set(groups: usize) -> Set {
    let group = |index| Group {
        m: 16 + 8 * (index as u32 % 16),
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

pub fn kernel(groups: usize) -> Kernel {
    let set = set(groups);
    let home = gpu::library(&[&set]);
    let library = Library::open(home.path()).expect("a library");
    let device = Device::new(0).expect("the emulated device");
    library.load(&device, &set.key()).expect("a kernel")
}

/// Two tables of which no address is the same, in no order: every bind stores something new.
pub fn tables(groups: usize) -> [Vec<Pointers>; 2] {
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

/// The same function of the same module, loaded again, to be called without our library.
pub struct Raw {
    call: unsafe extern "C" fn(
        *const sys::CUlaunchConfig,
        sys::CUfunction,
        *mut *mut c_void,
        *mut *mut c_void,
    ) -> u32,
    function: sys::CUfunction,
    pub config: sys::CUlaunchConfig,
    block: Vec<u64>,
}

impl Raw {
    pub fn load(entry: &KernelEntry) -> Self {
        let ptx = gpu::compile(&set(entry.sizes.m.len()), SM_100A).ptx;
        let text = CString::new(ptx).expect("text");
        let name = CString::new(entry.function.as_str()).expect("a name");
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

    pub fn call(&mut self) {
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
