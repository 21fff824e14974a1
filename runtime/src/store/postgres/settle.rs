//! Committing attempts' ends: a group is one statement. Each settle is fenced by itself: it changes its job only while the job is
//! still owned, at this attempt, under a lease that is locked against a takeover for as long as the statement runs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::types::Uuid;
use sqlx::{Connection, PgConnection, Row};
use tokio::sync::oneshot;
use tracing::{error, warn};

use super::admit::millis;
use super::line;
use super::link::{Failure, Link};
use super::{Node, Run};
use crate::domain::{AttemptRecord, DeadReason, Job, JobId, Outcome};
use crate::store::{SettleError, answer};

/// How long settlements that the database cannot take wait for the next try.
const RETRY: Duration = Duration::from_millis(250);

const SETTLE: &str = "WITH clock AS MATERIALIZED (SELECT hookfast_now($1) AS now), \
     input AS MATERIALIZED (SELECT * FROM unnest($2::bigint[], $3::uuid[], $4::integer[], $5::text[], $6::bigint[], $7::text[], $8::text[]) AS i \
       (id, owner, attempt, move, delay, reason, cause)), \
     lease AS MATERIALIZED (SELECT id FROM nodes WHERE id IN (SELECT owner FROM input) FOR KEY SHARE), \
     finished AS (DELETE FROM jobs j USING input i, lease l \
       WHERE i.move IN ('finish', 'bury') AND j.id = i.id AND j.state = 'running' AND j.owner = i.owner AND l.id = i.owner AND j.attempt = i.attempt \
       RETURNING j.id, j.event_id, j.source, j.route, j.plugin, i.attempt, i.move, i.reason, i.cause, CASE WHEN j.skip_after IS NULL THEN j.line END AS line), \
     moved AS (UPDATE jobs j SET owner = NULL, \
         state = CASE i.move WHEN 'park' THEN 'parked' ELSE 'ready' END, \
         due_at = CASE i.move WHEN 'retry' THEN c.now + i.delay ELSE j.due_at END, \
         attempt = CASE i.move WHEN 'retry' THEN j.attempt ELSE j.attempt - 1 END, \
         suspect = CASE i.move WHEN 'release' THEN j.suspect ELSE false END, \
         park_reason = CASE i.move WHEN 'park' THEN i.reason END, \
         line = CASE WHEN i.move = 'retry' AND j.attempt - j.attempts_before >= j.skip_after THEN NULL ELSE j.line END \
       FROM input i, lease l, clock c \
       WHERE i.move IN ('retry', 'park', 'release') AND j.id = i.id AND j.state = 'running' AND j.owner = i.owner AND l.id = i.owner AND j.attempt = i.attempt \
       RETURNING j.id, j.event_id, j.route, i.attempt), \
     settled AS (SELECT id, event_id, route, attempt FROM finished UNION ALL SELECT id, event_id, route, attempt FROM moved), \
     dead AS (INSERT INTO dead_letters (event_id, source, route, plugin, attempts, cause, reason, died_at, line) \
       SELECT f.event_id, f.source, f.route, f.plugin, f.attempt, f.cause, f.reason, c.now, f.line FROM finished f, clock c WHERE f.move = 'bury'), \
     recorded AS (INSERT INTO attempts (event_id, route, attempt, node, plugin, digest, started_at, duration_us, outcome, failure, detail, retry_at, calls, log) \
       SELECT s.event_id, s.route, s.attempt, r.node, r.plugin, r.digest, r.started_at, r.duration_us, r.outcome, r.failure, r.detail, r.retry_at, r.calls, r.log \
       FROM unnest($9::bigint[], $10::uuid[], $11::text[], $12::bytea[], $13::bigint[], $14::bigint[], $15::text[], $16::text[], $17::text[], $18::bigint[], $19::text[], $20::text[]) AS r \
         (id, node, plugin, digest, started_at, duration_us, outcome, failure, detail, retry_at, calls, log) JOIN settled s ON s.id = r.id) \
     SELECT id FROM settled";

/// An attempt's end to commit.
pub(super) struct Settlement {
    pub(super) job: Job,
    pub(super) outcome: Outcome,
    pub(super) record: Option<AttemptRecord>,
    pub(super) reply: oneshot::Sender<Result<(), SettleError>>,
}

/// The two connections of the settling task.
pub(super) struct Links {
    /// Commits are synced.
    pub(super) synced: Link,
    /// Commits are not waited for: what is lost is only run again.
    pub(super) relaxed: Link,
}

/// Settles until the queue is closed and empty.
pub(super) async fn flush(node: Arc<Node>, mut links: Links) {
    while let Some(batch) = node.settlements.next_batch().await {
        node.settle(&mut links, batch).await;
    }
}

impl Node {
    /// Commits a group, trying for as long as the database is away. One that is refused is halved; a culprit ends dead.
    async fn settle(&self, links: &mut Links, batch: Vec<Settlement>) {
        let mut groups = vec![batch];
        while let Some(mut group) = groups.pop() {
            let is_plain = !group.iter().any(|settlement| matches!(settlement.outcome, Outcome::Dead { .. }));
            let link = if is_plain { &mut links.relaxed } else { &mut links.synced };
            let started = Instant::now();
            let guard = self.taking.read().await;
            match link.run(async |connection| commit(connection, self, &group).await).await {
                Ok(settled) => {
                    self.metrics.commit(started.elapsed(), group.len());
                    self.answer(group, &settled);
                    self.committed();
                }
                Err(Failure::Outage(error)) => {
                    drop(guard);
                    self.lost_sight(&error);
                    if self.settlements.is_closed() {
                        // Nobody waits for this node any more: its lease runs out, and its jobs are rescued.
                        group
                            .into_iter()
                            .chain(groups.drain(..).flatten())
                            .for_each(|settlement| drop(settlement.reply.send(Err(SettleError::Closed))));
                        return;
                    }
                    tokio::time::sleep(RETRY).await;
                    groups.push(group);
                }
                Err(Failure::Refused(error)) if group.len() == 1 => {
                    groups.extend(group.pop().and_then(|culprit| self.blame(culprit, &error)).map(|again| vec![again]));
                }
                Err(Failure::Refused(_)) => {
                    let second = group.split_off(group.len() / 2);
                    groups.extend([second, group]);
                }
            }
        }
    }

    fn answer(&self, group: Vec<Settlement>, settled: &[JobId]) {
        for Settlement { job, outcome, reply, .. } in group {
            self.held().remove(&Run::of(&job));
            let is_settled = settled.contains(&job.id);
            match outcome {
                Outcome::Retry { at, .. } if is_settled => self.becomes_due(at),
                Outcome::Release if is_settled => self.becomes_due(self.clock.now()),
                _ => {}
            }
            let _ = reply.send(if is_settled { Ok(()) } else { Err(SettleError::Stale) });
        }
    }

    /// What the database refuses by itself becomes a dead letter; if it refuses that too, the job stays ours until we end.
    fn blame(&self, culprit: Settlement, error: &sqlx::Error) -> Option<Settlement> {
        if matches!(culprit.outcome, Outcome::Dead { cause: DeadReason::Unstorable, .. }) {
            error!(%error, event = %culprit.job.lineage.event, lineage = %culprit.job.lineage, "a job could not be settled; it will be rescued when this node ends");
            let _ = culprit.reply.send(Err(SettleError::Stale));
            return None;
        }
        warn!(%error, event = %culprit.job.lineage.event, lineage = %culprit.job.lineage, "the database refuses this settlement; the job becomes a dead letter");
        let reason = "the database refused this attempt's outcome; see the server's log".to_owned();
        Some(Settlement { outcome: Outcome::Dead { cause: DeadReason::Unstorable, reason }, record: None, ..culprit })
    }
}

async fn commit(connection: &mut PgConnection, node: &Node, group: &[Settlement]) -> Result<Vec<JobId>, sqlx::Error> {
    let place = |job: &Job| job.line.map(|line| (Uuid::from_bytes(line.hash), job.lineage.route.to_string()));
    let heads: Vec<line::Place> = group.iter().filter_map(|settlement| place(&settlement.job)).collect();
    if heads.is_empty() {
        return move_jobs(connection, node, group).await;
    }
    let mut transaction = connection.begin().await?;
    line::hold(&mut transaction, line::lines_of(&heads)).await?;
    let settled = move_jobs(&mut transaction, node, group).await?;
    let advanced = line::advance(&mut transaction, &heads, node.given_now()).await?;
    transaction.commit().await?;
    if advanced > 0 {
        node.becomes_due(node.clock.now());
    }
    Ok(settled)
}

async fn move_jobs(connection: &mut PgConnection, node: &Node, group: &[Settlement]) -> Result<Vec<JobId>, sqlx::Error> {
    fn column<'a, T>(group: &'a [Settlement], of: impl Fn(&'a Settlement) -> T) -> Vec<T> {
        group.iter().map(of).collect()
    }
    let recorded: Vec<(&Settlement, &AttemptRecord)> =
        group.iter().filter_map(|settlement| settlement.record.as_ref().map(|record| (settlement, record))).collect();
    fn field<'a, T>(recorded: &[(&'a Settlement, &'a AttemptRecord)], of: impl Fn(&'a Settlement, &'a AttemptRecord) -> T) -> Vec<T> {
        recorded.iter().map(|(settlement, record)| of(settlement, record)).collect()
    }
    let now = node.clock.now();
    let rows = sqlx::query(SETTLE)
        .bind(node.given_now())
        .bind(column(group, |settlement| settlement.job.id.0))
        .bind(column(group, |settlement| Uuid::from_bytes(*settlement.job.owner.as_bytes())))
        .bind(column(group, |settlement| number(settlement.job.attempt)))
        .bind(column(group, |settlement| verb(&settlement.outcome)))
        .bind(column(group, |settlement| if let Outcome::Retry { at, .. } = settlement.outcome { millis(at.since(now)) } else { 0 }))
        .bind(column(group, |settlement| settlement.outcome.detail()))
        .bind(column(group, |settlement| if let Outcome::Dead { cause, .. } = settlement.outcome { Some(cause.code()) } else { None }))
        .bind(field(&recorded, |settlement, _| settlement.job.id.0))
        .bind(field(&recorded, |settlement, _| Uuid::from_bytes(*settlement.job.owner.as_bytes())))
        .bind(field(&recorded, |settlement, _| settlement.job.plugin.as_str()))
        .bind(field(&recorded, |_, record| &record.digest.as_bytes()[..]))
        .bind(field(&recorded, |_, record| record.started_at.as_millis()))
        .bind(field(&recorded, |_, record| i64::try_from(record.duration.as_micros()).unwrap_or(i64::MAX)))
        .bind(field(&recorded, |settlement, _| settlement.outcome.as_str()))
        .bind(field(&recorded, |_, record| record.failure.map(|kind| kind.code())))
        .bind(field(&recorded, |settlement, _| settlement.outcome.detail()))
        .bind(field(
            &recorded,
            |settlement, _| if let Outcome::Retry { at, .. } = settlement.outcome { Some(at.as_millis()) } else { None },
        ))
        .bind(field(&recorded, |_, record| answer::record(&record.calls)))
        .bind(field(&recorded, |_, record| answer::record(&record.log)))
        .fetch_all(connection)
        .await?;
    Ok(rows.iter().map(|row| JobId(row.get(0))).collect())
}

/// The word for an outcome's move in the statement.
fn verb(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Done { .. } | Outcome::Discard { .. } => "finish",
        Outcome::Dead { .. } => "bury",
        Outcome::Retry { .. } => "retry",
        Outcome::Park { .. } => "park",
        Outcome::Release => "release",
    }
}

pub(super) fn number(attempt: u32) -> i32 {
    i32::try_from(attempt).unwrap_or(i32::MAX)
}
