//! The `nvfp4gen` command.

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
