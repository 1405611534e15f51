//! Errors of the library as Python exceptions.

use nvfp4gen::runtime;
use pyo3::exceptions::{PyLookupError, PyRuntimeError, PyValueError};
use pyo3::{PyErr, create_exception};

create_exception!(
    nvfp4gen,
    Error,
    PyRuntimeError,
    "No driver, no device, or one that cannot do what was asked; a damaged library. The message says what to do."
);
create_exception!(
    nvfp4gen,
    MissingSet,
    PyLookupError,
    "The library has no kernel of these sizes. The message names the nearest, and the lines that add it."
);

/// The exception of an error of the runtime.
#[cold]
pub fn raise(error: runtime::Error) -> PyErr {
    use runtime::Error as E;
    let text = error.to_string();
    match error {
        E::Missing(_) => MissingSet::new_err(text),
        E::Groups { .. } | E::Null { .. } | E::Misaligned { .. } | E::SameOutput { .. } => {
            PyValueError::new_err(text)
        }
        _ => Error::new_err(text),
    }
}
