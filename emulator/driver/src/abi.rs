//! The frame of every exported function: no panic crosses it, failures can be injected, calls can be traced.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::{Error, Outcome};
use crate::inject;
use crate::work::in_callback;

/// An exported function as `cuGetProcAddress` sees it.
pub(crate) struct Symbol {
    /// The name without version and default-stream suffix.
    pub base: &'static str,
    /// The driver version that introduced this signature, such as 12000.
    pub since: i32,
    /// The function whose null stream is the legacy stream.
    pub legacy: *const (),
    /// The function whose null stream is the per-thread stream, if that makes a difference.
    pub per_thread: Option<*const ()>,
}

// SAFETY: the pointers are addresses of functions, which live as long as the library and are not written.
unsafe impl Sync for Symbol {}

/// Runs the body of an exported function and turns its outcome into a `CUresult`.
#[inline]
pub(crate) fn call(name: &'static str, body: impl FnOnce() -> Outcome) -> u32 {
    if inject::is_armed()
        && let Some(error) = inject::strike(name)
    {
        return error.code();
    }
    let outcome = match in_callback() {
        // A caller's function inside a stream must not call the driver: it would wait for itself.
        true => Err(Error::NOT_PERMITTED),
        false => catch_unwind(AssertUnwindSafe(body)).unwrap_or(Err(Error::UNKNOWN)),
    };
    let code = outcome.err().map_or(0, Error::code);
    if inject::is_traced() {
        inject::trace(name, code);
    }
    code
}

/// Defines exported functions: `fn exported_name(arguments) = "base name" since version { body }`.
///
/// The body is an `Outcome`. Two names, `fn name / per_thread_name`, define a pair that differs in what a null
/// stream means; the identifier between bars then holds the handle to take for it.
macro_rules! abi {
    ($list:ident: $(fn $name:ident($($arg:ident: $ty:ty),* $(,)?) = $base:literal since $since:literal $body:block)*) => {
        $(
            #[unsafe(no_mangle)]
            #[allow(non_snake_case, clippy::too_many_arguments, clippy::missing_safety_doc)]
            pub unsafe extern "C" fn $name($($arg: $ty),*) -> u32 {
                $crate::abi::call(stringify!($name), move || $body)
            }
        )*
        pub(crate) const $list: &[$crate::abi::Symbol] = &[$(
            $crate::abi::Symbol { base: $base, since: $since, legacy: $name as *const (), per_thread: None },
        )*];
    };
    ($list:ident |$null:ident|: $(fn $name:ident / $variant:ident($($arg:ident: $ty:ty),* $(,)?) = $base:literal since $since:literal $body:block)*) => {
        $(
            #[unsafe(no_mangle)]
            #[allow(non_snake_case, clippy::too_many_arguments, clippy::missing_safety_doc)]
            pub unsafe extern "C" fn $name($($arg: $ty),*) -> u32 {
                #[allow(unused_variables)]
                let $null = $crate::stream::LEGACY;
                $crate::abi::call(stringify!($name), move || $body)
            }
            #[unsafe(no_mangle)]
            #[allow(non_snake_case, clippy::too_many_arguments, clippy::missing_safety_doc)]
            pub unsafe extern "C" fn $variant($($arg: $ty),*) -> u32 {
                #[allow(unused_variables)]
                let $null = $crate::stream::PER_THREAD;
                $crate::abi::call(stringify!($variant), move || $body)
            }
        )*
        pub(crate) const $list: &[$crate::abi::Symbol] = &[$(
            $crate::abi::Symbol {
                base: $base,
                since: $since,
                legacy: $name as *const (),
                per_thread: Some($variant as *const ()),
            },
        )*];
    };
}
