//! Committing an attempt's end: the fence, the job's move, the attempt's row, the dead letter, and what the handler asked for.

use rusqlite::params;
use tracing::info;

use super::operation::Settlement;
use super::writer::Round;
use super::{admit, deliveries, line, state};
use crate::domain::{AttemptRecord, DeadReason, Job, Outcome};
use crate::store::{Admitted, SettleError, answer};

// The fence: a job that is no longer this process's at this attempt is not touched. This transaction is the only one that writes, so what
// it has seen holds for the moves below. (RETURNING would say the same at once, and make a table for it, anew for each job.)
const RUNNING: &str = "SELECT event_seq FROM jobs WHERE id = ?1 AND state = 'running' AND owner = ?2 AND attempt = ?3";
pub(super) static DELETE_JOB: &str = "DELETE FROM jobs WHERE id = ?1";
// One that has failed often enough leaves its line, and goes on by itself.
const RETRY: &str = "UPDATE jobs SET state = 'ready', owner = NULL, due_at = ?2, suspect = 0, \
     line = CASE WHEN attempt - attempts_before >= skip_after THEN NULL ELSE line END WHERE id = ?1";
const PARK: &str =
    "UPDATE jobs SET state = 'parked', owner = NULL, attempt = attempt - 1, park_reason = ?2, upstream = ?3, suspect = 0 WHERE id = ?1";
const RELEASE: &str = "UPDATE jobs SET state = 'ready', owner = NULL, attempt = attempt - 1 WHERE id = ?1";
// A run that ended parked has given its number back: the next one takes its place.
const INSERT_ATTEMPT: &str = "INSERT OR REPLACE INTO attempts (event_seq, route, attempt, boot, plugin, digest, started_at, duration_us, outcome, \
     failure, detail, retry_at, calls, log) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
pub(super) static INSERT_DEAD: &str = "INSERT INTO dead_letters (event_seq, source, route, plugin, attempts, cause, reason, died_at, line) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";

pub(super) fn apply(round: &mut Round<'_>, settlement: &Settlement) -> Result<Result<(), SettleError>, rusqlite::Error> {
    let Settlement { job, outcome, record, effects, .. } = settlement;
    let Some(event_seq) = event_of_running(round, job)? else { return Ok(Err(SettleError::Stale)) };
    // A conflict leaves the job as it is, and so is found before its move.
    if let Some(changes) = &effects.state
        && state::apply(round, changes)?.is_err()
    {
        return Ok(Err(SettleError::Conflict));
    }
    move_job(round, job.id.0, outcome)?;
    if let Some(record) = record {
        insert_attempt(round, event_seq, job, outcome, record)?;
    }
    if let Outcome::Dead { cause, reason } = outcome {
        insert_dead(round, event_seq, job, *cause, reason)?;
    }
    if let Some(line) = job.line {
        line::advance(round, line.hash, job.lineage.route.as_str())?;
    }
    // Behind those of their line that waited for this job.
    for new in &effects.events {
        if let Admitted::Duplicate { of, .. } = admit::apply(round, new)? {
            info!(lineage = %job.lineage, event = %new.event.id, of = %of, "an emitted event is left out: its key is known");
        }
    }
    for delivery in &effects.deliveries {
        deliveries::insert(round, event_seq, job, delivery)?;
    }
    Ok(Ok(()))
}

/// The number of the event of a job, where the job is still this process's at this attempt.
pub(super) fn event_of_running(round: &Round<'_>, job: &Job) -> Result<Option<i64>, rusqlite::Error> {
    round.statements.first(RUNNING, params![job.id.0, round.boot, job.attempt], |row| row.get(0))
}

fn move_job(round: &mut Round<'_>, id: i64, outcome: &Outcome) -> Result<(), rusqlite::Error> {
    match outcome {
        Outcome::Done { .. } | Outcome::Discard { .. } | Outcome::Dead { .. } => round.statements.execute_one(DELETE_JOB, [id]),
        Outcome::Retry { at, .. } => {
            round.draft.becomes_due(*at);
            round.statements.execute_one(RETRY, params![id, at.as_millis()])
        }
        Outcome::Park { reason } => {
            let upstream = reason.upstream().map(|upstream| upstream.as_str());
            round.statements.execute_one(PARK, params![id, reason.as_str(), upstream])
        }
        Outcome::Release => {
            round.draft.becomes_due(round.now);
            round.statements.execute_one(RELEASE, [id])
        }
    }
}

fn insert_attempt(round: &Round<'_>, event_seq: i64, job: &Job, outcome: &Outcome, record: &AttemptRecord) -> Result<(), rusqlite::Error> {
    let retry_at = if let Outcome::Retry { at, .. } = outcome { Some(at.as_millis()) } else { None };
    let values = params![
        event_seq,
        job.lineage.route.as_str(),
        job.attempt,
        round.boot,
        job.plugin.as_str(),
        record.digest.as_bytes(),
        record.started_at.as_millis(),
        i64::try_from(record.duration.as_micros()).unwrap_or(i64::MAX),
        outcome.as_str(),
        record.failure.map(|kind| kind.code()),
        outcome.detail(),
        retry_at,
        answer::record(&record.calls),
        answer::record(&record.log),
    ];
    round.statements.execute(INSERT_ATTEMPT, values)?;
    Ok(())
}

fn insert_dead(round: &Round<'_>, event_seq: i64, job: &Job, cause: DeadReason, reason: &str) -> Result<(), rusqlite::Error> {
    let values = params![
        event_seq,
        job.source.as_str(),
        job.lineage.route.as_str(),
        job.plugin.as_str(),
        job.attempt,
        cause.code(),
        reason,
        round.now.as_millis(),
        job.line.filter(|line| line.waits_for_the_dead()).map(|line| line.hash),
    ];
    round.statements.execute(INSERT_DEAD, values)?;
    Ok(())
}
