//! `GET /api/v1/requests`: what arrived and did not become an event, and why.

use axum::Json;
use axum::extract::{Query, State};
use serde::Deserialize;

use super::Admin;
use super::events::limit;
use super::problem::Problem;
use crate::store::{Page, RequestFilter, RequestView};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    source: Option<String>,
    cause: Option<String>,
    limit: Option<u32>,
    cursor: Option<String>,
}

pub(super) async fn list(State(admin): State<Admin>, Query(query): Query<ListQuery>) -> Result<Json<Page<RequestView>>, Problem> {
    let filter = RequestFilter {
        source: query.source.map(|name| name.parse()).transpose().map_err(|_| Problem::bad_request("`source` is not a source's name"))?,
        cause: query.cause,
        limit: limit(query.limit)?,
        cursor: query.cursor,
    };
    // Whoever looks wants to see the request that was refused just now.
    admin.refusals.flush(&admin.store).await;
    Ok(Json(admin.store.requests(&filter).await?))
}
