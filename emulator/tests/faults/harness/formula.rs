//! The small language of expected values: integers, `i`, parentheses and C's operators on unsigned 64-bit numbers.

/// Operators by rising precedence, as in C.
const LEVELS: [&[&str]; 6] = [
    &["|"],
    &["^"],
    &["&"],
    &["<<", ">>"],
    &["+", "-"],
    &["*", "/", "%"],
];

/// Evaluates `text` for one index. Errors say what could not be read.
pub fn evaluate(text: &str, i: u64) -> Result<u64, String> {
    let mut parser = Parser {
        rest: text.trim(),
        i,
    };
    let value = parser.level(0)?;
    if parser.rest.is_empty() {
        Ok(value)
    } else {
        Err(format!("`{}` in `{text}`", parser.rest))
    }
}

/// A decimal or hexadecimal number.
pub fn number(text: &str) -> Result<u64, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.map_err(|_| format!("`{text}` is not a number"))
}

struct Parser<'a> {
    rest: &'a str,
    i: u64,
}

impl Parser<'_> {
    fn take(&mut self, token: &str) -> bool {
        let taken = self.rest.strip_prefix(token);
        if let Some(rest) = taken {
            self.rest = rest.trim_start();
        }
        taken.is_some()
    }

    fn level(&mut self, level: usize) -> Result<u64, String> {
        let Some(operators) = LEVELS.get(level) else {
            return self.atom();
        };
        let mut value = self.level(level + 1)?;
        while let Some(operator) = operators.iter().find(|o| self.take(o)) {
            let right = self.level(level + 1)?;
            value = apply(operator, value, right)?;
        }
        Ok(value)
    }

    fn atom(&mut self) -> Result<u64, String> {
        if self.take("(") {
            let value = self.level(0)?;
            return if self.take(")") {
                Ok(value)
            } else {
                Err("a parenthesis is open".into())
            };
        }
        let end = self
            .rest
            .find(|c: char| !c.is_ascii_alphanumeric())
            .unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest.trim_start();
        if word == "i" {
            Ok(self.i)
        } else {
            number(word)
        }
    }
}

fn apply(operator: &str, a: u64, b: u64) -> Result<u64, String> {
    let zero = || format!("{a} {operator} 0");
    Ok(match operator {
        "|" => a | b,
        "^" => a ^ b,
        "&" => a & b,
        "<<" => a << (b & 63),
        ">>" => a >> (b & 63),
        "+" => a.wrapping_add(b),
        "-" => a.wrapping_sub(b),
        "*" => a.wrapping_mul(b),
        "/" => a.checked_div(b).ok_or_else(zero)?,
        _ => a.checked_rem(b).ok_or_else(zero)?,
    })
}

#[test]
fn precedence_is_that_of_c() {
    assert_eq!(evaluate("i / 32 + i % 32 * 4", 40), Ok(33));
    assert_eq!(evaluate("(i & 31) * (1 + i / 32)", 40), Ok(16));
    assert_eq!(evaluate("0x10 - 1 | 1 << 5", 0), Ok(47));
    assert!(
        evaluate("i i", 0).is_err() && evaluate("(1", 0).is_err() && evaluate("1 / i", 0).is_err()
    );
}
