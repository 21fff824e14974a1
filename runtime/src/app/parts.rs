//! What a server is made of, opened and checked before anything of it runs.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::plugins::Watcher;
use super::shared_plugins::SharedPlugins;
use super::{Role, World, token};
use crate::alerts::{Board, Watch};
use crate::clock::Clock;
use crate::config::{Current, Live, Server, Storage};
use crate::domain::NodeId;
use crate::http::{Admin, ApiToken, BodyBudget, FrontDoor, KeyFetcher, RefusalLog, Reverifier, Upload};
use crate::metrics::Metrics;
use crate::random::Random;
use crate::sandbox::{Directory, Engine, EngineSettings, Loader, Plugins};
use crate::store::{Database, Rescued, Slots, Store, StoreSettings, host_name};
use crate::worker::{Inheritance, Workshop};

/// Dedupe keys in memory: about 256 MB at most.
const DEDUPE_KEYS_MAX: usize = 4_000_000;

/// The parts, shared by whoever needs them.
pub(super) struct Parts {
    pub(super) node: NodeId,
    pub(super) clock: Clock,
    random: Random,
    metrics: Arc<Metrics>,
    slots: Slots,
    pub(super) current: Current,
    pub(super) engine: Arc<Engine>,
    pub(super) plugins: Arc<Plugins>,
    pub(super) store: Store,
    pub(super) refusals: Arc<RefusalLog>,
    pub(super) draining: CancellationToken,
    keys: KeyFetcher,
    token: ApiToken,
    board: Arc<Board>,
}

impl Parts {
    /// Opens the engine, the database and the token file; gives what the last process left, too.
    pub(super) async fn open(live: Live, storage: &Storage, places: u32, world: World) -> anyhow::Result<(Self, Inheritance)> {
        let World { clock, random, role: _, rush, faults: _ } = world;
        let metrics = Arc::new(Metrics::default());
        let slots = Slots::new(0);
        let node = NodeId::new(clock.now(), random.bytes());
        let current = Current::new(live, clock.now()).context("the upstreams cannot be used")?;
        let engine = Arc::new(Engine::start(EngineSettings { instances: places }, Arc::clone(&metrics))?);
        let opened = Store::open(StoreSettings {
            database: storage.database.clone(),
            node,
            clock: clock.clone(),
            random: random.clone(),
            migrates: storage.migrates,
            lease: storage.lease,
            metrics: Arc::clone(&metrics),
            slots: slots.clone(),
            rush,
            dedupe_keys_max: DEDUPE_KEYS_MAX,
        });
        let opened = opened.await.with_context(|| format!("the database {} cannot be opened", storage.database))?;
        report_rescue(&opened.rescued);
        let parts = Self {
            node,
            current,
            engine,
            plugins: Arc::new(Plugins::new(Arc::clone(&metrics))),
            store: opened.store.clone(),
            refusals: Arc::new(RefusalLog::new(random.clone())),
            draining: CancellationToken::new(),
            keys: KeyFetcher::default(),
            token: token::open(storage, &random)?,
            board: Arc::default(),
            clock,
            random,
            metrics,
            slots,
        };
        Ok((parts, Inheritance::of(opened)))
    }

    /// The plugin directory; what is in it is live, or has failed, when this returns.
    pub(super) async fn watch(
        &self,
        directory: &Path,
        storage: &Storage,
        role: Role,
        uploads: mpsc::Receiver<Upload>,
    ) -> anyhow::Result<Watcher> {
        let loader = Arc::new(Loader::new(Arc::clone(&self.engine), &storage.beside("plugin-cache"), self.random.clone())?);
        let shared = SharedPlugins::new(self.store.clone(), Arc::clone(&loader), Arc::clone(&self.plugins), self.clock.clone());
        let directory = Directory::new(directory, loader, Arc::clone(&self.plugins), self.clock.clone());
        let mut watcher = Watcher {
            directory,
            shared,
            role,
            current: self.current.clone(),
            store: self.store.clone(),
            unwoken: BTreeSet::new(),
            none_parked_at: Instant::now(),
            uploads,
        };
        watcher.poll().await;
        Ok(watcher)
    }

    pub(super) fn workshop(&self) -> Workshop {
        Workshop {
            store: self.store.clone(),
            engine: Arc::clone(&self.engine),
            plugins: Arc::clone(&self.plugins),
            current: self.current.clone(),
            clock: self.clock.clone(),
            random: self.random.clone(),
            metrics: Arc::clone(&self.metrics),
            slots: self.slots.clone(),
        }
    }

    pub(super) fn door(&self, server: &Server) -> FrontDoor {
        FrontDoor {
            current: self.current.clone(),
            store: self.store.clone(),
            engine: Arc::clone(&self.engine),
            plugins: Arc::clone(&self.plugins),
            clock: self.clock.clone(),
            keys: self.keys.clone(),
            random: self.random.clone(),
            metrics: Arc::clone(&self.metrics),
            refusals: Arc::clone(&self.refusals),
            draining: self.draining.clone(),
            body_timeout: server.body_timeout,
            budget: BodyBudget::new(server.body_budget),
            proxies: Arc::new(server.proxies.clone()),
        }
    }

    pub(super) fn admin(&self, uploads: mpsc::Sender<Upload>) -> Admin {
        Admin {
            uploads,
            store: self.store.clone(),
            plugins: Arc::clone(&self.plugins),
            current: self.current.clone(),
            metrics: Arc::clone(&self.metrics),
            clock: self.clock.clone(),
            slots: self.slots.clone(),
            refusals: Arc::clone(&self.refusals),
            reverifier: Arc::new(Reverifier::new(self.store.clone(), self.keys.clone(), self.clock.clone(), self.random.clone())),
            draining: self.draining.clone(),
            token: self.token.clone(),
            alerts: Arc::clone(&self.board),
        }
    }

    pub(super) fn alerts(&self, storage: &Storage) -> Watch {
        Watch {
            store: self.store.clone(),
            current: self.current.clone(),
            metrics: Arc::clone(&self.metrics),
            clock: self.clock.clone(),
            random: self.random.clone(),
            board: Arc::clone(&self.board),
            host: host_name(),
            is_one_of_several: matches!(storage.database, Database::Postgres(_)),
        }
    }
}

fn report_rescue(rescued: &Rescued) {
    if rescued.suspects > 0 || rescued.condemned > 0 {
        let Rescued { suspects, charged, condemned } = rescued;
        warn!(suspects, charged, condemned, "the last process died while it ran jobs; they run again, one at a time");
    }
}
