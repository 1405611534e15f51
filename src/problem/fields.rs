//! The fields of a shape file and of a set, one by one.

use super::limits::{self, Refusal};
use super::reader::{Options, Reader, Span, Value};
use super::words::{describe, nearest, quoted};
use super::{Group, OutputType, Weights};
use toml::de::{DeTable, DeValue};

/// A rule for one size, out of [`limits`].
type Limit = fn(i128) -> Result<u32, Refusal>;

/// The sizes of one key, with the span of each.
pub(super) struct Sizes {
    at: Span,
    values: Vec<(u32, Span)>,
    /// One number stands for all groups.
    shared: bool,
}

impl Reader<'_> {
    pub(super) fn known_keys(&mut self, table: &DeTable, known: &[&str], owner: &str) {
        for key in table.keys() {
            let name: &str = key.get_ref();
            if !known.contains(&name) {
                let message = format!("{owner} has no key `{}`", name.escape_debug());
                let remedy = match nearest(name, known) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("the keys of {owner} are {}", quoted(known)),
                };
                self.refuse(&key.span(), Refusal::new(message, remedy));
            }
        }
    }

    /// The options of a table; `None` if one is refused, unless it is only not generated yet.
    pub(super) fn options(&mut self, table: &DeTable, default: Options) -> Option<Options> {
        let output = self.choice(
            table,
            "output",
            default.output,
            &OutputType::ALL.map(|o| (o.name(), o)),
        );
        let weights = self.choice(
            table,
            "weights",
            default.weights,
            &Weights::ALL.map(|w| (w.name(), w)),
        );
        if let (Some(output), Some(value)) = (output, table.get("output"))
            && !OutputType::EMITTED.contains(&output)
        {
            let emitted: Vec<_> = OutputType::EMITTED
                .iter()
                .map(|output| output.name())
                .collect();
            let message = format!("no kernels with output type {output} are generated yet");
            self.refuse(
                &value.span(),
                Refusal::new(message, format!("use {}", quoted(&emitted))),
            );
        }
        Some(Options {
            output: output?,
            weights: weights?,
        })
    }

    /// One of a few words, or the default.
    fn choice<T: Copy>(
        &mut self,
        table: &DeTable,
        key: &str,
        default: T,
        choices: &[(&str, T)],
    ) -> Option<T> {
        let Some(value) = table.get(key) else {
            return Some(default);
        };
        let found = value.get_ref().as_str();
        let choice = choices.iter().find(|(word, _)| found == Some(word));
        if choice.is_none() {
            let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
            let message = format!("`{key}` cannot be {}", describe(value.get_ref()));
            let remedy = match found.and_then(|found| nearest(found, &words)) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!("use one of {}", quoted(&words)),
            };
            self.refuse(&value.span(), Refusal::new(message, remedy));
        }
        choice.map(|&(_, choice)| choice)
    }

    pub(super) fn name(&mut self, set: &Value, table: &DeTable) -> Option<(String, Span)> {
        let value = self.required(set, table, "name", "name = \"prefill-small\"")?;
        let Some(name) = value.get_ref().as_str() else {
            let message = format!("`name` must be a string, not {}", describe(value.get_ref()));
            self.refuse(&value.span(), Refusal::new(message, "put it in quotes"));
            return None;
        };
        let name = self.accept(&value.span(), limits::name(name))?;
        Some((name.to_owned(), value.span()))
    }

    fn required<'t, 'b>(
        &mut self,
        set: &Value,
        table: &'t DeTable<'b>,
        key: &str,
        example: &str,
    ) -> Option<&'t Value<'b>> {
        let value = table.get(key);
        if value.is_none() {
            let remedy = format!("add a line such as: {example}");
            self.refuse(
                &set.span(),
                Refusal::new(format!("this set has no `{key}`"), remedy),
            );
        }
        value
    }

    /// The sizes under `key`: a list, or for `n` and `k` one number for all groups.
    pub(super) fn sizes(
        &mut self,
        set: &Value,
        table: &DeTable,
        key: &str,
        limit: Limit,
    ) -> Option<Sizes> {
        let example = if key == "m" {
            "m = [128, 40]"
        } else {
            &format!("{key} = 4096")
        };
        let value = self.required(set, table, key, example)?;
        let at = value.span();
        match value.get_ref() {
            DeValue::Array(list) => {
                let values: Vec<_> = list
                    .iter()
                    .map(|size| self.size(size, key, limit))
                    .collect();
                let values = values.into_iter().collect::<Option<_>>()?;
                Some(Sizes {
                    at,
                    values,
                    shared: false,
                })
            }
            DeValue::Integer(number) if key == "m" => {
                let remedy = format!("m counts the groups: write m = [{number}] for one group");
                self.refuse(
                    &at,
                    Refusal::new("`m` must be a list of integers, not one", remedy),
                );
                None
            }
            _ => {
                let values = vec![self.size(value, key, limit)?];
                Some(Sizes {
                    at,
                    values,
                    shared: true,
                })
            }
        }
    }

    fn size(&mut self, value: &Value, key: &str, limit: Limit) -> Option<(u32, Span)> {
        let DeValue::Integer(number) = value.get_ref() else {
            let message = format!(
                "`{key}` must be made of integers, not {}",
                describe(value.get_ref())
            );
            let remedy = match key {
                "m" => "write a list of integers: m = [128, 40]".into(),
                _ => format!("write one integer for all groups, or a list: {key} = [4096, 512]"),
            };
            self.refuse(&value.span(), Refusal::new(message, remedy));
            return None;
        };
        let size = match i128::from_str_radix(number.as_str(), number.radix()) {
            Ok(size) => limit(size),
            Err(_) => Err(Refusal::new(
                format!("{} = {number} is out of range", key.to_uppercase()),
                "no size reaches 2^31",
            )),
        };
        Some((self.accept(&value.span(), size)?, value.span()))
    }

    pub(super) fn groups(
        &mut self,
        m: Sizes,
        n: Sizes,
        k: Sizes,
        output: OutputType,
    ) -> Option<Vec<Group>> {
        let count = m.values.len();
        self.accept(&m.at, group_count(count))?;
        let lengths = [("n", &n), ("k", &k)].map(|(key, sizes)| {
            self.accept(&sizes.at, same_length(key, sizes, count))
                .is_some()
        });
        if lengths.contains(&false) {
            return None;
        }
        let of = |sizes: &Sizes, i: usize| sizes.values[if sizes.shared { 0 } else { i }].0;
        let groups: Vec<_> = (0..count)
            .map(|i| {
                let group = Group {
                    m: of(&m, i),
                    n: of(&n, i),
                    k: of(&k, i),
                };
                self.accept(&m.values[i].1, limits::group(group, output))
            })
            .collect();
        groups.into_iter().collect()
    }
}

fn group_count(count: usize) -> Result<(), Refusal> {
    match count {
        0 => Err(Refusal::new(
            "this set has no groups",
            "give `m` one number for each group",
        )),
        1..=limits::MAX_GROUPS => Ok(()),
        _ => {
            let remedy = format!("split the set: at most {} groups", limits::MAX_GROUPS);
            Err(Refusal::new(format!("this set has {count} groups"), remedy))
        }
    }
}

fn same_length(key: &str, sizes: &Sizes, count: usize) -> Result<(), Refusal> {
    if sizes.shared || sizes.values.len() == count {
        return Ok(());
    }
    let length = sizes.values.len();
    let plural = if length == 1 { "" } else { "s" };
    let message = format!("`{key}` has {length} number{plural}, but `m` has {count}");
    let remedy = "give one for each group, or a single number without brackets for all groups";
    Err(Refusal::new(message, remedy))
}
