//! Callers' pointers. An exported function's signature is made of these types, so that only a caller of the C ABI
//! can bring one into being; what that caller promises (CUDA driver API, every function's parameter list) is what
//! each block below relies on. Null is checked, everything else is the promise.

use std::ffi::{CStr, c_char, c_void};
use std::marker::PhantomData;

use crate::error::{Error, Outcome};

/// A pointer to one or more `T` that the driver reads.
#[repr(transparent)]
pub struct In<T>(*const T);

/// A pointer to one or more `T` that the driver writes (and may read).
#[repr(transparent)]
pub struct Out<T>(*mut T);

/// A NUL-terminated string.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct Name(*const c_char);

/// Host memory of a caller, as an untyped address. Its extent is given beside it.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Host(usize);

/// A caller's function and its argument.
#[derive(Clone, Copy)]
pub struct Callback {
    function: extern "C" fn(*mut c_void),
    data: Host,
}

impl<T> Clone for In<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for In<T> {}

impl<T> Clone for Out<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Out<T> {}

impl<T> In<T> {
    pub(crate) const NULL: Self = In(std::ptr::null());

    /// A pointer to something of the driver's own.
    pub(crate) fn to(target: &T) -> Self {
        In(target)
    }

    /// A pointer to be handed to a caller.
    pub(crate) fn from_address(address: usize) -> Self {
        In(address as *const T)
    }

    pub(crate) fn is_null(self) -> bool {
        self.0.is_null()
    }

    /// The address, for pointers that stand for something else than their target.
    pub(crate) fn address(self) -> usize {
        self.0 as usize
    }
}

impl<T: Copy> In<T> {
    #[inline]
    pub(crate) fn get(self) -> Result<T, Error> {
        if self.0.is_null() {
            return Err(Error::INVALID_VALUE);
        }
        // SAFETY: the caller passes the address of an initialised T; it may come from a packed record, so no
        // alignment is assumed.
        Ok(unsafe { self.0.read_unaligned() })
    }

    /// Element `i` of an array that the caller says has more than `i` elements.
    #[inline]
    pub(crate) fn at(self, i: usize) -> Result<T, Error> {
        if self.0.is_null() {
            return Err(Error::INVALID_VALUE);
        }
        // SAFETY: the caller gives the array's length in the same call, and `i` is below it.
        Ok(unsafe { self.0.add(i).read_unaligned() })
    }

    /// A copy of the first `n` elements; null is fine when there are none.
    pub(crate) fn list(self, n: usize) -> Result<Vec<T>, Error> {
        (0..n).map(|i| self.at(i)).collect()
    }
}

impl<T> Out<T> {
    pub(crate) const NULL: Self = Out(std::ptr::null_mut());

    pub(crate) fn is_null(self) -> bool {
        self.0.is_null()
    }

    #[inline]
    pub(crate) fn set(self, value: T) -> Outcome {
        if self.0.is_null() {
            return Err(Error::INVALID_VALUE);
        }
        // SAFETY: the caller passes the address of a T to be written; the old value needs no drop (C types).
        unsafe { self.0.write_unaligned(value) };
        Ok(())
    }

    /// Like `set`, but null means that the caller does not want it.
    pub(crate) fn set_if_wanted(self, value: T) {
        let _ = self.set(value);
    }

    /// Element `i` of an array that the caller says has more than `i` elements.
    pub(crate) fn set_at(self, i: usize, value: T) -> Outcome {
        if self.0.is_null() {
            return Err(Error::INVALID_VALUE);
        }
        // SAFETY: the caller gives the array's length in the same call, and `i` is below it.
        unsafe { self.0.add(i).write_unaligned(value) };
        Ok(())
    }

    /// The same memory, to be read.
    pub(crate) fn as_in(self) -> In<T> {
        In(self.0)
    }
}

impl Name {
    pub(crate) fn get(self) -> Result<String, Error> {
        if self.0.is_null() {
            return Err(Error::INVALID_VALUE);
        }
        // SAFETY: the caller passes a NUL-terminated string.
        let text = unsafe { CStr::from_ptr(self.0) };
        Ok(text.to_string_lossy().into_owned())
    }
}

impl Host {
    pub(crate) fn is_null(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn address(self) -> usize {
        self.0
    }

    pub(crate) fn from_address(address: usize) -> Self {
        Host(address)
    }

    pub(crate) fn offset(self, bytes: usize) -> Self {
        Host(self.0.wrapping_add(bytes))
    }

    /// Copies from the caller's memory.
    pub(crate) fn read(self, into: &mut [u8]) {
        // SAFETY: the caller says that as many bytes are readable there until the operation has completed, and a
        // caller's memory does not overlap a buffer of ours.
        unsafe { std::ptr::copy_nonoverlapping(self.0 as *const u8, into.as_mut_ptr(), into.len()) }
    }

    /// Copies to the caller's memory.
    pub(crate) fn write(self, from: &[u8]) {
        // SAFETY: as for `read`, writable.
        unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), self.0 as *mut u8, from.len()) }
    }

    /// Copies between two places of callers, which may overlap.
    pub(crate) fn copy(self, from: Host, bytes: usize) {
        // SAFETY: as for `read` and `write`; `copy` allows overlap.
        unsafe { std::ptr::copy(from.0 as *const u8, self.0 as *mut u8, bytes) }
    }

    /// The NUL-terminated text that starts here, without its end.
    pub(crate) fn text(self) -> Vec<u8> {
        // SAFETY: an image that is not a binary format is NUL-terminated text (cuModuleLoadData).
        unsafe { CStr::from_ptr(self.0 as *const c_char) }
            .to_bytes()
            .to_vec()
    }

    /// The value stored here.
    pub(crate) fn value<T: Copy>(self) -> Result<T, Error> {
        In(self.0 as *const T).get()
    }

    /// Stores a value here.
    pub(crate) fn store<T>(self, value: T) -> Outcome {
        Out(self.0 as *mut T).set(value)
    }
}

impl Callback {
    pub(crate) fn new(
        function: Option<extern "C" fn(*mut c_void)>,
        data: Host,
    ) -> Result<Self, Error> {
        let function = function.ok_or(Error::INVALID_VALUE)?;
        Ok(Callback { function, data })
    }

    pub(crate) fn run(self) {
        (self.function)(self.data.0 as *mut c_void)
    }

    pub(crate) fn parts(self) -> (extern "C" fn(*mut c_void), Host) {
        (self.function, self.data)
    }
}

/// An opaque handle: a number that only the tables of `object` can turn into an object.
#[repr(transparent)]
pub struct Handle<T>(usize, PhantomData<fn() -> T>);

impl<T> Clone for Handle<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Handle<T> {}

impl<T> PartialEq for Handle<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<T> Eq for Handle<T> {}

impl<T> Handle<T> {
    pub(crate) const NULL: Self = Handle(0, PhantomData);

    pub(crate) const fn from_bits(bits: usize) -> Self {
        Handle(bits, PhantomData)
    }

    pub(crate) const fn bits(self) -> usize {
        self.0
    }

    pub(crate) const fn is_null(self) -> bool {
        self.0 == 0
    }
}
