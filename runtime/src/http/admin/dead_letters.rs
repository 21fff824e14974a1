//! `/api/v1/dead-letters`: looking at them, replaying them, discarding them.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Query, State};
use serde::{Deserialize, Serialize};

use super::Admin;
use super::events::limit;
use super::problem::Problem;
use crate::domain::Lineage;
use crate::store::{DeadFilter, DeadLetterView, Page};

/// Which dead letters are meant: an id (`evt_…`, or `evt_….route` for one of its routes), a source, or all of them.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Selection {
    id: Option<String>,
    source: Option<String>,
    all: bool,
    /// Why, for a discard.
    reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    id: Option<String>,
    source: Option<String>,
    limit: Option<u32>,
}

/// The dead letters that were moved.
#[derive(Serialize)]
pub(super) struct Moved {
    count: usize,
    ids: Vec<Lineage>,
}

/// Dead letters, and how many match in all.
#[derive(Serialize)]
pub(super) struct Listed {
    #[serde(flatten)]
    page: Page<DeadLetterView>,
    total: u64,
}

pub(super) async fn list(State(admin): State<Admin>, Query(query): Query<ListQuery>) -> Result<Json<Listed>, Problem> {
    let limit = limit(query.limit)?;
    let filter = filter(Selection { id: query.id, source: query.source, all: true, reason: None })?;
    let page = Page { data: admin.store.dead_letters(&filter, limit).await?, next_cursor: None };
    Ok(Json(Listed { page, total: admin.store.dead_letter_count(&filter).await? }))
}

pub(super) async fn replay(State(admin): State<Admin>, selection: Result<Json<Selection>, JsonRejection>) -> Result<Json<Moved>, Problem> {
    let filter = selected(selection)?.0;
    moved(admin.store.replay_dead(filter).await?)
}

pub(super) async fn discard(State(admin): State<Admin>, selection: Result<Json<Selection>, JsonRejection>) -> Result<Json<Moved>, Problem> {
    let (filter, reason) = selected(selection)?;
    moved(admin.store.discard_dead(filter, reason.unwrap_or_else(|| "discarded by an operator".into())).await?)
}

fn selected(selection: Result<Json<Selection>, JsonRejection>) -> Result<(DeadFilter, Option<String>), Problem> {
    let Json(mut selection) = selection.map_err(|rejection| Problem::bad_request(rejection.body_text()))?;
    let reason = selection.reason.take();
    let filter = filter(selection)?;
    if filter.lineage.is_none() && filter.event.is_none() && filter.source.is_none() && !filter.all {
        return Err(Problem::bad_request("say which: `id`, `source`, or `\"all\": true`"));
    }
    Ok((filter, reason))
}

fn filter(selection: Selection) -> Result<DeadFilter, Problem> {
    let bad_id = || Problem::bad_request("`id` is an event's id, or `<event>.<route>`");
    let source = selection.source.map(|name| name.parse()).transpose();
    let source = source.map_err(|_| Problem::bad_request("`source` is not a source's name"))?;
    let (lineage, event) = match selection.id {
        None => (None, None),
        Some(id) if id.contains('.') => (Some(id.parse().map_err(|_| bad_id())?), None),
        Some(id) => (None, Some(id.parse().map_err(|_| bad_id())?)),
    };
    Ok(DeadFilter { lineage, event, source, all: selection.all })
}

fn moved(ids: Vec<Lineage>) -> Result<Json<Moved>, Problem> {
    if ids.is_empty() {
        return Err(Problem::not_found("no dead letter matches"));
    }
    Ok(Json(Moved { count: ids.len(), ids }))
}
