//! `GET /api/v1/requests` and `GET /api/v1/requests/{id}`: what arrived and did not become an event, and why;
//! `POST /api/v1/sources/{name}/reverify`: judging again what was kept of it.

use axum::Json;
use axum::extract::{Path, Query, State};
use serde::{Deserialize, Serialize};

use super::Admin;
use super::events::{limit, shown};
use super::problem::Problem;
use crate::domain::RequestId;
use crate::http::ingest::{Reverified, ReverifyError};
use crate::store::{Page, RequestFilter, RequestView};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    source: Option<String>,
    cause: Option<String>,
    limit: Option<u32>,
    cursor: Option<String>,
}

/// A refused request, with its headers.
#[derive(Serialize)]
pub(super) struct Shown {
    #[serde(flatten)]
    request: RequestView,
    #[serde(skip_serializing_if = "Option::is_none")]
    headers: Option<Vec<(String, String)>>,
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

pub(super) async fn show(State(admin): State<Admin>, Path(id): Path<String>) -> Result<Json<Shown>, Problem> {
    let id: RequestId = id.parse().map_err(|_| Problem::bad_request("a request's id is `req_` and 32 hexadecimal digits"))?;
    admin.refusals.flush(&admin.store).await;
    let mut request = admin.store.request(id).await?.ok_or_else(|| Problem::not_found(format!("there is no refused request {id}")))?;
    let headers = request.headers.take().map(|headers| shown(&headers));
    Ok(Json(Shown { request, headers }))
}

pub(super) async fn reverify(State(admin): State<Admin>, Path(name): Path<String>) -> Result<Json<Reverified>, Problem> {
    let source = admin.current.load().settings.sources.get(name.as_str()).cloned();
    let source = source.ok_or_else(|| Problem::not_found(format!("there is no source {name:?}")))?;
    admin.refusals.flush(&admin.store).await;
    admin.reverifier.run(source).await.map(Json).map_err(|error| match error {
        ReverifyError::Saturated => Problem::unavailable(error.to_string()),
        ReverifyError::Store(error) => error.into(),
    })
}
