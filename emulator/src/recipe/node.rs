//! A place in the recipe's JSON that knows its own name, so that every error says file, key and what belongs there.

use std::path::Path;

use serde_json::Value;

use super::RecipeError;

/// A value and where it stands.
#[derive(Clone)]
pub(super) struct Node<'a> {
    file: &'a Path,
    key: String,
    value: &'a Value,
}

type Result<T> = std::result::Result<T, RecipeError>;

impl<'a> Node<'a> {
    pub fn root(file: &'a Path, value: &'a Value) -> Self {
        Node {
            file,
            key: String::new(),
            value,
        }
    }

    /// An error at this place.
    pub fn error(&self, what: impl Into<String>) -> RecipeError {
        RecipeError::at(self.file, &self.key, what)
    }

    fn child(&self, key: String, value: &'a Value) -> Node<'a> {
        Node {
            file: self.file,
            key,
            value,
        }
    }

    fn name_of(&self, key: &str) -> String {
        if self.key.is_empty() {
            key.into()
        } else {
            format!("{}.{key}", self.key)
        }
    }

    /// The value of a key that may be absent or null.
    pub fn optional(&self, key: &str) -> Option<Node<'a>> {
        let value = self.value.get(key).filter(|v| !v.is_null())?;
        Some(self.child(self.name_of(key), value))
    }

    /// The value of a key that must be there.
    pub fn get(&self, key: &str) -> Result<Node<'a>> {
        self.optional(key).ok_or_else(|| {
            RecipeError::at(
                self.file,
                &self.name_of(key),
                "is missing; see the format of recipes",
            )
        })
    }

    /// The items of an array.
    pub fn items(&self) -> Result<Vec<Node<'a>>> {
        let items = self
            .value
            .as_array()
            .ok_or_else(|| self.error("must be an array"))?;
        let item = |(i, value)| self.child(format!("{}[{i}]", self.key), value);
        Ok(items.iter().enumerate().map(item).collect())
    }

    /// The entries of an object.
    pub fn entries(&self) -> Result<Vec<(&'a str, Node<'a>)>> {
        let entries = self
            .value
            .as_object()
            .ok_or_else(|| self.error("must be an object"))?;
        let entry = |(name, value): (&'a String, &'a Value)| {
            (name.as_str(), self.child(self.name_of(name), value))
        };
        Ok(entries.iter().map(entry).collect())
    }

    pub fn text(&self) -> Result<&'a str> {
        self.value
            .as_str()
            .ok_or_else(|| self.error("must be a string"))
    }

    pub fn number(&self) -> Result<f64> {
        self.value
            .as_f64()
            .ok_or_else(|| self.error("must be a number"))
    }

    /// An integer of the wanted type.
    pub fn integer<T: TryFrom<i128>>(&self) -> Result<T> {
        let value = match (self.value.as_i64(), self.value.as_u64()) {
            (Some(v), _) => Some(i128::from(v)),
            (None, v) => v.map(i128::from),
        };
        value.and_then(|v| T::try_from(v).ok()).ok_or_else(|| {
            let wanted = std::any::type_name::<T>();
            self.error(format!(
                "must be an integer of type {wanted}, not {}",
                self.value
            ))
        })
    }

    /// An array of at most `N` integers, completed with `rest`.
    pub fn integers<T: TryFrom<i128> + Copy, const N: usize>(&self, rest: T) -> Result<[T; N]> {
        let items = self.items()?;
        if items.len() > N {
            return Err(self.error(format!("has {} entries, at most {N} fit", items.len())));
        }
        let mut out = [rest; N];
        for (place, item) in out.iter_mut().zip(&items) {
            *place = item.integer()?;
        }
        Ok(out)
    }

    /// A string that must be one of the names.
    pub fn one_of<T: Copy>(&self, prefix: &str, names: &[(&str, T)]) -> Result<T> {
        let text = self.text()?;
        let name = text.strip_prefix(prefix).unwrap_or(text);
        names
            .iter()
            .find(|(n, _)| *n == name)
            .map(|(_, value)| *value)
            .ok_or_else(|| {
                let known: Vec<_> = names.iter().map(|(n, _)| *n).collect();
                self.error(format!("is `{text}`; known are {}", known.join(", ")))
            })
    }
}
