//! `hookfast demo`: the main job, shown with real traffic on this machine and checked as it is told. Builds the plugins, starts
//! this binary's own `serve`, and plays the providers and the upstreams. Nothing here is known to the server.

mod received;
mod outage;
mod swap;
mod crash;
mod story;
mod folder;
mod server;
mod admin;
mod sender;
mod upstream;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use self::admin::Admin;
use self::folder::Folder;
use self::sender::Sender;
use self::server::Server;
use self::story::Story;
use self::upstream::Upstream;
use super::build::{Built, STACK_BYTES, build_plugins};
use super::time::measured;
use crate::random::Random;

/// The whole story takes a tenth of this; a server that is stuck makes it fail, not hang.
const STORY_MAX: Duration = Duration::from_mins(2);
const LOG_LINES: usize = 12;

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  cargo run --release -- demo")]
pub(super) struct Demo {
    /// Leave the temporary folder where it is: configuration, database, log, plugins
    #[arg(long)]
    keep: bool,
}

/// Tells the story; success where every claim held.
pub(super) fn run(arguments: &Demo) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("the demo's threads cannot start")?;
    let told = runtime.block_on(async {
        tokio::select! {
            told = play(arguments.keep) => told,
            interrupted = interrupted() => interrupted.and_then(|()| bail!("interrupted; the server was stopped")),
        }
    });
    // Cargo may be running still, where the demo was interrupted while it built.
    runtime.shutdown_background();
    told
}

/// Who is on the stage. The server is dropped, and so killed, before its folder goes.
struct Stage {
    server: Server,
    upstream: Upstream,
    admin: Admin,
    stripe: Arc<Sender>,
    github: Sender,
    /// Sends to the source whose plugin is swapped.
    relay: Arc<Sender>,
    /// Knows the address and not the secret.
    stranger: Sender,
    components: Vec<Built>,
    folder: Folder,
}

async fn play(keep: bool) -> anyhow::Result<ExitCode> {
    let mut story = Story::on_stdout();
    story.print("Hookfast demo: seven claims, shown with real traffic on this machine and checked one by one.\n");
    let mut stage = Stage::set(keep, &mut story).await?;
    let begun = Instant::now();
    let told = tokio::time::timeout(STORY_MAX, tell(&mut stage, &mut story)).await;
    match told {
        Ok(Ok(())) => {}
        Ok(Err(error)) => story.check(false, format_args!("{error:#}")),
        Err(_) => story.check(false, format_args!("the story did not end within {} s", STORY_MAX.as_secs())),
    }
    let all_hold = conclude(&stage, &mut story, begun.elapsed());
    if keep {
        let folder = stage.folder.path().display();
        story.print(format_args!("Kept: {folder}; look around with: hookfast serve --config {folder}/hookfast.toml"));
    }
    Ok(if all_hold { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The verdict, and where to go from there.
fn conclude(stage: &Stage, story: &mut Story, elapsed: Duration) -> bool {
    let all_hold = story.end();
    story.print(format_args!("{:.1} s with the server, on 127.0.0.1 only", elapsed.as_secs_f64()));
    if all_hold {
        story.print("Next: README.md, or your own server: hookfast serve --config hookfast.toml");
    } else {
        let lines = stage.server.last_lines(LOG_LINES).join("\n");
        story.print(format_args!("The server's last log lines (--keep leaves all of them):\n{lines}"));
    }
    all_hold
}

/// The story, claim by claim.
async fn tell(stage: &mut Stage, story: &mut Story) -> anyhow::Result<()> {
    let first = received::handled(stage, story).await?;
    received::again(stage, story, &first).await?;
    received::forged(stage, story).await?;
    let dead = outage::dead_letter(stage, story).await?;
    outage::replay(stage, story, &dead).await?;
    swap::under_load(stage, story).await?;
    crash::in_mid_flight(stage, story).await
}

impl Stage {
    /// Builds the plugins, writes the configuration, starts upstreams and server.
    async fn set(keep: bool, story: &mut Story) -> anyhow::Result<Self> {
        let sources = folder::plugin_sources()?;
        let folder = Folder::create(keep, &Random::system())?;
        let components = build(&folder, sources, story).await?;
        let upstream = Upstream::start().await?;
        folder.configure(upstream.address)?;
        for (component, name) in [("stripe-crm", "stripe-crm"), ("github-notify", "github-notify"), ("github-notify", "relay")] {
            folder.publish(&component_of(&components, component)?.wasm, name)?;
        }
        let mut server = Server::new(&folder)?;
        let ready = server.start().await;
        let ready = ready.map_err(|error| anyhow!("{error:#}; its log ends so:\n{}", server.last_lines(LOG_LINES).join("\n")))?;
        introduce(story, &folder, &server, &upstream, ready);
        let sender = |source, provider, secret: &str| Sender::new(folder.ingest, source, provider, secret);
        Ok(Self {
            admin: Admin::open(&folder)?,
            stripe: Arc::new(sender("stripe", "stripe", &folder.stripe_secret)?),
            github: sender("github", "github", &folder.github_secret)?,
            relay: Arc::new(sender("relay", "github", &folder.github_secret)?),
            stranger: sender("stripe", "stripe", "whsec_guessed")?,
            server,
            upstream,
            components,
            folder,
        })
    }

    /// A component that was built.
    fn component(&self, name: &str) -> anyhow::Result<&Built> {
        component_of(&self.components, name)
    }
}

fn component_of<'a>(components: &'a [Built], name: &str) -> anyhow::Result<&'a Built> {
    components.iter().find(|built| built.name == name).with_context(|| format!("the build made no plugin {name}"))
}

async fn build(folder: &Folder, sources: PathBuf, story: &mut Story) -> anyhow::Result<Vec<Built>> {
    story.print(format_args!("plugins    building {} for wasm32-wasip2", sources.display()));
    let out = folder.built();
    let components =
        tokio::task::spawn_blocking(move || build_plugins(&sources, &out, STACK_BYTES)).await.context("the build panicked")??;
    for Built { name, bytes, digest, .. } in &components {
        story.print(format_args!("           {name:<14} {:>3} KiB  sha256:{}", bytes / 1024, digest.short()));
    }
    Ok(components)
}

fn introduce(story: &mut Story, folder: &Folder, server: &Server, upstream: &Upstream, ready: Duration) {
    let Folder { ingest, admin, .. } = folder;
    let pid = server.pid().unwrap_or_default();
    story.print(format_args!("server     pid {pid}, ready in {}: webhooks to http://{ingest}, operators to http://{admin}", ms(ready)));
    story.print(format_args!("upstreams  http://{} plays the CRM and the chat room, and keeps a record", upstream.address));
}

/// Ends when somebody asks the demo to.
async fn interrupted() -> anyhow::Result<()> {
    let heard = |kind| signal(kind).context("signals cannot be heard");
    let (mut interrupt, mut terminate) = (heard(SignalKind::interrupt())?, heard(SignalKind::terminate())?);
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

/// A duration as people read it.
fn ms(duration: Duration) -> String {
    measured(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
}

/// The `Idempotency-Key` of an event's call: `<event>.<route>/<step>`, whatever attempt makes it.
fn key(event: &str, route: &str, step: &str) -> String {
    format!("{event}.{route}/{step}")
}
