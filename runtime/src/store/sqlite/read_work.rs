//! Looking at work and refusals: dead letters, refused requests, counts, the depth of the queue.

use sqlx::Row;
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;

use super::Sqlite;
use super::read_events::seq_after;
use crate::domain::{EventId, Headers, RequestId, Timestamp, UpstreamName};
use crate::store::{DeadFilter, DeadLetterView, JobCounts, Page, RequestFilter, RequestView, StoreError};

const DEAD: &str = "SELECT e.id, e.event_type, d.source, d.route, d.plugin, d.attempts, d.cause, d.reason, d.died_at \
     FROM dead_letters d JOIN events e ON e.seq = d.event_seq \
     WHERE (?1 IS NULL OR e.id = ?1) AND (?2 IS NULL OR d.route = ?2) AND (?3 IS NULL OR d.source = ?3) ORDER BY d.id DESC LIMIT ?4";
const DEAD_COUNT: &str = "SELECT count(*) FROM dead_letters d JOIN events e ON e.seq = d.event_seq \
     WHERE (?1 IS NULL OR e.id = ?1) AND (?2 IS NULL OR d.route = ?2) AND (?3 IS NULL OR d.source = ?3)";
const REQUESTS: &str = "SELECT seq, id, source, at, cause, status, detail, body_bytes, skew_ms, NULL AS headers, diagnosis, finding, advice FROM requests \
     WHERE (?1 IS NULL OR source = ?1) AND (?2 IS NULL OR cause = ?2) AND (?3 IS NULL OR seq < ?3) ORDER BY seq DESC LIMIT ?4";
const REQUEST: &str = "SELECT id, source, at, cause, status, detail, body_bytes, skew_ms, headers, diagnosis, finding, advice FROM requests \
     WHERE id = ?1 ORDER BY seq DESC LIMIT 1";
const PARKED_UPSTREAMS: &str = "SELECT upstream, count(*) AS jobs FROM jobs WHERE upstream IS NOT NULL GROUP BY upstream ORDER BY upstream";
const COUNTS: &str = "SELECT count(*) FILTER (WHERE state = 'ready') AS ready, \
     count(*) FILTER (WHERE state = 'ready' AND due_at <= ?1) AS due, count(*) FILTER (WHERE state = 'running') AS running, \
     count(*) FILTER (WHERE state = 'waiting') AS waiting, count(*) FILTER (WHERE state = 'parked') AS parked, min(due_at) FILTER (WHERE state = 'ready' AND due_at <= ?1) AS oldest_due, \
     (SELECT count(*) FROM dead_letters) AS dead FROM jobs";

impl Sqlite {
    pub(in crate::store) async fn dead_letters(&self, filter: &DeadFilter, limit: u32) -> Result<Vec<DeadLetterView>, StoreError> {
        select(DEAD, filter).bind(limit).fetch_all(&self.reads).await?.iter().map(dead_letter).collect()
    }

    pub(in crate::store) async fn dead_letter_count(&self, filter: &DeadFilter) -> Result<u64, StoreError> {
        let row = select(DEAD_COUNT, filter).fetch_one(&self.reads).await?;
        Ok(u64::try_from(row.get::<i64, _>(0)).unwrap_or(0))
    }

    pub(in crate::store) async fn requests(&self, filter: &RequestFilter) -> Result<Page<RequestView>, StoreError> {
        let query = sqlx::query(REQUESTS)
            .bind(filter.source.as_ref().map(|source| source.as_str().to_owned()))
            .bind(filter.cause.clone())
            .bind(seq_after(filter.cursor.as_deref())?)
            .bind(filter.limit + 1);
        let mut rows = query.fetch_all(&self.reads).await?;
        let more = rows.len() > filter.limit as usize;
        rows.truncate(filter.limit as usize);
        let next_cursor = rows.last().filter(|_| more).map(|row| row.get::<i64, _>("seq").to_string());
        let data = rows.iter().map(request).collect::<Result<_, _>>()?;
        Ok(Page { data, next_cursor })
    }

    pub(in crate::store) async fn request(&self, id: RequestId) -> Result<Option<RequestView>, StoreError> {
        let row = sqlx::query(REQUEST).bind(id.as_bytes().to_vec()).fetch_optional(&self.reads).await?;
        row.as_ref().map(request).transpose()
    }

    pub(in crate::store) async fn parked_upstreams(&self) -> Result<Vec<(UpstreamName, u64)>, StoreError> {
        let rows = sqlx::query(PARKED_UPSTREAMS).fetch_all(&self.reads).await?;
        let parked = |row: &sqlx::sqlite::SqliteRow| {
            let upstream = row.get::<&str, _>("upstream").parse().map_err(|_| StoreError::Damaged { table: "jobs", what: "upstream" })?;
            Ok((upstream, row.get::<i64, _>("jobs").unsigned_abs()))
        };
        rows.iter().map(parked).collect()
    }

    pub(in crate::store) async fn job_counts(&self) -> Result<JobCounts, StoreError> {
        let row = sqlx::query(COUNTS).bind(self.clock.steady().as_millis()).fetch_one(&self.reads).await?;
        let count = |column| u64::try_from(row.get::<i64, _>(column)).unwrap_or(0);
        Ok(JobCounts {
            ready: count("ready"),
            due: count("due"),
            running: count("running"),
            waiting: count("waiting"),
            parked: count("parked"),
            dead: count("dead"),
            oldest_due: row.get::<Option<i64>, _>("oldest_due").map(Timestamp::from_millis),
        })
    }
}

/// A query with the first three parameters bound: event, route, source.
fn select(sql: &'static str, filter: &DeadFilter) -> Query<'static, sqlx::Sqlite, SqliteArguments> {
    let event = filter.lineage.as_ref().map(|lineage| lineage.event).or(filter.event);
    sqlx::query(sql)
        .bind(event.map(|event| event.as_bytes().to_vec()))
        .bind(filter.lineage.as_ref().map(|lineage| lineage.route.as_str().to_owned()))
        .bind(filter.source.as_ref().map(|source| source.as_str().to_owned()))
}

fn dead_letter(row: &sqlx::sqlite::SqliteRow) -> Result<DeadLetterView, StoreError> {
    let event = EventId::from_bytes(id(row.get("id"), "events")?);
    let route: String = row.get("route");
    Ok(DeadLetterView {
        id: format!("{event}.{route}"),
        event,
        route,
        source: row.get("source"),
        event_type: row.get("event_type"),
        plugin: row.get("plugin"),
        attempts: row.get("attempts"),
        cause: row.get("cause"),
        reason: row.get("reason"),
        died_at: Timestamp::from_millis(row.get("died_at")),
    })
}

fn request(row: &sqlx::sqlite::SqliteRow) -> Result<RequestView, StoreError> {
    Ok(RequestView {
        id: RequestId::from_bytes(id(row.get("id"), "requests")?),
        source: row.get("source"),
        at: Timestamp::from_millis(row.get("at")),
        cause: row.get("cause"),
        status: row.get("status"),
        detail: row.get("detail"),
        body_bytes: usize::try_from(row.get::<i64, _>("body_bytes")).unwrap_or(0),
        skew_ms: row.get("skew_ms"),
        headers: row.get::<Option<Vec<u8>>, _>("headers").and_then(Headers::from_bytes),
        diagnosis: row.get("diagnosis"),
        finding: row.get("finding"),
        advice: row.get("advice"),
    })
}

fn id(bytes: Vec<u8>, table: &'static str) -> Result<[u8; 16], StoreError> {
    bytes.try_into().map_err(|_| StoreError::Damaged { table, what: "id" })
}
