//! Functions of Python that pyo3 leaves out of the stable ABI of 3.10.
//!
//! The buffer protocol joined the stable ABI with 3.11, and `PyObject_VectorcallMethod` with 3.12 (PEP 590, "Stable ABI"
//! in the C API's reference). Every CPython from 3.10 on exports them, with the same types.

// Declarations of a C interface.
#![allow(unsafe_code)]

use std::ffi::{c_char, c_int, c_void};

use pyo3::ffi::{Py_ssize_t, PyObject};

/// `Py_buffer`: the same members in the same order since 3.0.
#[repr(C)]
pub struct Buffer {
    pub memory: *mut c_void,
    pub owner: *mut PyObject,
    pub bytes: Py_ssize_t,
    pub item_bytes: Py_ssize_t,
    pub readonly: c_int,
    pub ndim: c_int,
    pub format: *mut c_char,
    pub shape: *mut Py_ssize_t,
    pub strides: *mut Py_ssize_t,
    pub suboffsets: *mut Py_ssize_t,
    pub internal: *mut c_void,
}

/// Contiguous, with a format.
pub const BUFFER_FLAGS: c_int = 0x0008 | 0x0010 | 0x0020 | 0x0004;

/// Says that the place before the arguments may be written meanwhile.
pub const ARGUMENTS_OFFSET: usize = 1 << (usize::BITS - 1);

unsafe extern "C" {
    pub fn PyObject_GetBuffer(object: *mut PyObject, buffer: *mut Buffer, flags: c_int) -> c_int;
    pub fn PyBuffer_Release(buffer: *mut Buffer);
    pub fn PyObject_VectorcallMethod(
        name: *mut PyObject,
        arguments: *const *mut PyObject,
        count: usize,
        keywords: *mut PyObject,
    ) -> *mut PyObject;
}
