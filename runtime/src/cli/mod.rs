//! The command line: what the program can do. Data goes to stdout, everything else to stderr; `--json` gives one document.

mod arguments;
mod failure;
mod output;
mod time;
mod table;
mod client;
mod check;
mod health;
mod send;
mod verify;
mod providers;
mod sources;
mod upstreams;
mod requests;
mod events;
mod jobs;
mod attempts;
mod dlq;
mod plugin;
mod nodes;
mod alerts;
mod migrate;
pub mod build;
mod demo;
mod dev;

use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;

use self::arguments::{Arguments, Command};
use crate::app;
use crate::telemetry;

/// Runs the command that the arguments name and gives its exit code.
pub fn main() -> ExitCode {
    run(Arguments::parse()).unwrap_or_else(|error| failure::report(&error))
}

fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    match arguments.command {
        Command::Serve(serve) => {
            telemetry::start(&serve.log).map_err(anyhow::Error::msg)?;
            app::serve(app::ServeOptions { config: serve.config, role: serve.role, faults: Vec::new() })
        }
        Command::Dev(dev) => {
            telemetry::start(&dev.log).map_err(anyhow::Error::msg)?;
            dev::run(dev)
        }
        Command::Check(check) => check::run(&check),
        Command::Health(health) => block_on(done(health::run(health))),
        Command::Send(send) => block_on(send::run(send)),
        Command::Verify(verify) => verify::run(&verify),
        Command::Providers(providers) => providers::run(&providers).map(|()| ExitCode::SUCCESS),
        Command::Sources(sources) => block_on(done(sources::run(sources))),
        Command::Upstreams(upstreams) => block_on(done(upstreams::run(upstreams))),
        Command::Events(events) => block_on(done(events::run(events))),
        Command::Requests(requests) => block_on(done(requests::run(requests))),
        Command::Dlq(dead_letters) => block_on(done(dlq::run(dead_letters))),
        Command::Plugin(plugin) => block_on(done(plugin::run(plugin))),
        Command::Migrate(migrate) => block_on(done(migrate::run(migrate))),
        Command::Nodes(nodes) => block_on(done(nodes::run(nodes))),
        Command::Alerts(alerts) => block_on(done(alerts::run(alerts))),
        Command::Demo(demo) => demo::run(&demo),
    }
}

/// Commands that only ask need no more than one thread.
fn block_on<T>(command: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("no threads can be started")?.block_on(command)
}

async fn done(command: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<ExitCode> {
    command.await.map(|()| ExitCode::SUCCESS)
}
