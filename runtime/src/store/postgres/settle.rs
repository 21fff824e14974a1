//! Committing attempts' ends: a group is one statement. Each settle is fenced by itself: it changes its job only while the job is
//! still owned, at this attempt, under a lease that is locked against a takeover for as long as the statement runs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::types::Uuid;
use sqlx::{Connection, PgConnection, Row};
use tokio::sync::oneshot;
use tracing::{error, warn};

use super::admit::millis;
use super::link::{Failure, Link};
use super::queue::Queue;
use super::{Node, Run, effects, line};
use crate::domain::{AttemptRecord, DeadReason, Effects, Job, JobId, Outcome, UpstreamName};
use crate::store::{SettleError, answer};

/// How long settlements that the database cannot take wait for the next try.
pub(super) const RETRY: Duration = Duration::from_millis(250);

// A job is running if and only if it has an owner (a CHECK of its table). That it is running is not said, since the index of running jobs
// would serve it: the planner took that while there were few, and went on to look through all that run for each that ended.
// `= ANY` keeps it from reading an index from end to end to join it, which it likes where jobs are few. That is quadratic in the group: 9 ms
// for 256 jobs, 34 for the most. The rows are compared last, since the numbers tell most pairs apart.
macro_rules! settle {
    ($record_is_there:literal) => {
        concat!(
            "WITH clock AS MATERIALIZED (SELECT hookfast_now($1) AS now), \
             input AS MATERIALIZED (SELECT * FROM unnest($2::bigint[], $3::uuid[], $4::integer[], $5::text[], $6::bigint[], $7::text[], $8::text[]) AS i \
               (id, owner, attempt, move, delay, reason, cause)), \
             lease AS MATERIALIZED (SELECT id FROM nodes WHERE id IN (SELECT owner FROM input) FOR KEY SHARE), \
             finished AS (DELETE FROM jobs j USING input i, lease l \
               WHERE i.move IN ('finish', 'bury') AND j.id = ANY($2) AND j.id = i.id AND (j.owner, j.attempt) IS NOT DISTINCT FROM (i.owner, i.attempt) AND l.id = i.owner \
               RETURNING j.id, j.event_id, j.source, j.route, j.plugin, i.attempt, i.move, i.reason, i.cause, CASE WHEN j.skip_after IS NULL THEN j.line END AS line), \
             moved AS (UPDATE jobs j SET owner = NULL, \
                 state = CASE i.move WHEN 'park' THEN 'parked' ELSE 'ready' END, \
                 due_at = CASE i.move WHEN 'retry' THEN c.now + i.delay ELSE j.due_at END, \
                 attempt = CASE i.move WHEN 'retry' THEN j.attempt ELSE j.attempt - 1 END, \
                 suspect = CASE i.move WHEN 'release' THEN j.suspect ELSE false END, \
                 park_reason = CASE i.move WHEN 'park' THEN i.reason END, upstream = CASE i.move WHEN 'park' THEN i.cause END, \
                 line = CASE WHEN i.move = 'retry' AND j.attempt - j.attempts_before >= j.skip_after THEN NULL ELSE j.line END \
               FROM input i, lease l, clock c \
               WHERE i.move IN ('retry', 'park', 'release') AND j.id = ANY($2) AND j.id = i.id AND (j.owner, j.attempt) IS NOT DISTINCT FROM (i.owner, i.attempt) AND l.id = i.owner \
               RETURNING j.id, j.event_id, j.route, i.attempt), \
             settled AS (SELECT id, event_id, route, attempt FROM finished UNION ALL SELECT id, event_id, route, attempt FROM moved), \
             dead AS (INSERT INTO dead_letters (event_id, source, route, plugin, attempts, cause, reason, died_at, line) \
               SELECT f.event_id, f.source, f.route, f.plugin, f.attempt, f.cause, f.reason, c.now, f.line FROM finished f, clock c WHERE f.move = 'bury'), \
             recorded AS (INSERT INTO attempts (event_id, route, attempt, node, plugin, digest, started_at, duration_us, outcome, failure, detail, retry_at, calls, log) \
               SELECT s.event_id, s.route, s.attempt, r.node, r.plugin, r.digest, r.started_at, r.duration_us, r.outcome, r.failure, r.detail, r.retry_at, r.calls, r.log \
               FROM unnest($9::bigint[], $10::uuid[], $11::text[], $12::bytea[], $13::bigint[], $14::bigint[], $15::text[], $16::text[], $17::text[], $18::bigint[], $19::text[], $20::text[]) AS r \
                 (id, node, plugin, digest, started_at, duration_us, outcome, failure, detail, retry_at, calls, log) JOIN settled s ON s.id = r.id",
            $record_is_there,
            ") \
             SELECT id FROM settled"
        )
    };
}
const SETTLE: &str = settle!("");
// A run that ended parked has given its number back: the next one takes its place. Rare, and so another statement.
const SETTLE_AGAIN: &str = settle!(
    " ON CONFLICT (event_id, route, attempt) DO UPDATE SET node = excluded.node, plugin = excluded.plugin, digest = excluded.digest, \
       started_at = excluded.started_at, duration_us = excluded.duration_us, outcome = excluded.outcome, failure = excluded.failure, \
       detail = excluded.detail, retry_at = excluded.retry_at, calls = excluded.calls, log = excluded.log"
);

/// An attempt's end to commit. Those with effects have a queue of their own, since they take longer.
pub(super) struct Settlement {
    pub(super) job: Job,
    pub(super) outcome: Outcome,
    pub(super) record: Option<AttemptRecord>,
    pub(super) effects: Effects,
    /// Whether the record of a run that ended parked may be there under its number.
    pub(super) is_again: bool,
    pub(super) reply: oneshot::Sender<Result<(), SettleError>>,
}

/// The two connections of a settling task.
pub(super) struct Links {
    /// Commits are synced.
    pub(super) synced: Link,
    /// Commits are not waited for: what is lost is only run again.
    pub(super) relaxed: Link,
}

impl Settlement {
    /// Whether losing it after it was answered only means that the job runs again.
    fn is_plain(&self) -> bool {
        self.effects.is_empty() && !matches!(self.outcome, Outcome::Dead { .. })
    }
}

/// Settles until the queue is closed and empty.
pub(super) async fn flush(node: Arc<Node>, queue: Arc<Queue<Settlement>>, mut links: Links) {
    while let Some(batch) = queue.next_batch().await {
        node.survives(node.settle(&queue, &mut links, batch)).await;
    }
}

impl Node {
    /// Commits a group, trying for as long as the database is away. One that is refused is halved; a culprit ends dead.
    async fn settle(&self, queue: &Queue<Settlement>, links: &mut Links, batch: Vec<Settlement>) {
        let mut groups = vec![batch];
        while let Some(mut group) = groups.pop() {
            let link = if group.iter().all(Settlement::is_plain) { &mut links.relaxed } else { &mut links.synced };
            let started = Instant::now();
            let guard = self.taking.read().await;
            match link.run(async |connection| commit(connection, self, &group).await).await {
                Ok(settled) => {
                    self.metrics.commit(started.elapsed(), group.len());
                    self.answer(group, settled);
                    self.committed();
                }
                Err(Failure::Outage(error)) => {
                    drop(guard);
                    self.lost_sight(&error);
                    if queue.is_closed() {
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
                Err(Failure::Refused(error)) if record_is_there(&error) && !group.iter().all(|settlement| settlement.is_again) => {
                    group.iter_mut().for_each(|settlement| settlement.is_again = true);
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

    fn answer(&self, group: Vec<Settlement>, settled: Vec<Result<(), SettleError>>) {
        for (Settlement { job, outcome, effects, reply, .. }, settled) in group.into_iter().zip(settled) {
            // A job that is to be run again is still ours.
            if !matches!(settled, Err(SettleError::Conflict)) {
                self.held().remove(&Run::of(&job));
            }
            if settled.is_ok() {
                let now = self.clock.steady();
                let next = match outcome {
                    Outcome::Retry { at, .. } => Some(at),
                    Outcome::Release if self.left_to_others.has(&job.source) => None,
                    Outcome::Release => Some(now),
                    _ => effects::soonest(&effects).map(|delay| now + delay),
                };
                next.into_iter().for_each(|at| self.becomes_due(at));
            }
            let _ = reply.send(settled);
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
        let outcome = Outcome::Dead { cause: DeadReason::Unstorable, reason };
        Some(Settlement { outcome, record: None, effects: Effects::default(), ..culprit })
    }
}

/// Commits what of a group can be, and says of each what became of it.
async fn commit(connection: &mut PgConnection, node: &Node, group: &[Settlement]) -> Result<Vec<Result<(), SettleError>>, sqlx::Error> {
    let all: Vec<&Settlement> = group.iter().collect();
    if group.iter().any(|settlement| !settlement.effects.is_empty()) {
        return effects::commit(connection, node, &all).await;
    }
    let settled = commit_plain(connection, node, &all).await?;
    let is_settled = |settlement: &Settlement| settled.contains(&settlement.job.id);
    Ok(group.iter().map(|settlement| if is_settled(settlement) { Ok(()) } else { Err(SettleError::Stale) }).collect())
}

async fn commit_plain(connection: &mut PgConnection, node: &Node, group: &[&Settlement]) -> Result<Vec<JobId>, sqlx::Error> {
    let heads = heads(group);
    if heads.is_empty() {
        return move_jobs(connection, node, group).await;
    }
    let mut transaction = connection.begin().await?;
    line::hold(&mut transaction, line::lines_of(&heads)).await?;
    let settled = move_jobs(&mut transaction, node, group).await?;
    let advanced = line::advance(&mut transaction, &heads, node.given_now()).await?;
    transaction.commit().await?;
    if advanced > 0 {
        node.becomes_due(node.clock.steady());
    }
    Ok(settled)
}

/// The lines that these jobs are the heads of.
pub(super) fn heads(group: &[&Settlement]) -> Vec<line::Place> {
    let place = |job: &Job| job.line.map(|line| (Uuid::from_bytes(line.hash), job.lineage.route.to_string()));
    group.iter().filter_map(|settlement| place(&settlement.job)).collect()
}

/// Moves the jobs that are still ours, with their records; which those were.
pub(super) async fn move_jobs(connection: &mut PgConnection, node: &Node, group: &[&Settlement]) -> Result<Vec<JobId>, sqlx::Error> {
    fn column<'a, T>(group: &[&'a Settlement], of: impl Fn(&'a Settlement) -> T) -> Vec<T> {
        group.iter().map(|settlement| of(settlement)).collect()
    }
    let recorded: Vec<(&Settlement, &AttemptRecord)> =
        group.iter().filter_map(|settlement| settlement.record.as_ref().map(|record| (*settlement, record))).collect();
    fn field<'a, T>(recorded: &[(&'a Settlement, &'a AttemptRecord)], of: impl Fn(&'a Settlement, &'a AttemptRecord) -> T) -> Vec<T> {
        recorded.iter().map(|(settlement, record)| of(settlement, record)).collect()
    }
    let now = node.clock.steady();
    let is_again = group.iter().any(|settlement| settlement.is_again);
    let rows = sqlx::query(if is_again { SETTLE_AGAIN } else { SETTLE })
        .bind(node.given_now())
        .bind(column(group, |settlement| settlement.job.id.0))
        .bind(column(group, |settlement| Uuid::from_bytes(*settlement.job.owner.as_bytes())))
        .bind(column(group, |settlement| number(settlement.job.attempt)))
        .bind(column(group, |settlement| verb(&settlement.outcome)))
        .bind(column(group, |settlement| if let Outcome::Retry { at, .. } = settlement.outcome { millis(at.since(now)) } else { 0 }))
        .bind(column(group, |settlement| settlement.outcome.detail()))
        .bind(column(group, |settlement| cause(&settlement.outcome)))
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

/// What a job died of, or the upstream that it waits for.
fn cause(outcome: &Outcome) -> Option<&str> {
    match outcome {
        Outcome::Dead { cause, .. } => Some(cause.code()),
        Outcome::Park { reason } => reason.upstream().map(UpstreamName::as_str),
        _ => None,
    }
}

/// Whether what is refused is a second record under an attempt's number.
fn record_is_there(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|refusal| refusal.constraint()) == Some("attempts_pkey")
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
