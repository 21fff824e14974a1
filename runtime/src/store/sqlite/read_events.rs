//! Looking at events: lists, and one event with its jobs and attempts. On the read-only pool; never in the writer's way.

use std::sync::LazyLock;

use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Row};

use super::Sqlite;
use super::numbers::SEQ_OF_ID;
use crate::domain::{EventId, Headers, Timestamp};
use crate::store::answer::recorded;
use crate::store::{AttemptView, EventFilter, EventStatus, EventView, JobView, Page, ParentView, StoreError};

const EVENTS: &str = "SELECT seq, id, source, event_type, dedupe_key, ordering_key, parent, depth, received_at, length(body) AS body_bytes FROM events \
     WHERE (?1 IS NULL OR source = ?1) AND (?2 IS NULL OR event_type = ?2) AND (?3 IS NULL OR seq < ?3) ORDER BY seq DESC LIMIT ?4";
static EVENT: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT seq, id, source, event_type, dedupe_key, ordering_key, parent, depth, received_at, length(body) AS body_bytes, headers, body \
         FROM events WHERE seq = {SEQ_OF_ID}"
    )
});
// A live job, else a dead letter, else an operator's discard, else what its last attempt came to.
const JOBS: &str = "SELECT route, plugin, state, attempt AS attempts, CASE state WHEN 'ready' THEN due_at END AS due_at, \
       park_reason || coalesce(': ' || upstream, '') AS reason \
     FROM (SELECT * FROM jobs WHERE id = ?1 AND event_seq = ?1 UNION ALL SELECT * FROM jobs WHERE event_seq = ?1 AND id <> event_seq) \
     UNION ALL SELECT route, plugin, 'dead', attempts, NULL, cause || ': ' || reason FROM dead_letters WHERE event_seq = ?1 \
     UNION ALL SELECT route, plugin, 'discarded', attempts, NULL, reason FROM discards WHERE event_seq = ?1 \
     UNION ALL SELECT a.route, a.plugin, a.outcome, a.attempt, NULL, a.detail FROM attempts a \
       WHERE a.event_seq = ?1 AND a.attempt = (SELECT max(attempt) FROM attempts WHERE event_seq = ?1 AND route = a.route) \
         AND a.outcome IN ('done', 'discarded') \
     ORDER BY 1";
// The lineages of an event's jobs begin with its id and a full stop, which a slash follows in ASCII.
const EMITTED: &str = "SELECT id FROM events WHERE parent > ?1 || '.' AND parent < ?1 || '/' ORDER BY seq";
const ATTEMPTS: &str = "SELECT * FROM attempts WHERE event_seq = ?1 ORDER BY route, attempt";

impl Sqlite {
    pub(in crate::store) async fn events(&self, filter: &EventFilter) -> Result<Page<EventView>, StoreError> {
        let query = sqlx::query(EVENTS)
            .bind(filter.source.as_ref().map(|source| source.as_str().to_owned()))
            .bind(filter.event_type.clone())
            .bind(seq_after(filter.cursor.as_deref())?)
            .bind(filter.limit + 1);
        let mut rows = query.fetch_all(&self.reads).await?;
        let more = rows.len() > filter.limit as usize;
        rows.truncate(filter.limit as usize);
        let next_cursor = rows.last().filter(|_| more).map(|row| row.get::<i64, _>("seq").to_string());
        let mut data = Vec::with_capacity(rows.len());
        for row in rows {
            data.push(self.with_jobs(&row).await?);
        }
        Ok(Page { data, next_cursor })
    }

    pub(in crate::store) async fn event(&self, id: EventId) -> Result<Option<EventView>, StoreError> {
        let Some(row) =
            sqlx::query(AssertSqlSafe(EVENT.as_str())).bind(id.as_bytes().to_vec()).bind(id.number()).fetch_optional(&self.reads).await?
        else {
            return Ok(None);
        };
        let mut event = self.with_jobs(&row).await?;
        let seq = row.get("seq");
        let attempts = sqlx::query(ATTEMPTS).bind(seq).fetch_all(&self.reads).await?;
        event.attempts = attempts.iter().map(attempt).collect::<Result<_, _>>()?;
        let emitted = sqlx::query(EMITTED).bind(event.id.to_string()).fetch_all(&self.reads).await?;
        event.emitted = emitted.iter().map(event_id).collect::<Result<_, _>>()?;
        self.add_details(&mut event, seq).await?;
        let headers = Headers::from_bytes(row.get("headers"));
        let headers = headers.ok_or(StoreError::Damaged { table: "events", what: "headers" })?;
        event.content = Some((headers, row.get::<Vec<u8>, _>("body").into()));
        Ok(Some(event))
    }

    /// What is known of its jobs beyond where they stand.
    async fn add_details(&self, event: &mut EventView, seq: i64) -> Result<(), StoreError> {
        for (route, delivery) in self.delivery_views(seq).await? {
            event.job_mut(&route).into_iter().for_each(|job| job.delivery = Some(delivery.clone()));
        }
        for (route, step) in self.step_views(seq).await? {
            event.job_mut(&route).into_iter().for_each(|job| job.steps.push(step.clone()));
        }
        Ok(())
    }

    async fn with_jobs(&self, row: &SqliteRow) -> Result<EventView, StoreError> {
        let jobs = sqlx::query(JOBS).bind(row.get::<i64, _>("seq")).fetch_all(&self.reads).await?;
        let jobs = jobs.iter().map(job).collect::<Result<Vec<_>, _>>()?;
        Ok(EventView {
            id: event_id(row)?,
            source: row.get("source"),
            event_type: row.get("event_type"),
            dedupe_key: row.get("dedupe_key"),
            ordering_key: row.get("ordering_key"),
            parent: row.get::<Option<String>, _>("parent").map(|lineage| ParentView { lineage, depth: row.get("depth") }),
            received_at: Timestamp::from_millis(row.get("received_at")),
            body_bytes: usize::try_from(row.get::<i64, _>("body_bytes")).unwrap_or(0),
            status: EventStatus::of(&jobs),
            jobs,
            emitted: Vec::new(),
            attempts: Vec::new(),
            content: None,
        })
    }
}

fn event_id(row: &SqliteRow) -> Result<EventId, StoreError> {
    let id: Vec<u8> = row.get("id");
    id.try_into().map(EventId::from_bytes).map_err(|_| StoreError::Damaged { table: "events", what: "id" })
}

/// Pages go on below a row's number.
pub(super) fn seq_after(cursor: Option<&str>) -> Result<Option<i64>, StoreError> {
    cursor.map(|cursor| cursor.parse().map_err(|_| StoreError::Cursor)).transpose()
}

fn job(row: &SqliteRow) -> Result<JobView, StoreError> {
    let state: String = row.get("state");
    Ok(JobView {
        route: row.get("route"),
        plugin: row.get("plugin"),
        state: state.parse().map_err(|()| StoreError::Damaged { table: "jobs", what: "state" })?,
        attempts: row.get("attempts"),
        due_at: row.get::<Option<i64>, _>("due_at").map(Timestamp::from_millis),
        reason: row.get("reason"),
        delivery: None,
        steps: Vec::new(),
    })
}

fn attempt(row: &SqliteRow) -> Result<AttemptView, StoreError> {
    Ok(AttemptView {
        route: row.get("route"),
        attempt: row.get("attempt"),
        plugin: row.get("plugin"),
        digest: format!("sha256:{}", hex::encode(row.get::<Vec<u8>, _>("digest"))),
        started_at: Timestamp::from_millis(row.get("started_at")),
        duration_us: u64::try_from(row.get::<i64, _>("duration_us")).unwrap_or(0),
        outcome: row.get("outcome"),
        failure: row.get("failure"),
        detail: row.get("detail"),
        retry_at: row.get::<Option<i64>, _>("retry_at").map(Timestamp::from_millis),
        calls: recorded(row.get("calls"), "calls")?,
        log: recorded(row.get("log"), "log")?,
    })
}
