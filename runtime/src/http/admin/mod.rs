//! The admin listener: health, metrics, and the API `/api/v1` that the command line speaks.

mod auth;
mod health;
mod events;
mod dead_letters;
mod requests;
mod sources;
mod rotation;
mod upstreams;
mod nodes;
mod alerts;
mod plugins;
mod problem;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post, put};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::alerts::Board;
use crate::clock::Clock;
use crate::config::Current;
use crate::metrics::Metrics;
use crate::sandbox::{Plugins, WASM_BYTES_MAX};
use crate::store::{Slots, Store};

pub use auth::ApiToken;
pub use plugins::Upload;

use super::ingest::{RefusalLog, Reverifier};

/// What the admin listener shows. Cheap to clone.
#[derive(Clone)]
pub struct Admin {
    /// The queue.
    pub store: Store,
    /// The plugins and their states.
    pub plugins: Arc<Plugins>,
    /// Takes plugins to load.
    pub uploads: mpsc::Sender<Upload>,
    /// The configuration.
    pub current: Current,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The wall clock.
    pub clock: Clock,
    /// The worker's places.
    pub slots: Slots,
    /// Refusals that are not written yet.
    pub refusals: Arc<RefusalLog>,
    /// Judges again what is in quarantine.
    pub reverifier: Arc<Reverifier>,
    /// Cancelled once the node takes no more.
    pub draining: CancellationToken,
    /// What callers of the API must know.
    pub token: ApiToken,
    /// The alerts that fire.
    pub alerts: Arc<Board>,
}

impl Admin {
    /// The routes of the admin listener, on one page.
    pub fn router(self) -> Router {
        let api = Router::new()
            .route("/events", get(events::list))
            .route("/events/{id}", get(events::show))
            .route("/dead-letters", get(dead_letters::list))
            .route("/dead-letters/replay", post(dead_letters::replay))
            .route("/dead-letters/discard", post(dead_letters::discard))
            .route("/requests", get(requests::list))
            .route("/requests/{id}", get(requests::show))
            .route("/sources", get(sources::list))
            .route("/sources/{name}", get(sources::show))
            .route("/sources/{name}/reverify", post(requests::reverify))
            .route("/upstreams", get(upstreams::list))
            .route("/upstreams/{name}", get(upstreams::show))
            .route("/upstreams/{name}/reset", post(upstreams::reset))
            .route("/plugins", get(plugins::list))
            .route("/plugins/{name}", put(plugins::load).layer(DefaultBodyLimit::max(WASM_BYTES_MAX)))
            .route("/nodes", get(nodes::list))
            .route("/alerts", get(alerts::list))
            .route_layer(from_fn_with_state(self.clone(), auth::require));
        Router::new()
            .nest("/api/v1", api)
            .route("/livez", get(health::livez))
            .route("/readyz", get(health::readyz))
            .route("/metrics", get(health::metrics))
            .fallback(problem::not_found)
            .with_state(self)
    }
}
