//! The journal of each job: the first final response of each of its steps, or that the step's call comes next. Kept, synced, only while
//! the job is still its node's at that attempt.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgRow;
use sqlx::types::Uuid;
use sqlx::{PgConnection, Row};
use tokio::sync::oneshot;
use tracing::error;

use super::admit::millis;
use super::link::{Failure, Link};
use super::read_events::count;
use super::settle::{RETRY, number};
use super::{Node, Postgres, Run};
use crate::domain::{Headers, Job, JobId, JournalEntry, Lineage, NodeId, OutboundAnswer, RecordedStep, StepState};
use crate::store::{SettleError, StepView, StoreError};

// What is recorded stays, and so does who began a step first. The lease first, as for a settle: from then on nobody takes the jobs over.
// A job is running if and only if it has an owner (a CHECK of its table).
const KEEP: &str = "WITH input AS MATERIALIZED (SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::integer[], $4::text[], $5::text[], $6::integer[], \
       $7::integer[], $8::bytea[], $9::text[], $10::integer[], $11::bytea[], $12::bytea[], $13::bigint[]) AS i \
       (id, owner, run, step, state, replays, attempt, request, summary, status, headers, body, latency_ms)), \
     lease AS MATERIALIZED (SELECT id FROM nodes WHERE id = ANY($2) ORDER BY id FOR KEY SHARE), \
     ours AS MATERIALIZED (SELECT id, event_id, route, owner, attempt FROM jobs \
       WHERE id = ANY($1) AND owner IN (SELECT id FROM lease) ORDER BY id FOR SHARE), \
     kept AS (INSERT INTO steps AS s (event_id, route, step, state, replays, attempt, request, summary, status, headers, body, latency_ms) \
       SELECT o.event_id, o.route, i.step, i.state, i.replays, i.attempt, i.request, i.summary, i.status, i.headers, i.body, i.latency_ms \
       FROM input i JOIN ours o ON o.id = i.id AND o.owner = i.owner AND o.attempt = i.run \
       ON CONFLICT (event_id, route, step) DO UPDATE SET state = excluded.state, replays = excluded.replays, attempt = excluded.attempt, \
         request = excluded.request, summary = excluded.summary, status = excluded.status, headers = excluded.headers, body = excluded.body, \
         latency_ms = excluded.latency_ms \
       WHERE s.state = 'forgotten' OR (s.state = 'begun' AND excluded.state = 'recorded')) \
     SELECT id, owner, attempt FROM ours";
const STEPS: &str = "SELECT * FROM steps WHERE event_id = $1 AND route = $2 ORDER BY step";
const VIEWS: &str =
    "SELECT route, step, state, replays, attempt, summary, status, latency_ms FROM steps WHERE event_id = $1 ORDER BY route, step";

/// A row of a job's journal on its way.
pub(super) struct Entry {
    job: Job,
    entry: JournalEntry,
    reply: oneshot::Sender<Result<(), SettleError>>,
}

/// Keeps steps until the queue is closed and empty.
pub(super) async fn flush(node: Arc<Node>, mut link: Link) {
    while let Some(batch) = node.journal.next_batch().await {
        node.survives(node.keep(&mut link, batch)).await;
    }
}

impl Node {
    /// Keeps a group, trying for as long as the database is away. One that is refused is halved until the culprit stands alone.
    async fn keep(&self, link: &mut Link, batch: Vec<Entry>) {
        let mut groups = vec![batch];
        while let Some(mut group) = groups.pop() {
            match link.run(async |connection| keep(connection, &group).await).await {
                Ok(running) => {
                    for Entry { job, reply, .. } in group {
                        let is_ours = running.contains(&Run::of(&job));
                        let _ = reply.send(if is_ours { Ok(()) } else { Err(SettleError::Stale) });
                    }
                }
                Err(Failure::Outage(error)) => {
                    self.lost_sight(&error);
                    if self.journal.is_closed() {
                        let waiting = group.into_iter().chain(groups.drain(..).flatten());
                        waiting.for_each(|entry| drop(entry.reply.send(Err(SettleError::Closed))));
                        return;
                    }
                    tokio::time::sleep(RETRY).await;
                    groups.push(group);
                }
                Err(Failure::Refused(error)) if group.len() == 1 => {
                    for Entry { job, reply, .. } in group {
                        error!(%error, event = %job.lineage.event, lineage = %job.lineage, "the database refuses to keep this job's step; its run ends");
                        let _ = reply.send(Err(SettleError::Stale));
                    }
                }
                Err(Failure::Refused(_)) => {
                    let second = group.split_off(group.len() / 2);
                    groups.extend([second, group]);
                }
            }
        }
    }
}

/// Which of the jobs are still ours: their steps are kept.
async fn keep(connection: &mut PgConnection, group: &[Entry]) -> Result<HashSet<Run>, sqlx::Error> {
    fn column<'a, T>(group: &'a [Entry], of: impl Fn(&'a Entry) -> T) -> Vec<T> {
        group.iter().map(of).collect()
    }
    fn field<'a, T>(group: &'a [Entry], of: impl Fn(&'a RecordedStep) -> T) -> Vec<Option<T>> {
        let recorded = |entry: &'a Entry| if let StepState::Recorded(recorded) = &entry.entry.state { Some(recorded) } else { None };
        group.iter().map(|entry| recorded(entry).map(&of)).collect()
    }
    let rows = sqlx::query(KEEP)
        .bind(column(group, |entry| entry.job.id.0))
        .bind(column(group, |entry| Uuid::from_bytes(*entry.job.owner.as_bytes())))
        .bind(column(group, |entry| number(entry.job.attempt)))
        .bind(column(group, |entry| entry.entry.step.as_str()))
        .bind(column(group, |entry| word(&entry.entry.state)))
        .bind(column(group, |entry| number(entry.entry.replays)))
        .bind(column(group, |entry| attempt(&entry.entry.state).map(number)))
        .bind(field(group, |recorded| &recorded.request[..]))
        .bind(field(group, |recorded| recorded.summary.as_str()))
        .bind(field(group, |recorded| i32::from(recorded.answer.status)))
        .bind(field(group, |recorded| recorded.answer.headers.as_bytes()))
        .bind(field(group, |recorded| &recorded.answer.body[..]))
        .bind(field(group, |recorded| millis(recorded.latency)))
        .fetch_all(connection)
        .await?;
    let run = |row: &PgRow| Run {
        job: JobId(row.get("id")),
        owner: NodeId::from_bytes(row.get::<Uuid, _>("owner").into_bytes()),
        attempt: count(row.get("attempt")),
    };
    Ok(rows.iter().map(run).collect())
}

fn word(state: &StepState) -> &'static str {
    match state {
        StepState::Forgotten => "forgotten",
        StepState::Begun { .. } => "begun",
        StepState::Recorded(_) => "recorded",
    }
}

fn attempt(state: &StepState) -> Option<u32> {
    match state {
        StepState::Forgotten => None,
        StepState::Begun { attempt } => Some(*attempt),
        StepState::Recorded(recorded) => Some(recorded.attempt),
    }
}

impl Postgres {
    pub(in crate::store) async fn journal(&self, job: Job, entry: JournalEntry) -> Result<(), SettleError> {
        let (reply, answer) = oneshot::channel();
        let bytes = if let StepState::Recorded(recorded) = &entry.state { recorded.answer.body.len() } else { 0 };
        self.node.journal.push(Entry { job, entry, reply }, bytes, true).map_err(|_| SettleError::Closed)?;
        answer.await.unwrap_or(Err(SettleError::Closed))
    }

    pub(in crate::store) async fn steps(&self, lineage: &Lineage) -> Result<Vec<JournalEntry>, StoreError> {
        let query = sqlx::query(STEPS).bind(Uuid::from_bytes(*lineage.event.as_bytes())).bind(lineage.route.as_str());
        let rows = query.fetch_all(&self.node.pool).await?;
        rows.iter().map(|row| read(row).ok_or(StoreError::Damaged { table: "steps", what: "a step" })).collect()
    }
}

/// The steps of an event's jobs, each with its route.
pub(super) async fn views(connection: &mut PgConnection, event: Uuid) -> Result<Vec<(String, StepView)>, sqlx::Error> {
    Ok(sqlx::query(VIEWS).bind(event).fetch_all(connection).await?.iter().map(|row| (row.get("route"), view(row))).collect())
}

fn read(row: &PgRow) -> Option<JournalEntry> {
    let state = match row.get::<&str, _>("state") {
        "forgotten" => StepState::Forgotten,
        "begun" => StepState::Begun { attempt: count(row.get("attempt")) },
        _ => StepState::Recorded(recorded(row)?),
    };
    Some(JournalEntry { step: row.get::<&str, _>("step").parse().ok()?, state, replays: count(row.get("replays")) })
}

fn recorded(row: &PgRow) -> Option<RecordedStep> {
    let answer = OutboundAnswer {
        status: status(row)?,
        headers: Headers::from_bytes(row.get("headers"))?,
        body: row.get::<Vec<u8>, _>("body").into(),
        stale_for: None,
    };
    Some(RecordedStep {
        request: row.get::<Vec<u8>, _>("request").try_into().ok()?,
        summary: row.get("summary"),
        answer,
        attempt: count(row.get("attempt")),
        latency: Duration::from_millis(row.get::<i64, _>("latency_ms").unsigned_abs()),
    })
}

fn view(row: &PgRow) -> StepView {
    StepView {
        name: row.get("step"),
        state: row.get("state"),
        summary: row.get("summary"),
        status: status(row),
        attempt: row.get::<Option<i32>, _>("attempt").map(count),
        ms: row.get::<Option<i64>, _>("latency_ms").map(i64::unsigned_abs),
        replays: count(row.get("replays")),
    }
}

fn status(row: &PgRow) -> Option<u16> {
    row.get::<Option<i32>, _>("status").and_then(|status| u16::try_from(status).ok())
}
