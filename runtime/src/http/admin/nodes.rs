//! `GET /api/v1/nodes`: the processes that share the database.

use axum::Json;
use axum::extract::State;

use super::Admin;
use super::problem::Problem;
use crate::store::{NodeView, Page};

pub(super) async fn list(State(admin): State<Admin>) -> Result<Json<Page<NodeView>>, Problem> {
    Ok(Json(Page { data: admin.store.nodes().await?, next_cursor: None }))
}
