//! The arguments of every command, as clap reads them.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Hookfast: webhooks, made fast. Receives webhooks, proves who sent them, stores them before it answers, and runs your
/// WebAssembly handlers until they succeed.
#[derive(Debug, Parser)]
#[command(name = "hookfast", version, arg_required_else_help = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Receive, store and handle webhooks
    Serve(Serve),
}

#[derive(Debug, Args)]
pub(super) struct Serve {
    /// The configuration file
    #[arg(long, short, default_value = "hookfast.toml")]
    pub(super) config: PathBuf,
    /// What is logged: error, warn, info, debug, trace, or a filter such as `hookfast=debug`
    #[arg(long, default_value = "info")]
    pub(super) log: String,
}
