//! The border: panics and errors become a status, and a text for the calling thread.

use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};

use nvfp4gen::runtime::Error;

/// What a call came to.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Done.
    Ok = 0,
    /// An argument is null, or not text.
    Argument = 1,
    /// There is no driver, no device, or the driver is too old.
    NoDevice = 2,
    /// The library directory is damaged or not there.
    Library = 3,
    /// The library does not have this kernel; the text of the error tells how to add it.
    Missing = 4,
    /// The device or the driver cannot run this kernel.
    Unfit = 5,
    /// Addresses are missing, null, misaligned or the same.
    Addresses = 6,
    /// The kernel cannot be used like this: launched early, captured, or in another kernel's graph.
    Use = 7,
    /// A call of the driver failed.
    Driver = 8,
    /// A mistake in nvfp4gen itself.
    Internal = 9,
}

thread_local! {
    static LAST: RefCell<CString> = RefCell::new(CString::default());
}

/// Why a call did not return `Ok`.
pub(crate) enum Trouble {
    Argument(&'static str),
    Runtime(Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Trouble::Runtime(error)
    }
}

/// Runs the body of an exported function.
#[inline]
pub(crate) fn call(body: impl FnOnce() -> Result<(), Trouble>) -> Status {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => Status::Ok,
        Ok(Err(trouble)) => explain(trouble),
        Err(_) => remember(
            Status::Internal,
            "nvfp4gen panicked: please report this".into(),
        ),
    }
}

#[cold]
fn explain(trouble: Trouble) -> Status {
    match trouble {
        Trouble::Argument(text) => remember(Status::Argument, text.to_owned()),
        Trouble::Runtime(error) => remember(kind(&error), error.to_string()),
    }
}

fn remember(status: Status, text: String) -> Status {
    let text = CString::new(text.replace('\0', " ")).unwrap_or_default();
    // A thread that is ending has nowhere to keep it, and nobody to read it.
    let _ = LAST.try_with(|last| last.replace(text));
    status
}

fn kind(error: &Error) -> Status {
    match error {
        Error::NoDriver
        | Error::OldDriver { .. }
        | Error::NoDevice(_)
        | Error::NoSuchDevice { .. } => Status::NoDevice,
        Error::Library(_) | Error::Rebuilt { .. } | Error::Inconsistent { .. } => Status::Library,
        Error::Missing(_) => Status::Missing,
        Error::Architecture { .. }
        | Error::Multiprocessors { .. }
        | Error::SharedMemory { .. }
        | Error::PtxVersion { .. }
        | Error::ParameterBytes { .. }
        | Error::Jit { .. } => Status::Unfit,
        Error::Groups { .. }
        | Error::Null { .. }
        | Error::Misaligned { .. }
        | Error::SameOutput { .. }
        | Error::Unbound
        | Error::Length { .. } => Status::Addresses,
        Error::NotProgrammatic { .. } | Error::Capture(_) | Error::OtherKernel { .. } => {
            Status::Use
        }
        Error::Call(_) => Status::Driver,
    }
}

/// Why the last call of this thread that failed did so, and what to do. Valid until the next one fails.
#[unsafe(no_mangle)]
pub extern "C" fn nvfp4gen_error() -> *const c_char {
    LAST.try_with(|last| last.borrow().as_ptr())
        .unwrap_or(c"".as_ptr())
}

/// The version of nvfp4gen.
#[unsafe(no_mangle)]
pub extern "C" fn nvfp4gen_version() -> *const c_char {
    const VERSION: &CStr =
        match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
            Ok(version) => version,
            Err(_) => c"",
        };
    VERSION.as_ptr()
}

/// A caller's handle.
///
/// # Safety
/// Null, or a live handle of this kind that nobody changes meanwhile.
#[inline]
pub(crate) unsafe fn borrow<'a, T>(handle: *const T) -> Result<&'a T, Trouble> {
    // SAFETY: the caller's promise.
    unsafe { handle.as_ref() }.ok_or(Trouble::Argument("a handle is null"))
}

/// A caller's handle that is changed.
///
/// # Safety
/// Null, or a live handle of this kind that nobody else uses meanwhile.
#[inline]
pub(crate) unsafe fn borrow_mut<'a, T>(handle: *mut T) -> Result<&'a mut T, Trouble> {
    // SAFETY: the caller's promise.
    unsafe { handle.as_mut() }.ok_or(Trouble::Argument("a handle is null"))
}

/// Hands a new object to the caller.
///
/// # Safety
/// `out` is null or may be written.
pub(crate) unsafe fn give<T>(
    out: *mut *mut T,
    make: impl FnOnce() -> Result<T, Trouble>,
) -> Result<(), Trouble> {
    if out.is_null() {
        return Err(Trouble::Argument("`out` is null"));
    }
    // SAFETY: not null, and the caller's promise.
    unsafe {
        *out = std::ptr::null_mut();
        *out = Box::into_raw(Box::new(make()?));
    }
    Ok(())
}

/// Takes an object back.
///
/// # Safety
/// Null, or from [`give`] and not taken back before.
pub(crate) unsafe fn take<T>(handle: *mut T) {
    if !handle.is_null() {
        let _ = call(|| {
            // SAFETY: the caller's promise.
            drop(unsafe { Box::from_raw(handle) });
            Ok(())
        });
    }
}

/// A caller's text.
///
/// # Safety
/// Null, or NUL-terminated.
pub(crate) unsafe fn text<'a>(text: *const c_char) -> Result<&'a str, Trouble> {
    if text.is_null() {
        return Err(Trouble::Argument("a text is null"));
    }
    // SAFETY: not null, and the caller's promise.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str()
        .map_err(|_| Trouble::Argument("a text is not UTF-8"))
}
