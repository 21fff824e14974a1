//! Storing the events that handlers emitted, with their dedupe keys, and the jobs of what was asked for.

use std::collections::HashSet;

use sqlx::types::Uuid;
use sqlx::{PgConnection, Row};
use tracing::field::display;
use tracing::info;

use super::admit::{answer_status, line_of, millis};
use super::settle::{Settlement, number};
use crate::domain::NewEvent;

// The keys are inserted in their order, as those of admissions are. One that is known leaves its event out; so does an id: a handler that
// runs again emits the same events again, and the window of their keys may have passed by then. `OFFSET` keeps the planner from joining all
// events, which it would where they were few when it planned.
const EMIT: &str = "WITH clock AS MATERIALIZED (SELECT hookfast_now($1) AS now), \
     input AS MATERIALIZED (SELECT * FROM unnest($2::uuid[], $3::uuid[], $4::bigint[], $5::bigint[], $6::text[], $7::text[], $8::text[], \
       $9::bigint[], $10::bytea[], $11::bytea[], $12::smallint[], $13::bytea[], $14::text[], $15::text[], $16::integer[], $17::integer[]) AS i \
       (id, hash, body_hash, remembered, source, event_type, dedupe_key, received_at, headers, body, answer_status, answer_body, ordering_key, \
        parent, depth, nth) \
       WHERE NOT EXISTS (SELECT FROM events e WHERE e.id = i.id OFFSET 0)), \
     keys AS (INSERT INTO dedupe_keys AS k (hash, body_hash, event_id, expires_at) \
       SELECT i.hash, i.body_hash, i.id, c.now + i.remembered FROM input i, clock c WHERE i.hash IS NOT NULL ORDER BY i.hash \
       ON CONFLICT (hash) DO UPDATE SET body_hash = excluded.body_hash, event_id = excluded.event_id, expires_at = excluded.expires_at \
         WHERE k.expires_at <= (SELECT now FROM clock) \
       RETURNING event_id) \
     INSERT INTO events (id, source, event_type, dedupe_key, received_at, headers, body, answer_status, answer_body, ordering_key, \
       parent, depth, nth) \
     SELECT id, source, event_type, dedupe_key, received_at, headers, body, answer_status, answer_body, ordering_key, parent, depth, nth \
     FROM input WHERE hash IS NULL OR id IN (SELECT event_id FROM keys) RETURNING id";
// Of one that waits in its line, what lies between `owed_since` and `due_at` is the delay.
const OWE: &str = "WITH clock AS MATERIALIZED (SELECT hookfast_now($1) AS now), \
     lined AS (SELECT r.*, row_number() OVER (PARTITION BY r.line, r.route ORDER BY r.nth) AS place \
       FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::uuid[], $7::integer[], $8::bigint[]) WITH ORDINALITY \
         AS r (event_id, source, route, plugin, line, skip_after, delay, nth)), \
     placed AS (SELECT r.*, CASE WHEN r.line IS NOT NULL AND (r.place > 1 \
           OR EXISTS (SELECT FROM jobs WHERE line = r.line AND route = r.route) \
           OR EXISTS (SELECT FROM dead_letters WHERE line = r.line AND route = r.route)) THEN 'waiting' ELSE 'ready' END AS state FROM lined r) \
     INSERT INTO jobs (event_id, source, route, plugin, state, due_at, attempt, attempts_before, owed_since, suspect, charges, line, skip_after) \
     SELECT p.event_id, p.source, p.route, p.plugin, p.state, c.now + p.delay, 0, 0, \
       CASE p.state WHEN 'waiting' THEN c.now ELSE c.now + p.delay END, false, 0, p.line, p.skip_after FROM placed p CROSS JOIN clock c ORDER BY p.nth";

/// A job to insert, behind those of its line.
pub(super) struct Owed<'a> {
    pub(super) event: Uuid,
    pub(super) source: &'a str,
    pub(super) route: &'a str,
    pub(super) plugin: &'a str,
    pub(super) line: Option<(Uuid, Option<i32>)>,
    /// Milliseconds.
    pub(super) delay: i64,
}

/// Stores the events that are new, and their jobs. Their lines are held.
pub(super) async fn emit(connection: &mut PgConnection, given: Option<i64>, group: &[&Settlement]) -> Result<(), sqlx::Error> {
    // Of a key that is here twice, the first one counts.
    let mut keys = HashSet::new();
    let mut is_first = |new: &NewEvent| {
        let is_first = new.key.as_ref().is_none_or(|key| keys.insert(key.hash));
        if !is_first {
            tell_left_out(new);
        }
        is_first
    };
    let emitted = group.iter().flat_map(|settlement| settlement.effects.events.iter().zip(1..));
    let emitted: Vec<(&NewEvent, i32)> = emitted.filter(|(new, _)| is_first(new)).collect();
    if emitted.is_empty() {
        return Ok(());
    }
    let stored = insert(connection, given, &emitted).await?;
    for (new, _) in emitted.iter().filter(|(new, _)| !stored.contains(&uuid(new))) {
        tell_left_out(new);
    }
    let fresh = emitted.iter().map(|(new, _)| (*new, uuid(new))).filter(|(_, id)| stored.contains(id));
    let owed = fresh.flat_map(|(new, event)| {
        new.routes.iter().map(move |route| Owed {
            event,
            source: new.event.source.as_str(),
            route: route.name.as_str(),
            plugin: route.plugin.as_str(),
            line: line_of(new),
            delay: millis(new.delay),
        })
    });
    owe(connection, given, &owed.collect::<Vec<_>>()).await
}

fn tell_left_out(new: &NewEvent) {
    let lineage = new.event.parent.as_ref().map(|parent| display(&parent.lineage));
    info!(lineage, event = %new.event.id, "an emitted event is left out: its key is known");
}

/// Which of them were new.
async fn insert(connection: &mut PgConnection, given: Option<i64>, emitted: &[(&NewEvent, i32)]) -> Result<HashSet<Uuid>, sqlx::Error> {
    fn column<'a, T>(emitted: &[(&'a NewEvent, i32)], of: impl Fn(&'a NewEvent) -> T) -> Vec<T> {
        emitted.iter().map(|(new, _)| of(new)).collect()
    }
    let rows = sqlx::query(EMIT)
        .bind(given)
        .bind(column(emitted, uuid))
        .bind(column(emitted, |new| new.key.as_ref().map(|key| Uuid::from_bytes(key.hash))))
        .bind(column(emitted, |new| new.key.as_ref().map(|key| i64::from_le_bytes(key.body_hash))))
        .bind(column(emitted, |new| new.key.as_ref().map(|key| millis(key.window))))
        .bind(column(emitted, |new| new.event.source.as_str()))
        .bind(column(emitted, |new| new.event.event_type.as_deref()))
        .bind(column(emitted, |new| new.event.dedupe_key.as_deref()))
        .bind(column(emitted, |new| new.event.received_at.as_millis()))
        .bind(column(emitted, |new| new.event.headers.as_bytes()))
        .bind(column(emitted, |new| &new.event.body[..]))
        .bind(column(emitted, answer_status))
        .bind(column(emitted, |new| new.answer.body.as_deref()))
        .bind(column(emitted, |new| new.ordering.as_ref().map(|ordering| ordering.text.as_str())))
        .bind(column(emitted, |new| new.event.parent.as_ref().map(|parent| parent.lineage.to_string())))
        .bind(column(emitted, |new| new.event.parent.as_ref().map(|parent| number(parent.depth))))
        .bind(emitted.iter().map(|(_, nth)| *nth).collect::<Vec<_>>())
        .fetch_all(connection)
        .await?;
    Ok(rows.iter().map(|row| row.get("id")).collect())
}

/// Inserts jobs that are due after their delay.
pub(super) async fn owe(connection: &mut PgConnection, given: Option<i64>, owed: &[Owed<'_>]) -> Result<(), sqlx::Error> {
    if owed.is_empty() {
        return Ok(());
    }
    sqlx::query(OWE)
        .bind(given)
        .bind(owed.iter().map(|owed| owed.event).collect::<Vec<_>>())
        .bind(owed.iter().map(|owed| owed.source).collect::<Vec<_>>())
        .bind(owed.iter().map(|owed| owed.route).collect::<Vec<_>>())
        .bind(owed.iter().map(|owed| owed.plugin).collect::<Vec<_>>())
        .bind(owed.iter().map(|owed| owed.line.map(|(line, _)| line)).collect::<Vec<_>>())
        .bind(owed.iter().map(|owed| owed.line.and_then(|(_, skip_after)| skip_after)).collect::<Vec<_>>())
        .bind(owed.iter().map(|owed| owed.delay).collect::<Vec<_>>())
        .execute(connection)
        .await
        .map(drop)
}

fn uuid(new: &NewEvent) -> Uuid {
    Uuid::from_bytes(*new.event.id.as_bytes())
}
