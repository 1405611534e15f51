//! From TOML text to sets. Every refusal is noted with the span of the offending text, and reading goes on.

use super::limits::{self, Refusal};
use super::words::{describe, quoted};
use super::{Diagnostic, OutputType, Pin, Set, Weights};
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

const FILE_KEYS: [&str; 4] = ["output", "weights", "set", "tuning"];
const SET_KEYS: [&str; 6] = ["name", "m", "n", "k", "output", "weights"];

const DEFAULT: Options = Options {
    output: OutputType::F16,
    weights: Weights::Dynamic,
};
const HEADING: &str = "give each set a table of its own, headed [[set]] in double brackets";

const SYNTAX: &str =
    "write `key = value`, strings in quotes, lists in brackets with commas between";

pub(super) type Value<'a> = Spanned<DeValue<'a>>;
pub(super) type Span = Range<usize>;

/// Reads one text and collects what is wrong with it.
pub(super) struct Reader<'a> {
    text: &'a str,
    /// Where in the text the section starts that is being read.
    offset: usize,
    found: Vec<(Span, Refusal)>,
    /// The pins found so far, each with the place of its set's name.
    pins: Vec<(Pin, Span)>,
}

/// Options that a file sets for all its sets, or a set for itself.
#[derive(Clone, Copy)]
pub(super) struct Options {
    pub output: OutputType,
    pub weights: Weights,
}

/// A set and where its name stands.
struct Located {
    set: Set,
    at: Span,
}

impl<'a> Reader<'a> {
    /// The sets and pins of `text`, or all that is wrong with it, in the order of the text.
    pub fn read(text: &'a str) -> Result<(Vec<Set>, Vec<Pin>), Vec<Diagnostic>> {
        let mut reader = Self {
            text,
            offset: 0,
            found: Vec::new(),
            pins: Vec::new(),
        };
        let sets = match DeTable::parse(text) {
            Ok(table) => reader.file(table.get_ref()),
            Err(error) => reader.sections(&error),
        };
        reader.distinct(&sets);
        reader.known_pins(&sets.iter().map(|located| &located.set).collect::<Vec<_>>());
        if reader.found.is_empty() {
            let pins = reader.pins.into_iter().map(|(pin, _)| pin);
            Ok((
                sets.into_iter().map(|located| located.set).collect(),
                pins.collect(),
            ))
        } else {
            Err(reader.diagnostics())
        }
    }

    fn diagnostics(mut self) -> Vec<Diagnostic> {
        self.found.sort_by_key(|(span, _)| span.start);
        let text = self.text;
        let located = |(span, refusal): (Span, Refusal)| {
            Diagnostic::new(text, span, refusal.message, refusal.remedy)
        };
        self.found.into_iter().map(located).collect()
    }

    /// Notes a refusal of the text at `span`, which counts from the section being read.
    pub(super) fn refuse(&mut self, span: &Span, refusal: Refusal) {
        let span = self.absolute(span);
        self.found.push((span, refusal));
    }

    /// A diagnostic that says nothing yet about the text at `span`.
    pub(super) fn diagnostic(&self, span: &Span) -> Diagnostic {
        Diagnostic::new(self.text, self.absolute(span), String::new(), String::new())
    }

    pub(super) fn accept<T>(&mut self, span: &Span, result: Result<T, Refusal>) -> Option<T> {
        result.map_err(|refusal| self.refuse(span, refusal)).ok()
    }

    /// Refuses pins of sets that the file does not have.
    fn known_pins(&mut self, sets: &[&Set]) {
        for (pin, span) in &self.pins {
            if !sets.iter().any(|set| pin.is_for(set)) {
                let names: Vec<_> = sets.iter().map(|set| set.name.as_str()).collect();
                let message = format!("no set of this file is called `{}`", pin.set);
                let remedy = format!("the sets are {}", quoted(&names));
                self.found
                    .push((span.clone(), Refusal::new(message, remedy)));
            }
        }
    }

    /// Keeps a pin; `span` is where its set is named.
    pub(super) fn keep(&mut self, pin: Pin, span: &Span) {
        let span = self.absolute(span);
        self.pins.push((pin, span));
    }

    fn absolute(&self, span: &Span) -> Span {
        span.start + self.offset..span.end + self.offset
    }

    fn file(&mut self, table: &DeTable) -> Vec<Located> {
        if !table.contains_key("set") {
            self.refuse(&(0..0), Refusal::new("this file has no sets", HEADING));
        }
        let options = self.file_options(table);
        self.sets(table, options)
    }

    /// Reads a text that is not TOML as a whole, section by section: a slip then hides no more than its own section.
    /// `error` is what the whole failed with.
    fn sections(&mut self, error: &toml::de::Error) -> Vec<Located> {
        let mut options = DEFAULT;
        let mut sets = Vec::new();
        let mut parsed = true;
        for section in section_ranges(self.text) {
            self.offset = section.start;
            match DeTable::parse(&self.text[section]) {
                Ok(table) => {
                    match self.offset {
                        0 => options = self.file_options(table.get_ref()),
                        _ => {
                            self.known_keys(table.get_ref(), &FILE_KEYS, "a shape file");
                            self.tuning(table.get_ref());
                        }
                    }
                    sets.extend(self.sets(table.get_ref(), options));
                }
                Err(error) => {
                    parsed = false;
                    self.refuse_syntax(&error);
                }
            }
        }
        self.offset = 0;
        if parsed {
            self.refuse_syntax(error);
        }
        sets
    }

    fn refuse_syntax(&mut self, error: &toml::de::Error) {
        let message = format!("TOML syntax: {}", error.message());
        self.refuse(&error.span().unwrap_or(0..0), Refusal::new(message, SYNTAX));
    }

    fn file_options(&mut self, table: &DeTable) -> Options {
        self.known_keys(table, &FILE_KEYS, "a shape file");
        self.tuning(table);
        self.options(table, DEFAULT).unwrap_or(DEFAULT)
    }

    /// The sets of a file or section.
    fn sets(&mut self, table: &DeTable, options: Options) -> Vec<Located> {
        let Some(value) = table.get("set") else {
            return Vec::new();
        };
        let DeValue::Array(tables) = value.get_ref() else {
            let message = format!(
                "`set` must be a list of tables, not {}",
                describe(value.get_ref())
            );
            self.refuse(&value.span(), Refusal::new(message, HEADING));
            return Vec::new();
        };
        tables
            .iter()
            .filter_map(|table| self.set(table, options))
            .collect()
    }

    fn set(&mut self, value: &Value, file: Options) -> Option<Located> {
        let DeValue::Table(table) = value.get_ref() else {
            let message = format!("a set must be a table, not {}", describe(value.get_ref()));
            self.refuse(&value.span(), Refusal::new(message, HEADING));
            return None;
        };
        self.known_keys(table, &SET_KEYS, "a set");
        let options = self.options(table, file);
        let name = self.name(value, table);
        let m = self.sizes(value, table, "m", limits::m);
        let n = self.sizes(value, table, "n", limits::n);
        let k = self.sizes(value, table, "k", limits::k);
        let output = options.map_or(file.output, |options| options.output);
        let groups = self.groups(m?, n?, k?, output)?;
        let (name, at) = name?;
        let weights = options?.weights;
        let at = self.absolute(&at);
        Some(Located {
            set: Set {
                name,
                groups,
                output,
                weights,
            },
            at,
        })
    }

    /// Refuses a name that is used twice, and two names for the same kernel.
    fn distinct(&mut self, sets: &[Located]) {
        for (i, Located { set, at }) in sets.iter().enumerate() {
            let earlier = || sets[..i].iter();
            if let Some(first) = earlier().find(|first| first.set.name == set.name) {
                let message = format!("the name `{}` is taken", set.name);
                let remedy = format!(
                    "line {} has it already: choose another",
                    self.line(&first.at)
                );
                self.refuse(at, Refusal::new(message, remedy));
            } else if let Some(first) = earlier().find(|first| first.set.same_kernel(set)) {
                let message = format!(
                    "`{}` is the same set as `{}`: equal sizes and options",
                    set.name, first.set.name
                );
                let remedy = format!(
                    "remove one of them; line {} has the first",
                    self.line(&first.at)
                );
                self.refuse(at, Refusal::new(message, remedy));
            }
        }
    }

    fn line(&self, span: &Span) -> usize {
        self.text[..span.start].matches('\n').count() + 1
    }
}

/// The text cut before each line that starts with `[[`. The first range holds the options of the file.
fn section_ranges(text: &str) -> Vec<Span> {
    let headings = text.match_indices("\n[[").map(|(newline, _)| newline + 1);
    let starts: Vec<usize> = std::iter::once(0)
        .chain(headings)
        .chain([text.len()])
        .collect();
    starts.windows(2).map(|pair| pair[0]..pair[1]).collect()
}
