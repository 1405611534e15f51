//! DLPack's C exchange API (dlpack.h 1.3, `DLPackExchangeAPI`): a table of functions that a tensor type publishes as the
//! capsule `__dlpack_c_exchange_api__`, so that others read its tensors without a Python call. torch has it from 2.10 on;
//! our arrays have it too.

// A C interface between extension modules.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};

use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{IntoPyDict, PyType};
use pyo3::{PyTypeInfo, intern};

use super::super::array::DeviceArray;
use super::types::{Dtype, MAX_DIMS, Owned, Place, View};

const NAME: &std::ffi::CStr = c"dlpack_exchange_api";
const MAJOR: u32 = 1;
const MINOR: u32 = 3;

#[repr(C)]
struct Header {
    major: u32,
    minor: u32,
    /// The table of an older major version, or null.
    previous: *const Header,
}

/// `DLTensor`, as long as the object that it was read from is not changed.
#[repr(C)]
pub struct Tensor {
    data: *mut c_void,
    place: Place,
    ndim: i32,
    dtype: Dtype,
    shape: *const i64,
    strides: *const i64,
    byte_offset: u64,
}

type ReadTensor = unsafe extern "C" fn(object: *mut c_void, out: *mut Tensor) -> c_int;
type CurrentStream = unsafe extern "C" fn(kind: i32, index: i32, out: *mut *mut c_void) -> c_int;

/// `DLPackExchangeAPI`. The first three functions make and take tensors that are owned; they are not for us.
#[repr(C)]
struct Table {
    header: Header,
    allocate:
        Option<unsafe extern "C" fn(*mut c_void, *mut c_void, *mut c_void, *mut c_void) -> c_int>,
    export: Option<unsafe extern "C" fn(*mut c_void, *mut *mut c_void) -> c_int>,
    import: Option<unsafe extern "C" fn(*mut c_void, *mut *mut c_void) -> c_int>,
    read: Option<ReadTensor>,
    current_stream: Option<CurrentStream>,
}

/// The functions that a type publishes. They live as long as the process (dlpack.h, `DLPackExchangeAPI`).
#[derive(Clone, Copy, Debug)]
pub struct Exchange {
    read: ReadTensor,
    current_stream: Option<CurrentStream>,
}

impl Exchange {
    /// What the type publishes, in a version that is known here.
    pub fn of(kind: &Bound<'_, PyType>) -> Option<Self> {
        let name = intern!(kind.py(), "__dlpack_c_exchange_api__");
        let capsule = kind.getattr(name).ok()?;
        // SAFETY: a capsule of this name holds a table, by DLPack's specification; anything else gives null and an error,
        // which is cleared.
        let mut header = unsafe { ffi::PyCapsule_GetPointer(capsule.as_ptr(), NAME.as_ptr()) }
            .cast::<Header>() as *const Header;
        if header.is_null() {
            drop(PyErr::take(kind.py()));
            return None;
        }
        // SAFETY: tables are linked to older ones, each beginning with a header.
        unsafe {
            while (*header).major != MAJOR {
                header = (*header).previous;
                if header.is_null() {
                    return None;
                }
            }
            let table = &*header.cast::<Table>();
            Some(Exchange {
                read: table.read?,
                current_stream: table.current_stream,
            })
        }
    }

    /// The stream in which the framework now works on a device.
    pub fn current_stream(&self, device: u32) -> Option<u64> {
        let mut stream = std::ptr::null_mut();
        // SAFETY: writes one handle.
        let code = unsafe { (self.current_stream?)(Place::CUDA, device as i32, &mut stream) };
        (code == 0).then_some(stream as u64)
    }

    /// The tensor in place. None if the type refuses, which is not an error yet: there are other ways.
    #[inline]
    pub fn tensor(&self, object: &Bound<'_, PyAny>) -> Option<Tensor> {
        let mut tensor = Tensor {
            data: std::ptr::null_mut(),
            place: Place { kind: 0, index: 0 },
            ndim: 0,
            dtype: Dtype::U8,
            shape: std::ptr::null(),
            strides: std::ptr::null(),
            byte_offset: 0,
        };
        // SAFETY: the object is of the type that published the function.
        let code = unsafe { (self.read)(object.as_ptr().cast(), &mut tensor) };
        if code != 0 {
            drop(PyErr::take(object.py()));
            return None;
        }
        Some(tensor)
    }
}

impl Tensor {
    #[inline]
    pub fn address(&self) -> u64 {
        (self.data as u64).wrapping_add(self.byte_offset)
    }

    /// What it says; None if it has more dimensions than anything.
    #[inline]
    pub fn view(&self) -> Option<View<'_>> {
        let ndim = usize::try_from(self.ndim)
            .ok()
            .filter(|ndim| *ndim <= MAX_DIMS)?;
        // SAFETY: shape and strides have `ndim` numbers, unless they are null, and live as long as the object is not
        // changed, which nobody does meanwhile.
        let list = |list: *const i64| unsafe {
            match list.is_null() || ndim == 0 {
                true => &[][..],
                false => std::slice::from_raw_parts(list, ndim),
            }
        };
        Some(View {
            address: self.address(),
            place: Some(self.place),
            dtype: self.dtype,
            shape: list(self.shape),
            strides: (!self.strides.is_null()).then(|| list(self.strides)),
        })
    }
}

/// Publishes the table of our own arrays.
pub fn publish(py: Python<'_>) -> PyResult<()> {
    let table = Box::leak(Box::new(Table {
        header: Header {
            major: MAJOR,
            minor: MINOR,
            previous: std::ptr::null(),
        },
        allocate: Some(refuse_allocation),
        export: Some(refuse),
        import: Some(refuse),
        read: Some(read_array),
        current_stream: Some(default_stream),
    }));
    // SAFETY: the table is never freed, the name is static.
    let capsule = unsafe {
        let pointer = std::ptr::from_mut(table).cast();
        Bound::from_owned_ptr_or_err(py, ffi::PyCapsule_New(pointer, NAME.as_ptr(), None))?
    };
    DeviceArray::type_object(py).setattr("__dlpack_c_exchange_api__", capsule)
}

unsafe extern "C" fn read_array(object: *mut c_void, out: *mut Tensor) -> c_int {
    let object = object.cast::<ffi::PyObject>();
    // SAFETY: whoever looks up the function on our type gives objects of it, and holds Python's lock (dlpack.h).
    let object = unsafe { Bound::ref_from_ptr(Python::assume_attached(), &object) };
    let Ok(array) = object.cast::<DeviceArray>() else {
        return -1;
    };
    let array = array.get();
    let tensor = Tensor {
        data: array.address as *mut c_void,
        place: Place::cuda(array.device as i32),
        ndim: array.shape.len() as i32,
        dtype: array.dtype,
        shape: array.shape.as_ptr(),
        strides: array.strides.as_ptr(),
        byte_offset: 0,
    };
    // SAFETY: the caller gives room for one tensor.
    unsafe { out.write(tensor) };
    0
}

unsafe extern "C" fn default_stream(_kind: i32, _index: i32, out: *mut *mut c_void) -> c_int {
    // SAFETY: the caller gives room for one handle.
    unsafe { out.write(std::ptr::null_mut()) };
    0
}

unsafe extern "C" fn refuse(_: *mut c_void, _: *mut *mut c_void) -> c_int {
    not_supported()
}

unsafe extern "C" fn refuse_allocation(
    _: *mut c_void,
    _: *mut c_void,
    _: *mut c_void,
    _: *mut c_void,
) -> c_int {
    not_supported()
}

fn not_supported() -> c_int {
    let text = c"nvfp4gen arrays are read in place, and not handed over; use to_host()";
    // SAFETY: DLPack has the caller hold Python's lock; sets an exception of a static text.
    unsafe { ffi::PyErr_SetString(ffi::PyExc_BufferError, text.as_ptr()) };
    -1
}

/// What the capsule of an object's `__dlpack__` holds, which is given back at once: the object keeps its memory.
pub fn tensor_of_capsule(object: &Bound<'_, PyAny>) -> PyResult<Owned> {
    let py = object.py();
    // -1: no synchronisation, the launch is in the caller's stream (DLPack, `__dlpack__`). Not all producers take it.
    let options = [("stream", -1)].into_py_dict(py)?;
    let method = object.getattr(intern!(py, "__dlpack__"))?;
    let capsule = match method.call((), Some(&options)) {
        Ok(capsule) => capsule,
        Err(_) => method.call0()?,
    };
    // SAFETY: a capsule of this name holds a managed tensor, which begins with the tensor; the capsule frees it when
    // dropped.
    let tensor = unsafe { ffi::PyCapsule_GetPointer(capsule.as_ptr(), c"dltensor".as_ptr()) };
    if tensor.is_null() {
        return Err(PyErr::fetch(py));
    }
    // SAFETY: as above; the capsule lives to the end of this function.
    let tensor = unsafe { &*tensor.cast::<Tensor>() };
    let view = tensor.view().ok_or_else(too_many_dimensions)?;
    Ok(view.to_owned())
}

pub fn too_many_dimensions() -> PyErr {
    PyTypeError::new_err("it has more dimensions than any operand")
}
