//! Which of the machine's constants moves the price, and which moves the choice.

use crate::choose::Choice;
use crate::model::machine::Constant;
use crate::model::{Machine, Workload, price};
use crate::plan::Plan;
use rayon::prelude::*;
use serde::Serialize;

/// K blocks that may be simulated, each once for every launch of a price: some seconds of one core.
const EVENTS: u64 = 40_000_000;
/// Launches that a price simulates.
const LAUNCHES: u64 = 6;
/// What moves a price less than this is not worth a line.
const NOTEWORTHY: f64 = 0.005;

/// What happens if a constant is at the end of its range instead of where the model has it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sensitivity {
    /// How many plans were compared, the chosen one included.
    pub plans: usize,
    /// The constants that matter, those that move most first.
    pub constants: Vec<Moves>,
    /// How many move the price by less than half a per cent, and no choice.
    pub others: usize,
    /// In words: which constants would change the choice.
    pub text: String,
}

/// What one constant does.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Moves {
    /// Its name in the model.
    pub constant: &'static str,
    /// Its unit.
    pub unit: &'static str,
    /// The model's value.
    pub value: f64,
    /// At the low end of its range.
    pub low: Move,
    /// At the high end.
    pub high: Move,
}

/// What one end of a range does.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Move {
    /// The constant's value there.
    pub at: f64,
    /// The chosen plan's price, relative to its price now: 0.01 is one per cent slower.
    pub moved: f64,
    /// The runner-up that would be chosen instead, counted from 1; none if the choice stays.
    pub winner: Option<usize>,
    /// By how many microseconds that one would be cheaper.
    pub margin_us: f64,
}

impl Moves {
    fn matters(&self) -> bool {
        let ends = [&self.low, &self.high];
        ends.iter()
            .any(|end| end.moved.abs() >= NOTEWORTHY || end.winner.is_some())
    }

    fn most(&self) -> f64 {
        self.low.moved.abs().max(self.high.moved.abs())
    }

    /// Whether either end changes the choice.
    pub fn changes_the_choice(&self) -> bool {
        self.low.winner.is_some() || self.high.winner.is_some()
    }
}

pub(super) fn sensitivity(choice: &Choice, machine: &Machine) -> Sensitivity {
    let constants: Vec<(&'static str, Constant)> = machine
        .constants()
        .into_iter()
        .filter(|(_, c)| c.low < c.high)
        .collect();
    let workloads = workloads(choice, constants.len() as u64);
    let Some(chosen) = workloads.first() else {
        return Sensitivity::left_out();
    };
    let now = price(chosen, machine).total_us;
    let mut all: Vec<Moves> = constants
        .into_par_iter()
        .map(|(name, c)| moves(name, c, &workloads, machine, now))
        .collect();
    let constants = all.len();
    all.retain(Moves::matters);
    all.sort_by(|a, b| b.most().total_cmp(&a.most()));
    Sensitivity {
        plans: workloads.len(),
        others: constants - all.len(),
        text: text(&all, workloads.len(), choice.pinned.is_some()),
        constants: all,
    }
}

/// The chosen plan and as many runners-up as there is time for; without them if it is pinned, for then no price decides.
/// None at all if there is no work or too much.
fn workloads(choice: &Choice, constants: u64) -> Vec<Workload> {
    let of = |plan: &Plan| Workload::from(plan);
    let (set, target) = (&choice.plan.set, choice.plan.target);
    let rivals = choice.runners_up.iter().filter(|_| choice.pinned.is_none());
    // Every runner-up was planned before; one that cannot be any more is no runner-up.
    let rivals = rivals.filter_map(|r| r.choices.plan(set, target).ok());
    let mut left = EVENTS;
    std::iter::once(of(&choice.plan))
        .chain(rivals.map(|plan| of(&plan)))
        .take_while(|workload| {
            let events = 2 * constants * LAUNCHES * workload.events();
            let enough = 0 < events && events <= left;
            left = left.saturating_sub(events);
            enough
        })
        .collect()
}

fn moves(
    constant: &'static str,
    c: Constant,
    workloads: &[Workload],
    machine: &Machine,
    now: f64,
) -> Moves {
    let end = |at: f64| {
        let changed = machine.with(constant, at);
        let changed = changed.as_ref().unwrap_or(machine);
        let prices: Vec<f64> = workloads
            .iter()
            .map(|w| price(w, changed).total_us)
            .collect();
        let chosen = prices[0];
        // Prices are compared in whole nanoseconds, as in the choice.
        let ns = |us: f64| (us * 1e3).round();
        let cheaper = prices.iter().enumerate().skip(1);
        let best = cheaper.min_by(|a, b| a.1.total_cmp(b.1));
        let winner = best.filter(|&(_, &us)| ns(us) < ns(chosen));
        Move {
            at,
            moved: chosen / now - 1.0,
            winner: winner.map(|(index, _)| index),
            margin_us: winner.map_or(0.0, |(_, us)| chosen - us),
        }
    };
    Moves {
        constant,
        unit: c.unit,
        value: c.value,
        low: end(c.low),
        high: end(c.high),
    }
}

fn text(all: &[Moves], plans: usize, pinned: bool) -> String {
    if pinned {
        return "The plan is pinned: constants move its price, not the choice.".to_owned();
    }
    if plans < 2 {
        return "There is no other plan to compare with, or no time to price it this often."
            .to_owned();
    }
    let changing: Vec<&Moves> = all.iter().filter(|m| m.changes_the_choice()).collect();
    if changing.is_empty() {
        return format!(
            "Each constant by itself to the ends of its range: of these {plans} plans this one stays the cheapest."
        );
    }
    let names: Vec<&str> = changing.iter().map(|m| m.constant).collect();
    let margins = changing
        .iter()
        .flat_map(|m| [m.low.margin_us, m.high.margin_us]);
    format!(
        "Each constant by itself to the ends of its range: {} would change which of these {plans} plans is cheapest, by at \
         most {:.2} us.",
        names.join(", "),
        margins.fold(0.0, f64::max)
    )
}

impl Sensitivity {
    fn left_out() -> Self {
        Sensitivity {
            plans: 0,
            constants: Vec::new(),
            others: 0,
            text: "Left out: there is nothing to price, or too much to price it this often."
                .to_owned(),
        }
    }
}
