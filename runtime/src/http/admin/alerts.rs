//! `GET /api/v1/alerts`: what fires on this node, and whether it is told to anybody.

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::Admin;
use crate::alerts::Shown;

#[derive(Serialize)]
pub(super) struct Firing {
    data: Vec<Shown>,
    /// Whether rules are looked at: without `[alerts]` nothing ever fires.
    configured: bool,
    /// The upstreams that are told.
    to: Vec<String>,
}

pub(super) async fn list(State(admin): State<Admin>) -> Json<Firing> {
    let in_force = admin.current.load();
    let settings = in_force.settings.alerts.as_ref();
    let to = settings.iter().flat_map(|settings| &settings.to).map(|target| target.upstream.to_string()).collect();
    Json(Firing { data: admin.alerts.firing(), configured: settings.is_some(), to })
}
