//! The journal of each job: the first final response of each of its steps, or that the step's call comes next.

use std::sync::LazyLock;
use std::time::Duration;

use rusqlite::params;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Row};

use super::Sqlite;
use super::numbers::SEQ_OF_ID;
use super::settle;
use super::writer::Round;
use crate::domain::{Headers, Job, JournalEntry, Lineage, OutboundAnswer, RecordedStep, StepState};
use crate::store::{SettleError, StepView, StoreError};

// What is recorded stays, and so does who began a step first.
const KEEP: &str = "INSERT INTO steps (event_seq, route, step, state, replays, attempt, request, summary, status, headers, body, latency_ms) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) \
     ON CONFLICT (event_seq, route, step) DO UPDATE SET state = excluded.state, replays = excluded.replays, attempt = excluded.attempt, \
       request = excluded.request, summary = excluded.summary, status = excluded.status, headers = excluded.headers, body = excluded.body, \
       latency_ms = excluded.latency_ms \
     WHERE steps.state = 'forgotten' OR (steps.state = 'begun' AND excluded.state = 'recorded')";
/// Forgets what failed of the event's and route's steps; the responses of success stay, and what may have happened.
const FORGET_FAILED: &str = "UPDATE steps SET state = 'forgotten', replays = replays + 1, attempt = NULL, request = NULL, summary = NULL, \
       status = NULL, headers = NULL, body = NULL, latency_ms = NULL \
     WHERE event_seq = ?1 AND route = ?2 AND state = 'recorded' AND status >= 400";
static STEPS: LazyLock<String> = LazyLock::new(|| format!("SELECT * FROM steps WHERE event_seq = {SEQ_OF_ID} AND route = ?3"));
const VIEWS: &str =
    "SELECT route, step, state, replays, attempt, summary, status, latency_ms FROM steps WHERE event_seq = ?1 ORDER BY route, step";

pub(super) fn keep(round: &Round<'_>, job: &Job, entry: &JournalEntry) -> Result<Result<(), SettleError>, rusqlite::Error> {
    let Some(event_seq) = settle::event_of_running(round, job)? else { return Ok(Err(SettleError::Stale)) };
    let JournalEntry { step, state, replays } = entry;
    let (word, attempt, recorded) = match state {
        StepState::Forgotten => ("forgotten", None, None),
        StepState::Begun { attempt } => ("begun", Some(attempt), None),
        StepState::Recorded(recorded) => ("recorded", Some(&recorded.attempt), Some(recorded)),
    };
    let values = params![
        event_seq,
        job.lineage.route.as_str(),
        step.as_str(),
        word,
        replays,
        attempt,
        recorded.map(|recorded| recorded.request),
        recorded.map(|recorded| &recorded.summary),
        recorded.map(|recorded| recorded.answer.status),
        recorded.map(|recorded| recorded.answer.headers.as_bytes()),
        recorded.map(|recorded| &recorded.answer.body[..]),
        recorded.map(|recorded| i64::try_from(recorded.latency.as_millis()).unwrap_or(i64::MAX)),
    ];
    round.statements.execute(KEEP, values)?;
    Ok(Ok(()))
}

/// Before a dead letter is replayed.
pub(super) fn forget_failed(round: &Round<'_>, event_seq: i64, route: &str) -> Result<(), rusqlite::Error> {
    round.statements.execute(FORGET_FAILED, params![event_seq, route]).map(drop)
}

impl Sqlite {
    pub(in crate::store) async fn steps(&self, lineage: &Lineage) -> Result<Vec<JournalEntry>, StoreError> {
        let Lineage { event, route } = lineage;
        let query =
            sqlx::query(AssertSqlSafe(STEPS.as_str())).bind(event.as_bytes().to_vec()).bind(event.number()).bind(route.as_str().to_owned());
        let rows = query.fetch_all(&self.reads).await?;
        rows.iter().map(|row| entry(row).ok_or(StoreError::Damaged { table: "steps", what: "a step" })).collect()
    }

    /// The steps of an event's jobs, each with its route.
    pub(super) async fn step_views(&self, event_seq: i64) -> Result<Vec<(String, StepView)>, StoreError> {
        Ok(sqlx::query(VIEWS).bind(event_seq).fetch_all(&self.reads).await?.iter().map(view).collect())
    }
}

fn entry(row: &SqliteRow) -> Option<JournalEntry> {
    let state = match row.get::<&str, _>("state") {
        "forgotten" => StepState::Forgotten,
        "begun" => StepState::Begun { attempt: row.get("attempt") },
        _ => StepState::Recorded(recorded(row)?),
    };
    Some(JournalEntry { step: row.get::<&str, _>("step").parse().ok()?, state, replays: row.get("replays") })
}

fn recorded(row: &SqliteRow) -> Option<RecordedStep> {
    let answer = OutboundAnswer {
        status: row.get("status"),
        headers: Headers::from_bytes(row.get("headers"))?,
        body: row.get::<Vec<u8>, _>("body").into(),
        stale_for: None,
    };
    Some(RecordedStep {
        request: row.get::<Vec<u8>, _>("request").try_into().ok()?,
        summary: row.get("summary"),
        answer,
        attempt: row.get("attempt"),
        latency: Duration::from_millis(row.get::<i64, _>("latency_ms").unsigned_abs()),
    })
}

fn view(row: &SqliteRow) -> (String, StepView) {
    let view = StepView {
        name: row.get("step"),
        state: row.get("state"),
        summary: row.get("summary"),
        status: row.get("status"),
        attempt: row.get("attempt"),
        ms: row.get::<Option<i64>, _>("latency_ms").map(i64::unsigned_abs),
        replays: row.get("replays"),
    };
    (row.get("route"), view)
}
