//! The rare writes: unparking, replaying and discarding dead letters, the rings of refused requests, pruning.

use rusqlite::{ToSql, params};

use super::operation::{Edit, Edited};
use super::writer::Round;
use super::{deliveries, expire, line, quarantine, state, steps};
use crate::domain::{DeadReason, Diagnosis, EventId, Headers, Lineage, Refusal, RouteName};
use crate::store::DeadFilter;

/// So many refused requests are kept of each source.
const RING: i64 = 1000;
/// So many jobs or dead letters are moved in one round; whoever moves more asks again.
pub(super) const EDIT_BATCH: u32 = 500;
/// So many rows are looked at in one round, of up to 512 keys each, so that no commit waits long.
const PRUNE_BATCH: i64 = 100;
/// So many keys past the bound of those in memory are forgotten in one round.
const PRUNE_OVERFLOW_BATCH: u32 = 10_000;

pub(super) fn apply(round: &mut Round<'_>, edit: &Edit) -> Result<Edited, rusqlite::Error> {
    match edit {
        Edit::Unpark(plugin) => unpark(round, UNPARK, plugin.as_str(), EDIT_BATCH).map(Edited::Rows),
        Edit::UnparkUpstream { upstream, jobs_max } => unpark(round, UNPARK_UPSTREAM, upstream.as_str(), *jobs_max).map(Edited::Rows),
        Edit::Refusals(refusals) => insert_refusals(round, refusals).map(Edited::Rows),
        Edit::Quarantine(requests) => quarantine::keep(round, requests).map(Edited::Rows),
        Edit::Release(seqs) => quarantine::release(round, seqs).map(Edited::Rows),
        Edit::ExpireQuarantine { cutoff } => quarantine::expire(round, *cutoff).map(Edited::Rows),
        Edit::ReplayDead(filter) => replay(round, filter).map(Edited::Lineages),
        Edit::DiscardDead(filter, reason) => discard(round, filter, reason).map(Edited::Lineages),
        Edit::ExpireState => state::expire(round).map(Edited::Rows),
        Edit::Prune { after } => prune(round, *after).map(Edited::Next),
        Edit::Expire { after, cutoff } => expire::apply(round, *after, *cutoff).map(Edited::Next),
    }
}

const INSERT_REFUSAL: &str = "INSERT INTO requests (id, source, at, cause, status, detail, body_bytes, skew_ms, headers, diagnosis, finding, advice) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
const TRIM_REFUSALS: &str =
    "DELETE FROM requests WHERE source IS ?1 AND seq <= (SELECT seq FROM requests WHERE source IS ?1 ORDER BY seq DESC LIMIT 1 OFFSET ?2)";
const DEAD: &str = "SELECT d.id, d.event_seq, e.id, d.route, d.cause, d.line FROM dead_letters d JOIN events e ON e.seq = d.event_seq \
     WHERE (?1 IS NULL OR e.id = ?1) AND (?2 IS NULL OR d.route = ?2) AND (?3 IS NULL OR d.source = ?3) ORDER BY d.id LIMIT ?4";
const REPLAY: &str = "INSERT INTO jobs (id, event_seq, source, route, plugin, state, due_at, attempt, attempts_before, owed_since, suspect, \
       charges, line) \
     SELECT ?2, event_seq, source, route, plugin, 'ready', ?3, attempts, attempts, ?3, 0, 0, line FROM dead_letters WHERE id = ?1";
const DISCARD: &str = "INSERT INTO discards (event_seq, route, plugin, attempts, discarded_at, reason) \
     SELECT event_seq, route, plugin, attempts, ?2, ?3 FROM dead_letters WHERE id = ?1";
static DELETE_DEAD: &str = "DELETE FROM dead_letters WHERE id = ?1";
const LAST_KEYS: &str = "SELECT max(seq) FROM (SELECT seq FROM dedupe_log WHERE seq > ?1 ORDER BY seq LIMIT ?2)";
const PRUNE: &str = "DELETE FROM dedupe_log WHERE seq > ?1 AND seq <= ?2 AND expires_at <= ?3";
const PRUNE_OVERFLOW: &str = "DELETE FROM dedupe_overflow WHERE hash IN (SELECT hash FROM dedupe_overflow WHERE expires_at <= ?1 LIMIT ?2)";
const UNPARK: &str = "UPDATE jobs SET state = 'ready', park_reason = NULL, due_at = ?2 \
     WHERE id IN (SELECT id FROM jobs WHERE state = 'parked' AND upstream IS NULL AND plugin = ?1 LIMIT ?3)";
const UNPARK_UPSTREAM: &str = "UPDATE jobs SET state = 'ready', park_reason = NULL, upstream = NULL, due_at = ?2 \
     WHERE id IN (SELECT id FROM jobs WHERE upstream = ?1 ORDER BY id LIMIT ?3)";

/// Makes up to `jobs_max` jobs ready that wait for the thing of this name.
fn unpark(round: &mut Round<'_>, statement: &'static str, name: &str, jobs_max: u32) -> Result<u64, rusqlite::Error> {
    let unparked = round.statements.execute(statement, params![name, round.now.as_millis(), jobs_max])?;
    if unparked > 0 {
        round.draft.becomes_due(round.now);
    }
    Ok(unparked as u64)
}

fn insert_refusals(round: &Round<'_>, refusals: &[Refusal]) -> Result<u64, rusqlite::Error> {
    for refusal in refusals {
        let values = params![
            refusal.id.as_bytes(),
            refusal.source.as_ref().map(|source| source.as_str()),
            refusal.at.as_millis(),
            refusal.cause.code(),
            refusal.cause.status(),
            refusal.cause.detail(),
            i64::try_from(refusal.body_bytes).unwrap_or(i64::MAX),
            refusal.cause.skew_ms(),
            refusal.headers.as_ref().map(Headers::as_bytes),
            refusal.diagnosis.as_ref().map(Diagnosis::code),
            refusal.diagnosis.as_ref().map(ToString::to_string),
            refusal.diagnosis.as_ref().map(Diagnosis::advice),
        ];
        round.statements.execute(INSERT_REFUSAL, values)?;
    }
    let mut sources: Vec<_> = refusals.iter().map(|refusal| refusal.source.as_ref().map(|source| source.as_str())).collect();
    sources.sort_unstable();
    sources.dedup();
    for source in sources {
        round.statements.execute(TRIM_REFUSALS, params![source, RING])?;
    }
    Ok(refusals.len() as u64)
}

/// A replay resumes the lineage: attempts count on, the retry budget begins anew. What upstreams had refused is asked again, under another key.
fn replay(round: &mut Round<'_>, filter: &DeadFilter) -> Result<Vec<Lineage>, rusqlite::Error> {
    let dead = matching(round, filter)?;
    for Dead { id, event_seq, lineage, is_refused, .. } in &dead {
        let route = lineage.route.as_str();
        steps::forget_failed(round, *event_seq, route)?;
        if *is_refused && lineage.route.is_delivery() {
            deliveries::count_replay(round, *event_seq, route)?;
        }
        round.statements.execute(REPLAY, params![id, round.numbers.next(round.now), round.now.as_millis()])?;
        round.statements.execute(DELETE_DEAD, [id])?;
    }
    if !dead.is_empty() {
        round.draft.becomes_due(round.now);
    }
    Ok(dead.into_iter().map(|dead| dead.lineage).collect())
}

fn discard(round: &mut Round<'_>, filter: &DeadFilter, reason: &str) -> Result<Vec<Lineage>, rusqlite::Error> {
    let dead = matching(round, filter)?;
    for Dead { id, line, lineage, .. } in &dead {
        round.statements.execute(DISCARD, params![id, round.now.as_millis(), reason])?;
        round.statements.execute(DELETE_DEAD, [id])?;
        if let Some(line) = line {
            line::advance(round, *line, lineage.route.as_str())?;
        }
    }
    Ok(dead.into_iter().map(|dead| dead.lineage).collect())
}

/// A dead letter that is meant, with the line that it holds up.
struct Dead {
    id: i64,
    event_seq: i64,
    lineage: Lineage,
    /// Whether it died of a permanent answer.
    is_refused: bool,
    line: Option<[u8; 16]>,
}

fn matching(round: &Round<'_>, filter: &DeadFilter) -> Result<Vec<Dead>, rusqlite::Error> {
    let event = filter.lineage.as_ref().map(|lineage| lineage.event).or(filter.event).map(|event| *event.as_bytes());
    let route = filter.lineage.as_ref().map(|lineage| lineage.route.as_str());
    let source = filter.source.as_ref().map(|source| source.as_str());
    if event.is_none() && source.is_none() && !filter.all {
        return Ok(Vec::new());
    }
    let values: [&dyn ToSql; 4] = [&event, &route, &source, &EDIT_BATCH];
    round.statements.all(DEAD, values, |row| {
        let route = RouteName::of_job(row.get_ref(3)?.as_str()?).map_err(|_| rusqlite::Error::InvalidColumnName("route".into()))?;
        Ok(Dead {
            id: row.get(0)?,
            event_seq: row.get(1)?,
            lineage: Lineage { event: EventId::from_bytes(row.get(2)?), route },
            is_refused: row.get_ref(4)?.as_str()? == DeadReason::Permanent.code(),
            line: row.get(5)?,
        })
    })
}

/// Forgets expired keys: of the log's those in the next rows after `after`, and a batch of those past the bound. Where to go on; `None` at
/// the end of both.
fn prune(round: &mut Round<'_>, after: i64) -> Result<Option<i64>, rusqlite::Error> {
    round.draft.forget_expired = after == 0;
    let now = round.now.as_millis();
    let forgotten = round.statements.execute(PRUNE_OVERFLOW, params![now, PRUNE_OVERFLOW_BATCH])?;
    let last: Option<i64> = round.statements.one(LAST_KEYS, params![after, PRUNE_BATCH], |row| row.get(0))?;
    let Some(last) = last else { return Ok((forgotten == PRUNE_OVERFLOW_BATCH as usize).then_some(after)) };
    round.statements.execute(PRUNE, params![after, last, now])?;
    Ok(Some(last))
}
