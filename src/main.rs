//! The `nvfp4gen` command.

mod cli;

fn main() {}
