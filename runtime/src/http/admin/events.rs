//! `GET /api/v1/events` and `GET /api/v1/events/{id}`.

use axum::Json;
use axum::extract::{Path, Query, State};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::Admin;
use super::problem::Problem;
use crate::domain::{EventId, Headers};
use crate::store::{EventFilter, EventView, Page};

const LIMIT_DEFAULT: u32 = 50;
const LIMIT_MAX: u32 = 200;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    source: Option<String>,
    #[serde(rename = "type")]
    event_type: Option<String>,
    limit: Option<u32>,
    cursor: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ShowQuery {
    /// Whether headers and body are shown.
    #[serde(default)]
    payload: bool,
}

/// An event, and its content where it was asked for.
#[derive(Serialize)]
pub(super) struct Shown {
    #[serde(flatten)]
    event: EventView,
    /// What its source checks, by the configuration in force: `verified`, `authenticated`, `unverified` or `plugin`. `None` where the source is gone.
    source_class: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<Payload>,
}

#[derive(Serialize)]
struct Payload {
    headers: Vec<(String, String)>,
    /// Where the body is UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    /// Where it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
}

pub(super) async fn list(State(admin): State<Admin>, Query(query): Query<ListQuery>) -> Result<Json<Page<EventView>>, Problem> {
    let filter = EventFilter {
        source: query.source.map(|name| name.parse()).transpose().map_err(|_| Problem::bad_request("`source` is not a source's name"))?,
        event_type: query.event_type,
        limit: limit(query.limit)?,
        cursor: query.cursor,
    };
    Ok(Json(admin.store.events(&filter).await?))
}

pub(super) async fn show(
    State(admin): State<Admin>,
    Path(id): Path<String>,
    Query(query): Query<ShowQuery>,
) -> Result<Json<Shown>, Problem> {
    let id: EventId = id.parse().map_err(|_| Problem::bad_request("an event's id is `evt_` and 32 hexadecimal digits"))?;
    let mut event = admin.store.event(id).await?.ok_or_else(|| Problem::not_found(format!("there is no event {id}")))?;
    let content = event.content.take().filter(|_| query.payload);
    let payload = content.map(|(headers, body)| Payload::new(&headers, &body));
    let in_force = admin.current.load();
    let source_class = in_force.settings.sources.get(event.source.as_str()).map(|source| source.class());
    Ok(Json(Shown { event, source_class, payload }))
}

impl Payload {
    fn new(headers: &Headers, body: &[u8]) -> Self {
        let headers = shown(headers);
        match std::str::from_utf8(body) {
            Ok(text) => Self { headers, text: Some(text.to_owned()), base64: None },
            Err(_) => Self { headers, text: None, base64: Some(STANDARD.encode(body)) },
        }
    }
}

pub(super) fn shown(headers: &Headers) -> Vec<(String, String)> {
    headers.iter().map(|(name, value)| (name.to_owned(), String::from_utf8_lossy(value).into_owned())).collect()
}

pub(super) fn limit(asked: Option<u32>) -> Result<u32, Problem> {
    match asked.unwrap_or(LIMIT_DEFAULT) {
        limit @ 1..=LIMIT_MAX => Ok(limit),
        _ => Err(Problem::bad_request("`limit` is 1 to 200")),
    }
}
