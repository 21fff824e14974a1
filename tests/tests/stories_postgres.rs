//! The same stories on the other driver, but for `alone`: what a sender, a plugin and an operator see does not depend on the database.

#[path = "stories/adapter.rs"]
mod adapter;
#[path = "stories/alerts.rs"]
mod alerts;
#[path = "stories/batch.rs"]
mod batch;
#[path = "stories/delivery.rs"]
mod delivery;
#[path = "stories/diagnosis.rs"]
mod diagnosis;
#[path = "stories/effects.rs"]
mod effects;
#[path = "stories/ordering.rs"]
mod ordering;
#[path = "stories/plugin.rs"]
mod plugin;
#[path = "stories/quarantine.rs"]
mod quarantine;
#[path = "stories/refusal.rs"]
mod refusal;
#[path = "stories/reload.rs"]
mod reload;
#[path = "stories/response.rs"]
mod response;
#[path = "stories/restart.rs"]
mod restart;
#[path = "stories/retention.rs"]
mod retention;
#[path = "stories/retry.rs"]
mod retry;
#[path = "stories/steps.rs"]
mod steps;
#[path = "stories/parked.rs"]
mod parked;
#[path = "stories/address.rs"]
mod address;
#[path = "stories/encoding.rs"]
mod encoding;
#[path = "stories/handshake.rs"]
mod handshake;
#[path = "stories/keys.rs"]
mod keys;
#[path = "stories/limits.rs"]
mod limits;
#[path = "stories/offer.rs"]
mod offer;
#[path = "stories/rotation.rs"]
mod rotation;
#[path = "stories/unproved.rs"]
mod unproved;
#[path = "stories/upstreams.rs"]
mod upstreams;
#[path = "stories/web.rs"]
mod web;
