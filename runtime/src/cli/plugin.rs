//! `hookfast plugin`: building plugins, looking into one without a server, listing those of a server.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow};
use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::arguments::Connection;
use super::build::{Built, STACK_BYTES, build_plugins};
use super::client::{self, Client, Page};
use super::output::{Output, plain};
use super::table::Table;
use super::time::Times;
use crate::domain::{Digest, PluginName};
use crate::metrics::Metrics;
use crate::sandbox::{Description, Engine, EngineSettings, Loader, Plugin as Loaded};

/// Room for a component of many parts; a server has at least as much.
const INSTANCES: u32 = 8;

#[derive(Debug, Subcommand)]
pub(super) enum Plugin {
    /// List the server's plugins and their states
    #[command(after_help = "Example:\n  hookfast plugins list")]
    List(List),
    /// Load a plugin into the server; what serves goes on serving until it has passed every check
    #[command(after_help = "Example:\n  hookfast plugin load target/stripe-crm.wasm")]
    Load(Load),
    /// Build the plugin, or the workspace of plugins, in a directory
    #[command(after_help = "Examples:\n  hookfast plugin build stripe-crm\n  hookfast plugin build --out /var/lib/hookfast/plugins")]
    Build(Build),
    /// Load a plugin in the sandbox, without a server, and show what it is
    #[command(after_help = "Example:\n  hookfast plugin inspect plugins/stripe-crm.wasm")]
    Inspect(Inspect),
}

#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
pub(super) struct Load {
    /// The component; its file's name is the plugin's name
    file: PathBuf,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
pub(super) struct Build {
    /// The directory of the crate or the workspace
    #[arg(value_name = "DIR", default_value = ".")]
    directory: PathBuf,
    /// Where NAME.wasm is put; a server that watches this directory loads it
    #[arg(long, value_name = "DIR", default_value = "plugins")]
    out: PathBuf,
    /// The plugins' stack, 64 KiB to 1 MiB; a larger one makes each run dearer
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(64 << 10..=1 << 20), default_value_t = STACK_BYTES)]
    stack: u32,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Inspect {
    /// The component; its file's name is the plugin's name
    file: PathBuf,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Deserialize)]
struct Status {
    name: String,
    state: String,
    digest: Option<String>,
    description: Option<Description>,
    since: String,
    failure: Option<(String, String)>,
}

/// A plugin as it was found in a file.
#[derive(Serialize)]
struct Inspected {
    name: PluginName,
    digest: Digest,
    wasm_bytes: usize,
    description: Description,
    imports: Vec<String>,
}

pub(super) async fn run(command: Plugin) -> anyhow::Result<()> {
    match command {
        Plugin::List(arguments) => list(&arguments.connection).await,
        Plugin::Load(arguments) => load(&arguments).await,
        Plugin::Build(arguments) => build(&arguments),
        Plugin::Inspect(arguments) => inspect(&arguments).await,
    }
}

async fn list(connection: &Connection) -> anyhow::Result<()> {
    let document = Client::open(connection)?.get("/plugins", &[]).await?;
    let Page { data, .. } = client::read::<Page<Status>>(&document)?;
    let output = Output::new(connection.json);
    if data.is_empty() {
        output.hint("no plugins; put NAME.wasm into the server's plugin directory");
    }
    output.show(&document, |times| table(data, times))
}

fn table(plugins: Vec<Status>, times: Times) -> String {
    let row = |status: Status| {
        let failure = status.failure.map(|(stage, sentence)| format!("{stage}: {sentence}")).unwrap_or_default();
        let version = status.description.map(|description| description.version).unwrap_or_default();
        [status.name, status.state, version, times.write(&status.since), status.digest.unwrap_or_default(), failure]
    };
    Table::new(["NAME", "STATE", "VERSION", "SINCE", "DIGEST", "FAILURE"], plugins.into_iter().map(row)).to_string()
}

async fn load(arguments: &Load) -> anyhow::Result<()> {
    let (name, wasm) = read(&arguments.file)?;
    let document = Client::open(&arguments.connection)?.put_wasm(&format!("/plugins/{name}"), wasm).await?;
    let loaded = client::read::<Status>(&document)?;
    Output::new(arguments.connection.json).show(&document, |times| table(vec![loaded], times))
}

fn build(arguments: &Build) -> anyhow::Result<()> {
    let built = build_plugins(&arguments.directory, &arguments.out, arguments.stack)?;
    let document =
        built.iter().map(|plugin| json!({ "name": plugin.name, "file": plugin.wasm, "wasm_bytes": plugin.bytes, "digest": plugin.digest }));
    let document = json!({ "data": document.collect::<Vec<_>>() });
    Output::new(arguments.json).show(&document, |_| {
        let row = |plugin: &Built| {
            let file = plugin.wasm.display().to_string();
            [plugin.name.clone(), file, plugin.bytes.to_string(), plugin.digest.to_string()]
        };
        Table::new(["NAME", "FILE", "BYTES", "DIGEST"], built.iter().map(row)).to_string()
    })
}

async fn inspect(arguments: &Inspect) -> anyhow::Result<()> {
    let plugin = look_into(&arguments.file).await?;
    let imports = plugin.imports();
    let Loaded { name, digest, wasm_bytes, description, .. } = plugin;
    let inspected = Inspected { name, digest, wasm_bytes, description, imports };
    Output::new(arguments.json).show(&inspected, |_| inspected.write())
}

/// The plugin's name and its component.
fn read(file: &Path) -> anyhow::Result<(PluginName, Vec<u8>)> {
    let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let name = stem.parse().with_context(|| format!("`{stem}` cannot be a plugin's name"))?;
    Ok((name, std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?))
}

async fn look_into(file: &Path) -> anyhow::Result<Loaded> {
    let (name, wasm) = read(file)?;
    let engine = Engine::start(EngineSettings { instances: INSTANCES }, Arc::new(Metrics::default()))?;
    let loader = Arc::new(Loader::uncached(Arc::new(engine))?);
    let loaded = loader.inspect(name, wasm).await;
    loaded.map_err(|failure| anyhow!("{} did not load at stage {}: it {failure}", file.display(), failure.stage.code()))
}

impl Inspected {
    fn write(&self) -> String {
        let Description { name, version, description, upstreams, events, fixtures: _, admits, compensates } = &self.description;
        let facts = [
            ("calls itself", name.clone()),
            ("version", version.clone()),
            ("description", description.clone()),
            ("proves", if *admits { "requests of sources that name it as their provider".into() } else { String::new() }),
            (
                "compensates",
                if *compensates { "takes back what was done before an event becomes a dead letter".into() } else { String::new() },
            ),
            ("events", events.join(", ")),
            ("upstreams", upstreams.join(", ")),
            ("bytes", self.wasm_bytes.to_string()),
            ("digest", self.digest.to_string()),
        ];
        let facts = facts.into_iter().filter(|(_, value)| !value.is_empty());
        let facts = facts.map(|(name, value)| format!("  {name:14}{}\n", plain(&value))).collect::<String>();
        let imports = self.imports.iter().map(|import| format!("  {}\n", plain(import))).collect::<String>();
        format!("{}\n{facts}\nIMPORTS\n{imports}", self.name)
    }
}
