//! Errors of loading and of using the emulator. What a kernel does wrong is a [`Fault`](crate::Fault).

use std::fmt;

use crate::ptx::{Position, SyntaxError};

/// Why a module cannot be loaded.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadError {
    /// The module's name, as given to `Module::load`.
    pub module: String,
    /// Where in the text.
    pub at: Position,
    /// Whose fault it is.
    pub kind: LoadErrorKind,
    /// What is wrong.
    pub message: String,
}

/// Whether the text is wrong or the emulator lacks something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadErrorKind {
    /// Not PTX.
    Syntax,
    /// PTX that no assembler would accept.
    Invalid,
    /// PTX that the emulator does not implement.
    Unsupported,
}

impl LoadError {
    pub(crate) fn at(at: Position, kind: LoadErrorKind, message: impl Into<String>) -> Self {
        LoadError {
            module: String::new(),
            at,
            kind,
            message: message.into(),
        }
    }

    pub(crate) fn in_module(mut self, name: &str) -> Self {
        self.module = name.into();
        self
    }
}

impl From<SyntaxError> for LoadError {
    fn from(e: SyntaxError) -> Self {
        let kind = if e.message.starts_with("unsupported") {
            LoadErrorKind::Unsupported
        } else {
            LoadErrorKind::Syntax
        };
        LoadError::at(e.at, kind, e.message)
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            LoadErrorKind::Syntax => "syntax error",
            LoadErrorKind::Invalid => "invalid PTX",
            LoadErrorKind::Unsupported => "not supported by the emulator",
        };
        write!(f, "{}:{}: {kind}: {}", self.module, self.at, self.message)
    }
}

impl std::error::Error for LoadError {}
