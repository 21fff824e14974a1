//! `cargo run --release -p hookfast-bench -- plugin FILE.wasm --event FILE.json --type TYPE`: what one call of a plugin costs.

mod floor;
mod plugin_call;
mod upstream;

use std::process::ExitCode;

use clap::Parser;

#[derive(Parser)]
#[command(about = "Measures Hookfast on this machine")]
enum Bench {
    /// Microseconds per call of a plugin, a fresh instance each
    Plugin(plugin_call::Arguments),
    /// Serves bare axum, the floor that the server is measured against
    Floor(floor::Arguments),
    /// Serves an upstream that answers at once
    Upstream(upstream::Arguments),
}

fn main() -> anyhow::Result<ExitCode> {
    match Bench::parse() {
        Bench::Plugin(arguments) => plugin_call::run(&arguments),
        Bench::Floor(arguments) => floor::run(&arguments),
        Bench::Upstream(arguments) => upstream::run(&arguments),
    }
}
