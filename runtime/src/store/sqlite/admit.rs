//! Storing an event, its dedupe key and the jobs of its routes.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use rusqlite::{Row, params};

use super::dedupe::Seen;
use super::line;
use super::numbers::SEQ_OF_ID;
use super::writer::Round;
use crate::domain::{Answer, DedupeKey, EventId, Job, JobId, Line, Lineage, NewEvent, PluginName, RouteName, SourceName};
use crate::store::{Admitted, Claimed, Work};

const INSERT_EVENT: &str = "INSERT INTO events (seq, id, source, event_type, dedupe_key, received_at, headers, body, \
     answer_status, answer_body, ordering_key, parent, depth) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
const IS_EMITTED: &str = "SELECT EXISTS (SELECT 1 FROM events WHERE id = ?1 AND parent IS NOT NULL)";
static FIRST_ANSWER: LazyLock<String> = LazyLock::new(|| format!("SELECT answer_status, answer_body FROM events WHERE seq = {SEQ_OF_ID}"));
const INSERT_JOB: &str = "INSERT INTO jobs (id, event_seq, source, route, plugin, state, due_at, attempt, attempts_before, \
     owed_since, owner, suspect, charges, line, skip_after) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0, ?9, ?10, 0, 0, ?11, ?12)";

pub(super) fn apply(round: &mut Round<'_>, new: &NewEvent) -> Result<Admitted, rusqlite::Error> {
    let event = &new.event;
    // A handler that is run again emits the same events again; the window of their keys may have passed by then.
    if event.parent.is_some() && is_emitted(round, event.id)? {
        return Ok(Admitted::Duplicate { of: event.id, key_reused: false, answer: new.answer.clone() });
    }
    if let Some(key) = &new.key {
        if let Some(seen) = seen(round, key)? {
            let of = EventId::from_bytes(seen.event_id);
            let answer = first_answer(round, &seen)?.unwrap_or_else(|| new.answer.clone());
            return Ok(Admitted::Duplicate { of, key_reused: seen.body_hash != key.body_hash, answer });
        }
        let seen = Seen::new(*event.id.as_bytes(), key.body_hash, round.now + key.window);
        round.in_round.insert(key.hash, seen);
        round.draft.seen.push((key.hash, seen));
    }
    let event_seq = insert_event(round, new)?;
    let line = new.ordering.as_ref().map(|ordering| ordering.line);
    for (position, route) in new.routes.iter().enumerate() {
        // A line is kept in the order of the jobs' numbers, which is to be that of their commits: events have theirs from before.
        let id = if position == 0 && line.is_none() { event_seq } else { round.numbers.next(round.now) };
        let job = NewJob { event: event.id, route: &route.name, source: &event.source, plugin: &route.plugin, line, delay: new.delay };
        insert_job(round, (id, event_seq), &job, || Work::Handle(Arc::clone(event)))?;
    }
    Ok(Admitted::New(event.id))
}

fn insert_event(round: &mut Round<'_>, new: &NewEvent) -> Result<i64, rusqlite::Error> {
    let NewEvent { event, answer, .. } = new;
    // The id of an emitted event is made before it is stored, and so has no number.
    let seq = if event.parent.is_none() { event.id.number() } else { round.numbers.next(round.now) };
    // The usual answer takes no space.
    let Answer { status, body } = answer;
    let is_unusual = *answer != Answer::default();
    round.draft.has_unusual_answer |= is_unusual;
    let status = is_unusual.then_some(status);
    let values = params![
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
        event.parent.as_ref().map(|parent| parent.lineage.to_string()),
        event.parent.as_ref().map(|parent| parent.depth),
    ];
    round.statements.execute(INSERT_EVENT, values)?;
    Ok(seq)
}

fn is_emitted(round: &Round<'_>, id: EventId) -> Result<bool, rusqlite::Error> {
    round.statements.one(IS_EMITTED, [id.as_bytes()], |row| row.get(0))
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
    round.statements.first(&FIRST_ANSWER, params![seen.event_id, EventId::from_bytes(seen.event_id).number()], read)
}

/// What is known of a key: from this round, or from the window.
fn seen(round: &Round<'_>, key: &DedupeKey) -> Result<Option<Seen>, rusqlite::Error> {
    match round.in_round.get(&key.hash) {
        Some(seen) => Ok(Some(*seen)),
        None => round.window.seen(&round.statements, &key.hash, round.now),
    }
}

/// A job that is owed from now on, or once its delay has passed.
pub(super) struct NewJob<'a> {
    pub(super) event: EventId,
    pub(super) route: &'a RouteName,
    pub(super) source: &'a SourceName,
    pub(super) plugin: &'a PluginName,
    pub(super) line: Option<Line>,
    pub(super) delay: Duration,
}

/// Inserts the job already running and owned where a place is free, waiting where others of its line are before it, else ready.
pub(super) fn insert_job(
    round: &mut Round<'_>,
    (id, event_seq): (i64, i64),
    new: &NewJob<'_>,
    work: impl FnOnce() -> Work,
) -> Result<(), rusqlite::Error> {
    let NewJob { event, route, source, plugin, line, delay } = *new;
    let waits = match line {
        Some(line) => line::is_occupied(round, line, route.as_str())?,
        None => false,
    };
    let place = if round.may_be_born && !waits && delay.is_zero() { round.slots.try_take() } else { None };
    let (state, attempt, owner) = match &place {
        Some(_) => ("running", 1, Some(round.boot)),
        None if waits => ("waiting", 0, None),
        None => ("ready", 0, None),
    };
    let due = round.now + delay;
    let (hash, skip_after) = line.map(|line| (line.hash, line.skip_after)).unzip();
    // Of one that waits, what lies between the two is the delay.
    let owed_since = if waits { round.now } else { due };
    let values = params![
        id,
        event_seq,
        source.as_str(),
        route.as_str(),
        plugin.as_str(),
        state,
        due.as_millis(),
        attempt,
        owed_since.as_millis(),
        owner,
        hash,
        skip_after.flatten()
    ];
    round.statements.execute(INSERT_JOB, values)?;
    let Some(place) = place else {
        if !waits {
            round.draft.becomes_due(due);
        }
        return Ok(());
    };
    let job = Job {
        id: JobId(id),
        owner: round.node,
        lineage: Lineage { event, route: route.clone() },
        source: source.clone(),
        plugin: plugin.clone(),
        attempt: 1,
        attempts_before: 0,
        owed_since: round.now,
        is_suspect: false,
        line,
    };
    round.draft.born.push(Claimed { job, work: work(), place, has_steps: false });
    Ok(())
}
