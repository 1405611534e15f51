//! Writing pins: the text of a shape file with other plans pinned, and everything else as it was.

use super::{Pin, Set, Setting, ShapeFile};
use std::fmt;
use std::path::Path;
use toml_edit::{Array, Date, Datetime, DocumentMut, InlineTable, Item, Table, TableLike, Value};

/// A plan that was found to be best.
#[derive(Clone, Debug, PartialEq)]
pub struct Found<'a> {
    /// Of which set.
    pub set: &'a Set,
    /// On which target.
    pub target: &'static str,
    /// The planner's choices by name.
    pub choices: Vec<(&'static str, Setting)>,
    /// Where it was measured.
    pub device: String,
    /// When: year, month and day.
    pub date: (u16, u8, u8),
    /// Microseconds of a call.
    pub measured_us: f64,
}

/// Why a plan cannot be pinned in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PinningError {
    /// It is not TOML.
    Syntax(String),
    /// What stands in the place of a table is none.
    NoTable(String),
    /// The new text does not say what it should: read again, it is refused, or has other sets or pins.
    Unfaithful(String),
}

impl fmt::Display for PinningError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PinningError::Syntax(error) => write!(f, "it is not TOML: {error}"),
            PinningError::NoTable(name) => {
                write!(f, "`{name}` is not a table; remove it and tune again")
            }
            PinningError::Unfaithful(why) => write!(
                f,
                "the text with the new `[tuning]` entries would not mean what it should ({why}); add them by hand"
            ),
        }
    }
}

impl std::error::Error for PinningError {}

/// The text of a shape file with these plans pinned. Comments, order and everything that is not about these sets on these
/// targets stay as they are. The result has been read again and compared.
///
/// # Errors
/// If the text is no TOML, its `tuning` is no table, or the result would not mean what it should.
pub fn pinned_text(text: &str, found: &[Found<'_>]) -> Result<String, PinningError> {
    let mut document: DocumentMut = text
        .parse()
        .map_err(|error: toml_edit::TomlError| PinningError::Syntax(error.message().to_owned()))?;
    for found in found {
        pin(&mut document, found)?;
    }
    let new = document.to_string();
    compare(text, &new, found)?;
    Ok(new)
}

/// Only the entries, as they would stand in a file.
pub fn entries(found: &[Found<'_>]) -> Result<String, PinningError> {
    let mut document = DocumentMut::new();
    for found in found {
        pin(&mut document, found)?;
    }
    Ok(document.to_string())
}

fn pin(document: &mut DocumentMut, found: &Found<'_>) -> Result<(), PinningError> {
    let tuning = inner(document.as_table_mut(), "tuning", "tuning", true)?;
    let (name, key) = (found.set.name.as_str(), found.set.key());
    // An entry under the set's key is as good as one under its name, and stays where it is.
    let has = |owner: &str| {
        let of_set = tuning.get(owner).and_then(Item::as_table_like);
        of_set.is_some_and(|of_set| of_set.contains_key(found.target))
    };
    let owner = if !has(name) && has(&key) {
        key.as_str()
    } else {
        name
    };
    let path = format!("tuning.{owner}");
    let of_set = inner(tuning, owner, &path, true)?;
    let path = format!("{path}.{}", found.target);
    let entry = inner(of_set, found.target, &path, false)?;
    let (year, month, day) = found.date;
    let date = Datetime {
        date: Some(Date { year, month, day }),
        time: None,
        offset: None,
    };
    put(entry, "device", found.device.as_str().into());
    put(entry, "date", date.into());
    put(entry, "measured_us", found.measured_us.into());
    put(
        entry,
        "choices",
        Value::InlineTable(choices(&found.choices)),
    );
    Ok(())
}

/// The table of that name, made if it is not there. One that is `implicit` has no header of its own.
fn inner<'t>(
    table: &'t mut dyn TableLike,
    name: &str,
    path: &str,
    implicit: bool,
) -> Result<&'t mut dyn TableLike, PinningError> {
    let mut new = Table::new();
    new.set_implicit(implicit);
    table
        .entry(name)
        .or_insert(Item::Table(new))
        .as_table_like_mut()
        .ok_or_else(|| PinningError::NoTable(path.to_owned()))
}

/// Sets a value and leaves the space and the comment around it alone.
fn put(table: &mut dyn TableLike, name: &str, mut value: Value) {
    match table.get_mut(name).and_then(Item::as_value_mut) {
        Some(old) => {
            *value.decor_mut() = old.decor().clone();
            *old = value;
        }
        None => drop(table.insert(name, Item::Value(value))),
    }
}

fn choices(settings: &[(&str, Setting)]) -> InlineTable {
    let value = |setting: &Setting| match setting {
        Setting::Number(number) => i64::from(*number).into(),
        Setting::Numbers(numbers) => {
            Value::Array(numbers.iter().map(|&n| i64::from(n)).collect::<Array>())
        }
        Setting::Flag(flag) => (*flag).into(),
        Setting::Word(word) => word.as_str().into(),
    };
    settings
        .iter()
        .map(|(name, setting)| (*name, value(setting)))
        .collect()
}

/// Reads both texts: the sets are the same, the new pins are there, and of the old ones only those are gone.
fn compare(old: &str, new: &str, found: &[Found<'_>]) -> Result<(), PinningError> {
    let read = |text| {
        ShapeFile::parse(Path::new("it"), text)
            .map_err(|refused| PinningError::Unfaithful(refused.to_string()))
    };
    let (old, new) = (read(old)?, read(new)?);
    let is_found = |pin: &Pin| found.iter().any(|f| f.is_for(pin));
    let others = |file: &ShapeFile| -> Vec<Meaning> {
        let others = file.pins.iter().filter(|pin| !is_found(pin));
        others.map(Meaning::of).collect()
    };
    let there = |found: &Found<'_>| {
        let mut pins = new.pins.iter().filter(|pin| found.is_for(pin));
        pins.next().is_some_and(|pin| found.is_in(pin)) && pins.next().is_none()
    };
    let why = match found.iter().find(|found| !there(found)) {
        Some(found) => format!("`{}` has another entry", found.set.name),
        None if old.sets != new.sets => "other sets".to_owned(),
        None if others(&old) != others(&new) => "other entries".to_owned(),
        None => return Ok(()),
    };
    Err(PinningError::Unfaithful(why))
}

/// What a pin says, wherever it stands.
#[derive(PartialEq)]
struct Meaning {
    words: [String; 4],
    measured_us: f64,
    choices: Vec<(String, Setting)>,
}

impl Meaning {
    fn of(pin: &Pin) -> Self {
        let choice = |(name, setting, _): &(String, Setting, _)| (name.clone(), setting.clone());
        Meaning {
            words: [&pin.set, &pin.target, &pin.device, &pin.date].map(String::clone),
            measured_us: pin.measured_us,
            choices: pin.choices.iter().map(choice).collect(),
        }
    }
}

impl Found<'_> {
    fn is_for(&self, pin: &Pin) -> bool {
        pin.target == self.target && pin.is_for(self.set)
    }

    fn is_in(&self, pin: &Pin) -> bool {
        let same = |(name, setting): &(&str, Setting)| {
            pin.choices
                .iter()
                .any(|(n, s, _)| n == name && s == setting)
        };
        let (year, month, day) = self.date;
        pin.choices.len() == self.choices.len()
            && self.choices.iter().all(same)
            && pin.measured_us == self.measured_us
            && pin.device == self.device
            && pin.date == format!("{year:04}-{month:02}-{day:02}")
    }
}
