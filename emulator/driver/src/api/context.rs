//! Contexts.

use std::sync::atomic::Ordering;

use super::check_device;
use crate::capture;
use crate::context::{self, LIMITS};
use crate::driver::{driver, lock};
use crate::error::{Error, Outcome};
use crate::pointer::{Handle, In, Out};
use crate::types::{CUcontext, CUdevice, CUevent};

/// `CU_CTX_FLAGS_MASK`.
pub(super) const FLAGS: u32 = 0xFF;

/// Creates a context and makes it current.
fn create(out: Out<CUcontext>, flags: u32, device: CUdevice) -> Outcome {
    check_device(device)?;
    if out.is_null() || flags & !FLAGS != 0 {
        return Err(Error::INVALID_VALUE);
    }
    let handle = context::create(flags, false);
    context::push(handle);
    out.set(handle)
}

/// The context of an argument; null is the current one.
fn of(handle: CUcontext) -> Result<std::sync::Arc<crate::context::Context>, Error> {
    driver()?;
    if handle.is_null() {
        context::current_in_any_state()
    } else {
        handle.get()
    }
}

fn synchronise(handle: CUcontext) -> Outcome {
    let context = of(handle)?;
    context.fate.check()?;
    capture::check_unsafe()?;
    driver()?.queue.finish_context(context.handle);
    context.fate.check()
}

abi! { SYMBOLS:
    fn cuCtxCreate_v2(context: Out<CUcontext>, flags: u32, device: CUdevice) = "cuCtxCreate" since 3020 {
        create(context, flags, device)
    }

    fn cuCtxCreate_v3(context: Out<CUcontext>, affinity: In<u64>, count: i32, flags: u32, device: CUdevice) = "cuCtxCreate" since 11040 {
        if count != 0 || !affinity.is_null() {
            return Err(Error::NOT_SUPPORTED);
        }
        create(context, flags, device)
    }

    fn cuCtxCreate_v4(context: Out<CUcontext>, parameters: In<[usize; 3]>, flags: u32, device: CUdevice) = "cuCtxCreate" since 12050 {
        // Execution affinity and graphics contexts are not emulated.
        if !parameters.is_null() && parameters.get()? != [0; 3] {
            return Err(Error::NOT_SUPPORTED);
        }
        create(context, flags, device)
    }

    fn cuCtxDestroy_v2(context: CUcontext) = "cuCtxDestroy" since 4000 {
        driver()?;
        if context.get()?.primary {
            return Err(Error::INVALID_CONTEXT);
        }
        context::destroy(context)
    }

    fn cuCtxPushCurrent_v2(context: CUcontext) = "cuCtxPushCurrent" since 4000 {
        driver()?;
        context.get()?;
        context::push(context);
        Ok(())
    }

    fn cuCtxPopCurrent_v2(context: Out<CUcontext>) = "cuCtxPopCurrent" since 4000 {
        driver()?;
        let popped = context::pop()?;
        context.set_if_wanted(popped);
        Ok(())
    }

    fn cuCtxSetCurrent(context: CUcontext) = "cuCtxSetCurrent" since 4000 {
        driver()?;
        if !context.is_null() {
            context.get()?;
        }
        context::set_current(context);
        Ok(())
    }

    fn cuCtxGetCurrent(context: Out<CUcontext>) = "cuCtxGetCurrent" since 4000 {
        driver()?;
        context.set(context::current_handle())
    }

    fn cuCtxGetDevice(device: Out<CUdevice>) = "cuCtxGetDevice" since 2000 {
        context::current_in_any_state()?;
        device.set(0)
    }

    fn cuCtxGetDevice_v2(device: Out<CUdevice>, context: CUcontext) = "cuCtxGetDevice" since 13000 {
        of(context)?;
        device.set(0)
    }

    fn cuCtxGetFlags(flags: Out<u32>) = "cuCtxGetFlags" since 7000 {
        flags.set(context::current()?.flags.load(Ordering::Relaxed))
    }

    fn cuCtxSetFlags(flags: u32) = "cuCtxSetFlags" since 12010 {
        if flags & !FLAGS != 0 {
            return Err(Error::INVALID_VALUE);
        }
        context::current()?.flags.store(flags, Ordering::Relaxed);
        Ok(())
    }

    fn cuCtxGetId(context: CUcontext, id: Out<u64>) = "cuCtxGetId" since 12000 {
        id.set(of(context)?.id)
    }

    fn cuCtxGetApiVersion(context: CUcontext, version: Out<u32>) = "cuCtxGetApiVersion" since 3020 {
        of(context)?;
        version.set(3020)
    }

    fn cuCtxSynchronize() = "cuCtxSynchronize" since 2000 {
        synchronise(Handle::NULL)
    }

    fn cuCtxSynchronize_v2(context: CUcontext) = "cuCtxSynchronize" since 13000 {
        synchronise(context)
    }

    fn cuCtxGetLimit(value: Out<usize>, limit: u32) = "cuCtxGetLimit" since 3010 {
        let context = context::current()?;
        let limits = lock(&context.limits);
        value.set(*limits.get(limit as usize).ok_or(Error::UNSUPPORTED_LIMIT)?)
    }

    fn cuCtxSetLimit(limit: u32, value: usize) = "cuCtxSetLimit" since 3010 {
        let context = context::current()?;
        if limit as usize >= LIMITS {
            return Err(Error::UNSUPPORTED_LIMIT);
        }
        lock(&context.limits)[limit as usize] = value;
        Ok(())
    }

    fn cuCtxGetCacheConfig(config: Out<u32>) = "cuCtxGetCacheConfig" since 3020 {
        config.set(context::current()?.cache_config.load(Ordering::Relaxed))
    }

    fn cuCtxSetCacheConfig(config: u32) = "cuCtxSetCacheConfig" since 3020 {
        if config > 3 {
            return Err(Error::INVALID_VALUE);
        }
        context::current()?.cache_config.store(config, Ordering::Relaxed);
        Ok(())
    }

    fn cuCtxGetSharedMemConfig(config: Out<u32>) = "cuCtxGetSharedMemConfig" since 4020 {
        config.set(context::current()?.shared_config.load(Ordering::Relaxed))
    }

    fn cuCtxSetSharedMemConfig(config: u32) = "cuCtxSetSharedMemConfig" since 4020 {
        if config > 2 {
            return Err(Error::INVALID_VALUE);
        }
        context::current()?.shared_config.store(config, Ordering::Relaxed);
        Ok(())
    }

    fn cuCtxGetStreamPriorityRange(least: Out<i32>, greatest: Out<i32>) = "cuCtxGetStreamPriorityRange" since 5050 {
        context::current()?;
        least.set_if_wanted(super::stream::LEAST_PRIORITY);
        greatest.set_if_wanted(super::stream::GREATEST_PRIORITY);
        Ok(())
    }

    fn cuCtxResetPersistingL2Cache() = "cuCtxResetPersistingL2Cache" since 11000 {
        context::current().map(|_| ())
    }

    fn cuCtxWaitEvent(context: CUcontext, event: CUevent) = "cuCtxWaitEvent" since 12050 {
        // All work of the context runs later than this call or has run before it: waiting here is the same.
        of(context)?;
        let event = event.get()?;
        let number = event.last_record()?;
        driver()?.queue.finish_event(&event, number);
        Ok(())
    }
}
