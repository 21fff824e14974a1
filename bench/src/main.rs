//! `cargo run --release -p hookfast-bench -- plugin FILE.wasm --event FILE.json --type TYPE`: what one call of a plugin costs.

mod plugin_call;

use std::process::ExitCode;

use clap::Parser;

#[derive(Parser)]
#[command(about = "Measures Hookfast on this machine")]
enum Bench {
    /// Microseconds per call of a plugin, a fresh instance each
    Plugin(plugin_call::Arguments),
}

fn main() -> anyhow::Result<ExitCode> {
    match Bench::parse() {
        Bench::Plugin(arguments) => plugin_call::run(&arguments),
    }
}
