//! What a pointer points to.

use crate::context;
use crate::error::{Error, Outcome};
use crate::memory::{self, Owner};
use crate::pointer::{Host, In};
use crate::types::CUdeviceptr;

/// `cuPointerGetAttribute`: what one attribute of a pointer is, written as its type.
fn attribute(out: Host, attribute: u32, pointer: CUdeviceptr) -> Outcome {
    let out = if out.is_null() {
        return Err(Error::INVALID_VALUE);
    } else {
        out
    };
    if let Ok(allocation) = memory::find(pointer) {
        return match attribute {
            1 => out.store(allocation.context),
            2 => out.store(2u32),
            3 => out.store(pointer),
            4 => Err(Error::INVALID_VALUE),
            6 | 8 => out.store(0u8),
            7 => out.store(allocation.id),
            9 => out.store(0i32),
            10 | 15 => out.store(0u8),
            11 => out.store(allocation.base),
            12 => out.store(allocation.size),
            13 => out.store(1u8),
            14 => out.store(0u64),
            16 => out.store(3u32),
            17 => out.store(if let Owner::Pool(pool) = allocation.owner {
                pool
            } else {
                0
            }),
            _ => Err(Error::INVALID_VALUE),
        };
    }
    let host = Host::from_address(pointer as usize);
    let (base, size, _, context) = memory::find_host(host)?;
    match attribute {
        1 => out.store(context),
        2 => out.store(1u32),
        3 => Err(Error::INVALID_VALUE),
        4 => out.store(pointer),
        6 | 8 | 10 | 13 | 15 => out.store(0u8),
        9 => out.store(0i32),
        11 => out.store(base),
        12 => out.store(size),
        14 => out.store(0u64),
        17 => out.store(0usize),
        _ => Err(Error::INVALID_VALUE),
    }
}

/// For a list of attributes: those that a pointer does not have are zero.
fn attribute_or_zero(out: Host, which: u32, pointer: CUdeviceptr) -> Outcome {
    if out.is_null() {
        return Err(Error::INVALID_VALUE);
    }
    if attribute(out, which, pointer).is_ok() {
        return Ok(());
    }
    match which {
        2 | 16 => out.store(0u32),
        9 => out.store(-2i32),
        6 | 8 | 10 | 13 | 15 => out.store(0u8),
        4 | 14 if memory::find(pointer).is_err() => out.store(if which == 4 { pointer } else { 0 }),
        1..=20 => out.store(0u64),
        _ => Err(Error::INVALID_VALUE),
    }
}

abi! { SYMBOLS:
    fn cuPointerGetAttribute(data: Host, which: u32, pointer: CUdeviceptr) = "cuPointerGetAttribute" since 4000 {
        context::current()?;
        attribute(data, which, pointer)
    }

    fn cuPointerGetAttributes(count: u32, attributes: In<u32>, data: In<Host>, pointer: CUdeviceptr) = "cuPointerGetAttributes" since 7000 {
        context::current()?;
        (0..count as usize).try_for_each(|i| attribute_or_zero(data.at(i)?, attributes.at(i)?, pointer))
    }

    fn cuPointerSetAttribute(value: Host, which: u32, pointer: CUdeviceptr) = "cuPointerSetAttribute" since 6000 {
        context::current()?;
        memory::find(pointer)?;
        // CU_POINTER_ATTRIBUTE_SYNC_MEMOPS is the only one that can be set.
        if value.is_null() || which != 6 {
            return Err(Error::INVALID_VALUE);
        }
        Ok(())
    }
}
