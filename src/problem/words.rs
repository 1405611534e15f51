//! Wording shared by the refusals.

use toml::de::DeValue;

/// A value as a message names it: its type, and for short ones its text.
pub(super) fn describe(value: &DeValue) -> String {
    match value {
        DeValue::String(text) => format!("the string \"{}\"", text.escape_debug()),
        DeValue::Integer(number) => format!("the integer {number}"),
        DeValue::Float(number) => format!("the float {number}"),
        DeValue::Boolean(truth) => format!("the boolean {truth}"),
        DeValue::Datetime(_) => "a date".into(),
        DeValue::Array(_) => "a list".into(),
        DeValue::Table(_) => "a table".into(),
    }
}

/// `a`, `b` and `c`, each in backquotes.
pub(super) fn quoted(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}

/// The known word that a slip of the fingers could have turned into `word`: at most two edits away, and fewer than
/// half its letters.
pub(super) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let word = word.to_lowercase();
    let near = known
        .iter()
        .map(|&candidate| (distance(&word, candidate), candidate));
    let (edits, candidate) = near.min_by_key(|&(edits, _)| edits)?;
    (edits <= 2 && 2 * edits <= candidate.len()).then_some(candidate)
}

/// Levenshtein distance in characters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, &to) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, expected) in [
            ("", "abc", 3),
            ("kitten", "sitting", 3),
            ("set", "set", 0),
            ("m", "n", 1),
        ] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
            assert_eq!(distance(b, a), expected, "{b} {a}");
        }
    }

    #[test]
    fn nearest_takes_slips_but_not_other_words() {
        let known = ["name", "m", "n", "k", "output", "weights"];
        assert_eq!(nearest("weight", &known), Some("weights"));
        assert_eq!(nearest("Ouptut", &known), Some("output"));
        assert_eq!(nearest("alpha", &known), None);
        assert_eq!(nearest("x", &known), None);
        assert_eq!(nearest("kk", &known), None);
    }
}
