//! The caller's lists: A, B, C of every group, and its scales.

use pyo3::PyErr;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};

use super::operand::{NAMES, Operands};
use super::tensor::exchange::Exchange;
use super::tensor::{Reader, number, numbers};

/// Where the tensors of a call came from.
#[derive(Clone, Copy, Debug, Default)]
pub struct Collected {
    /// The functions of the first tensor's type, of which one gives the current stream.
    pub exchange: Option<Exchange>,
    /// Whether there were tensors, and not only numbers.
    pub tensors: bool,
}

/// Reads the addresses of all operands into the table, and checks them if there is what to check them against.
///
/// # Errors
/// With group and operand.
pub fn collect(
    table: &mut [[u64; 5]],
    reader: &mut Reader,
    checks: Option<&[Operands]>,
    device: u32,
    abc: &Bound<'_, PyAny>,
    scales: &Bound<'_, PyAny>,
) -> PyResult<Collected> {
    let (abc, scales) = (Items::of(abc, "A, B and C")?, Items::of(scales, "scales")?);
    let groups = table.len();
    if abc.len() != groups || scales.len() != groups {
        return Err(wrong_groups(groups, abc.len(), scales.len()));
    }
    let mut collected = Collected::default();
    for (group, addresses) in table.iter_mut().enumerate() {
        let (tensors, factors) = (abc.get(group)?, scales.get(group)?);
        let tensors = Items::of_group(&tensors, group, 3, "(A, B, C)")?;
        let factors = Items::of_group(&factors, group, 2, "(SFA, SFB)")?;
        let objects = [
            tensors.get(0)?,
            tensors.get(1)?,
            factors.get(0)?,
            factors.get(1)?,
            tensors.get(2)?,
        ];
        let expected = match checks {
            None => None,
            Some(checks) => match &checks[group] {
                Some(expected) => Some(expected),
                // Nothing is read there, so anything may stand there.
                None => {
                    *addresses = [0; 5];
                    continue;
                }
            },
        };
        if group == 0 {
            collected.exchange = reader.exchange(&objects[0]);
            collected.tensors = !objects[0].is_instance_of::<pyo3::types::PyInt>();
        }
        for (operand, object) in objects.iter().enumerate() {
            let mut wrong = None;
            let read = match expected {
                None => reader.address(object),
                Some(expected) => reader.look(object, |view| {
                    wrong = expected[operand].check(group, operand, device, view).err();
                }),
            };
            if let Some(error) = wrong {
                return Err(error);
            }
            addresses[operand] =
                read.map_err(|error| say_where(object.py(), group, operand, error))?;
        }
    }
    Ok(collected)
}

/// Fills the table from five numbers a group: a buffer of 64-bit integers, or a list or tuple.
pub fn fill(table: &mut [[u64; 5]], pointers: &Bound<'_, PyAny>) -> PyResult<()> {
    let out = table.as_flattened_mut();
    let is_list =
        pointers.is_exact_instance_of::<PyList>() || pointers.is_exact_instance_of::<PyTuple>();
    if !is_list && let Some(done) = numbers(pointers, out) {
        return done;
    }
    let items = Items::of(pointers, "addresses")?;
    if items.len() != out.len() {
        return Err(wrong_count(out.len(), items.len()));
    }
    for (index, address) in out.iter_mut().enumerate() {
        let item = items.get(index)?;
        *address =
            number(&item).map_err(|error| say_where(item.py(), index / 5, index % 5, error))?;
    }
    Ok(())
}

pub fn wrong_count(expected: usize, given: usize) -> PyErr {
    PyValueError::new_err(format!(
        "{} groups have {expected} addresses (A, B, SFA, SFB, C of each), and {given} were given",
        expected / 5
    ))
}

#[cold]
fn wrong_groups(groups: usize, abc: usize, scales: usize) -> PyErr {
    PyValueError::new_err(format!(
        "the kernel has {groups} groups, and was given A, B and C of {abc} and scales of {scales}; groups without tokens \
         have a place too"
    ))
}

/// The same exception, with group and operand.
#[cold]
fn say_where(py: Python<'_>, group: usize, operand: usize, error: PyErr) -> PyErr {
    let text = format!("group {group}, {}: {}", NAMES[operand], error.value(py));
    let kind = error.get_type(py);
    let known = kind.is(py.get_type::<PyTypeError>()) || kind.is(py.get_type::<PyValueError>());
    let placed = match known {
        true => PyErr::from_type(kind, text),
        false => PyTypeError::new_err(text),
    };
    placed.set_cause(py, Some(error));
    placed
}

/// A list or a tuple.
enum Items<'a, 'py> {
    List(&'a Bound<'py, PyList>),
    Tuple(&'a Bound<'py, PyTuple>),
}

impl<'a, 'py> Items<'a, 'py> {
    #[inline]
    fn of(object: &'a Bound<'py, PyAny>, what: &str) -> PyResult<Self> {
        if let Ok(list) = object.cast::<PyList>() {
            Ok(Items::List(list))
        } else if let Ok(tuple) = object.cast::<PyTuple>() {
            Ok(Items::Tuple(tuple))
        } else {
            let kind = object.get_type().fully_qualified_name()?;
            Err(PyTypeError::new_err(format!(
                "{what} are given as a list or a tuple, and not as a {kind}"
            )))
        }
    }

    #[inline]
    fn of_group(
        object: &'a Bound<'py, PyAny>,
        group: usize,
        count: usize,
        what: &str,
    ) -> PyResult<Self> {
        match Self::of(object, what) {
            Ok(items) if items.len() == count => Ok(items),
            Ok(items) => Err(PyValueError::new_err(format!(
                "group {group}: {what} are {count} operands, and {} were given",
                items.len()
            ))),
            Err(error) => Err(PyTypeError::new_err(format!(
                "group {group}: {}",
                error.value(object.py())
            ))),
        }
    }

    #[inline]
    fn len(&self) -> usize {
        match self {
            Items::List(list) => list.len(),
            Items::Tuple(tuple) => tuple.len(),
        }
    }

    #[inline]
    fn get(&self, index: usize) -> PyResult<Bound<'py, PyAny>> {
        match self {
            // It may have been changed meanwhile, by a data_ptr() that is written in Python.
            Items::List(list) => list.get_item(index),
            Items::Tuple(tuple) => tuple.get_item(index),
        }
    }
}
