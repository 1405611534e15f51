//! Numbers as people read them.

use crate::artifact::Operand;

/// A count with its thousands set apart: `7,340,032`.
pub(super) fn count(value: impl Into<u64>) -> String {
    let digits = value.into().to_string();
    let separates = |index: usize| index > 0 && (digits.len() - index).is_multiple_of(3);
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if separates(index) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count with what is counted: `1 tile`, `2 tiles`.
pub(super) fn several(number: impl Into<u64>, one: &str) -> String {
    let number = number.into();
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {one}{plural}", count(number))
}

/// `4`, or `4 to 8`.
pub(super) fn range(values: impl Iterator<Item = u32> + Clone) -> String {
    match (values.clone().min(), values.max()) {
        (Some(least), Some(most)) if least < most => {
            format!("{} to {}", count(least), count(most))
        }
        (_, most) => count(most.unwrap_or(0)),
    }
}

/// `130.2 MB`.
pub(super) fn bytes(value: u64) -> String {
    scaled(value as f64, "B", &["", "k", "M", "G", "T"])
}

/// `234.9 GFLOP`.
pub(super) fn flops(value: u64) -> String {
    scaled(value as f64, "FLOP", &["", "k", "M", "G", "T", "P"])
}

fn scaled(value: f64, unit: &str, prefixes: &[&str]) -> String {
    let mut value = value;
    let mut prefixes = prefixes.iter().peekable();
    let mut prefix = "";
    while let Some(next) = prefixes.next() {
        prefix = next;
        // 999.95 would be written as 1000.0.
        if value < 999.95 || prefixes.peek().is_none() {
            break;
        }
        value /= 1e3;
    }
    if prefix.is_empty() {
        format!("{value:.0} {unit}")
    } else {
        format!("{value:.1} {prefix}{unit}")
    }
}

/// A ratio as a change in per cent: `+5.4 %`.
pub(super) fn change(ratio: f64) -> String {
    format!("{:+.1} %", 100.0 * ratio)
}

/// A microsecond figure, kept to whole nanoseconds, in which the model's numbers mean nothing any more.
pub(super) fn nanoseconds(us: f64) -> f64 {
    // Without the sum, what rounds to nothing from below would be -0.
    (us * 1e3).round() / 1e3 + 0.0
}

/// An operand as the README calls it.
pub(super) fn operand(operand: Operand) -> &'static str {
    match operand {
        Operand::A => "A",
        Operand::B => "B",
        Operand::Sfa => "SFA",
        Operand::Sfb => "SFB",
        Operand::C => "C",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!(count(1_234_567u64), "1,234,567");
        assert_eq!(bytes(130_212_864), "130.2 MB");
        assert_eq!(bytes(999_960), "1.0 MB");
        assert_eq!(bytes(12), "12 B");
        assert_eq!(flops(60_129_542_144), "60.1 GFLOP");
        assert_eq!(several(1u32, "tile"), "1 tile");
        assert_eq!(range([3, 3, 5].into_iter()), "3 to 5");
        assert_eq!(range([3, 3].into_iter()), "3");
        assert_eq!(nanoseconds(-0.0001).to_string(), "0");
    }
}
