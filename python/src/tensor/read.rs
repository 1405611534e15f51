//! One object to an address, or to a view, the quickest way that its type has.

// Calls of Python's C interface that pyo3 has no quick form of.
#![allow(unsafe_code)]

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt, PyType};
use pyo3::{ffi, intern};

use super::exchange::{self, Exchange, too_many_dimensions};
use super::ffi::{
    ARGUMENTS_OFFSET, BUFFER_FLAGS, Buffer, PyBuffer_Release, PyObject_GetBuffer,
    PyObject_VectorcallMethod,
};
use super::types::{Dtype, Owned, Place, View};

/// Types remembered: tensors, parameters, and what else one call may mix.
const REMEMBERED: usize = 4;

/// How an object is read.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// A number that is the address.
    Number,
    /// C functions of its type.
    Exchange(Exchange),
    /// `data_ptr()`, and `shape`, `stride()`, `dtype`, `device`.
    DataPtr,
    /// `__cuda_array_interface__`.
    ArrayInterface,
    /// `__dlpack__()`.
    Dlpack,
}

/// Reads objects, and remembers how those of a type are read.
#[derive(Default)]
pub struct Reader {
    known: Vec<(Py<PyType>, Way)>,
    oldest: usize,
}

impl Reader {
    /// The object's address; of its memory nothing is looked at.
    #[inline]
    pub fn address(&mut self, object: &Bound<'_, PyAny>) -> PyResult<u64> {
        match self.way(object)? {
            Way::Number => number(object),
            Way::Exchange(exchange) => match exchange.tensor(object) {
                Some(tensor) => Ok(tensor.address()),
                None => data_ptr(object),
            },
            Way::DataPtr => data_ptr(object),
            Way::ArrayInterface => Ok(array_interface(object)?.address),
            Way::Dlpack => Ok(exchange::tensor_of_capsule(object)?.address),
        }
    }

    /// Shows `look` everything that the object says of its memory, and gives its address. A plain number says nothing.
    #[inline]
    pub fn look(
        &mut self,
        object: &Bound<'_, PyAny>,
        look: impl FnOnce(&View<'_>),
    ) -> PyResult<u64> {
        let owned = match self.way(object)? {
            Way::Number => return number(object),
            Way::Exchange(exchange) => match exchange.tensor(object) {
                Some(tensor) => {
                    look(&tensor.view().ok_or_else(too_many_dimensions)?);
                    return Ok(tensor.address());
                }
                None => attributes(object)?,
            },
            Way::DataPtr => attributes(object)?,
            Way::ArrayInterface => array_interface(object)?,
            Way::Dlpack => exchange::tensor_of_capsule(object)?,
        };
        look(&owned.view());
        Ok(owned.address)
    }

    /// The functions that the object's type publishes.
    pub fn exchange(&mut self, object: &Bound<'_, PyAny>) -> Option<Exchange> {
        match self.way(object) {
            Ok(Way::Exchange(exchange)) => Some(exchange),
            _ => None,
        }
    }

    #[inline]
    fn way(&mut self, object: &Bound<'_, PyAny>) -> PyResult<Way> {
        let kind = object.get_type_ptr();
        let known = self
            .known
            .iter()
            .find(|(known, _)| known.as_ptr() == kind.cast());
        match known {
            Some((_, way)) => Ok(*way),
            None => self.find(object),
        }
    }

    #[cold]
    fn find(&mut self, object: &Bound<'_, PyAny>) -> PyResult<Way> {
        let kind = object.get_type();
        let way = way_of(object, &kind)?;
        // The reference keeps the type, so that its address stays its own.
        let entry = (kind.unbind(), way);
        if self.known.len() < REMEMBERED {
            self.known.push(entry);
        } else {
            self.known[self.oldest] = entry;
            self.oldest = (self.oldest + 1) % REMEMBERED;
        }
        Ok(way)
    }
}

fn way_of(object: &Bound<'_, PyAny>, kind: &Bound<'_, PyType>) -> PyResult<Way> {
    let has = |name: &str| kind.hasattr(name);
    if object.is_instance_of::<PyInt>() {
        Ok(Way::Number)
    } else if let Some(exchange) = Exchange::of(kind) {
        Ok(Way::Exchange(exchange))
    } else if has("data_ptr")? {
        Ok(Way::DataPtr)
    } else if object.hasattr("__cuda_array_interface__")? {
        Ok(Way::ArrayInterface)
    } else if has("__dlpack__")? {
        Ok(Way::Dlpack)
    } else {
        let kind = kind.fully_qualified_name()?;
        Err(PyTypeError::new_err(format!(
            "a {kind} is no tensor: it has neither data_ptr() nor __cuda_array_interface__ nor __dlpack__, and is no \
             address"
        )))
    }
}

/// A number as an address.
#[inline]
pub fn number(object: &Bound<'_, PyAny>) -> PyResult<u64> {
    // The quickest of Python's conversions for numbers of more than 30 bits.
    // SAFETY: any object; what is no number of this size sets an exception.
    let address = unsafe { ffi::PyLong_AsSize_t(object.as_ptr()) };
    if address == usize::MAX
        && let Some(error) = PyErr::take(object.py())
    {
        // Numbers of other kinds, such as numpy's, are no less good.
        return object.extract().map_err(|_| error);
    }
    Ok(address as u64)
}

/// `object.data_ptr()`.
#[inline]
fn data_ptr(object: &Bound<'_, PyAny>) -> PyResult<u64> {
    let py = object.py();
    let name = intern!(py, "data_ptr");
    let arguments = [std::ptr::null_mut(), object.as_ptr()];
    // SAFETY: one argument, behind a place that the callee may write.
    let result = unsafe {
        let first = arguments.as_ptr().add(1);
        let result = PyObject_VectorcallMethod(
            name.as_ptr(),
            first,
            1 | ARGUMENTS_OFFSET,
            std::ptr::null_mut(),
        );
        Bound::from_owned_ptr_or_err(py, result)?
    };
    number(&result)
}

/// A torch tensor, or what looks like one.
fn attributes(object: &Bound<'_, PyAny>) -> PyResult<Owned> {
    let py = object.py();
    let dtype = dtype_of_name(&object.getattr(intern!(py, "dtype"))?)?;
    let shape: Vec<i64> = object.getattr(intern!(py, "shape"))?.extract()?;
    let strides: Option<Vec<i64>> = match object.getattr_opt(intern!(py, "stride"))? {
        Some(stride) => Some(stride.call0()?.extract()?),
        None => None,
    };
    let place = match object.getattr_opt(intern!(py, "device"))? {
        Some(device) => place(&device)?,
        None => None,
    };
    Ok(Owned {
        address: data_ptr(object)?,
        place,
        dtype,
        shape,
        strides,
    })
}

fn dtype_of_name(dtype: &Bound<'_, PyAny>) -> PyResult<Dtype> {
    let text = dtype.str()?.to_string();
    let name = text.rsplit('.').next().unwrap_or_default();
    Dtype::of_name(name)
        .ok_or_else(|| PyTypeError::new_err(format!("its type {text} is not known here")))
}

/// A torch device, by its `type` and `index`; None if it is something else.
fn place(device: &Bound<'_, PyAny>) -> PyResult<Option<Place>> {
    let py = device.py();
    let Some(kind) = device.getattr_opt(intern!(py, "type"))? else {
        return Ok(None);
    };
    let index: Option<i32> = match device.getattr_opt(intern!(py, "index"))? {
        Some(index) => index.extract()?,
        None => None,
    };
    let place = match kind.str()?.to_str()? {
        "cuda" => Place::cuda(index.unwrap_or(0)),
        "cpu" => Place { kind: 1, index: 0 },
        // Somewhere else; DLPack's number of "an extension of its own".
        _ => Place { kind: 12, index: 0 },
    };
    Ok(Some(place))
}

fn array_interface(object: &Bound<'_, PyAny>) -> PyResult<Owned> {
    let py = object.py();
    let interface = object.getattr(intern!(py, "__cuda_array_interface__"))?;
    let interface = interface.cast::<PyDict>()?;
    let get = |name: &str| {
        interface.get_item(name)?.ok_or_else(|| {
            PyTypeError::new_err(format!("its __cuda_array_interface__ has no {name}"))
        })
    };
    let typestr: String = get("typestr")?.extract()?;
    let dtype = Dtype::of_typestr(&typestr)
        .ok_or_else(|| PyTypeError::new_err(format!("its type {typestr} is not known here")))?;
    let shape: Vec<i64> = get("shape")?.extract()?;
    let (address, _readonly): (u64, bool) = get("data")?.extract()?;
    let strides: Option<Vec<i64>> = match interface.get_item("strides")? {
        Some(strides) => strides.extract()?,
        None => None,
    };
    let size = i64::from(dtype.bits / 8).max(1);
    Ok(Owned {
        address,
        // Which GPU it is on is not part of the interface.
        place: None,
        dtype,
        shape,
        strides: strides.map(|strides| strides.iter().map(|bytes| bytes / size).collect()),
    })
}

/// Copies the 64-bit numbers of a buffer, such as `array("Q")` or a numpy array of uint64. None if it is no such buffer.
pub fn numbers(object: &Bound<'_, PyAny>, out: &mut [u64]) -> Option<PyResult<()>> {
    let mut buffer = std::mem::MaybeUninit::<Buffer>::uninit();
    // SAFETY: fills the buffer, or fails and sets an exception, which is cleared.
    let code = unsafe { PyObject_GetBuffer(object.as_ptr(), buffer.as_mut_ptr(), BUFFER_FLAGS) };
    if code != 0 {
        drop(PyErr::take(object.py()));
        return None;
    }
    // SAFETY: it was filled.
    let mut buffer = unsafe { buffer.assume_init() };
    let done = copy(&buffer, out);
    // SAFETY: filled above, and not released before.
    unsafe { PyBuffer_Release(&mut buffer) };
    Some(done)
}

fn copy(buffer: &Buffer, out: &mut [u64]) -> PyResult<()> {
    // SAFETY: asked for with a format, which is text.
    let format = unsafe {
        match buffer.format.is_null() {
            true => c"B",
            false => std::ffi::CStr::from_ptr(buffer.format),
        }
    };
    let integers = matches!(
        format.to_bytes(),
        b"Q" | b"L" | b"q" | b"l" | b"=Q" | b"<Q" | b"=q" | b"<q"
    );
    if !integers || buffer.item_bytes != 8 {
        return Err(PyTypeError::new_err(format!(
            "addresses in a buffer are 64-bit integers, such as array(\"Q\"), and not of format {format:?}"
        )));
    }
    let count = buffer.bytes as usize / 8;
    if count != out.len() {
        return Err(super::super::groups::wrong_count(out.len(), count));
    }
    // SAFETY: asked for as contiguous memory of so many bytes; `out` is as long.
    unsafe {
        std::ptr::copy_nonoverlapping(
            buffer.memory.cast::<u8>(),
            out.as_mut_ptr().cast(),
            8 * count,
        )
    };
    Ok(())
}
