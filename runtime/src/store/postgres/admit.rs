//! Storing events with their dedupe keys and jobs: a group is one statement, so one round trip and one commit.

use std::collections::{HashMap, HashSet};
use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use sqlx::types::Uuid;
use sqlx::{Connection, PgConnection, Row};
use tokio::sync::OwnedSemaphorePermit;
use tracing::error;

use super::line;
use super::link::{Failure, Link};
use super::settle::number;
use super::{Node, Run};
use crate::domain::{Answer, EventId, Job, JobId, Lineage, NewEvent, NodeId, Route};
use crate::store::admission::Admission;
use crate::store::{AdmitError, Admitted, Claimed, Work};

// The keys are inserted in their order, so that two flushers never wait for each other. A key whose time is over is taken anew.
// A job is born running only under a lease that is still there: else nobody would rescue it.
// Says only what there is something to do about: events whose key was known, jobs that were born running, and whether others are due.
const ADMIT: &str = "WITH clock AS MATERIALIZED (SELECT hookfast_now($1) AS now), \
     lease AS MATERIALIZED (SELECT id FROM nodes WHERE id = $2 FOR KEY SHARE), \
     input AS MATERIALIZED (SELECT * FROM unnest($3::uuid[], $4::uuid[], $5::bigint[], $6::bigint[], $7::text[], $8::text[], $9::text[], \
       $10::bigint[], $11::bytea[], $12::bytea[], $13::smallint[], $14::bytea[], $15::text[]) AS i \
       (id, hash, body_hash, remembered, source, event_type, dedupe_key, received_at, headers, body, answer_status, answer_body, ordering_key)), \
     keys AS (INSERT INTO dedupe_keys AS k (hash, body_hash, event_id, expires_at) \
       SELECT i.hash, i.body_hash, i.id, c.now + i.remembered FROM input i, clock c WHERE i.hash IS NOT NULL ORDER BY i.hash \
       ON CONFLICT (hash) DO UPDATE SET body_hash = excluded.body_hash, event_id = excluded.event_id, expires_at = excluded.expires_at \
         WHERE k.expires_at <= (SELECT now FROM clock) \
       RETURNING event_id), \
     fresh AS (INSERT INTO events (id, source, event_type, dedupe_key, received_at, headers, body, answer_status, answer_body, ordering_key) \
       SELECT id, source, event_type, dedupe_key, received_at, headers, body, answer_status, answer_body, ordering_key FROM input \
       WHERE hash IS NULL OR id IN (SELECT event_id FROM keys) RETURNING id, source), \
     lined AS (SELECT r.*, f.source, row_number() OVER (PARTITION BY r.line, r.route ORDER BY r.nth) AS place \
       FROM unnest($16::uuid[], $17::text[], $18::text[], $19::bool[], $20::uuid[], $21::integer[]) WITH ORDINALITY \
         AS r (event_id, route, plugin, born, line, skip_after, nth) JOIN fresh f ON f.id = r.event_id), \
     placed AS (SELECT r.*, l.id AS lease, CASE WHEN r.line IS NOT NULL AND (r.place > 1 OR j.id IS NOT NULL OR d.id IS NOT NULL) THEN 'waiting' \
         WHEN r.born AND l.id IS NOT NULL THEN 'running' ELSE 'ready' END AS state \
       FROM lined r LEFT JOIN lease l ON true \
         LEFT JOIN LATERAL (SELECT id FROM jobs WHERE r.line IS NOT NULL AND line = r.line AND route = r.route LIMIT 1) j ON true \
         LEFT JOIN LATERAL (SELECT id FROM dead_letters WHERE r.line IS NOT NULL AND line = r.line AND route = r.route LIMIT 1) d ON true), \
     owed AS (INSERT INTO jobs (event_id, source, route, plugin, state, due_at, attempt, attempts_before, owed_since, owner, suspect, charges, line, skip_after) \
       SELECT p.event_id, p.source, p.route, p.plugin, p.state, c.now, CASE p.state WHEN 'running' THEN 1 ELSE 0 END, 0, c.now, \
         CASE p.state WHEN 'running' THEN p.lease END, false, 0, p.line, p.skip_after FROM placed p CROSS JOIN clock c ORDER BY p.nth \
       RETURNING id, event_id, route, state) \
     SELECT i.id AS event_id, NULL AS route, 'known' AS what, NULL::bigint AS job FROM input i WHERE NOT EXISTS (SELECT 1 FROM fresh f WHERE f.id = i.id) \
     UNION ALL SELECT event_id, route, 'running', id FROM owed WHERE state = 'running' \
     UNION ALL SELECT NULL, NULL, 'due', NULL WHERE EXISTS (SELECT 1 FROM owed WHERE state = 'ready')";
const FIRSTS: &str = "SELECT k.hash, k.event_id, k.body_hash, e.id IS NOT NULL AS is_kept, e.answer_status, e.answer_body \
     FROM dedupe_keys k LEFT JOIN LATERAL (SELECT id, answer_status, answer_body FROM events WHERE id = k.event_id LIMIT 1) e ON true \
     WHERE k.hash = ANY($1)";

/// The line that an event's jobs join, and when that goes on without a head that fails.
pub(super) fn line_of(new: &NewEvent) -> Option<(Uuid, Option<i32>)> {
    let line = new.ordering.as_ref()?.line;
    Some((Uuid::from_bytes(line.hash), line.skip_after.map(number)))
}

/// The answer's status; `None` where it is the usual answer.
pub(super) fn answer_status(new: &NewEvent) -> Option<i16> {
    (new.answer != Answer::default()).then(|| i16::try_from(new.answer.status).unwrap_or(202))
}

/// What is known of the event that came first under a key.
#[derive(Clone)]
struct First {
    event: EventId,
    body_hash: [u8; 8],
    told: Option<Answer>,
}

/// A job on its way, with its place if it is to be born running.
struct Owed<'b> {
    new: &'b NewEvent,
    route: &'b Route,
    place: Option<OwnedSemaphorePermit>,
}

/// Takes turns with the other flushers until the queue is closed and empty.
pub(super) async fn flush(node: Arc<Node>, mut link: Link) {
    while let Some(batch) = node.admissions.next_batch().await {
        node.survives(node.admit(&mut link, batch)).await;
    }
}

impl Node {
    /// Stores a group. One that is refused is halved until the culprit stands alone.
    async fn admit(&self, link: &mut Link, batch: Vec<Admission>) {
        let mut groups = vec![batch];
        while let Some(mut group) = groups.pop() {
            let started = Instant::now();
            let guard = self.taking.read().await;
            let events: Vec<&NewEvent> = group.iter().flat_map(|admission| &admission.events).collect();
            let stored = link.run(async |connection| self.store(connection, &events).await).await;
            match stored {
                Ok(answers) => {
                    self.metrics.commit(started.elapsed(), group.len());
                    self.committed();
                    let mut answers = answers.into_iter();
                    for admission in group {
                        let own: Option<Vec<Admitted>> = answers.by_ref().take(admission.events.len()).collect();
                        admission.answer(own.ok_or(AdmitError::Saturated));
                    }
                }
                Err(Failure::Outage(error)) => {
                    drop(guard);
                    self.lost_sight(&error);
                    for admission in group.into_iter().chain(groups.drain(..).flatten()) {
                        admission.answer(Err(AdmitError::Saturated));
                    }
                }
                Err(Failure::Refused(error)) if group.len() == 1 => {
                    for admission in group.drain(..) {
                        admission.answer(Err(AdmitError::Unstorable(copy(&error))));
                    }
                }
                Err(Failure::Refused(_)) => {
                    let second = group.split_off(group.len() / 2);
                    groups.extend([second, group]);
                }
            }
        }
    }

    /// The database is away: whether the last statement was committed is found out when it is back.
    pub(super) fn lost_sight(&self, error: &sqlx::Error) {
        self.note_full(error);
        self.takes_no_writes(error);
    }

    pub(super) fn takes_no_writes(&self, error: &dyn Display) {
        self.doubt.raise();
        if self.is_writable.swap(false, Ordering::Relaxed) {
            error!(%error, "the database takes no writes; admissions are answered 503 until it does");
        }
    }

    /// One answer for each event; `None` where its key was forgotten in just this moment.
    async fn store(&self, connection: &mut PgConnection, group: &[&NewEvent]) -> Result<Vec<Option<Admitted>>, sqlx::Error> {
        // Of a key that is here twice, the first one is sent, and the others are its duplicates.
        let mut leaders = HashMap::new();
        for new in group {
            if let Some(key) = &new.key {
                leaders.entry(key.hash).or_insert(new.event.id);
            }
        }
        let leads = |new: &&NewEvent| new.key.as_ref().is_none_or(|key| leaders[&key.hash] == new.event.id);
        let sent: Vec<&NewEvent> = group.iter().copied().filter(leads).collect();
        let lease = self.lease();
        let lines: Vec<Uuid> = sent.iter().filter_map(|new| Some(line_of(new)?.0)).collect();
        let (rows, owed) = if lines.is_empty() {
            let owed = self.owed(&sent);
            (insert(connection, self, lease, &sent, &owed).await?, owed)
        } else {
            let mut transaction = connection.begin().await?;
            line::hold(&mut transaction, lines).await?;
            // Only now: no place is taken while others have the lines.
            let owed = self.owed(&sent);
            let rows = insert(&mut transaction, self, lease, &sent, &owed).await?;
            transaction.commit().await?;
            (rows, owed)
        };
        let born = owed.into_iter().filter(|owed| owed.place.is_some());
        let mut born: HashMap<_, _> = born.map(|owed| ((owed.new.event.id, owed.route.name.as_str()), owed)).collect();
        let are_of_others = sent.iter().all(|new| self.left_to_others.has(&new.event.source));
        let mut known = HashSet::new();
        for row in &rows {
            let event = || EventId::from_bytes(row.get::<Uuid, _>("event_id").into_bytes());
            match row.get("what") {
                "running" => match born.remove(&(event(), row.get("route"))) {
                    Some(Owed { new, route, place: Some(place) }) => self.give_birth((new, route, place), JobId(row.get("job")), lease),
                    // It runs, and nobody runs it: that is found out.
                    _ => self.doubt.raise(),
                },
                "due" if are_of_others => {}
                "due" => self.becomes_due(self.clock.steady()),
                "known" => {
                    known.insert(event());
                }
                what => unreachable!("the statement says nothing of the kind: {what}"),
            }
        }
        // Places of jobs that were not born go back here.
        drop(born);
        let is_new = |new: &NewEvent| leads(&new) && !known.contains(&new.event.id);
        let duplicates = group.iter().filter(|new| !is_new(new)).filter_map(|new| new.key.as_ref());
        let hashes: Vec<Uuid> = duplicates.map(|key| Uuid::from_bytes(key.hash)).collect();
        let firsts = if hashes.is_empty() { HashMap::new() } else { firsts(connection, &hashes).await? };
        let answer = |new: &&NewEvent| {
            if is_new(new) {
                return Some(Admitted::New(new.event.id));
            }
            let key = new.key.as_ref()?;
            let First { event: of, body_hash, told } = firsts.get(&key.hash)?.clone();
            let answer = told.unwrap_or_else(|| new.answer.clone());
            Some(Admitted::Duplicate { of, key_reused: body_hash != key.body_hash, answer })
        };
        Ok(group.iter().map(answer).collect())
    }

    /// The jobs of these events, each with a place while there are any.
    fn owed<'b>(&self, sent: &[&'b NewEvent]) -> Vec<Owed<'b>> {
        let is_behind = self.backlog.borrow().is_due(self.clock.steady());
        // While something is due, a new job queues behind it.
        let place = |new: &NewEvent| if is_behind || self.left_to_others.has(&new.event.source) { None } else { self.slots.try_take() };
        let owed = sent.iter().flat_map(|new| new.routes.iter().map(|route| (*new, route)));
        owed.map(|(new, route)| Owed { new, route, place: place(new) }).collect()
    }

    /// Hands a job to the worker that was born running.
    fn give_birth(&self, (new, route, place): (&NewEvent, &Route, OwnedSemaphorePermit), id: JobId, lease: NodeId) {
        let event = Arc::clone(&new.event);
        let job = Job {
            id,
            owner: lease,
            lineage: Lineage { event: event.id, route: route.name.clone() },
            source: event.source.clone(),
            plugin: route.plugin.clone(),
            attempt: 1,
            attempts_before: 0,
            owed_since: self.clock.steady(),
            is_suspect: false,
            line: new.ordering.as_ref().map(|ordering| ordering.line),
        };
        self.held().insert(Run::of(&job));
        // The receiver is gone only while the worker ends: the job is given back with the lease.
        let _ = self.born.send(Claimed { job, work: Work::Handle(event), place, has_steps: false });
    }
}

async fn insert(
    connection: &mut PgConnection,
    node: &Node,
    lease: NodeId,
    sent: &[&NewEvent],
    owed: &[Owed<'_>],
) -> Result<Vec<sqlx::postgres::PgRow>, sqlx::Error> {
    fn column<'a, T>(sent: &[&'a NewEvent], of: impl Fn(&'a NewEvent) -> T) -> Vec<T> {
        sent.iter().map(|new| of(new)).collect()
    }
    sqlx::query(ADMIT)
        .bind(node.given_now())
        .bind(Uuid::from_bytes(*lease.as_bytes()))
        .bind(column(sent, |new| Uuid::from_bytes(*new.event.id.as_bytes())))
        .bind(column(sent, |new| new.key.as_ref().map(|key| Uuid::from_bytes(key.hash))))
        .bind(column(sent, |new| new.key.as_ref().map(|key| i64::from_le_bytes(key.body_hash))))
        .bind(column(sent, |new| new.key.as_ref().map(|key| millis(key.window))))
        .bind(column(sent, |new| new.event.source.as_str()))
        .bind(column(sent, |new| new.event.event_type.as_deref()))
        .bind(column(sent, |new| new.event.dedupe_key.as_deref()))
        .bind(column(sent, |new| new.event.received_at.as_millis()))
        .bind(column(sent, |new| new.event.headers.as_bytes()))
        .bind(column(sent, |new| &new.event.body[..]))
        .bind(column(sent, answer_status))
        .bind(column(sent, |new| new.answer.body.as_deref()))
        .bind(column(sent, |new| new.ordering.as_ref().map(|ordering| ordering.text.as_str())))
        .bind(owed.iter().map(|owed| Uuid::from_bytes(*owed.new.event.id.as_bytes())).collect::<Vec<_>>())
        .bind(owed.iter().map(|owed| owed.route.name.as_str()).collect::<Vec<_>>())
        .bind(owed.iter().map(|owed| owed.route.plugin.as_str()).collect::<Vec<_>>())
        .bind(owed.iter().map(|owed| owed.place.is_some()).collect::<Vec<_>>())
        .bind(owed.iter().map(|owed| Some(line_of(owed.new)?.0)).collect::<Vec<Option<Uuid>>>())
        .bind(owed.iter().map(|owed| line_of(owed.new)?.1).collect::<Vec<Option<i32>>>())
        .fetch_all(connection)
        .await
}

async fn firsts(connection: &mut PgConnection, hashes: &[Uuid]) -> Result<HashMap<[u8; 16], First>, sqlx::Error> {
    let rows = sqlx::query(FIRSTS).bind(hashes).fetch_all(connection).await?;
    let first = |row: &sqlx::postgres::PgRow| {
        let usual = Answer::default();
        let status = row.get::<Option<i16>, _>("answer_status").and_then(|status| u16::try_from(status).ok());
        let told = status.map_or(usual, |status| Answer { status, body: row.get::<Option<Vec<u8>>, _>("answer_body").map(Into::into) });
        First {
            event: EventId::from_bytes(row.get::<Uuid, _>("event_id").into_bytes()),
            body_hash: row.get::<i64, _>("body_hash").to_le_bytes(),
            told: row.get::<bool, _>("is_kept").then_some(told),
        }
    };
    Ok(rows.iter().map(|row| (row.get::<Uuid, _>("hash").into_bytes(), first(row))).collect())
}

pub(super) fn millis(time: std::time::Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// The same refusal for another caller; `sqlx::Error` cannot be cloned.
fn copy(error: &sqlx::Error) -> crate::store::Cause {
    error.to_string().into()
}
