//! Text to tokens. PTX is line-agnostic; every token keeps its line and column for errors.

use super::{Position, SyntaxError};

/// One lexical element of PTX.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token {
    /// Identifier: `ld`, `%r1`, `$L__BB0_1`, `_`.
    Word(String),
    /// A dot and the word behind it, `::` parts included: `.shared::cta`, `.2d`, `.x`.
    Dot(String),
    /// Integer literal, as 64 raw bits (the sign is a separate token).
    Integer(u64),
    /// `0f3F800000`.
    Single(u32),
    /// `0d3FF0000000000000` or a decimal literal such as `1.5`.
    Double(u64),
    /// Quoted text.
    Text(String),
    /// Any other single character.
    Symbol(char),
    /// End of input.
    End,
}

/// A token and where it starts.
#[derive(Clone, Debug)]
pub(crate) struct Spanned {
    pub token: Token,
    pub at: Position,
}

struct Cursor<'a> {
    bytes: &'a [u8],
    next: usize,
    at: Position,
}

impl Cursor<'_> {
    fn peek(&self, ahead: usize) -> u8 {
        self.bytes.get(self.next + ahead).copied().unwrap_or(0)
    }

    fn bump(&mut self) -> u8 {
        let byte = self.peek(0);
        self.next += 1;
        if byte == b'\n' {
            self.at = Position {
                line: self.at.line + 1,
                column: 1,
            };
        } else {
            self.at.column += 1;
        }
        byte
    }

    fn take_while(&mut self, accept: impl Fn(u8) -> bool) -> String {
        let start = self.next;
        while self.next < self.bytes.len() && accept(self.peek(0)) {
            self.bump();
        }
        String::from_utf8_lossy(&self.bytes[start..self.next]).into_owned()
    }

    fn skip_blank_and_comments(&mut self) -> Result<(), SyntaxError> {
        loop {
            let start = self.at;
            match (self.peek(0), self.peek(1)) {
                (b' ' | b'\t' | b'\r' | b'\n', _) => {
                    self.bump();
                }
                (b'/', b'/') => {
                    self.take_while(|c| c != b'\n');
                }
                (b'/', b'*') => {
                    while (self.peek(0), self.peek(1)) != (b'*', b'/') {
                        if self.next >= self.bytes.len() {
                            return Err(SyntaxError::new(start, "comment is never closed"));
                        }
                        self.bump();
                    }
                    self.bump();
                    self.bump();
                }
                _ => return Ok(()),
            }
        }
    }
}

fn starts_word(c: u8) -> bool {
    c.is_ascii_alphabetic() || matches!(c, b'_' | b'$' | b'%')
}

fn continues_word(c: u8) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, b'_' | b'$')
}

/// Splits `text` into tokens, the last one being [`Token::End`].
pub(crate) fn tokens(text: &str) -> Result<Vec<Spanned>, SyntaxError> {
    let mut cursor = Cursor {
        bytes: text.as_bytes(),
        next: 0,
        at: Position { line: 1, column: 1 },
    };
    let mut out = Vec::with_capacity(text.len() / 4);
    loop {
        cursor.skip_blank_and_comments()?;
        let at = cursor.at;
        if cursor.next >= cursor.bytes.len() {
            out.push(Spanned {
                token: Token::End,
                at,
            });
            return Ok(out);
        }
        out.push(Spanned {
            token: token(&mut cursor, at)?,
            at,
        });
    }
}

fn token(cursor: &mut Cursor<'_>, at: Position) -> Result<Token, SyntaxError> {
    let first = cursor.peek(0);
    if first == b'.' && continues_word(cursor.peek(1)) {
        cursor.bump();
        let mut word = cursor.take_while(continues_word);
        while cursor.peek(0) == b':' && cursor.peek(1) == b':' {
            cursor.bump();
            cursor.bump();
            word.push_str("::");
            word.push_str(&cursor.take_while(continues_word));
        }
        return Ok(Token::Dot(word));
    }
    if starts_word(first) {
        let sigil = cursor.bump() as char;
        return Ok(Token::Word(format!(
            "{sigil}{}",
            cursor.take_while(continues_word)
        )));
    }
    if first.is_ascii_digit() {
        return number(cursor, at);
    }
    if first == b'"' {
        cursor.bump();
        let text = cursor.take_while(|c| c != b'"' && c != b'\n');
        if cursor.peek(0) != b'"' {
            return Err(SyntaxError::new(at, "text is never closed"));
        }
        cursor.bump();
        return Ok(Token::Text(text));
    }
    if first.is_ascii() {
        return Ok(Token::Symbol(cursor.bump() as char));
    }
    Err(SyntaxError::new(
        at,
        "a character outside ASCII is only allowed in comments",
    ))
}

/// Integer and floating-point constants (PTX ISA, 4.5).
fn number(cursor: &mut Cursor<'_>, at: Position) -> Result<Token, SyntaxError> {
    let bad = |text: &str| SyntaxError::new(at, format!("`{text}` is not a number"));
    let mut word = cursor.take_while(|c| c.is_ascii_alphanumeric());
    let lower = word.to_ascii_lowercase();
    if let Some(hex) = lower.strip_prefix("0f")
        && hex.len() == 8
    {
        return u32::from_str_radix(hex, 16)
            .map(Token::Single)
            .map_err(|_| bad(&word));
    }
    if let Some(hex) = lower.strip_prefix("0d")
        && hex.len() == 16
    {
        return u64::from_str_radix(hex, 16)
            .map(Token::Double)
            .map_err(|_| bad(&word));
    }
    let decimal_point = cursor.peek(0) == b'.' && cursor.peek(1).is_ascii_digit();
    let digits_only = word.bytes().all(|c| c.is_ascii_digit());
    let exponent =
        !lower.starts_with("0x") && lower.ends_with('e') && matches!(cursor.peek(0), b'+' | b'-');
    if decimal_point && digits_only || exponent {
        if decimal_point {
            word.push(cursor.bump() as char);
            word.push_str(&cursor.take_while(|c| c.is_ascii_alphanumeric()));
        }
        if word.to_ascii_lowercase().ends_with('e') {
            word.push(cursor.bump() as char);
            word.push_str(&cursor.take_while(|c| c.is_ascii_digit()));
        }
        return word
            .parse::<f64>()
            .map(|v| Token::Double(v.to_bits()))
            .map_err(|_| bad(&word));
    }
    integer(&lower)
        .map(Token::Integer)
        .ok_or_else(|| bad(&word))
}

fn integer(lower: &str) -> Option<u64> {
    let digits = lower.strip_suffix('u').unwrap_or(lower);
    if let Some(hex) = digits.strip_prefix("0x") {
        u64::from_str_radix(hex, 16).ok()
    } else if let Some(binary) = digits.strip_prefix("0b") {
        u64::from_str_radix(binary, 2).ok()
    } else if digits.len() > 1 && digits.starts_with('0') {
        u64::from_str_radix(digits, 8).ok()
    } else {
        digits.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<Token> {
        tokens(text).unwrap().into_iter().map(|t| t.token).collect()
    }

    #[test]
    fn modifiers_keep_their_colons() {
        let word = |s: &str| Token::Word(s.into());
        let dot = |s: &str| Token::Dot(s.into());
        assert_eq!(
            kinds("L: st.shared::cta.v4.b32 [%r1+-4]"),
            [
                word("L"),
                Token::Symbol(':'),
                word("st"),
                dot("shared::cta"),
                dot("v4"),
                dot("b32"),
                Token::Symbol('['),
                word("%r1"),
                Token::Symbol('+'),
                Token::Symbol('-'),
                Token::Integer(4),
                Token::Symbol(']'),
                Token::End
            ]
        );
    }

    #[test]
    fn every_form_of_number() {
        assert_eq!(
            kinds("0x1F 017 0b101 42U 0f3F800000 0d3FF0000000000000 1.5 2e-3"),
            [
                Token::Integer(31),
                Token::Integer(15),
                Token::Integer(5),
                Token::Integer(42),
                Token::Single(0x3F80_0000),
                Token::Double(1f64.to_bits()),
                Token::Double(1.5f64.to_bits()),
                Token::Double(2e-3f64.to_bits()),
                Token::End
            ]
        );
    }

    #[test]
    fn errors_have_a_place() {
        let error = tokens("add\n  09x;").unwrap_err();
        assert_eq!((error.at.line, error.at.column), (2, 3));
    }
}
