//! What can be asked for, as clap reads it: the commands, and the arguments that several of them share. A command's own
//! arguments stand beside it.

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};

use super::{alerts, check, demo, dev, dlq, events, health, migrate, nodes, plugin, providers, requests, send, sources, upstreams, verify};
use crate::app::Role;

/// Hookfast: webhooks, made fast. Receives webhooks, proves who sent them, stores them before it answers, and runs your
/// WebAssembly handlers until they succeed.
#[derive(Debug, Parser)]
#[command(name = "hookfast", version, arg_required_else_help = true, after_help = EXIT_CODES)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub(super) command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 ok, 1 failed, 2 usage, 3 unreachable or busy: try again, 4 an answer was needed, \
     5 some of it failed, 6 not found, 78 bad configuration";

/// The configuration file unless another is given.
pub(super) const CONFIG: &str = "hookfast.toml";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Receive, store and handle webhooks
    Serve(Serve),
    /// Serve while you write plugins: calls go wrong on purpose if you want, and the log says more
    Dev(dev::Dev),
    /// Find all mistakes of a configuration without serving it
    Check(check::Check),
    /// Ask a running server whether it takes webhooks, as a container's health check does
    Health(health::Health),
    /// Send a signed sample to a source, as its provider would
    Send(send::Send),
    /// Judge stored requests without a server
    Verify(verify::Verify),
    /// Look at the providers that can be verified by name
    #[command(subcommand, visible_alias = "provider")]
    Providers(providers::Providers),
    /// Look at the sources, and at which of their secrets are in use
    #[command(subcommand, visible_alias = "source")]
    Sources(sources::Sources),
    /// Look at the upstreams: which take calls, which do not and why; let calls through again
    #[command(subcommand, visible_alias = "upstream")]
    Upstreams(upstreams::Upstreams),
    /// Look at events, and at what became of them
    #[command(subcommand, visible_alias = "event")]
    Events(events::Events),
    /// Look at requests that were refused, and why
    #[command(subcommand, visible_alias = "request")]
    Requests(requests::Requests),
    /// Look at dead letters; replay or discard them
    #[command(subcommand, visible_alias = "dead-letters")]
    Dlq(dlq::DeadLetters),
    /// Build, inspect and list plugins
    #[command(subcommand, visible_alias = "plugins")]
    Plugin(plugin::Plugin),
    /// Look at the processes that share the database
    Nodes(nodes::Nodes),
    /// Look at what fires now
    #[command(subcommand, visible_alias = "alert")]
    Alerts(alerts::Alerts),
    /// Bring the database's tables up to date; `serve` does it by itself unless storage.migrate = false
    Migrate(migrate::Migrate),
    /// See the main job done on this machine, in seven claims that are checked one by one
    Demo(demo::Demo),
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hookfast serve --config /etc/hookfast/hookfast.toml")]
pub(super) struct Serve {
    /// The configuration file
    #[arg(long, short, value_name = "FILE", default_value = CONFIG)]
    pub(super) config: PathBuf,
    /// What this process does where several share a database: all, ingest (receive) or worker (run plugins)
    #[arg(long, default_value = "all")]
    pub(super) role: Role,
    /// What is logged: error, warn, info, debug, trace, or a filter such as `hookfast=debug`
    #[arg(long, default_value = "info")]
    pub(super) log: String,
}

/// The server that a command talks to, and how its answer is shown.
#[derive(Debug, Args)]
pub(super) struct Connection {
    /// The server's configuration file: it says where the admin API is and where its token lies
    #[arg(long, short, value_name = "FILE", default_value = CONFIG)]
    pub(super) config: PathBuf,
    /// The admin API [default: the configuration's admin address]
    #[arg(long)]
    pub(super) url: Option<String>,
    /// The file that holds the admin API's token [default: beside the configuration's database]
    #[arg(long, value_name = "FILE")]
    pub(super) token_file: Option<PathBuf>,
    /// Print one JSON document
    #[arg(long)]
    pub(super) json: bool,
}

impl Connection {
    /// The flags that name the same server in a command that is proposed next; empty for the default.
    pub(super) fn flags(&self) -> String {
        let url = self.url.as_ref().map(|url| format!(" --url {url}")).unwrap_or_default();
        let token_file = self.token_file.as_ref().map(|file| format!(" --token-file {}", file.display())).unwrap_or_default();
        format!("{}{url}{token_file}", config_flag(&self.config))
    }
}

/// Whose own providers are known, for commands that need no server.
#[derive(Debug, Args)]
pub(super) struct OwnProviders {
    /// The configuration whose `catalogue.d` is read, too [default: hookfast.toml, where there is one]
    #[arg(long, short, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
}

/// ` --config FILE` where it is not the default.
pub(super) fn config_flag(config: &Path) -> String {
    if config == Path::new(CONFIG) { String::new() } else { format!(" --config {}", config.display()) }
}

/// Which page of a list.
#[derive(Debug, Args)]
pub(super) struct Paging {
    /// How many rows
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(u32).range(1..=200), default_value_t = 50)]
    pub(super) limit: u32,
    /// Where to go on, as the page before said
    #[arg(long)]
    pub(super) cursor: Option<String>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_contradict_nothing() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn dead_letters_are_chosen_in_exactly_one_way() {
        let id = "evt_019e0f3c1c6a7c538c0e0b1d2f3a4b5c.stripe-crm";
        let parses = |chosen: &[&str]| Arguments::try_parse_from([&["hookfast", "dlq", "discard"], chosen].concat()).is_ok();
        assert!(parses(&[id]) && parses(&["--source", "stripe"]) && parses(&["--all", "--yes"]));
        assert!(!parses(&[]) && !parses(&[id, "--all"]) && !parses(&["--source", "stripe", "--all"]) && !parses(&["evt_1"]));
    }

    #[test]
    fn a_proposed_command_names_the_same_server() {
        assert_eq!(config_flag(Path::new("hookfast.toml")), "");
        assert_eq!(config_flag(Path::new("/etc/hookfast.toml")), " --config /etc/hookfast.toml");
    }
}
