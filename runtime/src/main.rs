//! The `hookfast` binary: see `cli` for what it can do.

use std::process::ExitCode;

fn main() -> ExitCode {
    hookfast::cli::main()
}
