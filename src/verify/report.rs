//! What came of a comparison.

use std::fmt;

/// An element that is further from the exact sum than the bound permits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Offence {
    /// Number of the group in its set.
    pub group: usize,
    /// Row of C.
    pub row: usize,
    /// Column of C.
    pub column: usize,
    /// What the kernel stored.
    pub got: f64,
    /// The exact sum; NaN if a scale that belongs to the element is NaN.
    pub exact: f64,
    /// How far from it the stored value may be.
    pub bound: f64,
}

/// How one group's output compares with the exact product.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GroupVerdict {
    /// Number of the group in its set.
    pub group: usize,
    /// Elements compared.
    pub elements: u64,
    /// Largest distance from the exact sum, in ulps of the output type at that sum.
    pub max_ulps: f64,
    /// Largest distance from the exact sum as a fraction of what is permitted; above 1 the output is wrong.
    pub max_ratio: f64,
    /// Elements whose ratio is above 1.
    pub offences: u64,
    /// The first of them, by row and then column.
    pub first: Option<Offence>,
}

/// How a whole set's output compares with the exact products.
#[derive(Debug, Clone, PartialEq)]
pub struct SetVerdict {
    /// The set's name.
    pub name: String,
    /// One verdict for each group.
    pub groups: Vec<GroupVerdict>,
}

impl GroupVerdict {
    /// The verdict on no elements.
    pub fn new(group: usize) -> Self {
        Self {
            group,
            elements: 0,
            max_ulps: 0.0,
            max_ratio: 0.0,
            offences: 0,
            first: None,
        }
    }

    /// Whether every element is within its bound.
    pub fn passed(&self) -> bool {
        self.offences == 0
    }

    /// Adds an element. Elements come in the order of rows and columns.
    pub(super) fn note(&mut self, ulps: f64, ratio: f64, offence: impl Fn() -> Offence) {
        self.elements += 1;
        self.max_ulps = self.max_ulps.max(ulps);
        self.max_ratio = self.max_ratio.max(ratio);
        if ratio > 1.0 {
            self.offences += 1;
            self.first.get_or_insert_with(offence);
        }
    }

    /// The verdict on the elements of both; all of `later` come after all of `self`.
    pub(super) fn merge(self, later: Self) -> Self {
        Self {
            group: self.group,
            elements: self.elements + later.elements,
            max_ulps: self.max_ulps.max(later.max_ulps),
            max_ratio: self.max_ratio.max(later.max_ratio),
            offences: self.offences + later.offences,
            first: self.first.or(later.first),
        }
    }
}

impl SetVerdict {
    /// Whether every element of every group is within its bound.
    pub fn passed(&self) -> bool {
        self.groups.iter().all(GroupVerdict::passed)
    }

    /// All groups taken together, under the number of the first.
    pub fn total(&self) -> GroupVerdict {
        self.groups
            .iter()
            .copied()
            .reduce(GroupVerdict::merge)
            .unwrap_or(GroupVerdict::new(0))
    }
}

impl fmt::Display for Offence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            group,
            row,
            column,
            got,
            exact,
            bound,
        } = self;
        write!(
            f,
            "group {group}, row {row}, column {column}: got {got}, exact {exact}"
        )?;
        match got - exact {
            _ if exact.is_nan() => write!(f, " (a scale is NaN)"),
            off if off.is_nan() => Ok(()),
            off => write!(
                f,
                ", off by {:.3e} where {bound:.3e} is permitted",
                off.abs()
            ),
        }
    }
}

impl fmt::Display for GroupVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "group {}: {}", self.group, Summary(self))
    }
}

impl fmt::Display for SetVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, Summary(&self.total()))
    }
}

/// A verdict without a name.
struct Summary<'a>(&'a GroupVerdict);

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let GroupVerdict {
            elements,
            max_ulps,
            max_ratio,
            offences,
            first,
            ..
        } = self.0;
        write!(
            f,
            "{elements} elements, at most {max_ulps:.3} ulp off, {max_ratio:.3} of the bound"
        )?;
        match first {
            None => write!(f, ": ok"),
            Some(first) => write!(f, ": WRONG in {offences} elements, first {first}"),
        }
    }
}
