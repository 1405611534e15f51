//! `cuTensorMapEncodeTiled`, `cuTensorMapEncodeIm2col` and `cuTensorMapReplaceAddress`: the bytes and the checks.

// The driver is reached through C functions.
#![allow(unsafe_code)]

mod common;

use std::ffi::CStr;

use common::driver::{ok, read, start, words};
use common::raw::{self, Kernel};
use common::with_driver;
use cudarc::driver::sys::{
    self, CUresult, CUtensorMap, CUtensorMapDataType as Type, CUtensorMapFloatOOBfill as Fill,
    CUtensorMapInterleave as Interleave, CUtensorMapL2promotion as Promotion,
    CUtensorMapSwizzle as Swizzle,
};

const TILE: &CStr = raw::text(concat!(include_str!("ptx/tile.ptx"), "\0"));

#[derive(Clone, Copy)]
struct Arguments {
    element: Type,
    rank: u32,
    address: u64,
    dims: [u64; 5],
    strides: [u64; 4],
    box_dims: [u32; 5],
    steps: [u32; 5],
    interleave: Interleave,
    swizzle: Swizzle,
    fill: Fill,
}

/// Packed FP4 weights: 1024 values in each of 256 rows, 256 by 128 of them at a time.
const GOOD: Arguments = Arguments {
    element: Type::CU_TENSOR_MAP_DATA_TYPE_16U4_ALIGN8B,
    rank: 2,
    address: 0x7000_1234_5600,
    dims: [1024, 256, 1, 1, 1],
    strides: [512, 0, 0, 0],
    box_dims: [256, 128, 1, 1, 1],
    steps: [1; 5],
    interleave: Interleave::CU_TENSOR_MAP_INTERLEAVE_NONE,
    swizzle: Swizzle::CU_TENSOR_MAP_SWIZZLE_128B,
    fill: Fill::CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE,
};

fn encode(a: Arguments) -> Result<[u8; 128], CUresult> {
    // SAFETY: zeros are a valid (empty) tensor map, and all lists are long enough.
    unsafe {
        let mut map: CUtensorMap = std::mem::zeroed();
        let promotion = Promotion::CU_TENSOR_MAP_L2_PROMOTION_NONE;
        let (dims, strides) = (a.dims.as_ptr(), a.strides.as_ptr());
        let (boxes, steps) = (a.box_dims.as_ptr(), a.steps.as_ptr());
        let address = a.address as *mut _;
        let (interleave, swizzle, fill) = (a.interleave, a.swizzle, a.fill);
        sys::cuTensorMapEncodeTiled(
            &mut map, a.element, a.rank, address, dims, strides, boxes, steps, interleave, swizzle,
            promotion, fill,
        )
        .result()
        .map_err(|e| e.0)?;
        Ok(std::mem::transmute::<CUtensorMap, [u8; 128]>(map))
    }
}

#[test]
fn bytes() {
    with_driver("bytes", &[], || {
        start();
        let map = encode(GOOD).unwrap();
        let word = |at: usize| u32::from_le_bytes(map[at..at + 4].try_into().unwrap());
        assert_eq!(map[..8], GOOD.address.to_le_bytes());
        let flags = word(8);
        assert_eq!(
            (flags >> 4 & 7, flags >> 7 & 15, flags >> 13 & 3),
            (1, 11, 3),
            "rank, element, swizzle"
        );
        assert_eq!((word(0x0C), word(0x20), word(0x24)), (512 >> 4, 1023, 255));
        assert_eq!((map[0x37], map[0x38]), (255, 127));
        assert!(map[0x40..].iter().all(|b| *b == 0));
    });
}

/// The corners, the pixels and the channels of an im2col map, as the driver of an H200 writes them.
#[test]
fn columns() {
    with_driver("columns", &[], || {
        start();
        let encode = |lower: [i32; 2], upper: [i32; 2], channels, pixels| {
            let (dims, strides) = ([16u64, 7, 5, 3], [32u64, 224, 1120]);
            // SAFETY: zeros are a valid (empty) tensor map, and all lists are long enough.
            unsafe {
                let mut map: CUtensorMap = std::mem::zeroed();
                sys::cuTensorMapEncodeIm2col(
                    &mut map,
                    Type::CU_TENSOR_MAP_DATA_TYPE_FLOAT16,
                    4,
                    0x7000_1234_5600 as *mut _,
                    dims.as_ptr(),
                    strides.as_ptr(),
                    lower.as_ptr(),
                    upper.as_ptr(),
                    channels,
                    pixels,
                    [1u32; 4].as_ptr(),
                    Interleave::CU_TENSOR_MAP_INTERLEAVE_NONE,
                    Swizzle::CU_TENSOR_MAP_SWIZZLE_NONE,
                    Promotion::CU_TENSOR_MAP_L2_PROMOTION_NONE,
                    GOOD.fill,
                )
                .result()
                .map_err(|e| e.0)?;
                Ok(std::mem::transmute::<CUtensorMap, [u8; 128]>(map))
            }
        };
        let map = encode([-1, -2], [0, 1], 8, 1024).unwrap();
        let word = |at: usize| u32::from_le_bytes(map[at..at + 4].try_into().unwrap());
        assert_eq!((word(8) & 1, map[0x37]), (1, 7));
        assert_eq!((word(0x38), word(0x3C)), (0x0100_FEFF, 1023));
        let refused = Err(CUresult::CUDA_ERROR_INVALID_VALUE);
        assert_eq!(encode([-129, 0], [0, 0], 8, 1), refused, "corner of 8 bits");
        assert_eq!(encode([0, 0], [-7, 0], 8, 1), refused, "nothing in the box");
        assert_eq!(encode([0, 0], [0, 0], 8, 1025), refused, "pixels");
        assert_eq!(encode([0, 0], [0, 0], 257, 1), refused, "channels");
    });
}

#[test]
fn the_address_is_one_word() {
    with_driver("the_address_is_one_word", &[], || {
        start();
        for (address, dims) in [
            (0x7000_0000_1230, GOOD.dims),
            (0x10, [1024, 1 << 20, 1, 1, 1]),
        ] {
            let a = encode(Arguments { dims, ..GOOD }).unwrap();
            let b = encode(Arguments {
                dims,
                address,
                ..GOOD
            })
            .unwrap();
            assert_eq!(a[8..], b[8..]);
            // SAFETY: the bytes are a map.
            unsafe {
                let mut map = std::mem::transmute::<[u8; 128], CUtensorMap>(a);
                ok(sys::cuTensorMapReplaceAddress(&mut map, address as *mut _));
                assert_eq!(std::mem::transmute::<CUtensorMap, [u8; 128]>(map), b);
                let result = sys::cuTensorMapReplaceAddress(&mut map, (address + 8) as *mut _);
                assert_eq!(result, CUresult::CUDA_ERROR_INVALID_VALUE);
            }
        }
    });
}

#[test]
fn arguments_are_checked() {
    with_driver("arguments_are_checked", &[], || {
        start();
        let float = Arguments {
            element: Type::CU_TENSOR_MAP_DATA_TYPE_FLOAT16,
            box_dims: [64, 8, 1, 1, 1],
            ..GOOD
        };
        assert!(encode(float).is_ok());
        assert!(
            encode(Arguments {
                fill: Fill::CU_TENSOR_MAP_FLOAT_OOB_FILL_NAN_REQUEST_ZERO_FMA,
                ..float
            })
            .is_ok()
        );
        let bad = [
            ("rank", Arguments { rank: 0, ..GOOD }),
            ("rank", Arguments { rank: 6, ..GOOD }),
            ("null", Arguments { address: 0, ..GOOD }),
            (
                "alignment",
                Arguments {
                    address: GOOD.address + 8,
                    ..GOOD
                },
            ),
            (
                "empty dimension",
                Arguments {
                    dims: [1024, 0, 1, 1, 1],
                    ..GOOD
                },
            ),
            (
                "odd row of half bytes",
                Arguments {
                    dims: [1023, 256, 1, 1, 1],
                    ..GOOD
                },
            ),
            (
                "stride",
                Arguments {
                    strides: [520, 0, 0, 0],
                    ..GOOD
                },
            ),
            (
                "large stride",
                Arguments {
                    strides: [1 << 40, 0, 0, 0],
                    ..GOOD
                },
            ),
            (
                "box",
                Arguments {
                    box_dims: [257, 128, 1, 1, 1],
                    ..GOOD
                },
            ),
            (
                "empty box",
                Arguments {
                    box_dims: [256, 0, 1, 1, 1],
                    ..GOOD
                },
            ),
            (
                "inner box of 8 bytes",
                Arguments {
                    box_dims: [16, 128, 1, 1, 1],
                    ..GOOD
                },
            ),
            (
                "box wider than the swizzle",
                Arguments {
                    swizzle: Swizzle::CU_TENSOR_MAP_SWIZZLE_64B,
                    ..GOOD
                },
            ),
            (
                "step",
                Arguments {
                    steps: [1, 9, 1, 1, 1],
                    ..GOOD
                },
            ),
            (
                "interleave of rank 2",
                Arguments {
                    interleave: Interleave::CU_TENSOR_MAP_INTERLEAVE_16B,
                    ..GOOD
                },
            ),
            (
                "NaN fill of integers",
                Arguments {
                    fill: Fill::CU_TENSOR_MAP_FLOAT_OOB_FILL_NAN_REQUEST_ZERO_FMA,
                    ..GOOD
                },
            ),
        ];
        for (what, arguments) in bad {
            assert_eq!(
                encode(arguments),
                Err(CUresult::CUDA_ERROR_INVALID_VALUE),
                "{what}"
            );
        }
    });
}

#[test]
fn a_kernel_copies_through_a_map_in_its_parameters() {
    with_driver(
        "a_kernel_copies_through_a_map_in_its_parameters",
        &[("PTXEMU_SCHEDULE", "random:3")],
        || {
            start();
            let kernel = Kernel::load(TILE, c"copy_tile").unwrap();
            // A matrix of 10 by 8 words, of which the kernel fetches the 4 by 4 tile at row 8, column 4.
            let matrix = words(&(0..80).collect::<Vec<_>>());
            let out = words(&[0; 16]);
            let map = encode(Arguments {
                element: Type::CU_TENSOR_MAP_DATA_TYPE_UINT32,
                address: matrix,
                dims: [8, 10, 1, 1, 1],
                strides: [32, 0, 0, 0],
                box_dims: [4, 4, 1, 1, 1],
                swizzle: Swizzle::CU_TENSOR_MAP_SWIZZLE_NONE,
                ..GOOD
            })
            .unwrap();
            let mut params = raw::params![map, out];
            kernel
                .launch(std::ptr::null_mut(), [1; 3], [32, 1, 1], &mut params)
                .unwrap();
            let expected = [68, 69, 70, 71, 76, 77, 78, 79, 0, 0, 0, 0, 0, 0, 0, 0];
            assert_eq!(read(out, 16), expected, "rows beyond the matrix are zero");
        },
    );
}
