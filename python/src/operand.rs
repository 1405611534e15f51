//! What each operand of a group must be, and what is wrong with one that is not.

use nvfp4gen::artifact::Sizes;
use pyo3::PyErr;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;

use super::tensor::{Dtype, View};

/// The names of a group's operands, in the order of their addresses.
pub const NAMES: [&str; 5] = ["A", "B", "SFA", "SFB", "C"];

const BYTES: &[Dtype] = &[Dtype::F4_E2M1_X2, Dtype::U8, Dtype::I8];
const SCALES: &[Dtype] = &[Dtype::F8_E4M3, Dtype::U8, Dtype::I8];

/// The five operands of a group; None for one without tokens, whose operands are not looked at.
pub type Operands = Option<[Expected; 5]>;

/// What an operand must be.
#[derive(Clone, Debug)]
pub struct Expected {
    types: &'static [Dtype],
    form: Form,
}

#[derive(Clone, Debug)]
enum Form {
    /// Rows one behind the other.
    Matrix { rows: i64, columns: i64 },
    /// Blocks of 128 x 4 scales, 512 bytes each, along K first.
    Blocks { rows: i64, columns: i64 },
}

/// The operands of every group.
pub fn of(sizes: &Sizes) -> PyResult<Vec<Operands>> {
    let output: &'static [Dtype] = match sizes.output.as_str() {
        "f16" => &[Dtype::F16],
        "bf16" => &[Dtype::BF16],
        "f32" => &[Dtype::F32],
        other => {
            return Err(PyValueError::new_err(format!(
                "the output type {other} is not known here"
            )));
        }
    };
    let groups = sizes.m.iter().zip(&sizes.n).zip(&sizes.k);
    let operands = groups.map(|((m, n), k)| {
        let [m, n, k] = [*m, *n, *k].map(i64::from);
        let matrix = |types, rows, columns| Expected {
            types,
            form: Form::Matrix { rows, columns },
        };
        let scales = |rows: i64| Expected {
            types: SCALES,
            form: Form::Blocks {
                rows: (rows as u64).div_ceil(128) as i64,
                columns: (k as u64).div_ceil(64) as i64,
            },
        };
        let all = [
            matrix(BYTES, m, k / 2),
            matrix(BYTES, n, k / 2),
            scales(m),
            scales(n),
            matrix(output, m, n),
        ];
        (m > 0).then_some(all)
    });
    Ok(operands.collect())
}

impl Expected {
    /// Refuses a view that is not what the kernel takes.
    #[inline]
    pub fn check(&self, group: usize, operand: usize, device: u32, view: &View) -> PyResult<()> {
        let here = view
            .place
            .is_none_or(|place| place.is_cuda() && place.index as u32 == device);
        if here && self.types.contains(&view.dtype) && self.form.fits(view) {
            Ok(())
        } else {
            Err(self.explain(group, operand, device, view))
        }
    }

    /// Says what is wrong, the type first.
    #[cold]
    fn explain(&self, group: usize, operand: usize, device: u32, view: &View) -> PyErr {
        let at = format!("group {group}, {}", NAMES[operand]);
        if !self.types.contains(&view.dtype) {
            let types: Vec<String> = self.types.iter().map(ToString::to_string).collect();
            let types = types.join(" or ");
            return PyTypeError::new_err(format!(
                "{at}: its type is {}; it must be {types}",
                view.dtype
            ));
        }
        let text = match view.place {
            Some(place) if !place.is_cuda() => format!("it is on {place}; move it to GPU {device}"),
            Some(place) if place.index as u32 != device => {
                format!(
                    "it is on {place}, and the kernel on GPU {device}; load the kernel there, or move it"
                )
            }
            _ => self.form.explain(view),
        };
        PyValueError::new_err(format!("{at}: {text}"))
    }
}

impl Form {
    #[inline]
    fn fits(&self, view: &View) -> bool {
        let (shape, strides) = (view.shape, view.strides);
        match *self {
            Form::Matrix { rows, columns } => {
                matches!(shape, [r, c] | [r, c, 1] if (*r, *c) == (rows, columns))
                    && lies_as(shape, strides, &[columns, 1, 0])
            }
            Form::Blocks { rows, columns } => match shape {
                [all] => *all == 512 * rows * columns && lies_as(shape, strides, &[1]),
                [32, 4, r, 4, c] | [32, 4, r, 4, c, 1] => {
                    (*r, *c) == (rows, columns)
                        && lies_as(shape, strides, &[16, 4, 512 * columns, 1, 512, 0])
                }
                _ => false,
            },
        }
    }

    fn explain(&self, view: &View) -> String {
        let (shape, strides) = (view.shape, view.strides.unwrap_or_default());
        match *self {
            Form::Matrix { rows, columns } => match shape {
                [r, c] | [r, c, 1] if (*r, *c) == (rows, columns) => format!(
                    "its strides are {strides:?}; they must be [{columns}, 1]: rows one behind the other; use \
                     contiguous()"
                ),
                _ => format!("its shape is {shape:?}; it must be [{rows}, {columns}]"),
            },
            Form::Blocks { rows, columns } => {
                let count = 512 * rows * columns;
                match shape {
                    [32, 4, r, 4, c] | [32, 4, r, 4, c, 1] if (*r, *c) == (rows, columns) => {
                        format!(
                            "its strides are {strides:?}; they must be [16, 4, {}, 1, 512]: blocks of 128 x 4, along K first",
                            512 * columns
                        )
                    }
                    [all] if *all == count => format!("its stride is {strides:?}; it must be [1]"),
                    _ => format!(
                        "its shape is {shape:?}; blocked scales are [{count}] or [32, 4, {rows}, 4, {columns}, 1]; \
                         nvfp4gen.to_blocked makes them from plain ones"
                    ),
                }
            }
        }
    }
}

/// Whether the dimensions that have more than one element have these strides. Without strides, elements lie one behind the
/// other.
#[inline]
fn lies_as(shape: &[i64], strides: Option<&[i64]>, expected: &[i64]) -> bool {
    let mut dense = 1;
    for dim in (0..shape.len()).rev() {
        let stride = strides.map_or(Some(dense), |strides| strides.get(dim).copied());
        if shape[dim] > 1 && stride != Some(expected[dim]) {
            return false;
        }
        dense *= shape[dim];
    }
    true
}
