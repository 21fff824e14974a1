//! Storing an event, its dedupe key and the jobs of its routes.

use std::sync::{Arc, LazyLock};

use rusqlite::{OptionalExtension, Row, params};

use super::dedupe::Seen;
use super::line;
use super::numbers::SEQ_OF_ID;
use super::writer::Round;
use crate::domain::{Answer, DedupeKey, Event, EventId, Job, JobId, Line, Lineage, NewEvent, Route};
use crate::store::{Admitted, Claimed};

const INSERT_EVENT: &str = "INSERT INTO events (seq, id, source, event_type, dedupe_key, received_at, headers, body, \
     answer_status, answer_body, ordering_key) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
static FIRST_ANSWER: LazyLock<String> = LazyLock::new(|| format!("SELECT answer_status, answer_body FROM events WHERE seq = {SEQ_OF_ID}"));
const INSERT_JOB: &str = "INSERT INTO jobs (id, event_seq, source, route, plugin, state, due_at, attempt, attempts_before, \
     owed_since, owner, suspect, charges, line, skip_after) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0, ?7, ?9, 0, 0, ?10, ?11)";

pub(super) fn apply(round: &mut Round<'_>, new: &NewEvent) -> Result<Admitted, rusqlite::Error> {
    let event = &new.event;
    if let Some(key) = &new.key {
        if let Some(seen) = seen(round, key)? {
            let of = EventId::from_bytes(seen.event_id);
            let answer = first_answer(round, &seen)?.unwrap_or_else(|| new.answer.clone());
            return Ok(Admitted::Duplicate { of, key_reused: seen.body_hash != key.body_hash, answer });
        }
        insert_key(round, event, key)?;
    }
    let event_seq = insert_event(round, new)?;
    let line = new.ordering.as_ref().map(|ordering| ordering.line);
    for (position, route) in new.routes.iter().enumerate() {
        // A line is kept in the order of the jobs' numbers, which is to be that of their commits: events have theirs from before.
        let id = if position == 0 && line.is_none() { event_seq } else { round.numbers.next(round.now) };
        insert_job(round, event, (id, event_seq), route, line)?;
    }
    Ok(Admitted::New(event.id))
}

fn insert_event(round: &mut Round<'_>, new: &NewEvent) -> Result<i64, rusqlite::Error> {
    let NewEvent { event, answer, .. } = new;
    let seq = event.id.number();
    // The usual answer takes no space.
    let Answer { status, body } = answer;
    let is_unusual = *answer != Answer::default();
    round.draft.has_unusual_answer |= is_unusual;
    let status = is_unusual.then_some(status);
    round.connection.prepare_cached(INSERT_EVENT)?.execute(params![
        seq,
        event.id.as_bytes(),
        event.source.as_str(),
        event.event_type,
        event.dedupe_key,
        event.received_at.as_millis(),
        event.headers.as_bytes(),
        &event.body[..],
        status,
        body.as_deref(),
        new.ordering.as_ref().map(|ordering| &ordering.text),
    ])?;
    Ok(seq)
}

/// What the sender of the first event was told; `None` where that event is no longer kept.
fn first_answer(round: &Round<'_>, seen: &Seen) -> Result<Option<Answer>, rusqlite::Error> {
    if !round.window.has_unusual_answers() && !round.draft.has_unusual_answer {
        return Ok(Some(Answer::default()));
    }
    let read = |row: &Row<'_>| {
        let (status, body) = (row.get::<_, Option<u16>>(0)?, row.get::<_, Option<Vec<u8>>>(1)?);
        Ok(status.map_or_else(Answer::default, |status| Answer { status, body: body.map(Into::into) }))
    };
    round
        .connection
        .prepare_cached(&FIRST_ANSWER)?
        .query_row(params![seen.event_id, EventId::from_bytes(seen.event_id).number()], read)
        .optional()
}

/// What is known of a key: from this round, or from the window.
fn seen(round: &Round<'_>, key: &DedupeKey) -> Result<Option<Seen>, rusqlite::Error> {
    match round.in_round.get(&key.hash) {
        Some(seen) => Ok(Some(*seen)),
        None => round.window.seen(round.connection, &key.hash, round.now),
    }
}

fn insert_key(round: &mut Round<'_>, event: &Event, key: &DedupeKey) -> Result<(), rusqlite::Error> {
    let seen = Seen::new(*event.id.as_bytes(), key.body_hash, round.now + key.window);
    round.window.write(round.connection, key.hash, seen, round.draft.seen.len())?;
    round.in_round.insert(key.hash, seen);
    round.draft.seen.push((key.hash, seen));
    Ok(())
}

/// Inserts the job already running and owned where a place is free, waiting where others of its line are before it, else ready.
fn insert_job(
    round: &mut Round<'_>,
    event: &Arc<Event>,
    (id, event_seq): (i64, i64),
    route: &Route,
    line: Option<Line>,
) -> Result<(), rusqlite::Error> {
    let waits = match line {
        Some(line) => line::is_occupied(round, line, route.name.as_str())?,
        None => false,
    };
    let place = if round.may_be_born && !waits { round.slots.try_take() } else { None };
    let (state, attempt, owner) = match &place {
        Some(_) => ("running", 1, Some(round.boot)),
        None if waits => ("waiting", 0, None),
        None => ("ready", 0, None),
    };
    let now = round.now.as_millis();
    let (hash, skip_after) = line.map(|line| (line.hash, line.skip_after)).unzip();
    let (route_name, plugin) = (route.name.as_str(), route.plugin.as_str());
    let values = params![id, event_seq, event.source.as_str(), route_name, plugin, state, now, attempt, owner, hash, skip_after.flatten()];
    round.connection.prepare_cached(INSERT_JOB)?.execute(values)?;
    let Some(place) = place else {
        if !waits {
            round.draft.becomes_due(round.now);
        }
        return Ok(());
    };
    let job = Job {
        id: JobId(id),
        owner: round.node,
        lineage: Lineage { event: event.id, route: route.name.clone() },
        source: event.source.clone(),
        plugin: route.plugin.clone(),
        attempt: 1,
        attempts_before: 0,
        owed_since: round.now,
        is_suspect: false,
        line,
    };
    round.draft.born.push(Claimed { job, event: Arc::clone(event), place });
    Ok(())
}
