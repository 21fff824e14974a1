//! The rare writes: unparking, replaying and discarding dead letters, the rings of refused requests, pruning. What they are about is given
//! as an array of keys, since a join may be planned as a walk through the whole table, where that was small when it was planned.

use std::time::{Duration, Instant};

use sqlx::postgres::PgRow;
use sqlx::types::Uuid;
use sqlx::{Connection, PgConnection, Row};

use super::link::STATEMENT_MAX;
use super::{Node, Postgres, line};
use crate::domain::{Diagnosis, EventId, Headers, Lineage, PluginName, Refusal, RouteName, Timestamp, UpstreamName};
use crate::store::{DeadFilter, StoreError};

/// So many refused requests are kept of each source.
const RING: i64 = 1000;
/// So many rows are moved or deleted by one statement.
const BATCH: i64 = 500;
const PRUNE_BATCH: i64 = 5000;
/// A batch that takes too long is tried with so many times fewer rows, and after a quick one there are as many times more.
const FEWER: i64 = 5;
const QUICK: Duration = Duration::from_millis(500);

const UNPARK: &str = "UPDATE jobs SET state = 'ready', park_reason = NULL, due_at = hookfast_now($2) \
     WHERE id = ANY (ARRAY(SELECT id FROM jobs WHERE state = 'parked' AND upstream IS NULL AND plugin = ANY($1) LIMIT $3 FOR UPDATE SKIP LOCKED))";
const UNPARK_UPSTREAM: &str = "UPDATE jobs SET state = 'ready', park_reason = NULL, upstream = NULL, due_at = hookfast_now($2) \
     WHERE id = ANY (ARRAY(SELECT id FROM jobs WHERE upstream = $1 ORDER BY id LIMIT $3 FOR UPDATE SKIP LOCKED))";
const REFUSALS: &str = "INSERT INTO requests (id, source, at, cause, status, detail, body_bytes, skew_ms, headers, diagnosis, finding, advice) \
     SELECT * FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::text[], $5::smallint[], $6::text[], $7::bigint[], \
     $8::bigint[], $9::bytea[], $10::text[], $11::text[], $12::text[])";
macro_rules! trim {
    ($of_source:literal) => {
        concat!(
            "DELETE FROM requests WHERE ",
            $of_source,
            " AND seq <= (SELECT seq FROM requests WHERE ",
            $of_source,
            " ORDER BY seq DESC LIMIT 1 OFFSET $2)"
        )
    };
}
// Two statements, since no index serves `IS NOT DISTINCT FROM`.
const TRIM: &str = trim!("source = $1");
const TRIM_OF_NO_SOURCE: &str = trim!("source IS NULL AND $1::text IS NULL");
const DEAD: &str = "SELECT id, event_id, route, line FROM dead_letters \
     WHERE ($1::uuid IS NULL OR event_id = $1) AND ($2::text IS NULL OR route = $2) AND ($3::text IS NULL OR source = $3) \
     ORDER BY id LIMIT $4 FOR UPDATE SKIP LOCKED";
// A replay resumes the lineage: attempts count on, the retry budget begins anew. Calls that failed for good are forgotten, and a
// delivery that was refused for good is another one; what succeeded, or may have, stays.
const REPLAY: &str = "WITH risen AS (DELETE FROM dead_letters WHERE id = ANY($1) RETURNING event_id, source, route, plugin, attempts, line, cause), \
     clock AS MATERIALIZED (SELECT hookfast_now($2) AS now), \
     forgotten AS (UPDATE steps s SET state = 'forgotten', replays = s.replays + 1, attempt = NULL, request = NULL, summary = NULL, status = NULL, \
         headers = NULL, body = NULL, latency_ms = NULL \
       FROM risen r WHERE s.event_id = ANY (ARRAY(SELECT event_id FROM risen)) AND s.event_id = r.event_id AND s.route = r.route AND s.state = 'recorded' AND s.status >= 400), \
     renewed AS (UPDATE deliveries d SET replays = d.replays + 1 \
       FROM risen r WHERE d.event_id = ANY (ARRAY(SELECT event_id FROM risen)) AND r.cause = 'permanent' AND d.event_id = r.event_id AND d.route = r.route) \
     INSERT INTO jobs (event_id, source, route, plugin, state, due_at, attempt, attempts_before, owed_since, suspect, charges, line) \
     SELECT event_id, source, route, plugin, 'ready', now, attempts, attempts, now, false, 0, line FROM risen, clock";
const DISCARD: &str = "WITH gone AS (DELETE FROM dead_letters WHERE id = ANY($1) RETURNING event_id, route, plugin, attempts) \
     INSERT INTO discards (event_id, route, plugin, attempts, discarded_at, reason) \
     SELECT event_id, route, plugin, attempts, hookfast_now($2), $3 FROM gone";
const PRUNE: &str = "WITH clock AS MATERIALIZED (SELECT hookfast_now($1) AS now), \
     old AS MATERIALIZED (SELECT hash FROM dedupe_keys WHERE expires_at <= (SELECT now FROM clock) LIMIT $2 FOR UPDATE SKIP LOCKED) \
     DELETE FROM dedupe_keys WHERE hash = ANY (ARRAY(SELECT hash FROM old)) AND expires_at <= (SELECT now FROM clock)";

// One snapshot for all of it: a dead letter that is being replayed is seen as the one or the other. `OFFSET` keeps the planner
// from joining all jobs and all dead letters.
const EXPIRE: &str = "WITH batch AS MATERIALIZED (SELECT id, received_at FROM events WHERE id > $1 ORDER BY id LIMIT $3), \
     old AS MATERIALIZED (SELECT id FROM batch b WHERE received_at < $2 \
       AND NOT EXISTS (SELECT FROM jobs WHERE event_id = b.id OFFSET 0) AND NOT EXISTS (SELECT FROM dead_letters WHERE event_id = b.id OFFSET 0)), \
     a AS (DELETE FROM attempts WHERE event_id = ANY (ARRAY(SELECT id FROM old))), \
     d AS (DELETE FROM discards WHERE event_id = ANY (ARRAY(SELECT id FROM old))), \
     s AS (DELETE FROM steps WHERE event_id = ANY (ARRAY(SELECT id FROM old))), \
     o AS (DELETE FROM deliveries WHERE event_id = ANY (ARRAY(SELECT id FROM old))), \
     e AS (DELETE FROM events WHERE id = ANY (ARRAY(SELECT id FROM old))) \
     SELECT id FROM batch ORDER BY id DESC LIMIT 1";

impl Postgres {
    pub(in crate::store) async fn expire(&self, cutoff: Timestamp) -> Result<(), StoreError> {
        let mut after = Uuid::nil();
        let mut limit = BATCH;
        loop {
            let (forgotten, took) = self.node.forget(after, cutoff, limit).await;
            match forgotten {
                // Events with all that belongs to them can be so large that so many take too long, and would the next time, too.
                Err(StoreError::Unavailable(_)) if took >= STATEMENT_MAX && limit > 1 => limit = (limit / FEWER).max(1),
                Err(error) => return Err(error),
                Ok(None) => return Ok(()),
                // Ids begin with their time, which for an emitted event is that of the first one of its chain: it arrived then or later.
                Ok(Some(last)) if i64::try_from(last.as_u64_pair().0 >> 16).is_ok_and(|millis| millis >= cutoff.as_millis()) => {
                    return Ok(());
                }
                Ok(Some(last)) => {
                    after = last;
                    if took < QUICK {
                        limit = (limit * FEWER).min(BATCH);
                    }
                }
            }
        }
    }

    pub(in crate::store) async fn unpark(&self, plugin: PluginName) -> Result<u64, StoreError> {
        let mut unparked = 0;
        loop {
            let more = self.unpark_some(std::slice::from_ref(&plugin)).await?;
            unparked += more;
            if more < BATCH.unsigned_abs() {
                return Ok(unparked);
            }
        }
    }

    pub(in crate::store) async fn unpark_some(&self, plugins: &[PluginName]) -> Result<u64, StoreError> {
        let plugins: Vec<&str> = plugins.iter().map(PluginName::as_str).collect();
        self.node.wake(UNPARK, plugins, BATCH).await
    }

    pub(in crate::store) async fn unpark_upstream(&self, upstream: UpstreamName, jobs_max: u32) -> Result<u64, StoreError> {
        self.node.wake(UNPARK_UPSTREAM, upstream.as_str(), jobs_max.into()).await
    }

    pub(in crate::store) async fn record_refusals(&self, refusals: Vec<Refusal>) -> Result<(), StoreError> {
        self.node.statements(async |connection| record(connection, &refusals).await).await
    }

    pub(in crate::store) async fn replay_dead(&self, filter: DeadFilter) -> Result<Vec<Lineage>, StoreError> {
        self.node.move_dead(&filter, REPLAY, None).await
    }

    pub(in crate::store) async fn discard_dead(&self, filter: DeadFilter, reason: String) -> Result<Vec<Lineage>, StoreError> {
        self.node.move_dead(&filter, DISCARD, Some(&reason)).await
    }

    pub(in crate::store) async fn prune(&self) -> Result<(), StoreError> {
        loop {
            let given = self.node.given_now();
            let pruned = self.node.statements(async |connection| {
                sqlx::query(PRUNE).bind(given).bind(PRUNE_BATCH).execute(connection).await.map(|done| done.rows_affected())
            });
            if pruned.await? < PRUNE_BATCH.unsigned_abs() {
                return self.node.prune_state().await;
            }
        }
    }
}

impl Node {
    /// Forgets what is old of so many events, with all that belongs to them; the last one that was looked at, and how long that took.
    async fn forget(&self, after: Uuid, cutoff: Timestamp, limit: i64) -> (Result<Option<Uuid>, StoreError>, Duration) {
        let mut begun = Instant::now();
        let forgotten = self.statements(async |connection| {
            // A connection may have been waited for.
            begun = Instant::now();
            sqlx::query_scalar(EXPIRE).bind(after).bind(cutoff.as_millis()).bind(limit).fetch_optional(connection).await
        });
        let forgotten = forgotten.await;
        (forgotten, begun.elapsed())
    }

    /// Jobs became ready.
    fn changed(&self) {
        self.becomes_due(self.clock.steady());
        self.committed();
    }

    /// Makes up to so many jobs ready that wait for the thing of this name; how many there were.
    /// Makes up to `jobs_max` jobs ready that wait for this.
    async fn wake<'w>(
        &self,
        sql: &'static str,
        what: impl sqlx::Encode<'w, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send,
        jobs_max: i64,
    ) -> Result<u64, StoreError> {
        let given = self.given_now();
        let woken = self.statements(async |connection| sqlx::query(sql).bind(what).bind(given).bind(jobs_max).execute(connection).await);
        let woken = woken.await?.rows_affected();
        if woken > 0 {
            self.changed();
        }
        Ok(woken)
    }

    /// In batches, so that no statement takes long.
    async fn move_dead(&self, filter: &DeadFilter, sql: &'static str, reason: Option<&str>) -> Result<Vec<Lineage>, StoreError> {
        let (event, route, source) = parts(filter);
        let mut moved = Vec::new();
        if event.is_none() && source.is_none() && !filter.all {
            return Ok(moved);
        }
        loop {
            let given = self.given_now();
            let rows = self.statements(async |connection| {
                let mut transaction = connection.begin().await?;
                let dead = sqlx::query(DEAD).bind(event).bind(route).bind(source).bind(BATCH);
                let dead = dead.fetch_all(&mut *transaction).await?;
                let held = |row: &PgRow| Some((row.get::<Option<Uuid>, _>("line")?, row.get("route")));
                let places: Vec<line::Place> = dead.iter().filter_map(held).collect();
                line::hold(&mut transaction, line::lines_of(&places)).await?;
                let ids: Vec<i64> = dead.iter().map(|row| row.get("id")).collect();
                let query = sqlx::query(sql).bind(ids).bind(given);
                let query = if let Some(reason) = reason { query.bind(reason) } else { query };
                query.execute(&mut *transaction).await?;
                line::advance(&mut transaction, &places, given).await?;
                transaction.commit().await.map(|()| dead)
            });
            let rows = rows.await?;
            for row in &rows {
                let event = EventId::from_bytes(row.get::<Uuid, _>("event_id").into_bytes());
                let route = RouteName::of_job(row.get("route"));
                let route = route.map_err(|_| StoreError::Damaged { table: "dead_letters", what: "route" })?;
                moved.push(Lineage { event, route });
            }
            if !rows.is_empty() {
                self.changed();
            }
            if rows.len() < usize::try_from(BATCH).unwrap_or(0) {
                return Ok(moved);
            }
        }
    }
}

/// Event, route and source that are asked for.
pub(super) fn parts(filter: &DeadFilter) -> (Option<Uuid>, Option<&str>, Option<&str>) {
    let event = filter.lineage.as_ref().map(|lineage| lineage.event).or(filter.event);
    let event = event.map(|event| Uuid::from_bytes(*event.as_bytes()));
    (event, filter.lineage.as_ref().map(|lineage| lineage.route.as_str()), filter.source.as_ref().map(|source| source.as_str()))
}

async fn record(connection: &mut PgConnection, refusals: &[Refusal]) -> Result<(), sqlx::Error> {
    fn column<'a, T>(refusals: &'a [Refusal], of: impl Fn(&'a Refusal) -> T) -> Vec<T> {
        refusals.iter().map(of).collect()
    }
    let source = |refusal: &Refusal| refusal.source.as_ref().map(|source| source.to_string());
    sqlx::query(REFUSALS)
        .bind(column(refusals, |refusal| Uuid::from_bytes(*refusal.id.as_bytes())))
        .bind(column(refusals, source))
        .bind(column(refusals, |refusal| refusal.at.as_millis()))
        .bind(column(refusals, |refusal| refusal.cause.code()))
        .bind(column(refusals, |refusal| i16::try_from(refusal.cause.status()).unwrap_or(0)))
        .bind(column(refusals, |refusal| refusal.cause.detail()))
        .bind(column(refusals, |refusal| i64::try_from(refusal.body_bytes).unwrap_or(i64::MAX)))
        .bind(column(refusals, |refusal| refusal.cause.skew_ms()))
        .bind(column(refusals, |refusal| refusal.headers.as_ref().map(Headers::as_bytes)))
        .bind(column(refusals, |refusal| refusal.diagnosis.as_ref().map(Diagnosis::code)))
        .bind(column(refusals, |refusal| refusal.diagnosis.as_ref().map(ToString::to_string)))
        .bind(column(refusals, |refusal| refusal.diagnosis.as_ref().map(Diagnosis::advice)))
        .execute(&mut *connection)
        .await?;
    let mut sources = column(refusals, source);
    sources.sort_unstable();
    sources.dedup();
    for source in sources {
        let trim = if source.is_some() { TRIM } else { TRIM_OF_NO_SOURCE };
        sqlx::query(trim).bind(source).bind(RING).execute(&mut *connection).await?;
    }
    Ok(())
}
