//! The command line: what the program can do. Data goes to stdout, everything else to stderr; `--json` everywhere.

mod arguments;

use std::process::ExitCode;

use clap::Parser;

use self::arguments::{Arguments, Command};
use crate::app;
use crate::telemetry;

/// Runs the command that the arguments name and gives its exit code.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    match arguments.command {
        Command::Serve(serve) => {
            telemetry::start(&serve.log).map_err(anyhow::Error::msg)?;
            app::serve(app::ServeOptions { config: serve.config })
        }
    }
}
