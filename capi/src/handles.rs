//! Libraries, devices, kernels.

use std::ffi::{CString, c_char};

use nvfp4gen::runtime::{Device, Kernel, Library};

use crate::border::{Status, Trouble, borrow, call, give, take, text};

/// The kernels of a directory. May be used by several threads at a time.
pub struct LibraryHandle {
    library: Library,
    /// For C, in the order of the library.
    keys: Vec<CString>,
}

/// A GPU. May be used by several threads at a time.
pub struct DeviceHandle(Device);

/// A loaded kernel. May be used by several threads at a time.
pub struct KernelHandle(pub(crate) Kernel);

/// Opens what `nvfp4gen build` wrote to `directory`. No GPU is touched.
///
/// # Safety
/// `directory` is NUL-terminated, `out` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvfp4gen_library_open(
    directory: *const c_char,
    out: *mut *mut LibraryHandle,
) -> Status {
    // SAFETY: the caller's promise.
    call(|| unsafe {
        give(out, || {
            let library = Library::open(text(directory)?)?;
            let key = |key: &str| CString::new(key).unwrap_or_default();
            let keys = library
                .kernels()
                .map(|(_, entry)| key(&entry.key))
                .collect();
            Ok(LibraryHandle { library, keys })
        })
    })
}

/// The key of kernel number `index`, or null if there are not so many. Valid as long as the library.
///
/// # Safety
/// `library` is a live handle or null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvfp4gen_library_key(
    library: *const LibraryHandle,
    index: usize,
) -> *const c_char {
    // SAFETY: the caller's promise.
    let library = unsafe { library.as_ref() };
    library
        .and_then(|library| library.keys.get(index))
        .map_or(std::ptr::null(), |key| key.as_ptr())
}

/// Closes a library. Its kernels stay loaded.
///
/// # Safety
/// `library` is a live handle or null; it is not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvfp4gen_library_close(library: *mut LibraryHandle) {
    // SAFETY: the caller's promise.
    unsafe { take(library) };
}

/// Opens a device by its number, with the context that the CUDA runtime uses. It becomes the calling thread's if that has
/// none.
///
/// # Safety
/// `out` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvfp4gen_device_open(ordinal: u32, out: *mut *mut DeviceHandle) -> Status {
    // SAFETY: the caller's promise.
    call(|| unsafe { give(out, || Ok(DeviceHandle(Device::new(ordinal)?))) })
}

/// Makes the device's context the calling thread's.
///
/// # Safety
/// `device` is a live handle or null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvfp4gen_device_make_current(device: *const DeviceHandle) -> Status {
    // SAFETY: the caller's promise.
    call(|| Ok(unsafe { borrow(device)? }.0.make_current()?))
}

/// Closes a device. Kernels loaded on it keep it.
///
/// # Safety
/// `device` is a live handle or null; it is not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvfp4gen_device_close(device: *mut DeviceHandle) {
    // SAFETY: the caller's promise.
    unsafe { take(device) };
}

/// Loads the kernel of this shape key: once, everything that can be done before addresses are known.
///
/// # Safety
/// Handles are live, `key` is NUL-terminated, `out` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvfp4gen_kernel_load(
    library: *const LibraryHandle,
    device: *const DeviceHandle,
    key: *const c_char,
    out: *mut *mut KernelHandle,
) -> Status {
    // SAFETY: the caller's promise.
    call(|| unsafe {
        give(out, || {
            let (library, device) = (borrow(library)?, borrow(device)?);
            Ok(KernelHandle(library.library.load(&device.0, text(key)?)?))
        })
    })
}

/// How many groups the kernel has, those without tokens included; 0 for null.
///
/// # Safety
/// `kernel` is a live handle or null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvfp4gen_kernel_groups(kernel: *const KernelHandle) -> usize {
    // SAFETY: the caller's promise.
    unsafe { kernel.as_ref() }.map_or(0, |kernel| kernel.0.entry().sizes.m.len())
}

/// The sizes of a group: M tokens, N weight rows, K elements summed over.
///
/// # Safety
/// `kernel` is a live handle or null, `sizes` has room for three numbers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvfp4gen_kernel_sizes(
    kernel: *const KernelHandle,
    group: usize,
    sizes: *mut u32,
) -> Status {
    call(|| {
        // SAFETY: the caller's promise.
        let known = &unsafe { borrow(kernel)? }.0.entry().sizes;
        let (Some(m), Some(n), Some(k)) =
            (known.m.get(group), known.n.get(group), known.k.get(group))
        else {
            return Err(Trouble::Argument("the kernel has not so many groups"));
        };
        if sizes.is_null() {
            return Err(Trouble::Argument("`sizes` is null"));
        }
        // SAFETY: not null, and the caller's promise.
        unsafe { sizes.cast::<[u32; 3]>().write_unaligned([*m, *n, *k]) };
        Ok(())
    })
}

/// Gives a kernel back. It is unloaded with the last of its launches and graphs, which must not be before their work is
/// done.
///
/// # Safety
/// `kernel` is a live handle or null; it is not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvfp4gen_kernel_unload(kernel: *mut KernelHandle) {
    // SAFETY: the caller's promise.
    unsafe { take(kernel) };
}
