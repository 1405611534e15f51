//! Launches.

use std::ffi::c_void;

use nvfp4gen::runtime::{Launch, Pointers, Stream};

use crate::border::{Status, Trouble, borrow, borrow_mut, call, give, take};
use crate::handles::KernelHandle;

/// A prepared launch: a parameter block of its own. One thread at a time may use it.
pub struct LaunchHandle(pub(crate) Launch);

/// Prepares a launch. The device's context becomes the calling thread's if that has none.
///
/// # Safety
/// `kernel` is a live handle, `out` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvfp4gen_launch_prepare(
    kernel: *const KernelHandle,
    out: *mut *mut LaunchHandle,
) -> Status {
    // SAFETY: the caller's promise.
    call(|| unsafe { give(out, || Ok(LaunchHandle(borrow(kernel)?.0.prepare()))) })
}

/// Writes the addresses of all groups into the parameter block: `groups` times five device addresses, in the order A, B,
/// SFA, SFB, C. They hold until the next bind. After an error the launch is not bound.
///
/// # Safety
/// `launch` is a live handle that no other thread uses meanwhile; `pointers` has `5 * groups` addresses. They must lead
/// to memory of the operands' sizes until the work of every launch with them is done.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvfp4gen_launch_bind(
    launch: *mut LaunchHandle,
    pointers: *const u64,
    groups: usize,
) -> Status {
    // SAFETY: the caller's promise.
    call(|| unsafe { Ok(borrow_mut(launch)?.0.bind(table(pointers, groups)?)?) })
}

/// Launches the kernel on a `CUstream` (null is the default one) with the addresses last bound: one driver call, which
/// copies the parameter block.
///
/// # Safety
/// `launch` is a live handle that no other thread binds meanwhile, `stream` a live stream or null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvfp4gen_launch_enqueue(
    launch: *const LaunchHandle,
    stream: *mut c_void,
) -> Status {
    // SAFETY: the caller's promise.
    call(|| unsafe {
        Ok(borrow(launch)?
            .0
            .enqueue(&Stream::from_raw(stream.cast()))?)
    })
}

/// Bind and enqueue in one call.
///
/// # Safety
/// As both.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvfp4gen_launch_run(
    launch: *mut LaunchHandle,
    stream: *mut c_void,
    pointers: *const u64,
    groups: usize,
) -> Status {
    // SAFETY: the caller's promise.
    call(|| unsafe {
        let stream = Stream::from_raw(stream.cast());
        Ok(borrow_mut(launch)?
            .0
            .launch(&stream, table(pointers, groups)?)?)
    })
}

/// Whether the kernel may start while the one before it in the stream is still finishing (programmatic dependent launch).
///
/// # Safety
/// `launch` is a live handle that no other thread uses meanwhile.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvfp4gen_launch_set_programmatic(
    launch: *mut LaunchHandle,
    on: bool,
) -> Status {
    // SAFETY: the caller's promise.
    call(|| unsafe { Ok(borrow_mut(launch)?.0.set_programmatic(on)?) })
}

/// Gives a launch back. Its work goes on.
///
/// # Safety
/// `launch` is a live handle or null; it is not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvfp4gen_launch_release(launch: *mut LaunchHandle) {
    // SAFETY: the caller's promise.
    unsafe { take(launch) };
}

/// # Safety
/// Null, or `groups` times five addresses that are as good as [`Pointers::new`] demands.
#[inline]
unsafe fn table<'a>(pointers: *const u64, groups: usize) -> Result<&'a [Pointers], Trouble> {
    if pointers.is_null() {
        return Err(Trouble::Argument("the table of addresses is null"));
    }
    // SAFETY: not null, and the caller's promise.
    Ok(unsafe { Pointers::from_table(std::slice::from_raw_parts(pointers.cast(), groups)) })
}
