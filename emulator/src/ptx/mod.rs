//! Reading PTX: text to [`ast::Unit`]. Knows the grammar, no instruction.

pub(crate) mod ast;
mod lexer;
mod parser;

pub(crate) use parser::parse;

/// Line and column in the PTX text, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Position {
    /// Line, from 1.
    pub line: u32,
    /// Column in bytes, from 1.
    pub column: u32,
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// Text that is not PTX.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SyntaxError {
    pub at: Position,
    pub message: String,
}

impl SyntaxError {
    pub fn new(at: Position, message: impl Into<String>) -> Self {
        SyntaxError {
            at,
            message: message.into(),
        }
    }
}
