//! The running server: configuration, then build, then spawn, then wait. Owns what starts and stops with it, and the order
//! in which that happens. Commands that only talk to a server do not come through here.

mod serve;
mod plugins;
mod reload;
mod token;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::clock::Clock;
use crate::config::{Current, Settings};
use crate::domain::NodeId;
use crate::http::{Admin, FrontDoor, ListenLimits, Listener, RefusalLog};
use crate::metrics::Metrics;
use crate::random::Random;
use crate::sandbox::{Directory, Engine, EngineSettings, Loader, Plugins};
use crate::store::{Slots, Store, StoreSettings};
use crate::worker::{Inheritance, Worker, Workshop};

pub(crate) use serve::EXIT_CONFIGURATION;
pub use serve::{ServeOptions, serve};
pub use token::TOKEN_FILE;

/// How long requests under way may take to end at shutdown.
const LISTENER_PATIENCE: Duration = Duration::from_secs(10);

/// Dedupe keys in memory: about 256 MB at most.
const DEDUPE_KEYS_MAX: usize = 4_000_000;

/// What a server is given besides its settings; tests give a manual clock and seeded randomness.
pub struct World {
    /// The wall clock.
    pub clock: Clock,
    /// Ids, jitter, tokens.
    pub random: Random,
}

/// A server that accepts, works and answers.
pub struct App {
    /// The ingest listener.
    pub ingest: Listener,
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
        let World { clock, random } = world;
        let Settings { server, storage, worker: worker_settings, plugin_directory, live, fingerprint } = settings;
        let metrics = Arc::new(Metrics::default());
        let slots = Slots::new(0);
        let node = NodeId::new(clock.now(), random.bytes());
        let current = Current::new(live).context("the upstreams cannot be used")?;
        let engine = Arc::new(Engine::start(EngineSettings { instances: worker_settings.concurrency }, Arc::clone(&metrics))?);
        let plugins = Arc::new(Plugins::new(Arc::clone(&metrics)));
        let loader = Arc::new(Loader::new(Arc::clone(&engine), &storage.beside("plugin-cache"))?);
        let opened = Store::open(StoreSettings {
            path: storage.path.clone(),
            node,
            clock: clock.clone(),
            metrics: Arc::clone(&metrics),
            slots: slots.clone(),
            dedupe_keys_max: DEDUPE_KEYS_MAX,
        });
        let opened = opened.await.with_context(|| format!("the database {} cannot be opened", storage.path.display()))?;
        report_rescue(&opened.rescued);
        let (store, inheritance): (Store, Inheritance) = opened.into();

        let directory = Directory::new(&plugin_directory, loader, Arc::clone(&plugins), clock.clone());
        let mut watcher = plugins::Watcher { directory, current: current.clone(), store: store.clone(), unwoken: BTreeSet::new() };
        watcher.poll().await;
        let workshop = Workshop {
            store: store.clone(),
            engine: Arc::clone(&engine),
            plugins: Arc::clone(&plugins),
            current: current.clone(),
            clock: clock.clone(),
            random: random.clone(),
            metrics: Arc::clone(&metrics),
            slots: slots.clone(),
        };

        let (draining, closing, upkeep) = (CancellationToken::new(), CancellationToken::new(), TaskTracker::new());
        let refusals = Arc::new(RefusalLog::new(random.clone()));
        upkeep.spawn(reload::watch(config_path, fingerprint, current.clone(), closing.clone()));
        upkeep.spawn(write_refusals(Arc::clone(&refusals), store.clone(), clock.clone(), closing.clone()));
        upkeep.spawn(prune(store.clone(), closing.clone()));

        let door = FrontDoor {
            current: current.clone(),
            store: store.clone(),
            clock: clock.clone(),
            random: random.clone(),
            metrics: Arc::clone(&metrics),
            refusals: Arc::clone(&refusals),
            draining: draining.clone(),
            body_timeout: server.body_timeout,
        };
        let admin = Admin {
            store: store.clone(),
            plugins: Arc::clone(&plugins),
            current: current.clone(),
            metrics,
            clock,
            slots,
            refusals,
            draining: draining.clone(),
            token: token::open(&storage, &random)?,
        };
        let limits = ListenLimits { header_timeout: server.header_timeout };
        let admin = Listener::start(server.admin, admin.router(), limits).await;
        let admin = admin.with_context(|| format!("cannot listen on {} (server.admin)", server.admin))?;
        let ingest = Listener::start(server.ingest, door.router(), limits).await;
        let ingest = ingest.with_context(|| format!("cannot listen on {} (server.ingest)", server.ingest))?;
        // Last, since nothing may fail once jobs run.
        let worker_runtime = worker_runtime()?;
        let places = usize::try_from(worker_settings.concurrency).unwrap_or(usize::MAX);
        let worker = {
            let _on_its_runtime = worker_runtime.enter();
            // Loading a plugin runs guest code, too.
            upkeep.spawn(watcher.run(closing.clone()));
            Worker::start(workshop, inheritance, places)
        };
        info!(%node, ingest = %ingest.address, admin = %admin.address, "serving");
        let drain = server.drain;
        let worker_runtime = Some(worker_runtime);
        Ok(Self { ingest, admin, store, plugins, current, worker, worker_runtime, upkeep, draining, closing, drain, _engine: engine })
    }

    /// Takes no more webhooks, finishes or gives back what runs, commits, closes. Nothing is lost, whatever it interrupts.
    pub async fn shutdown(mut self) {
        self.draining.cancel();
        self.ingest.close(LISTENER_PATIENCE).await;
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

fn report_rescue(rescued: &crate::store::Rescued) {
    if rescued.suspects > 0 || rescued.condemned > 0 {
        let crate::store::Rescued { suspects, charged, condemned } = rescued;
        warn!(suspects, charged, condemned, "the last process died while it ran jobs; they run again, one at a time");
    }
}

async fn write_refusals(refusals: Arc<RefusalLog>, store: Store, clock: Clock, closing: CancellationToken) {
    refusals.write_to(&store, &clock, &closing).await;
}

async fn prune(store: Store, closing: CancellationToken) {
    const INTERVAL: Duration = Duration::from_mins(5);
    while closing.run_until_cancelled(tokio::time::sleep(INTERVAL)).await.is_some() {
        if let Err(error) = store.prune().await {
            warn!(%error, "old dedupe keys could not be pruned");
        }
    }
}
