//! Reports for programs.

use super::Report;
use serde::Serialize;

#[derive(Serialize)]
struct Document<'a> {
    sets: &'a [Report],
}

/// The reports as JSON: an object with the list `sets`.
///
/// # Errors
/// If serde refuses, which it does not do for what reports are made of.
pub fn text(reports: &[Report]) -> Result<String, serde_json::Error> {
    serde_json::to_string_pretty(&Document { sets: reports }).map(|text| text + "\n")
}
