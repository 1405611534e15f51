//! How a command ends when it does not end well.

use std::fmt;
use std::io;
use std::process::ExitCode;

/// Why a command stops. The kind decides the exit code, the text goes to stderr.
#[derive(Debug)]
pub enum Failure {
    /// Everything could be done, and a check did not hold: exit code 1. Empty if all has been said.
    Check(String),
    /// Bad use, bad input, or a system that refuses: exit code 2.
    Input(String),
    /// Nobody reads our output any more: not an error.
    BrokenPipe,
}

impl Failure {
    /// A check that failed, with its message.
    pub fn check(message: impl fmt::Display) -> Self {
        Failure::Check(message.to_string())
    }

    /// Input that cannot be used, with the message that says why.
    pub fn input(message: impl fmt::Display) -> Self {
        Failure::Input(message.to_string())
    }

    /// Says what has to be said, and gives the exit code.
    pub fn report(self) -> ExitCode {
        let (message, code) = match self {
            Failure::Check(message) => (message, 1),
            Failure::Input(message) => (message, 2),
            Failure::BrokenPipe => return ExitCode::SUCCESS,
        };
        if !message.is_empty() {
            eprintln!("error: {message}");
        }
        ExitCode::from(code)
    }
}

/// Errors of writing to stdout.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::BrokenPipe,
            _ => Failure::Input(format!("cannot write to stdout: {error}")),
        }
    }
}
