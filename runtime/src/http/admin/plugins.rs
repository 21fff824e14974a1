//! `GET /api/v1/plugins`: which serve, which failed to load and why.

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::Admin;
use crate::sandbox::PluginStatus;
use crate::store::Page;

/// A plugin as it is shown.
#[derive(Serialize)]
pub struct PluginView {
    #[serde(flatten)]
    status: PluginStatus,
}

pub(super) async fn list(State(admin): State<Admin>) -> Json<Page<PluginView>> {
    let data = admin.plugins.statuses().into_iter().map(|status| PluginView { status }).collect();
    Json(Page { data, next_cursor: None })
}
