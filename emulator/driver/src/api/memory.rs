//! Device and host memory.

use super::check_device;
use crate::capture;
use crate::context;
use crate::driver::driver;
use crate::error::{Error, Outcome};
use crate::memory::{self, Owner};
use crate::pointer::{Host, Out};
use crate::types::CUdeviceptr;

fn allocate(out: Out<CUdeviceptr>, size: usize) -> Outcome {
    let context = context::current()?;
    capture::check_unsafe()?;
    if out.is_null() {
        return Err(Error::INVALID_VALUE);
    }
    out.set(memory::allocate(
        context.handle,
        size as u64,
        Owner::Caller,
    )?)
}

fn allocate_host(out: Out<Host>, size: usize, flags: u32) -> Outcome {
    context::current()?;
    capture::check_unsafe()?;
    if out.is_null() {
        return Err(Error::INVALID_VALUE);
    }
    out.set(memory::allocate_host(size, flags)?)
}

abi! { SYMBOLS:
    fn cuMemGetInfo_v2(free: Out<usize>, total: Out<usize>) = "cuMemGetInfo" since 3020 {
        context::current()?;
        let (available, all) = memory::info()?;
        free.set(available as usize)?;
        total.set(all as usize)
    }

    fn cuMemAlloc_v2(address: Out<CUdeviceptr>, size: usize) = "cuMemAlloc" since 3020 {
        allocate(address, size)
    }

    fn cuMemAllocPitch_v2(
        address: Out<CUdeviceptr>,
        pitch: Out<usize>,
        width: usize,
        height: usize,
        element: u32,
    ) = "cuMemAllocPitch" since 3020 {
        if !matches!(element, 4 | 8 | 16) || width == 0 || height == 0 || pitch.is_null() {
            return Err(Error::INVALID_VALUE);
        }
        let row = width.checked_next_multiple_of(512).ok_or(Error::INVALID_VALUE)?;
        allocate(address, row.checked_mul(height).ok_or(Error::INVALID_VALUE)?)?;
        pitch.set(row)
    }

    fn cuMemFree_v2(address: CUdeviceptr) = "cuMemFree" since 3020 {
        let context = context::current()?;
        capture::check_unsafe()?;
        if address == 0 {
            return Ok(());
        }
        memory::retire(address)?;
        // Freeing waits for the device, as cuMemFree may.
        driver()?.queue.finish_context(context.handle);
        memory::release(address);
        context.fate.check()
    }

    fn cuMemGetAddressRange_v2(base: Out<CUdeviceptr>, size: Out<usize>, address: CUdeviceptr) = "cuMemGetAddressRange" since 3020 {
        context::current()?;
        let allocation = memory::find(address).map_err(|_| Error::NOT_FOUND)?;
        base.set_if_wanted(allocation.base);
        size.set_if_wanted(allocation.size as usize);
        Ok(())
    }

    fn cuMemAllocHost_v2(host: Out<Host>, size: usize) = "cuMemAllocHost" since 3020 {
        allocate_host(host, size, 0)
    }

    fn cuMemHostAlloc(host: Out<Host>, size: usize, flags: u32) = "cuMemHostAlloc" since 2020 {
        allocate_host(host, size, flags)
    }

    fn cuMemFreeHost(host: Host) = "cuMemFreeHost" since 2000 {
        let context = context::current()?;
        capture::check_unsafe()?;
        if host.is_null() {
            return Ok(());
        }
        driver()?.queue.finish_context(context.handle);
        memory::release_host(host, true)
    }

    fn cuMemHostRegister_v2(host: Host, size: usize, flags: u32) = "cuMemHostRegister" since 6050 {
        context::current()?;
        capture::check_unsafe()?;
        memory::register_host(host, size, flags)
    }

    fn cuMemHostUnregister(host: Host) = "cuMemHostUnregister" since 4000 {
        let context = context::current()?;
        driver()?.queue.finish_context(context.handle);
        memory::release_host(host, false)
    }

    fn cuMemHostGetFlags(flags: Out<u32>, host: Host) = "cuMemHostGetFlags" since 2030 {
        context::current()?;
        flags.set(memory::find_host(host)?.2)
    }

    fn cuMemHostGetDevicePointer_v2(address: Out<CUdeviceptr>, host: Host, flags: u32) = "cuMemHostGetDevicePointer" since 3020 {
        let _ = (address, flags);
        context::current()?;
        memory::find_host(host)?;
        // Host memory is not mapped into the emulated device.
        Err(Error::NOT_SUPPORTED)
    }

    fn cuMemAllocManaged(address: Out<CUdeviceptr>, size: usize, flags: u32) = "cuMemAllocManaged" since 6000 {
        let _ = (address, size, flags);
        context::current()?;
        Err(Error::NOT_SUPPORTED)
    }

    fn cuDeviceGetGraphMemAttribute(device: i32, attribute: u32, value: Out<u64>) = "cuDeviceGetGraphMemAttribute" since 11040 {
        check_device(device)?;
        if attribute > 3 {
            return Err(Error::INVALID_VALUE);
        }
        value.set(0)
    }

    fn cuDeviceGraphMemTrim(device: i32) = "cuDeviceGraphMemTrim" since 11040 {
        check_device(device).map(|_| ())
    }
}
