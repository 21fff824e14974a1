//! The running server: configuration, then build, then spawn, then wait. Owns what starts and stops with it, and the order
//! in which that happens. Commands that only talk to a server do not come through here.

mod serve;
mod parts;
mod plugins;
mod shared_plugins;
mod reload;
mod token;

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::clock::Clock;
use crate::config::{Current, Settings};
use crate::domain::UpstreamName;
use crate::http::{ListenLimits, Listener, RefusalLog};
use crate::random::Random;
use crate::sandbox::{Engine, Plugins};
use crate::store::{Database, Rush, Store};
use crate::upstream::Faults;
use crate::worker::Worker;

use self::parts::Parts;

pub(crate) use serve::EXIT_CONFIGURATION;
pub use serve::{ServeOptions, serve};
pub use token::TOKEN_FILE;

/// How long requests under way may take to end at shutdown.
const LISTENER_PATIENCE: Duration = Duration::from_secs(10);

/// What a server is given besides its settings; tests give a manual clock and seeded randomness.
pub struct World {
    /// The wall clock.
    pub clock: Clock,
    /// Ids, jitter, tokens.
    pub random: Random,
    /// What of it this process does.
    pub role: Role,
    /// Whether the threads that receive are all busy.
    pub rush: Rush,
    /// What goes wrong at upstreams on purpose, beside what the files say.
    pub faults: Vec<(UpstreamName, Faults)>,
}

/// What a process does where several share a database; one alone does all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Role {
    /// Receives webhooks and runs plugins.
    #[default]
    All,
    /// Receives webhooks; others run the plugins.
    Ingest,
    /// Runs plugins for what others receive.
    Worker,
}

impl Role {
    const WORDS: [(&'static str, Self); 3] = [("all", Self::All), ("ingest", Self::Ingest), ("worker", Self::Worker)];

    /// The word of the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Ingest => "ingest",
            Self::Worker => "worker",
        }
    }
}

impl FromStr for Role {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let found = Self::WORDS.into_iter().find(|(word, _)| *word == text);
        found.map(|(_, role)| role).ok_or("a role is all, ingest or worker")
    }
}

/// A server that accepts, works and answers.
pub struct App {
    /// The ingest listener; none where others receive.
    pub ingest: Option<Listener>,
    /// The admin listener.
    pub admin: Listener,
    /// The queue.
    pub store: Store,
    /// The plugins.
    pub plugins: Arc<Plugins>,
    /// The configuration in force.
    pub current: Current,
    worker: Worker,
    /// Runs plugins apart from ingest, so that no guest can keep a webhook waiting. Taken at shutdown.
    worker_runtime: Option<Runtime>,
    upkeep: TaskTracker,
    draining: CancellationToken,
    closing: CancellationToken,
    drain: Duration,
    _engine: Arc<Engine>,
}

impl App {
    /// Starts everything. Plugins that are in the directory are live, or have failed, when this returns.
    pub async fn start(settings: Settings, config_path: PathBuf, world: World) -> anyhow::Result<Self> {
        let Settings { server, storage, worker: worker_settings, plugin_directory, live, fingerprint } = settings;
        let role = world.role;
        ensure!(
            role == Role::All || matches!(storage.database, Database::Postgres(_)),
            "an SQLite file has one process that does everything: `--role {}` needs storage.url = \"postgres://…\"",
            role.as_str()
        );
        let faults = world.faults.clone();
        let (parts, inheritance) = Parts::open(live, &storage, worker_settings.concurrency, world).await?;
        let (uploads, uploaded) = mpsc::channel(1);
        let watcher = parts.watch(&plugin_directory, &storage, role, uploaded).await?;
        let limits = ListenLimits { header_timeout: server.header_timeout };
        let admin = Listener::start(server.admin, parts.admin(uploads).router(), limits).await;
        let admin = admin.with_context(|| format!("cannot listen on {} (server.admin)", server.admin))?;
        let ingest = match role {
            Role::Worker => None,
            Role::All | Role::Ingest => {
                let ingest = Listener::start(server.ingest, Arc::new(parts.door(&server)), limits).await;
                Some(ingest.with_context(|| format!("cannot listen on {} (server.ingest)", server.ingest))?)
            }
        };
        // Without a place no job is born running here, and none is claimed.
        let places = if role == Role::Ingest { 0 } else { usize::try_from(worker_settings.concurrency).unwrap_or(usize::MAX) };
        // Last, since nothing may fail once jobs run.
        let worker_runtime = worker_runtime()?;
        let (upkeep, closing) = (TaskTracker::new(), CancellationToken::new());
        upkeep.spawn(reload::watch(
            reload::Files { path: config_path, faults },
            fingerprint,
            parts.current.clone(),
            parts.clock.clone(),
            closing.clone(),
        ));
        upkeep.spawn(write_refusals(Arc::clone(&parts.refusals), parts.store.clone(), parts.clock.clone(), closing.clone()));
        upkeep.spawn(forget(parts.store.clone(), parts.clock.clone(), storage.retention, closing.clone()));
        upkeep.spawn(parts.alerts(&storage).run(closing.clone()));
        let worker = {
            let _on_its_runtime = worker_runtime.enter();
            // Loading a plugin runs guest code, too.
            upkeep.spawn(watcher.run(closing.clone()));
            Worker::start(parts.workshop(), inheritance, places)
        };
        let receives = ingest.as_ref().map(|ingest| ingest.address.to_string());
        info!(node = %parts.node, role = role.as_str(), ingest = receives, admin = %admin.address, "serving");
        Ok(Self {
            ingest,
            admin,
            store: parts.store,
            plugins: parts.plugins,
            current: parts.current,
            worker,
            worker_runtime: Some(worker_runtime),
            upkeep,
            draining: parts.draining,
            closing,
            drain: server.drain,
            _engine: parts.engine,
        })
    }

    /// Takes no more webhooks, finishes or gives back what runs, commits, closes. Nothing is lost, whatever it interrupts.
    pub async fn shutdown(mut self) {
        self.draining.cancel();
        if let Some(ingest) = &self.ingest {
            ingest.close(LISTENER_PATIENCE).await;
        }
        self.worker.drain(self.drain).await;
        self.closing.cancel();
        self.upkeep.close();
        self.upkeep.wait().await;
        self.admin.close(Duration::from_secs(1)).await;
        self.store.close().await;
        if let Some(runtime) = self.worker_runtime.take() {
            runtime.shutdown_background();
        }
        info!("stopped");
    }
}

impl Drop for App {
    /// A runtime must not be dropped where it could block; an `App` that was not shut down is as good as killed.
    fn drop(&mut self) {
        if let Some(runtime) = self.worker_runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn worker_runtime() -> anyhow::Result<Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.enable_all().thread_name("worker").build().context("the worker's threads cannot start")
}

async fn write_refusals(refusals: Arc<RefusalLog>, store: Store, clock: Clock, closing: CancellationToken) {
    refusals.write_to(&store, &clock, &closing).await;
}

/// What is old is forgotten, now and then.
async fn forget(store: Store, clock: Clock, retention: Option<Duration>, closing: CancellationToken) {
    const INTERVAL: Duration = Duration::from_mins(5);
    const QUARANTINED_FOR: Duration = Duration::from_hours(72);
    while closing.run_until_cancelled(tokio::time::sleep(INTERVAL)).await.is_some() {
        if let Err(error) = store.prune().await {
            warn!(%error, "old dedupe keys could not be pruned");
        }
        if let Err(error) = store.expire_quarantine(clock.now() - QUARANTINED_FOR).await {
            warn!(%error, "old requests in quarantine could not be forgotten");
        }
        if let Some(retention) = retention
            && let Err(error) = store.expire(clock.now() - retention).await
        {
            warn!(%error, "old events could not be forgotten");
        }
    }
}
