//! Pinned plans: from names and values in a shape file to a plan.

use super::candidates;
use super::{Choices, Measured};
use crate::plan::{Illegal, Plan, Target};
use crate::problem::{Diagnostics, Pin, Pins, Set};
use std::fmt;
use std::path::Path;

/// A pin that gives no plan.
#[derive(Clone, Debug)]
pub enum PinError {
    /// A choice that plans do not have, or not with this value.
    Setting(Diagnostics),
    /// The planner refuses the choices.
    Illegal(Diagnostics, Illegal),
}

impl fmt::Display for PinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PinError::Setting(diagnostics) | PinError::Illegal(diagnostics, _) => {
                diagnostics.fmt(f)
            }
        }
    }
}

/// The pinned plan of a set on a target, if there is one. Choices that the pin does not name are those of the first
/// candidate.
///
/// # Errors
/// Where the pin stands, and what is wrong with it.
pub fn pinned(
    set: &Set,
    target: Target,
    pins: &Pins,
) -> Result<Option<(Plan, Measured)>, PinError> {
    let Some((path, pin)) = pins.find(set, target.name) else {
        return Ok(None);
    };
    let Some(first) = candidates::shapes(set, &target).into_iter().next() else {
        return Ok(None);
    };
    let choices = read(first, path, pin)?.on(&target);
    let plan = choices.plan(set, target).map_err(|illegal| {
        let message = format!("this plan cannot be made: {illegal}");
        let remedy = "remove the entry, or tune again".to_owned();
        PinError::Illegal(pin.place.refuse(path, message, remedy), illegal)
    })?;
    let measured = Measured {
        device: pin.device.clone(),
        date: pin.date.clone(),
        us: pin.measured_us,
    };
    Ok(Some((plan, measured)))
}

fn read(first: Choices, path: &Path, pin: &Pin) -> Result<Choices, PinError> {
    let set = |choices: Choices,
               (name, value, place): &(String, _, crate::problem::tuning::Place)| {
        choices
            .with(name, value)
            .map_err(|bad| PinError::Setting(place.refuse(path, bad.message, bad.remedy)))
    };
    pin.choices.iter().try_fold(first, set)
}
