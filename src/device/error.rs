//! Why a kernel did not run to its end.

use std::fmt;

use ptx_emulator::{LoadError, Stop};

use super::layout::Place;

/// Why a kernel did not run to its end on the emulated GPU.
#[derive(Debug)]
pub enum DeviceError {
    /// The manifest contradicts itself, or asks for what the driver would refuse.
    Manifest(String),
    /// The inputs do not fit the sizes in the manifest.
    Inputs(String),
    /// The emulator does not take the PTX.
    Load(LoadError),
    /// Two launches of the kernel on the same inputs differ in C of this group.
    Unequal {
        /// The group.
        group: usize,
    },
    /// The launch was stopped: the kernel is wrong, or the emulator lacks something.
    Stopped {
        /// What happened, and where in the kernel.
        stop: Box<Stop>,
        /// The operand that it happened to, if it has an address near one.
        place: Option<Place>,
    },
}

impl DeviceError {
    /// Whether the kernel is to blame, rather than its manifest, its inputs or the emulator.
    pub fn is_fault(&self) -> bool {
        match self {
            Self::Stopped { stop, .. } => matches!(**stop, Stop::Fault(_)),
            Self::Unequal { .. } => true,
            Self::Manifest(_) | Self::Inputs(_) | Self::Load(_) => false,
        }
    }
}

impl fmt::Display for DeviceError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Manifest(reason) => write!(out, "the manifest cannot be followed: {reason}"),
            Self::Inputs(reason) => out.write_str(reason),
            Self::Load(error) => error.fmt(out),
            Self::Unequal { group } => write!(
                out,
                "two launches in a row on the same inputs differ in C of group {group}"
            ),
            Self::Stopped { stop, place: None } => stop.fmt(out),
            Self::Stopped {
                stop,
                place: Some(place),
            } => write!(out, "{stop}\n  address: {place}"),
        }
    }
}

impl std::error::Error for DeviceError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Load(error) => Some(error),
            Self::Stopped { stop, .. } => Some(stop.as_ref()),
            Self::Manifest(_) | Self::Inputs(_) | Self::Unequal { .. } => None,
        }
    }
}
