//! Python literals.

use std::fmt::{Display, Write};

use crate::artifact::Operand;

/// A tuple of literals.
pub fn tuple(items: impl IntoIterator<Item = impl Display>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    match items.as_slice() {
        [one] => format!("({one},)"),
        all => format!("({})", all.join(", ")),
    }
}

/// A string. Everything but printable ASCII is escaped: the file stays plain, and nothing in it can end the literal.
pub fn string(text: &str) -> String {
    let mut literal = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => literal.extend(['\\', c]),
            ' '..='~' => literal.push(c),
            // Writing to a string cannot fail.
            _ => drop(write!(literal, "\\U{:08x}", u32::from(c))),
        }
    }
    literal.push('"');
    literal
}

/// A truth value.
pub fn boolean(value: bool) -> &'static str {
    if value { "True" } else { "False" }
}

/// The index of an operand among the five of a group, in the order of the file's `OPERANDS`.
pub fn operand(operand: Operand) -> u32 {
    match operand {
        Operand::A => 0,
        Operand::B => 1,
        Operand::Sfa => 2,
        Operand::Sfb => 3,
        Operand::C => 4,
    }
}

/// The `CUtensorMapDataType` of a manifest's element type.
pub fn element(name: &str) -> Option<u32> {
    let number = match name {
        "u8" => 0,
        "u16" => 1,
        "u32" => 2,
        "u64" => 4,
        "f16" => 6,
        "f32" => 7,
        "bf16" => 9,
        _ => return None,
    };
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals() {
        assert_eq!(tuple([1]), "(1,)");
        assert_eq!(tuple([1, 2]), "(1, 2)");
        assert_eq!(tuple([] as [u32; 0]), "()");
        assert_eq!(
            string("a \"b\" \\ \n é"),
            r#""a \"b\" \\ \U0000000a \U000000e9""#
        );
    }
}
