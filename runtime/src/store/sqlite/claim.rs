//! Taking due jobs: fairly over the sources that have any, in one round of the writer.

use std::sync::{Arc, LazyLock};

use rusqlite::{Row, params};
use tracing::error;

use super::operation::Applied;
use super::settle::{DELETE_JOB, INSERT_DEAD};
use super::writer::Round;
use super::{deliveries, line};
use crate::domain::{DeadReason, Event, EventId, Headers, Job, JobId, Line, Lineage, Parent, RouteName, SourceName, Timestamp};
use crate::store::round_robin::{Share, Shares, Stop};
use crate::store::work::Taken;
use crate::store::{Backlog, QUIET_FOR_EACH_CHARGE, Work};

// A loose index scan, one step a source, however many jobs each has: run for one source after the other, since SQLite makes a table for a
// recursive query, anew each time.
const NEXT_SOURCE: &str =
    "SELECT source, due_at FROM jobs WHERE state = 'ready' AND suspect = 0 AND source > ?1 ORDER BY source, due_at LIMIT 1";
static DUE: LazyLock<String> =
    LazyLock::new(|| format!("{JOB} WHERE state = 'ready' AND suspect = 0 AND source = ?1 AND due_at <= ?2 ORDER BY due_at LIMIT ?3"));
static SUSPECT: LazyLock<String> =
    LazyLock::new(|| format!("{JOB} WHERE state = 'ready' AND suspect = 1 AND charges <= ?1 ORDER BY charges, id LIMIT 1"));
// As it will be once it is taken.
const JOB: &str = "SELECT id, event_seq, source, route, plugin, attempt + 1, attempts_before, owed_since, suspect, line, skip_after, \
     EXISTS (SELECT 1 FROM steps WHERE event_seq = jobs.event_seq AND route = jobs.route) FROM jobs";
const ANY_SUSPECT: &str = "SELECT EXISTS (SELECT 1 FROM jobs WHERE state = 'ready' AND suspect = 1)";
// Without RETURNING, for which SQLite makes a table, anew for each job: what it would give was read just before, in this transaction.
const TAKE: &str = "UPDATE jobs SET state = 'running', owner = ?2, attempt = attempt + 1 WHERE id = ?1";
const EVENT: &str = "SELECT id, event_type, dedupe_key, received_at, headers, body, parent, depth FROM events WHERE seq = ?1";

pub(super) fn apply(round: &mut Round<'_>, places: usize, but: &[SourceName]) -> Result<Applied, rusqlite::Error> {
    let mut taken = Vec::with_capacity(places);
    let mut shares = Shares::of(places, due_sources(round, places, but)?);
    while let Some(turn) = shares.turn() {
        for share in turn {
            let found = take_due(round, &share, &mut taken)?;
            shares.found(share, found);
        }
    }
    round.draft.stops.extend(shares.last().map(|source| Stop::of(but, source)));
    let claimed = taken.iter().filter_map(|taken| load(round, taken).transpose()).collect::<Result<_, _>>()?;
    // One that leaves sources out says nothing of what else is due.
    if but.is_empty() {
        let next_due = if taken.len() == places { Some(round.now) } else { next_due(round)? };
        round.draft.left = Some(Backlog::from(next_due));
        // What this round's earlier writes made due was seen by this claim.
        round.draft.due = None;
    }
    Ok(Applied::Claimed(claimed))
}

/// The first suspect whose event can be read; the others are buried on the way, so that none behind them is forgotten.
pub(super) fn apply_suspect(round: &mut Round<'_>) -> Result<Applied, rusqlite::Error> {
    loop {
        let quiet = round.now.since(round.opened_at).as_millis() / QUIET_FOR_EACH_CHARGE.as_millis();
        let charges_max = i64::try_from(quiet).unwrap_or(i64::MAX);
        let Some(taken) = round.statements.first(&SUSPECT, [charges_max], JobRow::read)? else {
            round.draft.no_suspects = !round.statements.one(ANY_SUSPECT, [], |row| row.get(0))?;
            return Ok(Applied::Claimed(Vec::new()));
        };
        take(round, &taken)?;
        if let Some(found) = load(round, &taken)? {
            return Ok(Applied::Claimed(vec![found]));
        }
    }
}

/// The sources but these that have due jobs, from where the last claim stopped; no more of them than can have a place.
fn due_sources(round: &Round<'_>, most: usize, but: &[SourceName]) -> Result<Vec<String>, rusqlite::Error> {
    let last = round.round_robin.last(but);
    let mut due = Vec::new();
    let (mut after, mut is_around) = (last.clone(), false);
    while due.len() < most {
        match next_source(round, &after)? {
            Some((source, due_at)) if !is_around || source <= last => {
                if due_at <= round.now && but.iter().all(|but| but.as_str() != source) {
                    due.push(source.clone());
                }
                after = source;
            }
            _ if is_around => break,
            _ => (after, is_around) = (String::new(), true),
        }
    }
    Ok(due)
}

fn next_due(round: &Round<'_>) -> Result<Option<Timestamp>, rusqlite::Error> {
    let (mut first, mut after) = (None, String::new());
    while let Some((source, due_at)) = next_source(round, &after)? {
        first = Some(first.map_or(due_at, |first: Timestamp| first.min(due_at)));
        after = source;
    }
    Ok(first)
}

/// The next source by name that has ready jobs, and when its first is due.
fn next_source(round: &Round<'_>, after: &str) -> Result<Option<(String, Timestamp)>, rusqlite::Error> {
    round.statements.first(NEXT_SOURCE, [after], |row| Ok((row.get(0)?, Timestamp::from_millis(row.get(1)?))))
}

/// The row of a job that this round took.
struct JobRow {
    id: i64,
    event_seq: i64,
    source: String,
    route: String,
    plugin: String,
    attempt: u32,
    attempts_before: u32,
    owed_since: i64,
    is_suspect: bool,
    line: Option<Line>,
    has_steps: bool,
}

fn take_due(round: &Round<'_>, share: &Share, taken: &mut Vec<JobRow>) -> Result<usize, rusqlite::Error> {
    let values = params![share.source, round.now.as_millis(), i64::try_from(share.wanted).unwrap_or(i64::MAX)];
    let due = round.statements.all(&DUE, values, JobRow::read)?;
    due.iter().try_for_each(|due| take(round, due))?;
    let found = due.len();
    taken.extend(due);
    Ok(found)
}

fn take(round: &Round<'_>, taken: &JobRow) -> Result<(), rusqlite::Error> {
    round.statements.execute_one(TAKE, params![taken.id, round.boot])
}

impl JobRow {
    fn read(row: &Row<'_>) -> Result<Self, rusqlite::Error> {
        let line: Option<[u8; 16]> = row.get(9)?;
        Ok(Self {
            id: row.get(0)?,
            event_seq: row.get(1)?,
            source: row.get(2)?,
            route: row.get(3)?,
            plugin: row.get(4)?,
            attempt: row.get(5)?,
            attempts_before: row.get(6)?,
            owed_since: row.get(7)?,
            is_suspect: row.get(8)?,
            line: line.map(|hash| Ok::<_, rusqlite::Error>(Line { hash, skip_after: row.get(10)? })).transpose()?,
            has_steps: row.get(11)?,
        })
    }
}

/// The job with what it works on. One whose event or delivery cannot be read becomes a dead letter, so that it does not hold up the others.
fn load(round: &mut Round<'_>, taken: &JobRow) -> Result<Option<Taken>, rusqlite::Error> {
    let names = (RouteName::of_job(&taken.route), taken.source.parse::<SourceName>(), taken.plugin.parse());
    let (Ok(route), Ok(source), Ok(plugin)) = names else { return bury(round, taken).map(|()| None) };
    let found = if route.is_delivery() {
        deliveries::load(round, taken.event_seq, &route)?.map(|delivery| (delivery.lineage.event, Work::Deliver(Arc::new(delivery))))
    } else {
        let read = |row: &Row<'_>| Ok(read_event(row, &source));
        let event = round.statements.first(EVENT, [taken.event_seq], read)?.flatten();
        event.map(|event| (event.id, Work::Handle(Arc::new(event))))
    };
    let Some((event, work)) = found else { return bury(round, taken).map(|()| None) };
    let job = Job {
        id: JobId(taken.id),
        owner: round.node,
        lineage: Lineage { event, route },
        source,
        plugin,
        attempt: taken.attempt,
        attempts_before: taken.attempts_before,
        owed_since: Timestamp::from_millis(taken.owed_since),
        is_suspect: taken.is_suspect,
        line: taken.line,
    };
    Ok(Some(Taken { job, work, has_steps: taken.has_steps }))
}

fn bury(round: &mut Round<'_>, taken: &JobRow) -> Result<(), rusqlite::Error> {
    error!(job_number = taken.id, source = taken.source, "a job's event cannot be read from the database; the job becomes a dead letter");
    round.statements.execute_one(DELETE_JOB, [taken.id])?;
    let reason = "its event cannot be read from the database";
    let cause = DeadReason::Unstorable.code();
    let died_at = round.now.as_millis();
    let line = taken.line.filter(|line| line.waits_for_the_dead()).map(|line| line.hash);
    let values = params![taken.event_seq, taken.source, taken.route, taken.plugin, taken.attempt, cause, reason, died_at, line];
    round.statements.execute(INSERT_DEAD, values)?;
    taken.line.map_or(Ok(()), |line| line::advance(round, line.hash, &taken.route))
}

/// `None` where the row does not hold an event. A value that is not of its column's kind is damage too, and fails no other job.
fn read_event(row: &Row<'_>, source: &SourceName) -> Option<Event> {
    Some(Event {
        id: EventId::from_bytes(row.get(0).ok()?),
        source: source.clone(),
        event_type: row.get(1).ok()?,
        dedupe_key: row.get(2).ok()?,
        received_at: Timestamp::from_millis(row.get(3).ok()?),
        headers: Headers::from_bytes(row.get(4).ok()?)?,
        body: row.get::<_, Vec<u8>>(5).ok()?.into(),
        parent: read_parent(row)?,
    })
}

fn read_parent(row: &Row<'_>) -> Option<Option<Parent>> {
    let Some(lineage) = row.get::<_, Option<String>>(6).ok()? else { return Some(None) };
    Some(Some(Parent { lineage: lineage.parse().ok()?, depth: row.get(7).ok()? }))
}
