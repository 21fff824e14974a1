//! Looking at work and refusals: dead letters, refused requests, counts, the depth of the queue.

use sqlx::Row;
use sqlx::postgres::PgRow;
use sqlx::types::Uuid;

use super::Postgres;
use super::claim::millis_ago;
use super::edit::parts;
use super::read_events::count;
use crate::domain::{EventId, Headers, RequestId, Timestamp, UpstreamName};
use crate::store::{DeadFilter, DeadLetterView, JobCounts, Page, RequestFilter, RequestView, StoreError};

const DEAD: &str = "SELECT d.event_id, e.event_type, d.source, d.route, d.plugin, d.attempts, d.cause, d.reason, d.died_at \
     FROM dead_letters d JOIN events e ON e.id = d.event_id \
     WHERE ($1::uuid IS NULL OR d.event_id = $1) AND ($2::text IS NULL OR d.route = $2) AND ($3::text IS NULL OR d.source = $3) ORDER BY d.id DESC LIMIT $4";
const DEAD_COUNT: &str = "SELECT count(*) FROM dead_letters d JOIN events e ON e.id = d.event_id \
     WHERE ($1::uuid IS NULL OR d.event_id = $1) AND ($2::text IS NULL OR d.route = $2) AND ($3::text IS NULL OR d.source = $3)";
const REQUESTS: &str = "SELECT seq, id, source, at, cause, status, detail, body_bytes, skew_ms, NULL::bytea AS headers, diagnosis, finding, advice FROM requests \
     WHERE ($1::text IS NULL OR source = $1) AND ($2::text IS NULL OR cause = $2) AND ($3::bigint IS NULL OR seq < $3) ORDER BY seq DESC LIMIT $4";
const REQUEST: &str = "SELECT id, source, at, cause, status, detail, body_bytes, skew_ms, headers, diagnosis, finding, advice FROM requests \
     WHERE id = $1 ORDER BY seq DESC LIMIT 1";
const COUNTS: &str = "WITH clock AS MATERIALIZED (SELECT hookfast_now($1) AS now) \
     SELECT count(*) FILTER (WHERE state = 'ready') AS ready, \
       count(*) FILTER (WHERE state = 'ready' AND due_at <= now) AS due, count(*) FILTER (WHERE state = 'running') AS running, \
       count(*) FILTER (WHERE state = 'waiting') AS waiting, count(*) FILTER (WHERE state = 'parked') AS parked, max(now - due_at) FILTER (WHERE state = 'ready' AND due_at <= now) AS due_for, \
       (SELECT count(*) FROM dead_letters) AS dead FROM jobs, clock";

const PARKED: &str = "SELECT upstream, count(*) FROM jobs WHERE upstream IS NOT NULL GROUP BY upstream ORDER BY upstream";

impl Postgres {
    pub(in crate::store) async fn dead_letters(&self, filter: &DeadFilter, limit: u32) -> Result<Vec<DeadLetterView>, StoreError> {
        let (event, route, source) = parts(filter);
        let query = sqlx::query(DEAD).bind(event).bind(route).bind(source).bind(i64::from(limit));
        Ok(query.fetch_all(&self.node.views).await?.iter().map(dead_letter).collect())
    }

    pub(in crate::store) async fn dead_letter_count(&self, filter: &DeadFilter) -> Result<u64, StoreError> {
        let (event, route, source) = parts(filter);
        let row = sqlx::query(DEAD_COUNT).bind(event).bind(route).bind(source).fetch_one(&self.node.views).await?;
        Ok(u64::try_from(row.get::<i64, _>(0)).unwrap_or(0))
    }

    pub(in crate::store) async fn requests(&self, filter: &RequestFilter) -> Result<Page<RequestView>, StoreError> {
        let after = filter.cursor.as_deref().map(|cursor| cursor.parse::<i64>().map_err(|_| StoreError::Cursor)).transpose()?;
        let query = sqlx::query(REQUESTS)
            .bind(filter.source.as_ref().map(|source| source.as_str()))
            .bind(filter.cause.as_deref())
            .bind(after)
            .bind(i64::from(filter.limit) + 1);
        let mut rows = query.fetch_all(&self.node.views).await?;
        let more = rows.len() > filter.limit as usize;
        rows.truncate(filter.limit as usize);
        let next_cursor = rows.last().filter(|_| more).map(|row| row.get::<i64, _>("seq").to_string());
        Ok(Page { data: rows.iter().map(request).collect(), next_cursor })
    }

    pub(in crate::store) async fn request(&self, id: RequestId) -> Result<Option<RequestView>, StoreError> {
        let row = sqlx::query(REQUEST).bind(Uuid::from_bytes(*id.as_bytes())).fetch_optional(&self.node.views).await?;
        Ok(row.as_ref().map(request))
    }

    pub(in crate::store) async fn parked_upstreams(&self) -> Result<Vec<(UpstreamName, u64)>, StoreError> {
        let rows = sqlx::query(PARKED).fetch_all(&self.node.pool).await?;
        let parked = |row: &PgRow| {
            let upstream = row.get::<&str, _>(0).parse().map_err(|_| StoreError::Damaged { table: "jobs", what: "upstream" })?;
            Ok((upstream, row.get::<i64, _>(1).unsigned_abs()))
        };
        rows.iter().map(parked).collect()
    }

    pub(in crate::store) async fn job_counts(&self) -> Result<JobCounts, StoreError> {
        let row = sqlx::query(COUNTS).bind(self.node.given_now()).fetch_optional(&self.node.views).await?;
        let Some(row) = row else { return Ok(JobCounts::default()) };
        let count = |column| u64::try_from(row.get::<i64, _>(column)).unwrap_or(0);
        Ok(JobCounts {
            ready: count("ready"),
            due: count("due"),
            running: count("running"),
            waiting: count("waiting"),
            parked: count("parked"),
            dead: count("dead"),
            // By this node's clock, which may be off the database's.
            oldest_due: row.get::<Option<i64>, _>("due_for").map(|millis| self.node.clock.steady() - millis_ago(millis)),
        })
    }
}

fn dead_letter(row: &PgRow) -> DeadLetterView {
    let event = EventId::from_bytes(row.get::<Uuid, _>("event_id").into_bytes());
    let route: String = row.get("route");
    DeadLetterView {
        id: format!("{event}.{route}"),
        event,
        route,
        source: row.get("source"),
        event_type: row.get("event_type"),
        plugin: row.get("plugin"),
        attempts: count(row.get("attempts")),
        cause: row.get("cause"),
        reason: row.get("reason"),
        died_at: Timestamp::from_millis(row.get("died_at")),
    }
}

fn request(row: &PgRow) -> RequestView {
    RequestView {
        id: RequestId::from_bytes(row.get::<Uuid, _>("id").into_bytes()),
        source: row.get("source"),
        at: Timestamp::from_millis(row.get("at")),
        cause: row.get("cause"),
        status: u16::try_from(row.get::<i16, _>("status")).unwrap_or(0),
        detail: row.get("detail"),
        body_bytes: usize::try_from(row.get::<i64, _>("body_bytes")).unwrap_or(0),
        skew_ms: row.get("skew_ms"),
        headers: row.get::<Option<Vec<u8>>, _>("headers").and_then(Headers::from_bytes),
        diagnosis: row.get("diagnosis"),
        finding: row.get("finding"),
        advice: row.get("advice"),
    }
}
