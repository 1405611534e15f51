//! Plans pinned beside the shapes: what was found to be best by measurement.
//!
//! ```toml
//! [tuning.P3.sm_100a]              # a set of this file, by name or by key, and the target
//! device = "NVIDIA B200"           # where it was measured
//! date = 2026-11-23
//! measured_us = 8.12               # a call; a price of the model says so in `device`
//! choices = { k_block = 256, accumulators = 2 }
//! ```
//!
//! What the choices mean is the planner's business: here they are names and values, each with its place in the file so
//! that the planner's refusals can point at it.

use super::limits::Refusal;
use super::reader::{Reader, Span, Value};
use super::words::describe;
use super::{Diagnostic, Diagnostics, Set};
use std::fmt;
use std::path::{Path, PathBuf};
use toml::de::{DeTable, DeValue};

const PIN_KEYS: [&str; 4] = ["device", "date", "measured_us", "choices"];
const HEADING: &str = "head each entry [tuning.NAME.TARGET], e.g. [tuning.P3.sm_100a]";

/// One value of a planner's choice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setting {
    /// A count or size.
    Number(u32),
    /// One number for each group.
    Numbers(Vec<u32>),
    /// Yes or no.
    Flag(bool),
    /// One of several words.
    Word(String),
}

/// The plan of one set on one target, pinned.
#[derive(Clone, Debug, PartialEq)]
pub struct Pin {
    /// The set, by name or key.
    pub set: String,
    /// The target's name.
    pub target: String,
    /// The planner's choices by name.
    pub choices: Vec<(String, Setting, Place)>,
    /// Where it was measured.
    pub device: String,
    /// When, as YYYY-MM-DD.
    pub date: String,
    /// Microseconds of a call.
    pub measured_us: f64,
    /// Where the entry stands.
    pub place: Place,
}

/// A place in a shape file, for refusals that come later than reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place(Diagnostic);

impl Place {
    /// The refusal of what stands here.
    pub fn refuse(&self, path: &Path, message: String, remedy: String) -> Diagnostics {
        let mut diagnostic = self.0.clone();
        (diagnostic.message, diagnostic.remedy) = (message, remedy);
        Diagnostics {
            path: path.to_owned(),
            all: vec![diagnostic],
        }
    }
}

/// The pins of several files.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pins(Vec<(PathBuf, Pin)>);

impl Pins {
    /// Adds the pins of a file.
    pub fn add(&mut self, path: &Path, pins: Vec<Pin>) {
        self.0
            .extend(pins.into_iter().map(|pin| (path.to_owned(), pin)));
    }

    /// The pin of a set on a target, with its file.
    pub fn find(&self, set: &Set, target: &str) -> Option<(&Path, &Pin)> {
        let found = |(_, pin): &&(PathBuf, Pin)| pin.target == target && pin.is_for(set);
        self.0
            .iter()
            .find(found)
            .map(|(path, pin)| (path.as_path(), pin))
    }

    /// All pins with their files.
    pub fn iter(&self) -> impl Iterator<Item = (&Path, &Pin)> {
        self.0.iter().map(|(path, pin)| (path.as_path(), pin))
    }
}

impl Pin {
    /// Whether it names this set.
    pub fn is_for(&self, set: &Set) -> bool {
        self.set == set.name || self.set == set.key()
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Setting::Number(number) => number.fmt(f),
            Setting::Flag(flag) => f.write_str(if *flag { "yes" } else { "no" }),
            Setting::Word(word) => f.write_str(word),
            Setting::Numbers(numbers) => {
                let words: Vec<String> = numbers.iter().map(u32::to_string).collect();
                f.write_str(&words.join("-"))
            }
        }
    }
}

impl Reader<'_> {
    /// Reads the `tuning` table of a file.
    pub(super) fn tuning(&mut self, table: &DeTable) {
        let Some(value) = table.get("tuning") else {
            return;
        };
        for (set, at, value) in self.entries(value, "`tuning`") {
            let owner = format!("`tuning.{set}`");
            for (target, _, value) in self.entries(value, &owner) {
                if let Some(pin) = self.pin(&set, &target, value) {
                    self.keep(pin, &at);
                }
            }
        }
    }

    fn entries<'t, 'b>(
        &mut self,
        value: &'t Value<'b>,
        owner: &str,
    ) -> Vec<(String, Span, &'t Value<'b>)> {
        match value.get_ref() {
            DeValue::Table(table) => table
                .iter()
                .map(|(name, value)| (name.get_ref().to_string(), name.span(), value))
                .collect(),
            other => {
                let message = format!("{owner} must be a table, not {}", describe(other));
                self.refuse(&value.span(), Refusal::new(message, HEADING));
                Vec::new()
            }
        }
    }

    fn pin(&mut self, set: &str, target: &str, value: &Value) -> Option<Pin> {
        let DeValue::Table(table) = value.get_ref() else {
            let message = format!(
                "`tuning.{set}.{target}` must be a table, not {}",
                describe(value.get_ref())
            );
            self.refuse(&value.span(), Refusal::new(message, HEADING));
            return None;
        };
        self.known_keys(table, &PIN_KEYS, "a tuning entry");
        let device = self.field(value, table, "device", "device = \"NVIDIA B200\"", |v| {
            v.as_str().map(str::to_owned)
        });
        let date = self.field(value, table, "date", "date = 2026-11-23", |v| match v {
            DeValue::Datetime(date) if date.time.is_none() => Some(date.to_string()),
            _ => None,
        });
        let measured_us = self.field(value, table, "measured_us", "measured_us = 8.12", number);
        let choices = self.pinned_choices(value, table);
        Some(Pin {
            set: set.to_owned(),
            target: target.to_owned(),
            choices: choices?,
            device: device?,
            date: date?,
            measured_us: measured_us?,
            place: self.place(&value.span()),
        })
    }

    fn pinned_choices(
        &mut self,
        pin: &Value,
        table: &DeTable,
    ) -> Option<Vec<(String, Setting, Place)>> {
        let example = "choices = { k_block = 256 }";
        let value = self.required_in(pin, table, "choices", example)?;
        let DeValue::Table(choices) = value.get_ref() else {
            let message = format!(
                "`choices` must be a table, not {}",
                describe(value.get_ref())
            );
            self.refuse(
                &value.span(),
                Refusal::new(message, format!("write {example}")),
            );
            return None;
        };
        let mut settings = Vec::new();
        for (name, value) in choices {
            match setting(value.get_ref()) {
                Some(setting) => {
                    let place = self.place(&value.span());
                    settings.push((name.get_ref().to_string(), setting, place));
                }
                None => {
                    let message = format!(
                        "`{}` cannot be {}",
                        name.get_ref(),
                        describe(value.get_ref())
                    );
                    let remedy = "use a number, a list of numbers, true, false or a word in quotes";
                    self.refuse(&value.span(), Refusal::new(message, remedy));
                    return None;
                }
            }
        }
        Some(settings)
    }

    fn field<T>(
        &mut self,
        pin: &Value,
        table: &DeTable,
        key: &str,
        example: &str,
        read: impl Fn(&DeValue) -> Option<T>,
    ) -> Option<T> {
        let value = self.required_in(pin, table, key, example)?;
        let found = read(value.get_ref());
        if found.is_none() {
            let message = format!("`{key}` cannot be {}", describe(value.get_ref()));
            self.refuse(
                &value.span(),
                Refusal::new(message, format!("write {example}")),
            );
        }
        found
    }

    fn required_in<'t, 'b>(
        &mut self,
        pin: &Value,
        table: &'t DeTable<'b>,
        key: &str,
        example: &str,
    ) -> Option<&'t Value<'b>> {
        let value = table.get(key);
        if value.is_none() {
            let message = format!("this tuning entry has no `{key}`");
            let remedy = format!("add a line such as: {example}");
            self.refuse(&pin.span(), Refusal::new(message, remedy));
        }
        value
    }

    fn place(&self, span: &Span) -> Place {
        Place(self.diagnostic(span))
    }
}

/// A positive number, with or without a fraction.
fn number(value: &DeValue) -> Option<f64> {
    let text = match value {
        DeValue::Float(float) => float.as_str().to_owned(),
        DeValue::Integer(integer) => integer.as_str().to_owned(),
        _ => return None,
    };
    text.parse()
        .ok()
        .filter(|us: &f64| us.is_finite() && *us > 0.0)
}

fn setting(value: &DeValue) -> Option<Setting> {
    let whole = |value: &DeValue| match value {
        DeValue::Integer(number) => u32::from_str_radix(number.as_str(), number.radix()).ok(),
        _ => None,
    };
    match value {
        DeValue::Boolean(flag) => Some(Setting::Flag(*flag)),
        DeValue::String(word) => Some(Setting::Word(word.to_string())),
        DeValue::Array(list) => {
            let numbers: Option<Vec<u32>> = list.iter().map(|v| whole(v.get_ref())).collect();
            numbers.map(Setting::Numbers)
        }
        _ => whole(value).map(Setting::Number),
    }
}
