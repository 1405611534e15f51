//! Module loading and launches through cudarc's `sys`, which has no safe interface for them without a compiler.

// The driver is reached through C functions.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_void};

use cudarc::driver::sys::{self, CUresult};

/// A text with its NUL.
pub const fn text(bytes: &'static str) -> &'static CStr {
    match CStr::from_bytes_with_nul(bytes.as_bytes()) {
        Ok(text) => text,
        Err(_) => panic!("no NUL at the end, or one before"),
    }
}

/// Pointers to the arguments, which must be places.
macro_rules! params {
    ($($place:expr),* $(,)?) => { [$((&raw const $place).cast_mut().cast::<std::ffi::c_void>()),*] };
}
#[allow(unused_imports)]
pub(crate) use params;

/// A function with its module, which is unloaded in the end.
pub struct Kernel {
    pub module: sys::CUmodule,
    pub function: sys::CUfunction,
}

// SAFETY: handles are numbers, and the driver may be called from any thread.
unsafe impl Send for Kernel {}
// SAFETY: as above.
unsafe impl Sync for Kernel {}

/// A module that was refused, with the JIT's log.
#[derive(Debug)]
pub struct Refused {
    pub error: CUresult,
    pub log: String,
}

/// Loads a module with log buffers.
pub fn load(image: *const c_void) -> Result<sys::CUmodule, Refused> {
    use sys::CUjit_option as Jit;
    let mut log = vec![0u8; 4096];
    let mut options = [
        Jit::CU_JIT_ERROR_LOG_BUFFER,
        Jit::CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES,
        Jit::CU_JIT_WALL_TIME,
    ];
    let mut values = [
        log.as_mut_ptr().cast(),
        log.len() as *mut c_void,
        std::ptr::null_mut(),
    ];
    let mut module = std::ptr::null_mut();
    // SAFETY: all arrays live through the call and have the lengths given.
    let result = unsafe {
        sys::cuModuleLoadDataEx(
            &mut module,
            image,
            3,
            options.as_mut_ptr(),
            values.as_mut_ptr(),
        )
    };
    let length = values[1] as usize;
    // A call that fails before it compiles anything leaves buffer and size alone.
    if length == log.len() {
        log.clear();
    } else {
        assert_eq!(log[length], 0);
        log.truncate(length);
    }
    let log = String::from_utf8(log).expect("the log is text");
    result.result().map(|()| module).map_err(|error| Refused {
        error: error.0,
        log,
    })
}

/// Loads PTX text.
pub fn load_text(text: &CStr) -> Result<sys::CUmodule, Refused> {
    load(text.as_ptr().cast())
}

impl Kernel {
    pub fn load(text: &CStr, name: &CStr) -> Result<Self, Refused> {
        let module = load_text(text)?;
        let mut function = std::ptr::null_mut();
        // SAFETY: the module is alive and the name NUL-terminated.
        let result = unsafe { sys::cuModuleGetFunction(&mut function, module, name.as_ptr()) };
        assert_eq!(result, CUresult::CUDA_SUCCESS);
        Ok(Kernel { module, function })
    }

    pub fn launch(
        &self,
        stream: sys::CUstream,
        grid: [u32; 3],
        block: [u32; 3],
        params: &mut [*mut c_void],
    ) -> Result<(), CUresult> {
        let [gx, gy, gz] = grid;
        let [bx, by, bz] = block;
        let params = params.as_mut_ptr();
        let extra = std::ptr::null_mut();
        // SAFETY: the parameters are as many and as large as the kernel's.
        let result = unsafe {
            sys::cuLaunchKernel(
                self.function,
                gx,
                gy,
                gz,
                bx,
                by,
                bz,
                0,
                stream,
                params,
                extra,
            )
        };
        result.result().map_err(|error| error.0)
    }

    pub fn attribute(&self, attribute: sys::CUfunction_attribute) -> Result<i32, CUresult> {
        let mut value = 0;
        // SAFETY: the function is alive.
        let result = unsafe { sys::cuFuncGetAttribute(&mut value, attribute, self.function) };
        result.result().map(|()| value).map_err(|error| error.0)
    }

    pub fn set_attribute(
        &self,
        attribute: sys::CUfunction_attribute,
        value: i32,
    ) -> Result<(), CUresult> {
        // SAFETY: the function is alive.
        let result = unsafe { sys::cuFuncSetAttribute(self.function, attribute, value) };
        result.result().map_err(|error| error.0)
    }

    pub fn blocks_per_sm(&self, threads: i32, shared: usize) -> Result<i32, CUresult> {
        let mut blocks = 0;
        // SAFETY: the function is alive.
        let result = unsafe {
            sys::cuOccupancyMaxActiveBlocksPerMultiprocessor(
                &mut blocks,
                self.function,
                threads,
                shared,
            )
        };
        result.result().map(|()| blocks).map_err(|error| error.0)
    }

    /// Address and size of a variable of the module.
    pub fn global(&self, name: &CStr) -> Result<(sys::CUdeviceptr, usize), CUresult> {
        let (mut address, mut size) = (0, 0);
        // SAFETY: the module is alive and the name NUL-terminated.
        let result = unsafe {
            sys::cuModuleGetGlobal_v2(&mut address, &mut size, self.module, name.as_ptr())
        };
        result
            .result()
            .map(|()| (address, size))
            .map_err(|error| error.0)
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        // SAFETY: unloaded once, by its owner. A context that has failed refuses, which is fine.
        let _ = unsafe { sys::cuModuleUnload(self.module) };
    }
}
