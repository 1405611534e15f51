//! What is refused at load, with which result, and what the log says.

// The driver is reached through C functions.
#![allow(unsafe_code)]

mod common;

use std::ffi::CString;

use common::driver::start;
use common::raw::{Refused, load, load_text};
use common::with_driver;
use cudarc::driver::sys::{self, CUresult};

const GOOD: &str =
    ".version 8.0\n.target sm_90\n.address_size 64\n.visible .entry empty() { ret; }\n";

fn refused(text: &str) -> Refused {
    load_text(&CString::new(text).unwrap()).unwrap_err()
}

#[test]
fn text_for_another_driver_or_device() {
    let environment = [
        ("PTXEMU_CAPABILITY", "9.0"),
        ("PTXEMU_DRIVER_VERSION", "12.4"),
    ];
    with_driver("text_for_another_driver_or_device", &environment, || {
        start();
        assert!(load_text(&CString::new(GOOD).unwrap()).is_ok());
        assert!(load_text(&CString::new(GOOD.replace("sm_90", "sm_90a")).unwrap()).is_ok());
        let newer = refused(&GOOD.replace("8.0", "8.5"));
        assert_eq!(newer.error, CUresult::CUDA_ERROR_UNSUPPORTED_PTX_VERSION);
        assert!(
            newer.log.contains("line 1") && newer.log.contains("8.5"),
            "{}",
            newer.log
        );
        let foreign = refused(&GOOD.replace("sm_90", "sm_100a"));
        assert_eq!(foreign.error, CUresult::CUDA_ERROR_INVALID_PTX);
        assert!(
            foreign.log.contains("line 2") && foreign.log.contains("sm_100a"),
            "{}",
            foreign.log
        );
    });
}

#[test]
fn wrong_text_is_refused_with_its_line() {
    with_driver("wrong_text_is_refused_with_its_line", &[], || {
        start();
        let syntax = refused(&GOOD.replace("ret;", "\n  add.u32 %r0 %r1;\n ret;"));
        assert_eq!(syntax.error, CUresult::CUDA_ERROR_INVALID_PTX);
        assert!(syntax.log.contains("ptx:5"), "{}", syntax.log);
        let unknown = refused(&GOOD.replace("ret;", "\n\n  frobnicate.u32;\n ret;"));
        assert!(
            unknown.log.contains("ptx:6") && unknown.log.contains("frobnicate"),
            "{}",
            unknown.log
        );
        let nothing = refused("");
        assert_eq!(nothing.error, CUresult::CUDA_ERROR_INVALID_PTX);
    });
}

#[test]
fn parameter_blocks_have_a_limit() {
    with_driver("parameter_blocks_have_a_limit", &[], || {
        start();
        let with = |version: &str, bytes: u32| {
            let text = GOOD
                .replace("8.0", version)
                .replace("()", &format!("(.param .align 64 .b8 block[{bytes}])"));
            load_text(&CString::new(text).unwrap()).map(|_| ())
        };
        assert!(with("8.1", 32_764).is_ok());
        assert!(with("8.1", 32_765).unwrap_err().log.contains("32765"));
        assert!(with("8.0", 4352).is_ok());
        assert_eq!(
            with("8.0", 4353).unwrap_err().error,
            CUresult::CUDA_ERROR_INVALID_PTX
        );
    });
}

#[test]
fn machine_code_is_refused() {
    with_driver("machine_code_is_refused", &[], || {
        start();
        let mut cubin = b"\x7fELF\x02\x01\x01\x33".to_vec();
        cubin.resize(256, 0);
        let refused = load(cubin.as_ptr().cast()).unwrap_err();
        assert_eq!(refused.error, CUresult::CUDA_ERROR_NO_BINARY_FOR_GPU);
        assert!(refused.log.contains("cubin"), "{}", refused.log);
    });
}

/// A fat binary with one entry: its kind (1 PTX, 2 machine code), its flags, its payload.
fn fat_binary(kind: u16, flags: u64, payload: &[u8]) -> Vec<u8> {
    let mut entry = vec![0; 64];
    entry[0..2].copy_from_slice(&kind.to_le_bytes());
    entry[4..8].copy_from_slice(&64u32.to_le_bytes());
    entry[8..16].copy_from_slice(&(payload.len() as u64).to_le_bytes());
    entry[28..32].copy_from_slice(&90u32.to_le_bytes());
    entry[40..48].copy_from_slice(&flags.to_le_bytes());
    let mut binary = vec![0x50, 0xED, 0x55, 0xBA, 1, 0, 16, 0];
    binary.extend(((entry.len() + payload.len()) as u64).to_le_bytes());
    binary.extend(entry);
    binary.extend(payload);
    binary
}

#[test]
fn fat_binaries_load_if_they_hold_text() {
    with_driver("fat_binaries_load_if_they_hold_text", &[], || {
        start();
        let padded = format!("{GOOD}\0\0\0");
        let text = fat_binary(1, 0, padded.as_bytes());
        assert!(load(text.as_ptr().cast()).is_ok());
        // The wrapper that nvcc places in a program: magic, version, pointer, file name.
        let wrapper = [0x1_4662_43B1_usize, text.as_ptr() as usize, 0];
        assert!(load(wrapper.as_ptr().cast()).is_ok());
        for binary in [
            fat_binary(2, 0, &[0; 64]),
            fat_binary(1, 0x2000, padded.as_bytes()),
            fat_binary(1, 0, b"x"),
        ] {
            let refused = load(binary.as_ptr().cast()).unwrap_err();
            assert_eq!(refused.error, CUresult::CUDA_ERROR_NO_BINARY_FOR_GPU);
        }
    });
}

#[test]
fn logs_are_cut_to_their_buffers() {
    with_driver("logs_are_cut_to_their_buffers", &[], || {
        start();
        use sys::CUjit_option as Jit;
        let text = CString::new("nonsense").unwrap();
        for size in [0usize, 1, 5] {
            let mut log = [0xAAu8; 8];
            let mut options = [
                Jit::CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES,
                Jit::CU_JIT_ERROR_LOG_BUFFER,
            ];
            let mut values = [size as *mut _, log.as_mut_ptr().cast()];
            let mut module = std::ptr::null_mut();
            // SAFETY: all arrays live through the call.
            let result = unsafe {
                let (options, values) = (options.as_mut_ptr(), values.as_mut_ptr());
                sys::cuModuleLoadDataEx(&mut module, text.as_ptr().cast(), 2, options, values)
            };
            assert_eq!(result, CUresult::CUDA_ERROR_INVALID_PTX);
            assert_eq!(values[0] as usize, size.saturating_sub(1));
            assert!(log[size..].iter().all(|b| *b == 0xAA));
            assert!(size == 0 || log[size - 1] == 0);
        }
    });
}

#[test]
fn names_that_do_not_exist() {
    with_driver("names_that_do_not_exist", &[], || {
        start();
        let module = load_text(&CString::new(GOOD).unwrap()).unwrap();
        let (mut function, mut count) = (std::ptr::null_mut(), 0);
        // SAFETY: places for all outputs.
        unsafe {
            let result = sys::cuModuleGetFunction(&mut function, module, c"absent".as_ptr());
            assert_eq!(result, CUresult::CUDA_ERROR_NOT_FOUND);
            assert_eq!(
                sys::cuModuleGetFunctionCount(&mut count, module),
                CUresult::CUDA_SUCCESS
            );
            assert_eq!(count, 1);
            assert_eq!(sys::cuModuleUnload(module), CUresult::CUDA_SUCCESS);
            assert_eq!(
                sys::cuModuleUnload(module),
                CUresult::CUDA_ERROR_INVALID_HANDLE
            );
        }
    });
}
