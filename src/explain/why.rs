//! Why this plan and not another.

use super::Setting;
use super::figures::{count, several};
use crate::choose::{Choice, Refused, RunnerUp};
use crate::model::Parts;
use serde::Serialize;

/// Why this plan.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Why {
    /// In words.
    pub text: String,
    /// What the shape file says of the plan, if it is pinned.
    pub pinned: Option<Pinned>,
    /// Candidates whose price was computed as they are launched.
    pub priced: usize,
    /// Candidates that were left out.
    pub skipped: usize,
    /// The next best, cheapest first. If the plan is pinned, what the search would have taken comes first.
    pub runners_up: Vec<Rival>,
    /// Choices that break a rule, rule by rule.
    pub refused: Vec<Refusals>,
}

/// A pinned plan's measurement.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Pinned {
    /// On which device.
    pub device: String,
    /// When.
    pub date: String,
    /// Microseconds of a call; `device` says so if it is a price of the model.
    pub measured_us: f64,
}

/// A plan that was not chosen.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rival {
    /// Its price.
    pub predicted_us: f64,
    /// What it costs more; negative where a pinned plan was taken instead of a cheaper one.
    pub behind_us: f64,
    /// What differs.
    pub differences: Vec<Difference>,
    /// The part of the time in which it loses most.
    pub loses_in: &'static str,
    /// What it loses there.
    pub loses_us: f64,
    /// All of its choices.
    pub choices: Vec<Setting>,
}

/// A choice in which two plans differ.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// The choice.
    pub name: &'static str,
    /// Its value in the chosen plan.
    pub chosen: String,
    /// Its value in the other.
    pub other: String,
}

/// Candidates that one rule refuses.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Refusals {
    /// The rule.
    pub rule: &'static str,
    /// How many.
    pub count: usize,
    /// The numbers of the first of them.
    pub example: String,
}

pub(super) fn why(choice: &Choice) -> Why {
    let total = choice.price.total_us;
    let runners_up = choice.runners_up.iter();
    let runners_up: Vec<_> = runners_up
        .map(|r| rival(r, total, &choice.price.parts))
        .collect();
    Why {
        text: text(choice),
        pinned: choice.pinned.as_ref().map(|measured| Pinned {
            device: measured.device.clone(),
            date: measured.date.clone(),
            measured_us: measured.us,
        }),
        priced: choice.priced,
        skipped: choice.skipped,
        runners_up,
        refused: refusals(&choice.refused),
    }
}

fn rival(rival: &RunnerUp, chosen_us: f64, parts: &Parts) -> Rival {
    let (loses_in, loses_us) = rival.loses_in(parts);
    let difference = |(name, chosen, other): &(&'static str, String, String)| Difference {
        name,
        chosen: chosen.clone(),
        other: other.clone(),
    };
    let setting = |(name, value): (&'static str, crate::problem::Setting)| Setting {
        name,
        value: value.to_string(),
    };
    Rival {
        predicted_us: rival.total_us,
        behind_us: rival.total_us - chosen_us,
        differences: rival.differences.iter().map(difference).collect(),
        loses_in,
        loses_us,
        choices: rival.choices.settings().into_iter().map(setting).collect(),
    }
}

fn refusals(refused: &[Refused]) -> Vec<Refusals> {
    let mut rules: Vec<Refusals> = Vec::new();
    for refused in refused {
        let rule = refused.illegal.rule.name();
        match rules.iter_mut().find(|known| known.rule == rule) {
            Some(known) => known.count += 1,
            None => rules.push(Refusals {
                rule,
                count: 1,
                example: refused.illegal.detail.clone(),
            }),
        }
    }
    rules
}

fn text(choice: &Choice) -> String {
    let found = format!(
        "{} priced as they are launched, {} left out because they cannot be better or the search was long enough, {} \
         refused by a rule.",
        several(choice.priced as u64, "candidate"),
        count(choice.skipped as u64),
        count(choice.refused.len() as u64)
    );
    let chosen = match &choice.pinned {
        Some(measured) => format!(
            "This plan is pinned in the shape file: {:.2} us on {}, {}. It was not chosen by its price, which is \
             {:.2} us.",
            measured.us, measured.device, measured.date, choice.price.total_us
        ),
        None => match choice.runners_up.first() {
            Some(next) => format!(
                "It has the lowest predicted price, {:.2} us; the next best costs {:.3} us more.",
                choice.price.total_us,
                next.total_us - choice.price.total_us
            ),
            None => format!(
                "Its predicted price is {:.2} us; no other plan has another price.",
                choice.price.total_us
            ),
        },
    };
    format!("{chosen} {found}")
}

impl Rival {
    /// What differs, in words.
    pub fn differs(&self) -> String {
        let words = |d: &Difference| format!("{} {} instead of {}", d.name, d.other, d.chosen);
        let words: Vec<String> = self.differences.iter().map(words).collect();
        words.join(", ")
    }

    /// Where it loses, in words.
    pub fn loses(&self) -> String {
        if self.loses_us > 0.0 {
            format!("{:.2} us in: {}", self.loses_us, self.loses_in)
        } else {
            "nowhere".to_owned()
        }
    }
}
