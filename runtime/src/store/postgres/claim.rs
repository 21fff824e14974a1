//! Taking due jobs in batches as large as the free places, of the sources that have any in turn, with one statement for each turn.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::time::Duration;

use sqlx::postgres::PgRow;
use sqlx::types::Uuid;
use sqlx::{Connection, PgConnection, Row};
use tokio::sync::OwnedSemaphorePermit;
use tracing::error;

use super::line;
use super::link::{Failure, STATEMENT_MAX, within};
use super::{Node, Run};
use crate::domain::{
    DeadReason, Delivery, Digest, Event, EventId, Headers, Job, JobId, Line, Lineage, NodeId, Parent, RouteName, SourceName, Timestamp,
};
use crate::store::round_robin::{Share, Shares, Stop};
use crate::store::work::Taken;
use crate::store::{Backlog, Claimed, QUIET_FOR_EACH_CHARGE, StoreError, Work};

/// A loose index scan, one step a source, however many jobs each has: a table of the sources within these bounds that have ready jobs, in
/// order, each with when its first is due. The state is literal, so that the partial index serves.
macro_rules! sources {
    ($name:literal, $bounds:literal) => {
        concat!(
            $name,
            " AS ((SELECT source, due_at FROM jobs WHERE state = 'ready' AND NOT suspect AND ",
            $bounds,
            " ORDER BY source, due_at LIMIT 1) \
             UNION ALL \
             SELECT n.source, n.due_at FROM ",
            $name,
            " s CROSS JOIN LATERAL (SELECT source, due_at FROM jobs WHERE state = 'ready' AND NOT suspect AND source > s.source AND ",
            $bounds,
            " ORDER BY source, due_at LIMIT 1) n)"
        )
    };
}
/// In how many milliseconds the first ready job of all sources but some is due, or since when it is; NULL where there is none.
const NEXT_DUE: &str =
    concat!("WITH RECURSIVE ", sources!("s", "true"), " SELECT min(due_at) - hookfast_now($1) FROM s WHERE source <> ALL($2)");
/// The sources but some that have due jobs, from the one after the last that had a place, and around; no more of them than can have a place.
const DUE_SOURCES: &str = concat!(
    "WITH RECURSIVE ",
    sources!("after", "source > $2"),
    ", ",
    sources!("before", "source <= $2"),
    " SELECT source FROM (SELECT * FROM after UNION ALL SELECT * FROM before) s WHERE due_at <= hookfast_now($1) AND source <> ALL($4) LIMIT $3"
);
/// What the taken jobs work on: an event, or a delivery. Only the one that it is is looked up, and by its key: a limit keeps the planner
/// from joining the whole table, which it would where that was small when it planned.
macro_rules! work_of_taken {
    () => {
        "e.event_type, e.dedupe_key, e.received_at, e.parent, e.depth, coalesce(e.headers, d.headers) AS headers, coalesce(e.body, d.body) AS body, \
           d.digest, d.upstream, d.method, d.path, d.replays FROM taken t \
           LEFT JOIN LATERAL (SELECT * FROM events WHERE t.route NOT LIKE '%:%' AND id = t.event_id LIMIT 1) e ON true \
           LEFT JOIN LATERAL (SELECT * FROM deliveries WHERE t.route LIKE '%:%' AND event_id = t.event_id AND route = t.route LIMIT 1) d ON true"
    };
}
const CLAIM: &str = concat!(
    "WITH clock AS MATERIALIZED (SELECT hookfast_now($1) AS now), \
     lease AS MATERIALIZED (SELECT id FROM nodes WHERE id = $2 FOR KEY SHARE), \
     picked AS MATERIALIZED (SELECT j.id FROM unnest($3::text[], $4::bigint[]) AS share (source, wanted) CROSS JOIN LATERAL ( \
       SELECT id FROM jobs WHERE state = 'ready' AND NOT suspect AND source = share.source AND due_at <= (SELECT now FROM clock) \
       ORDER BY due_at LIMIT share.wanted FOR UPDATE SKIP LOCKED) j), \
     taken AS (UPDATE jobs j SET state = 'running', owner = l.id, attempt = j.attempt + 1 FROM lease l WHERE j.id = ANY (ARRAY(SELECT id FROM picked)) \
       RETURNING j.id, j.event_id, j.source, j.route, j.plugin, j.attempt, j.attempts_before, j.owed_since, j.suspect, j.line, j.skip_after) \
     SELECT t.id AS job, t.event_id, t.source, t.route, t.plugin, t.attempt, t.attempts_before, (SELECT now FROM clock) - t.owed_since AS owed_for, t.suspect, t.line, t.skip_after, ",
    work_of_taken!()
);
const SUSPECT: &str = concat!(
    "WITH lease AS MATERIALIZED (SELECT id FROM nodes WHERE id = $1 FOR KEY SHARE), \
     picked AS MATERIALIZED (SELECT id FROM jobs WHERE state = 'ready' AND suspect AND charges <= $2 AND source <> ALL($4) ORDER BY charges, id LIMIT 1 FOR UPDATE SKIP LOCKED), \
     taken AS (UPDATE jobs j SET state = 'running', owner = l.id, attempt = j.attempt + 1 FROM lease l WHERE j.id = ANY (ARRAY(SELECT id FROM picked)) \
       RETURNING j.id, j.event_id, j.source, j.route, j.plugin, j.attempt, j.attempts_before, j.owed_since, j.suspect, j.line, j.skip_after) \
     SELECT t.id AS job, t.event_id, t.source, t.route, t.plugin, t.attempt, t.attempts_before, hookfast_now($3) - t.owed_since AS owed_for, t.suspect, t.line, t.skip_after, ",
    work_of_taken!()
);
/// Which of the jobs that are taken have steps. A statement of its own, since the one that takes does not see what was committed after it
/// began: another node may have run a job meanwhile and given it back.
const STEPPED: &str = "SELECT t.event_id, t.route FROM unnest($1::uuid[], $2::text[]) AS t (event_id, route) \
     CROSS JOIN LATERAL (SELECT 1 FROM steps s WHERE s.event_id = t.event_id AND s.route = t.route LIMIT 1) s";
const BURY: &str = "WITH gone AS (DELETE FROM jobs WHERE id = $1 RETURNING event_id, source, route, plugin, attempt, line, skip_after) \
     INSERT INTO dead_letters (event_id, source, route, plugin, attempts, cause, reason, died_at, line) \
     SELECT event_id, source, route, plugin, attempt, $2, $3, hookfast_now($4), CASE WHEN skip_after IS NULL THEN line END FROM gone";

impl Node {
    pub(super) async fn claim(&self, places: Vec<OwnedSemaphorePermit>, but: &[SourceName]) -> Result<Vec<Claimed>, StoreError> {
        let _guard = self.taking.read().await;
        let taken = self
            .statements(async |connection| self.take_due(connection, places.len(), but).await)
            .await
            .map_err(|error| self.broke_off(error))?;
        Ok(self.hand_over(taken, places))
    }

    /// The first suspect whose event can be read; the others are buried on the way.
    pub(super) async fn claim_suspect(&self, place: OwnedSemaphorePermit) -> Result<Option<Claimed>, StoreError> {
        let _guard = self.taking.read().await;
        let taken = self.statements(async |connection| {
            loop {
                let lease = self.lease();
                let quiet = self.clock.steady().since(self.opened_at).as_millis() / QUIET_FOR_EACH_CHARGE.as_millis();
                let suspect = sqlx::query(SUSPECT).bind(Uuid::from_bytes(*lease.as_bytes())).bind(i32::try_from(quiet).unwrap_or(i32::MAX));
                let suspect = suspect.bind(self.given_now()).bind(self.left_to_others.sources());
                let row = suspect.fetch_optional(&mut *connection).await?;
                let Some(row) = row else { return Ok(None) };
                let stepped = with_steps(connection, std::slice::from_ref(&row)).await?;
                if let Some(taken) = self.readable(connection, lease, &row, &stepped).await? {
                    return Ok(Some(taken));
                }
            }
        });
        let taken = taken.await.map_err(|error| self.broke_off(error))?;
        Ok(self.hand_over(taken.into_iter().collect(), vec![place]).pop())
    }

    fn hand_over(&self, taken: Vec<Taken>, places: Vec<OwnedSemaphorePermit>) -> Vec<Claimed> {
        self.held().extend(taken.iter().map(|taken| Run::of(&taken.job)));
        if !taken.is_empty() {
            self.committed();
        }
        taken.into_iter().zip(places).map(|(taken, place)| taken.at(place)).collect()
    }

    /// Runs statements on a connection of the pool.
    pub(super) async fn statements<T>(&self, work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>) -> Result<T, StoreError> {
        let mut connection = self.pool.acquire().await.map_err(|error| self.failed(error))?;
        match within(STATEMENT_MAX, work(&mut connection)).await {
            Ok(done) => Ok(done),
            Err(error) => {
                // It may be in the middle of anything.
                drop(connection.detach());
                Err(self.failed(error))
            }
        }
    }

    fn failed(&self, error: sqlx::Error) -> StoreError {
        self.note_full(&error);
        match Failure::from(error) {
            Failure::Outage(error) => {
                self.doubt.raise();
                StoreError::Unavailable(error.into())
            }
            Failure::Refused(error) => StoreError::Refused(error.into()),
        }
    }

    /// An error in the middle of a claim: what its earlier statements took is ours, and nobody has it.
    fn broke_off(&self, error: StoreError) -> StoreError {
        self.doubt.raise();
        error
    }

    async fn take_due(&self, connection: &mut PgConnection, places: usize, but: &[SourceName]) -> Result<Vec<Taken>, sqlx::Error> {
        let waiting = self.due_sources(connection, places, but).await?;
        let mut taken = Vec::with_capacity(places);
        let mut shares = Shares::of(places, waiting);
        while let Some(turn) = shares.turn() {
            let mut found = self.take_turn(connection, &turn, &mut taken).await?;
            for share in turn {
                let jobs = found.remove(&share.source).unwrap_or(0);
                shares.found(share, jobs);
            }
        }
        if let Some(last) = shares.last() {
            self.round_robin.note(Stop::of(but, last));
        }
        // One that leaves sources out says nothing of what else is due.
        if taken.len() < places && but.is_empty() {
            self.look(connection).await?;
        }
        Ok(taken)
    }

    async fn due_sources(&self, connection: &mut PgConnection, most: usize, but: &[SourceName]) -> Result<Vec<String>, sqlx::Error> {
        let sources = sqlx::query_scalar(DUE_SOURCES).bind(self.given_now()).bind(self.round_robin.last(but));
        let mut out = self.left_to_others.sources();
        out.extend(but.iter().map(|but| but.as_str().to_owned()));
        sources.bind(i64::try_from(most).unwrap_or(i64::MAX)).bind(out).fetch_all(connection).await
    }

    /// What is due when becomes known to whoever claims.
    pub(super) async fn look(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let due_in: Option<i64> =
            sqlx::query_scalar(NEXT_DUE).bind(self.given_now()).bind(self.left_to_others.sources()).fetch_one(&mut *connection).await?;
        let any = "SELECT EXISTS (SELECT FROM jobs WHERE state = 'ready' AND suspect AND source <> ALL($1))";
        let any = sqlx::query(any).bind(self.left_to_others.sources()).fetch_one(connection).await?;
        self.may_have_suspects.store(any.get(0), Ordering::Relaxed);
        // By this node's clock, which may be off the database's.
        let due_in = due_in.map(|millis| Duration::from_millis(u64::try_from(millis).unwrap_or(0)));
        let next = Backlog::from(due_in.map(|due_in| self.clock.steady() + due_in));
        self.backlog.send_if_modified(|backlog| std::mem::replace(backlog, next) != next);
        Ok(())
    }

    /// How many jobs each source had.
    async fn take_turn(
        &self,
        connection: &mut PgConnection,
        turn: &[Share],
        taken: &mut Vec<Taken>,
    ) -> Result<HashMap<String, usize>, sqlx::Error> {
        let lease = self.lease();
        let (sources, wanted): (Vec<&str>, Vec<_>) =
            turn.iter().map(|share| (share.source.as_str(), i64::try_from(share.wanted).unwrap_or(i64::MAX))).unzip();
        let rows = sqlx::query(CLAIM)
            .bind(self.given_now())
            .bind(Uuid::from_bytes(*lease.as_bytes()))
            .bind(sources)
            .bind(wanted)
            .fetch_all(&mut *connection)
            .await?;
        let stepped = with_steps(connection, &rows).await?;
        let mut found = HashMap::new();
        for row in &rows {
            *found.entry(row.get("source")).or_insert(0) += 1;
            taken.extend(self.readable(connection, lease, row, &stepped).await?);
        }
        Ok(found)
    }

    /// The job with its event or delivery. Where that cannot be read it becomes a dead letter, so that it does not hold up the others.
    async fn readable(
        &self,
        connection: &mut PgConnection,
        lease: NodeId,
        row: &PgRow,
        stepped: &Stepped,
    ) -> Result<Option<Taken>, sqlx::Error> {
        if let Some(taken) = read(lease, row, stepped, self.clock.steady()) {
            return Ok(Some(taken));
        }
        let job: i64 = row.get("job");
        error!(job_number = job, "a job's event cannot be read from the database; the job becomes a dead letter");
        let reason = "its event cannot be read from the database";
        let bury = sqlx::query(BURY).bind(job).bind(DeadReason::Unstorable.code()).bind(reason).bind(self.given_now());
        let Some(hash) = row.get::<Option<Uuid>, _>("line") else { return bury.execute(connection).await.map(|_| None) };
        let mut transaction = connection.begin().await?;
        line::hold(&mut transaction, vec![hash]).await?;
        bury.execute(&mut *transaction).await?;
        line::advance(&mut transaction, &[(hash, row.get("route"))], self.given_now()).await?;
        transaction.commit().await.map(|()| None)
    }
}

/// Jobs that have steps, by event and route.
type Stepped = HashSet<(Uuid, String)>;

async fn with_steps(connection: &mut PgConnection, taken: &[PgRow]) -> Result<Stepped, sqlx::Error> {
    if taken.is_empty() {
        return Ok(Stepped::new());
    }
    let (events, routes): (Vec<_>, Vec<_>) = taken.iter().map(lineage).unzip();
    let rows = sqlx::query(STEPPED).bind(events).bind(routes).fetch_all(connection).await?;
    Ok(rows.iter().map(lineage).collect())
}

fn lineage(row: &PgRow) -> (Uuid, String) {
    (row.get("event_id"), row.get("route"))
}

fn skip_after(row: &PgRow) -> Option<u32> {
    row.get::<Option<i32>, _>("skip_after").and_then(|failures| u32::try_from(failures).ok())
}

/// `None` where the row does not hold a job and what it works on. How long it is owed is the database's to say: this node's clock may
/// be off.
fn read(owner: NodeId, row: &PgRow, stepped: &Stepped, now: Timestamp) -> Option<Taken> {
    let event = EventId::from_bytes(row.get::<Uuid, _>("event_id").into_bytes());
    let job = Job {
        id: JobId(row.get("job")),
        owner,
        lineage: Lineage { event, route: RouteName::of_job(row.get("route")).ok()? },
        source: row.get::<&str, _>("source").parse().ok()?,
        plugin: row.get::<&str, _>("plugin").parse().ok()?,
        attempt: u32::try_from(row.get::<i32, _>("attempt")).ok()?,
        attempts_before: u32::try_from(row.get::<i32, _>("attempts_before")).ok()?,
        owed_since: now - millis_ago(row.get("owed_for")),
        is_suspect: row.get("suspect"),
        line: row.get::<Option<Uuid>, _>("line").map(|hash| Line { hash: hash.into_bytes(), skip_after: skip_after(row) }),
    };
    let work = if job.lineage.route.is_delivery() {
        Work::Deliver(delivery(&job, row)?.into())
    } else {
        Work::Handle(read_event(&job, row)?.into())
    };
    let has_steps = stepped.contains(&lineage(row));
    Some(Taken { job, work, has_steps })
}

fn read_event(job: &Job, row: &PgRow) -> Option<Event> {
    Some(Event {
        id: job.lineage.event,
        source: job.source.clone(),
        event_type: row.get("event_type"),
        dedupe_key: row.get("dedupe_key"),
        received_at: Timestamp::from_millis(row.get::<Option<i64>, _>("received_at")?),
        headers: Headers::from_bytes(row.get::<Option<Vec<u8>>, _>("headers")?)?,
        body: row.get::<Option<Vec<u8>>, _>("body")?.into(),
        parent: match row.get::<Option<&str>, _>("parent") {
            None => None,
            Some(lineage) => Some(Parent { lineage: lineage.parse().ok()?, depth: row.get::<Option<i32>, _>("depth")?.try_into().ok()? }),
        },
    })
}

fn delivery(job: &Job, row: &PgRow) -> Option<Delivery> {
    Some(Delivery {
        lineage: job.lineage.clone(),
        digest: Digest::from_bytes(row.get::<Option<Vec<u8>>, _>("digest")?.try_into().ok()?),
        upstream: row.get::<Option<&str>, _>("upstream")?.parse().ok()?,
        method: row.get::<Option<String>, _>("method")?,
        path: row.get::<Option<String>, _>("path")?,
        headers: Headers::from_bytes(row.get::<Option<Vec<u8>>, _>("headers")?)?,
        body: row.get::<Option<Vec<u8>>, _>("body")?.into(),
        delay: Duration::ZERO,
        replays: row.get::<Option<i32>, _>("replays")?.try_into().ok()?,
    })
}

pub(super) fn millis_ago(millis: i64) -> Duration {
    Duration::from_millis(millis.try_into().unwrap_or(0))
}
