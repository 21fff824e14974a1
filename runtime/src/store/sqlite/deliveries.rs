//! Deliveries: storing what a handler hands over, with the job that sends it, and reading it for that job.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Row, params};
use sqlx::Row as _;

use super::Sqlite;
use super::admit::{NewJob, insert_job};
use super::writer::Round;
use crate::domain::{Delivery, Digest, EventId, Headers, Job, Lineage, RouteName, shown_path};
use crate::store::{DeliveryView, StoreError, Work};

// A delivery is known by its lineage: a run that asks for it again asks for nothing new.
const INSERT: &str = "INSERT INTO deliveries (event_seq, route, digest, upstream, method, path, headers, body, replays) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (event_seq, route) DO NOTHING";
const LOAD: &str = "SELECT e.id, d.digest, d.upstream, d.method, d.path, d.headers, d.body, d.replays \
     FROM deliveries d JOIN events e ON e.seq = d.event_seq WHERE d.event_seq = ?1 AND d.route = ?2";
const COUNT_REPLAY: &str = "UPDATE deliveries SET replays = replays + 1 WHERE event_seq = ?1 AND route = ?2";
const VIEWS: &str = "SELECT route, upstream, method, path, length(body) AS body_bytes, replays FROM deliveries WHERE event_seq = ?1";

/// Stores a delivery that `asker` asked for, and the job that sends it.
pub(super) fn insert(round: &mut Round<'_>, event_seq: i64, asker: &Job, delivery: &Delivery) -> Result<(), rusqlite::Error> {
    let Delivery { lineage, digest, upstream, method, path, headers, body, delay, replays } = delivery;
    let values = params![
        event_seq,
        lineage.route.as_str(),
        digest.as_bytes(),
        upstream.as_str(),
        method,
        path,
        headers.as_bytes(),
        &body[..],
        replays
    ];
    if round.statements.execute(INSERT, values)? == 0 {
        return Ok(());
    }
    let Job { source, plugin, .. } = asker;
    let job = NewJob { event: lineage.event, route: &lineage.route, source, plugin, line: None, delay: *delay };
    let id = round.numbers.next(round.now);
    insert_job(round, (id, event_seq), &job, || Work::Deliver(Arc::new(delivery.clone())))
}

/// What the job of this route is to send; `None` where the row is not there, or does not hold a delivery.
pub(super) fn load(round: &Round<'_>, event_seq: i64, route: &RouteName) -> Result<Option<Delivery>, rusqlite::Error> {
    let read = |row: &Row<'_>| Ok(read(row, route));
    Ok(round.statements.first(LOAD, params![event_seq, route.as_str()], read)?.flatten())
}

/// The upstream had refused it: sent again it has another idempotency key.
pub(super) fn count_replay(round: &Round<'_>, event_seq: i64, route: &str) -> Result<(), rusqlite::Error> {
    round.statements.execute(COUNT_REPLAY, params![event_seq, route]).map(drop)
}

fn read(row: &Row<'_>, route: &RouteName) -> Option<Delivery> {
    Some(Delivery {
        lineage: Lineage { event: EventId::from_bytes(row.get(0).ok()?), route: route.clone() },
        digest: Digest::from_bytes(row.get(1).ok()?),
        upstream: row.get::<_, String>(2).ok()?.parse().ok()?,
        method: row.get(3).ok()?,
        path: row.get(4).ok()?,
        headers: Headers::from_bytes(row.get(5).ok()?)?,
        body: row.get::<_, Vec<u8>>(6).ok()?.into(),
        delay: Duration::ZERO,
        replays: row.get(7).ok()?,
    })
}

impl Sqlite {
    /// The deliveries of an event, each with its route.
    pub(super) async fn delivery_views(&self, event_seq: i64) -> Result<Vec<(String, DeliveryView)>, StoreError> {
        let rows = sqlx::query(VIEWS).bind(event_seq).fetch_all(&self.reads).await?;
        let view = |row: &sqlx::sqlite::SqliteRow| DeliveryView {
            upstream: row.get("upstream"),
            method: row.get("method"),
            path: shown_path(row.get("path")),
            body_bytes: usize::try_from(row.get::<i64, _>("body_bytes")).unwrap_or(0),
            replays: row.get("replays"),
        };
        Ok(rows.iter().map(|row| (row.get("route"), view(row))).collect())
    }
}
