//! Memory: allocations, copies, fills, pinned memory, pools, and what is known of a pointer.

// The driver is reached through C functions.
#![allow(unsafe_code)]

mod common;

use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::ptr::null_mut;

use common::driver::{live, ok, read, start, stream, words};
use common::with_driver;
use cudarc::driver::sys::{self, CUmemorytype, CUpointer_attribute as Pointer, CUresult};

const INVALID: CUresult = CUresult::CUDA_ERROR_INVALID_VALUE;

#[test]
fn allocations_have_bounds() {
    with_driver("allocations_have_bounds", &[], || {
        start();
        let p = words(&[1, 2, 3, 4]);
        let (mut base, mut size, mut q) = (0, 0, 0);
        // SAFETY: places for all outputs; the driver checks device addresses itself.
        unsafe {
            ok(sys::cuMemGetAddressRange_v2(&mut base, &mut size, p + 7));
            assert_eq!((base, size), (p, 16));
            assert_eq!(
                sys::cuMemGetAddressRange_v2(&mut base, &mut size, p + 16),
                CUresult::CUDA_ERROR_NOT_FOUND
            );
            assert_eq!(sys::cuMemsetD8_v2(p, 0, 17), INVALID);
            assert_eq!(sys::cuMemcpyDtoD_v2(p, p + 8, 9), INVALID);
            assert_eq!(sys::cuMemAlloc_v2(&mut q, 0), INVALID);
            assert_eq!(
                sys::cuMemAlloc_v2(&mut q, 1 << 50),
                CUresult::CUDA_ERROR_OUT_OF_MEMORY
            );
            assert_eq!(sys::cuMemFree_v2(p + 8), INVALID);
            ok(sys::cuMemFree_v2(p));
            assert_eq!(sys::cuMemFree_v2(p), INVALID);
            assert_eq!(sys::cuMemsetD8_v2(p, 0, 1), INVALID);
            ok(sys::cuMemFree_v2(0));
        }
        assert_eq!(p % 512, 0);
    });
}

#[test]
fn fills() {
    with_driver("fills", &[], || {
        start();
        let p = words(&[0; 8]);
        // SAFETY: the driver checks device addresses itself.
        unsafe {
            ok(sys::cuMemsetD32_v2(p, 0x01020304, 8));
            ok(sys::cuMemsetD16_v2(p + 4, 0xBEEF, 2));
            ok(sys::cuMemsetD8_v2(p + 9, 0x55, 2));
            ok(sys::cuMemsetD2D8_v2(p + 16, 8, 0xEE, 3, 2));
            assert_eq!(sys::cuMemsetD32_v2(p + 2, 0, 1), INVALID);
            ok(sys::cuMemsetD8_v2(p, 0, 0));
        }
        let expected = [
            0x01020304, 0xBEEFBEEF, 0x01555504, 0x01020304, 0x01EEEEEE, 0x01020304, 0x01EEEEEE,
            0x01020304,
        ];
        assert_eq!(read(p, 8), expected);
    });
}

#[test]
fn rectangles() {
    with_driver("rectangles", &[], || {
        start();
        let p = words(&[0; 12]);
        let host: Vec<u32> = (1..=6).collect();
        // A 2 by 2 block of a 3 wide host matrix goes to the corner of a 4 wide device matrix.
        // SAFETY: with its enums set the rest of a copy may be zero; the host memory is large enough.
        unsafe {
            let mut copy = MaybeUninit::<sys::CUDA_MEMCPY2D>::zeroed();
            (*copy.as_mut_ptr()).srcMemoryType = CUmemorytype::CU_MEMORYTYPE_HOST;
            (*copy.as_mut_ptr()).dstMemoryType = CUmemorytype::CU_MEMORYTYPE_DEVICE;
            let mut copy = copy.assume_init();
            (copy.srcHost, copy.srcPitch, copy.srcXInBytes) = (host.as_ptr().cast(), 12, 4);
            (copy.dstDevice, copy.dstPitch, copy.dstXInBytes, copy.dstY) = (p, 16, 8, 1);
            (copy.WidthInBytes, copy.Height) = (8, 2);
            ok(sys::cuMemcpy2D_v2(&copy));
            copy.dstY = 2;
            assert_eq!(
                sys::cuMemcpy2D_v2(&copy),
                INVALID,
                "the last row is outside"
            );
        }
        assert_eq!(read(p, 12), [0, 0, 0, 0, 0, 0, 2, 3, 0, 0, 5, 6]);
    });
}

#[test]
fn pointers_of_either_kind() {
    with_driver("pointers_of_either_kind", &[], || {
        let context = start();
        let p = words(&[5, 6]);
        let mut host = [0u32; 2];
        let mut pinned: *mut c_void = null_mut();
        // SAFETY: every output is as large as its attribute's type.
        unsafe {
            ok(sys::cuMemcpy(host.as_mut_ptr() as u64, p, 8));
            assert_eq!(host, [5, 6]);
            ok(sys::cuMemHostAlloc(&mut pinned, 64, 0));
            let kind = |address: u64| {
                let mut kind = 0u32;
                let which = Pointer::CU_POINTER_ATTRIBUTE_MEMORY_TYPE;
                sys::cuPointerGetAttribute((&raw mut kind).cast(), which, address)
                    .result()
                    .map(|()| kind)
                    .ok()
            };
            assert_eq!((kind(p + 4), kind(pinned as u64 + 63)), (Some(2), Some(1)));
            assert_eq!(
                (kind(host.as_ptr() as u64), kind(pinned as u64 + 64)),
                (None, None)
            );
            let (mut owner, mut size, mut managed): (sys::CUcontext, usize, bool) =
                (null_mut(), 0, true);
            let mut which = [
                Pointer::CU_POINTER_ATTRIBUTE_CONTEXT,
                Pointer::CU_POINTER_ATTRIBUTE_RANGE_SIZE,
                Pointer::CU_POINTER_ATTRIBUTE_IS_MANAGED,
            ];
            let mut places: [*mut c_void; 3] = [
                (&raw mut owner).cast(),
                (&raw mut size).cast(),
                (&raw mut managed).cast(),
            ];
            ok(sys::cuPointerGetAttributes(
                3,
                which.as_mut_ptr(),
                places.as_mut_ptr(),
                p,
            ));
            assert_eq!((owner, size, managed), (context, 8, false));
            ok(sys::cuPointerGetAttributes(
                3,
                which.as_mut_ptr(),
                places.as_mut_ptr(),
                host.as_ptr() as u64,
            ));
            assert_eq!((owner, size), (null_mut(), 0));
        }
    });
}

#[test]
fn registered_memory() {
    with_driver("registered_memory", &[], || {
        start();
        let mut memory = vec![0u8; 8192];
        let start = memory.as_mut_ptr();
        // SAFETY: the memory outlives its registration.
        unsafe {
            ok(sys::cuMemHostRegister_v2(start.cast(), 4096, 0));
            let again = sys::cuMemHostRegister_v2(start.add(1024).cast(), 4096, 0);
            assert_eq!(again, CUresult::CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED);
            assert_eq!(live(c"host_allocations"), 1);
            ok(sys::cuMemHostUnregister(start.cast()));
            let again = sys::cuMemHostUnregister(start.cast());
            assert_eq!(again, CUresult::CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED);
        }
        assert_eq!(live(c"host_allocations"), 0);
    });
}

#[test]
fn allocation_in_stream_order() {
    with_driver(
        "allocation_in_stream_order",
        &[("PTXEMU_STREAMS", "lazy")],
        || {
            start();
            let stream = stream(1);
            let (mut p, mut pool, mut used) = (0, null_mut(), 0u64);
            let current = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_USED_MEM_CURRENT;
            // SAFETY: places for all outputs.
            unsafe {
                ok(sys::cuMemAllocAsync(&mut p, 1000, stream));
                ok(sys::cuDeviceGetMemPool(&mut pool, 0));
                ok(sys::cuMemPoolGetAttribute(
                    pool,
                    current,
                    (&raw mut used).cast(),
                ));
                assert_eq!(used, 1000);
                ok(sys::cuMemsetD8Async(p, 1, 1000, stream));
                ok(sys::cuMemFreeAsync(p, stream));
                assert_eq!(sys::cuMemFreeAsync(p, stream), INVALID);
                assert_eq!(
                    sys::cuMemsetD8Async(p, 1, 1000, stream),
                    INVALID,
                    "freed, though it is still there"
                );
                assert_eq!(live(c"allocations"), 1);
                ok(sys::cuStreamSynchronize(stream));
                assert_eq!(live(c"allocations"), 0);
            }
        },
    );
}
