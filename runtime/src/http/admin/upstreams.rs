//! `/api/v1/upstreams`: whether each takes calls, and why not; what its operator has said; forgetting what is held against one. All of it
//! is this node's: each node finds out for itself.

use axum::Json;
use axum::extract::{Path, State};

use super::Admin;
use super::problem::Problem;
use crate::store::Page;
use crate::upstream::UpstreamView;

pub(super) async fn list(State(admin): State<Admin>) -> Json<Page<UpstreamView>> {
    Json(Page { data: admin.current.load().upstreams.views(admin.clock.now()), next_cursor: None })
}

pub(super) async fn show(State(admin): State<Admin>, Path(name): Path<String>) -> Result<Json<UpstreamView>, Problem> {
    admin.current.load().upstreams.view(&name, admin.clock.now()).map(Json).ok_or_else(unknown)
}

/// Its next calls are made, and the jobs that wait for it are woken.
pub(super) async fn reset(State(admin): State<Admin>, Path(name): Path<String>) -> Result<Json<UpstreamView>, Problem> {
    let in_force = admin.current.load();
    let upstreams = &in_force.upstreams;
    let view = upstreams.reset(&name).then(|| upstreams.view(&name, admin.clock.now())).flatten();
    view.map(Json).ok_or_else(unknown)
}

fn unknown() -> Problem {
    Problem::not_found("there is no upstream of this name; `hookfast upstreams list` shows those that are")
}
