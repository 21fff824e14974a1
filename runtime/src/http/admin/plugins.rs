//! `GET /api/v1/plugins`: which serve, which failed to load and why.

use axum::Json;
use axum::extract::State;

use super::Admin;
use crate::sandbox::PluginStatus;
use crate::store::Page;

pub(super) async fn list(State(admin): State<Admin>) -> Json<Page<PluginStatus>> {
    Json(Page { data: admin.plugins.statuses(), next_cursor: None })
}
