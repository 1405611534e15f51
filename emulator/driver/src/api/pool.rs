//! Memory pools and allocation in stream order.

use super::check_device;
use crate::driver::driver;
use crate::error::{Error, Outcome};
use crate::memory::{self, Owner};
use crate::memory_pool::{self, Pool};
use crate::object;
use crate::pointer::{Host, In, Out};
use crate::stream;
use crate::types::{CUdevice, CUdeviceptr, CUmemoryPool, CUstream, MemPoolProps};
use crate::work::Work;

fn allocate(
    out: Out<CUdeviceptr>,
    size: usize,
    pool: CUmemoryPool,
    stream: CUstream,
    null: CUstream,
) -> Outcome {
    let stream = stream::resolve(stream, null)?;
    // Allocation nodes are not emulated.
    crate::capture::forbid_in(&stream)?;
    pool.get()?;
    if out.is_null() {
        return Err(Error::INVALID_VALUE);
    }
    out.set(memory::allocate(
        stream.context,
        size as u64,
        Owner::Pool(pool.bits()),
    )?)
}

/// Width of a pool attribute: the first three are `int`, the others 64 bits.
fn is_narrow(attribute: u32) -> bool {
    attribute <= 3
}

abi! { SYMBOLS:
    fn cuDeviceGetDefaultMemPool(pool: Out<CUmemoryPool>, device: CUdevice) = "cuDeviceGetDefaultMemPool" since 11020 {
        check_device(device)?;
        pool.set(memory_pool::default_pool()?)
    }

    fn cuDeviceGetMemPool(pool: Out<CUmemoryPool>, device: CUdevice) = "cuDeviceGetMemPool" since 11020 {
        check_device(device)?;
        pool.set(memory_pool::current_pool()?)
    }

    fn cuDeviceSetMemPool(device: CUdevice, pool: CUmemoryPool) = "cuDeviceSetMemPool" since 11020 {
        check_device(device)?;
        memory_pool::set_current_pool(pool)
    }

    fn cuMemPoolCreate(pool: Out<CUmemoryPool>, properties: In<MemPoolProps>) = "cuMemPoolCreate" since 11020 {
        driver()?;
        let properties = properties.get()?;
        // Pinned memory of device 0 is the only kind.
        if pool.is_null() || properties.allocation != 1 || properties.location_kind != 1 || properties.location != 0 {
            return Err(Error::INVALID_VALUE);
        }
        if properties.handles != 0 {
            return Err(Error::NOT_SUPPORTED);
        }
        pool.set(object::add(Pool::new(false)))
    }

    fn cuMemPoolDestroy(pool: CUmemoryPool) = "cuMemPoolDestroy" since 11020 {
        driver()?;
        if pool.get()?.default {
            return Err(Error::INVALID_VALUE);
        }
        object::remove(pool).map(|_| ())
    }

    fn cuMemPoolTrimTo(pool: CUmemoryPool, keep: usize) = "cuMemPoolTrimTo" since 11020 {
        let _ = keep;
        driver()?;
        pool.get().map(|_| ())
    }

    fn cuMemPoolGetAttribute(pool: CUmemoryPool, attribute: u32, value: Host) = "cuMemPoolGetAttribute" since 11020 {
        driver()?;
        let found = memory_pool::attribute(pool, attribute)?;
        if is_narrow(attribute) { value.store(found as i32) } else { value.store(found) }
    }

    fn cuMemPoolSetAttribute(pool: CUmemoryPool, attribute: u32, value: Host) = "cuMemPoolSetAttribute" since 11020 {
        driver()?;
        let wanted = if is_narrow(attribute) { value.value::<i32>()? as u64 } else { value.value()? };
        memory_pool::set_attribute(pool, attribute, wanted)
    }
}

abi! { STREAM_SYMBOLS |null|:
    fn cuMemAllocAsync / cuMemAllocAsync_ptsz(address: Out<CUdeviceptr>, size: usize, stream: CUstream) = "cuMemAllocAsync" since 11020 {
        allocate(address, size, memory_pool::current_pool()?, stream, null)
    }

    fn cuMemAllocFromPoolAsync / cuMemAllocFromPoolAsync_ptsz(
        address: Out<CUdeviceptr>,
        size: usize,
        pool: CUmemoryPool,
        stream: CUstream,
    ) = "cuMemAllocFromPoolAsync" since 11020 {
        allocate(address, size, pool, stream, null)
    }

    fn cuMemFreeAsync / cuMemFreeAsync_ptsz(address: CUdeviceptr, stream: CUstream) = "cuMemFreeAsync" since 11020 {
        let stream = stream::resolve(stream, null)?;
        crate::capture::forbid_in(&stream)?;
        memory::retire(address)?;
        stream::submit(&stream, Work::Free(address))
    }
}
