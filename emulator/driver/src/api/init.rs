//! Initialisation, version, errors, entry points; and the emulator's own queries.

use std::ffi::{CStr, c_char};

use crate::config::Config;
use crate::driver::{environment, initialise};
use crate::error::{self, Error, Outcome};
use crate::inject;
use crate::live::Kind;
use crate::pointer::{Name, Out};

/// `CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM`.
const PER_THREAD_FLAG: u64 = 2;
/// `CUdriverProcAddressQueryResult`.
const FOUND: u32 = 0;
const NOT_FOUND: u32 = 1;
const VERSION_NOT_SUFFICIENT: u32 = 2;

/// The version that the driver says it is, known before `cuInit`.
fn driver_version() -> i32 {
    match environment() {
        Ok(config) => config.driver_version,
        Err(_) => Config::default().driver_version,
    }
}

fn text(code: u32, out: Out<*const c_char>, of: fn(u32) -> Option<&'static CStr>) -> Outcome {
    let text = of(code);
    out.set(text.map_or(std::ptr::null(), CStr::as_ptr))?;
    text.map(|_| ()).ok_or(Error::INVALID_VALUE)
}

/// The newest function of a name that is not newer than `version`.
fn find(name: &str, version: i32, flags: u64) -> Result<*const (), u32> {
    let mut result = Err(NOT_FOUND);
    let mut newest = -1;
    for symbol in super::symbols().filter(|s| s.base == name) {
        if symbol.since > version.min(driver_version()) {
            result = result.or(Err(VERSION_NOT_SUFFICIENT));
        } else if symbol.since > newest {
            newest = symbol.since;
            let per_thread = symbol.per_thread.filter(|_| flags & PER_THREAD_FLAG != 0);
            result = Ok(per_thread.unwrap_or(symbol.legacy));
        }
    }
    result
}

fn proc_address(name: Name, out: Out<*const ()>, version: i32, flags: u64) -> Result<u32, Error> {
    let name = name.get()?;
    if flags > 3 || out.is_null() {
        return Err(Error::INVALID_VALUE);
    }
    let (pointer, status) = match find(&name, version, flags) {
        Ok(pointer) => (pointer, FOUND),
        Err(status) => (std::ptr::null(), status),
    };
    out.set(pointer)?;
    Ok(status)
}

abi! { SYMBOLS:
    fn cuInit(flags: u32) = "cuInit" since 2000 {
        if flags != 0 {
            return Err(Error::INVALID_VALUE);
        }
        initialise()
    }

    fn cuDriverGetVersion(version: Out<i32>) = "cuDriverGetVersion" since 2020 {
        version.set(driver_version())
    }

    fn cuGetErrorName(code: u32, name: Out<*const c_char>) = "cuGetErrorName" since 6000 {
        text(code, name, error::name)
    }

    fn cuGetErrorString(code: u32, string: Out<*const c_char>) = "cuGetErrorString" since 6000 {
        text(code, string, error::text)
    }

    fn cuGetProcAddress(name: Name, pointer: Out<*const ()>, version: i32, flags: u64) = "cuGetProcAddress" since 11030 {
        match proc_address(name, pointer, version, flags)? {
            FOUND => Ok(()),
            _ => Err(Error::NOT_FOUND),
        }
    }

    fn cuGetProcAddress_v2(
        name: Name,
        pointer: Out<*const ()>,
        version: i32,
        flags: u64,
        status: Out<u32>,
    ) = "cuGetProcAddress" since 12000 {
        let found = proc_address(name, pointer, version, flags)?;
        // A caller who does not ask for the status learns of it from the result.
        if status.is_null() && found != FOUND {
            return Err(Error::NOT_FOUND);
        }
        status.set_if_wanted(found);
        Ok(())
    }

    fn cuProfilerStart() = "cuProfilerStart" since 4000 {
        crate::context::current().map(|_| ())
    }

    fn cuProfilerStop() = "cuProfilerStop" since 4000 {
        crate::context::current().map(|_| ())
    }
}

/// How many objects of a kind are alive (`README.md` lists the kinds); all ones for an unknown kind.
///
/// # Safety
/// `kind` is a NUL-terminated string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ptxemu_live(kind: Name) -> u64 {
    let kind = kind.get().ok().and_then(|name| Kind::from_name(&name));
    kind.map_or(u64::MAX, Kind::count)
}

/// Replaces the rules of `PTXEMU_FAIL`; an empty string removes them. Returns 0, or 1 for a rule that cannot be read.
///
/// # Safety
/// `rules` is a NUL-terminated string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ptxemu_fail(rules: Name) -> u32 {
    let _ = environment();
    match rules
        .get()
        .map_err(|_| String::new())
        .and_then(|rules| inject::arm(&rules))
    {
        Ok(()) => 0,
        Err(message) => {
            eprintln!("ptxemu: {message}");
            Error::INVALID_VALUE.code()
        }
    }
}
