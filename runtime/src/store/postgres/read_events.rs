//! Looking at events: lists, and one event with its jobs and attempts.

use sqlx::postgres::PgRow;
use sqlx::types::Uuid;
use sqlx::{PgConnection, Row};

use super::{Postgres, deliveries, steps};
use crate::domain::{EventId, Headers, Timestamp};
use crate::store::answer::recorded;
use crate::store::{AttemptView, EventFilter, EventStatus, EventView, JobView, Page, ParentView, StoreError};

const EVENTS: &str = "SELECT id, source, event_type, dedupe_key, ordering_key, parent, depth, received_at, length(body) AS body_bytes FROM events \
     WHERE ($1::text IS NULL OR source = $1) AND ($2::text IS NULL OR event_type = $2) AND ($3::uuid IS NULL OR id < $3) ORDER BY id DESC LIMIT $4";
const EVENT: &str = "SELECT id, source, event_type, dedupe_key, ordering_key, parent, depth, received_at, length(body) AS body_bytes, headers, body FROM events \
     WHERE id = $1";
// A live job, else a dead letter, else an operator's discard, else what its last attempt came to.
const JOBS: &str = "SELECT event_id, route, plugin, state, attempt AS attempts, CASE state WHEN 'ready' THEN due_at END AS due_at, \
       park_reason || coalesce(': ' || upstream, '') AS reason \
       FROM jobs WHERE event_id = ANY($1) \
     UNION ALL SELECT event_id, route, plugin, 'dead', attempts, NULL, cause || ': ' || reason FROM dead_letters WHERE event_id = ANY($1) \
     UNION ALL SELECT event_id, route, plugin, 'discarded', attempts, NULL, reason FROM discards WHERE event_id = ANY($1) \
     UNION ALL (SELECT * FROM (SELECT DISTINCT ON (event_id, route) event_id, route, plugin, outcome, attempt, NULL::bigint, detail FROM attempts \
       WHERE event_id = ANY($1) ORDER BY event_id, route, attempt DESC) last WHERE outcome IN ('done', 'discarded')) \
     ORDER BY 1, 2";
const EMITTED: &str = "SELECT id FROM events WHERE parent = ANY($1) ORDER BY received_at, parent, nth";
const ATTEMPTS: &str = "SELECT * FROM attempts WHERE event_id = $1 ORDER BY route, attempt";

impl Postgres {
    pub(in crate::store) async fn events(&self, filter: &EventFilter) -> Result<Page<EventView>, StoreError> {
        let after = filter.cursor.as_deref().map(|cursor| cursor.parse::<EventId>().map_err(|_| StoreError::Cursor)).transpose()?;
        let mut connection = self.node.views.acquire().await?;
        let query = sqlx::query(EVENTS)
            .bind(filter.source.as_ref().map(|source| source.as_str()))
            .bind(filter.event_type.as_deref())
            .bind(after.map(|id| Uuid::from_bytes(*id.as_bytes())))
            .bind(i64::from(filter.limit) + 1);
        let mut rows = query.fetch_all(&mut *connection).await?;
        let more = rows.len() > filter.limit as usize;
        rows.truncate(filter.limit as usize);
        let data = with_jobs(&mut connection, &rows).await?;
        let next_cursor = data.last().filter(|_| more).map(|event| event.id.to_string());
        Ok(Page { data, next_cursor })
    }

    pub(in crate::store) async fn event(&self, id: EventId) -> Result<Option<EventView>, StoreError> {
        let id = Uuid::from_bytes(*id.as_bytes());
        let mut connection = self.node.views.acquire().await?;
        let rows = sqlx::query(EVENT).bind(id).fetch_all(&mut *connection).await?;
        let Some(mut event) = with_jobs(&mut connection, &rows).await?.pop() else { return Ok(None) };
        let attempts = sqlx::query(ATTEMPTS).bind(id).fetch_all(&mut *connection).await?;
        event.attempts = attempts.iter().map(attempt).collect::<Result<_, _>>()?;
        add_details(&mut connection, &mut event).await?;
        let headers = Headers::from_bytes(rows[0].get("headers"));
        let headers = headers.ok_or(StoreError::Damaged { table: "events", what: "headers" })?;
        event.content = Some((headers, rows[0].get::<Vec<u8>, _>("body").into()));
        Ok(Some(event))
    }
}

/// Events with their jobs, in two statements however many there are.
async fn with_jobs(connection: &mut PgConnection, rows: &[PgRow]) -> Result<Vec<EventView>, StoreError> {
    let ids: Vec<Uuid> = rows.iter().map(|row| row.get("id")).collect();
    let jobs = sqlx::query(JOBS).bind(&ids).fetch_all(connection).await?;
    let of = |id: Uuid| jobs.iter().filter(|job| job.get::<Uuid, _>("event_id") == id).map(job).collect::<Result<Vec<_>, _>>();
    rows.iter()
        .zip(ids)
        .map(|(row, id)| {
            let jobs = of(id)?;
            Ok(EventView {
                id: EventId::from_bytes(id.into_bytes()),
                source: row.get("source"),
                event_type: row.get("event_type"),
                dedupe_key: row.get("dedupe_key"),
                ordering_key: row.get("ordering_key"),
                parent: row.get::<Option<String>, _>("parent").map(|lineage| ParentView { lineage, depth: depth(row) }),
                received_at: Timestamp::from_millis(row.get("received_at")),
                body_bytes: usize::try_from(row.get::<i32, _>("body_bytes")).unwrap_or(0),
                status: EventStatus::of(&jobs),
                jobs,
                emitted: Vec::new(),
                attempts: Vec::new(),
                content: None,
            })
        })
        .collect()
}

/// What is known of its jobs beyond where they stand.
async fn add_details(connection: &mut PgConnection, event: &mut EventView) -> Result<(), sqlx::Error> {
    let id = Uuid::from_bytes(*event.id.as_bytes());
    let lineages: Vec<String> = event.jobs.iter().map(|job| format!("{}.{}", event.id, job.route)).collect();
    let emitted = sqlx::query(EMITTED).bind(lineages).fetch_all(&mut *connection).await?;
    event.emitted = emitted.iter().map(|row| EventId::from_bytes(row.get::<Uuid, _>("id").into_bytes())).collect();
    for (route, delivery) in deliveries::views(connection, id).await? {
        event.job_mut(&route).into_iter().for_each(|job| job.delivery = Some(delivery.clone()));
    }
    for (route, step) in steps::views(connection, id).await? {
        event.job_mut(&route).into_iter().for_each(|job| job.steps.push(step.clone()));
    }
    Ok(())
}

fn depth(row: &PgRow) -> u32 {
    row.get::<Option<i32>, _>("depth").map_or(0, count)
}

fn job(row: &PgRow) -> Result<JobView, StoreError> {
    Ok(JobView {
        route: row.get("route"),
        plugin: row.get("plugin"),
        state: row.get::<&str, _>("state").parse().map_err(|()| StoreError::Damaged { table: "jobs", what: "state" })?,
        attempts: count(row.get("attempts")),
        due_at: row.get::<Option<i64>, _>("due_at").map(Timestamp::from_millis),
        reason: row.get("reason"),
        delivery: None,
        steps: Vec::new(),
    })
}

fn attempt(row: &PgRow) -> Result<AttemptView, StoreError> {
    Ok(AttemptView {
        route: row.get("route"),
        attempt: count(row.get("attempt")),
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

pub(super) fn count(number: i32) -> u32 {
    u32::try_from(number).unwrap_or(0)
}
