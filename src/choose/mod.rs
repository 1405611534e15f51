//! Which plan is best for a set.
//!
//! [`choose`] enumerates the choices worth a look, drops those that break a rule of the planner, prices the others
//! with the model, and takes the cheapest. It keeps what else it looked at, with the reasons. A plan that is *pinned*
//! in the shape file ([`Pins`]) is taken as it is, and priced for comparison.
//!
//! # Order
//! The same set gives the same choice every time. Prices are compared in whole nanoseconds; of equals, the plan that
//! requests fewer bytes, then the one that launches fewer CTAs, then the one that was enumerated first.
//!
//! # Cost
//! Simulating launches that overlap takes several launches each. So all candidates are first priced as launches apart, in
//! parallel, cheapest bound first and within [`EVENTS`]; overlap is simulated for the best of them.
//! What only overlap can pay for, prefetching by CTAs without tiles, is tried on the best of all.
//!
//! L2 hints are not priced (the model's L2 forgets nothing): weights pass through, tokens stay, as every published
//! kernel that says anything says.

mod candidates;
mod pins;
mod rank;
mod settings;

pub use pins::{PinError, pinned};
pub use settings::{BadSetting, Choices};

use crate::model::{B200, H200, Machine, Parts, Price};
use crate::plan::target::Family;
use crate::plan::{Illegal, Plan, Target};
use crate::problem::{Pins, Set};
use std::fmt;

/// K blocks of all tiles together that a search may simulate: about a second of one core.
pub const EVENTS: u64 = 8_000_000;
/// Runners-up that are kept.
pub const RUNNERS_UP: usize = 5;

/// The chosen plan, its price, and what it was chosen from.
#[derive(Clone, Debug)]
pub struct Choice {
    /// The plan.
    pub plan: Plan,
    /// What it costs, predicted.
    pub price: Price,
    /// The next best, cheapest first. Of candidates that cost the same to the nanosecond, one.
    pub runners_up: Vec<RunnerUp>,
    /// What breaks a rule.
    pub refused: Vec<Refused>,
    /// How many candidates were priced.
    pub priced: usize,
    /// How many were left out because a bound of theirs was above the price of another, or the search was long enough.
    pub skipped: usize,
    /// If the plan is pinned: what the shape file says of it.
    pub pinned: Option<Measured>,
}

/// What a shape file says of a pinned plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// Where it was measured.
    pub device: String,
    /// When.
    pub date: String,
    /// Microseconds of a call.
    pub us: f64,
}

/// A plan that was not chosen.
#[derive(Clone, Debug)]
pub struct RunnerUp {
    /// Its choices.
    pub choices: Choices,
    /// Its price in microseconds.
    pub total_us: f64,
    /// Where they go.
    pub parts: Parts,
    /// What differs from the chosen plan: name, value there, value here.
    pub differences: Vec<(&'static str, String, String)>,
}

/// Choices that cannot be planned.
#[derive(Clone, Debug)]
pub struct Refused {
    /// The choices.
    pub choices: Choices,
    /// The rule that they break.
    pub illegal: Illegal,
}

/// Why there is no plan.
#[derive(Clone, Debug)]
pub enum NoPlan {
    /// Every candidate breaks a rule; this is the last one's.
    Illegal(Illegal),
    /// The pinned plan cannot be made.
    Pin(PinError),
}

impl fmt::Display for NoPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoPlan::Illegal(illegal) => illegal.fmt(f),
            NoPlan::Pin(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for NoPlan {}

impl RunnerUp {
    /// The part of the time in which it loses most, with the microseconds that it loses there.
    pub fn loses_in(&self, chosen: &Parts) -> (&'static str, f64) {
        let parts = self.parts.named().into_iter().zip(chosen.named());
        let losses = parts.map(|((name, here), (_, there))| (name, here - there));
        losses
            .max_by(|a, b| a.1.total_cmp(&b.1))
            .unwrap_or(("nothing", 0.0))
    }
}

/// The machine that prices the plans of a target.
pub fn machine(target: &Target) -> Machine {
    match target.family {
        Family::Blackwell => B200,
        Family::Hopper => H200,
    }
}

/// Searches for the best plan of a set.
///
/// # Errors
/// If no candidate is legal.
pub fn choose(set: &Set, target: Target) -> Result<Choice, NoPlan> {
    rank::search(set, target)
}

/// Takes the pinned plan if there is one, else searches. With a pin, what the search would have chosen is the first of
/// the runners-up.
///
/// # Errors
/// If no candidate is legal, or the pinned choices cannot be planned.
pub fn choose_pinned(set: &Set, target: Target, pins: &Pins) -> Result<Choice, NoPlan> {
    match pinned(set, target, pins).map_err(NoPlan::Pin)? {
        None => choose(set, target),
        Some((plan, measured)) => rank::around(plan, measured),
    }
}

/// The cheapest plans with their prices, cheapest first: what is worth measuring. Plans that cost the same to the
/// nanosecond are all there, for they may differ in what is not priced.
///
/// # Errors
/// As [`choose`].
pub fn cheapest(set: &Set, target: Target, count: usize) -> Result<Vec<(Plan, Price)>, NoPlan> {
    rank::cheapest(set, target, count)
}

/// The best plan, and nothing else.
///
/// # Errors
/// As [`choose`].
pub fn best(set: &Set, target: Target) -> Result<Plan, NoPlan> {
    choose(set, target).map(|choice| choice.plan)
}

/// The pinned plan or the best, and nothing else. With a pin there is no search.
///
/// # Errors
/// As [`choose_pinned`].
pub fn plan(set: &Set, target: Target, pins: &Pins) -> Result<Plan, NoPlan> {
    match pinned(set, target, pins).map_err(NoPlan::Pin)? {
        None => best(set, target),
        Some((plan, _)) => Ok(plan),
    }
}
