//! Deliveries: storing what handlers hand over, with the jobs that send it, and looking at it.

use std::collections::HashSet;

use sqlx::postgres::PgRow;
use sqlx::types::Uuid;
use sqlx::{PgConnection, Row};

use super::admit::millis;
use super::emit::{Owed, owe};
use super::read_events::count;
use super::settle::{Settlement, number};
use crate::domain::{Delivery, Job, shown_path};
use crate::store::DeliveryView;

// A delivery is known by its lineage: a run that asks for it again asks for nothing new.
const INSERT: &str = "INSERT INTO deliveries (event_id, route, digest, upstream, method, path, headers, body, replays) \
     SELECT * FROM unnest($1::uuid[], $2::text[], $3::bytea[], $4::text[], $5::text[], $6::text[], $7::bytea[], $8::bytea[], $9::integer[]) \
     ON CONFLICT (event_id, route) DO NOTHING RETURNING event_id, route";
const VIEWS: &str = "SELECT route, upstream, method, path, length(body) AS body_bytes, replays FROM deliveries WHERE event_id = $1";

/// Stores the deliveries that are new, and the jobs that send them.
pub(super) async fn insert(connection: &mut PgConnection, given: Option<i64>, group: &[&Settlement]) -> Result<(), sqlx::Error> {
    fn column<'a, T>(asked: &[(&'a Job, &'a Delivery)], of: impl Fn(&'a Delivery) -> T) -> Vec<T> {
        asked.iter().map(|(_, delivery)| of(delivery)).collect()
    }
    let asked = group.iter().copied().flat_map(|settlement| settlement.effects.deliveries.iter().map(|one| (&settlement.job, one)));
    let asked: Vec<(&Job, &Delivery)> = asked.collect();
    if asked.is_empty() {
        return Ok(());
    }
    let rows = sqlx::query(INSERT)
        .bind(column(&asked, event))
        .bind(column(&asked, |delivery| delivery.lineage.route.as_str()))
        .bind(column(&asked, |delivery| &delivery.digest.as_bytes()[..]))
        .bind(column(&asked, |delivery| delivery.upstream.as_str()))
        .bind(column(&asked, |delivery| delivery.method.as_str()))
        .bind(column(&asked, |delivery| delivery.path.as_str()))
        .bind(column(&asked, |delivery| delivery.headers.as_bytes()))
        .bind(column(&asked, |delivery| &delivery.body[..]))
        .bind(column(&asked, |delivery| number(delivery.replays)))
        .fetch_all(&mut *connection)
        .await?;
    let stored: HashSet<(Uuid, &str)> = rows.iter().map(|row| (row.get("event_id"), row.get("route"))).collect();
    let is_stored = |(_, delivery): &&(&Job, &Delivery)| stored.contains(&(event(delivery), delivery.lineage.route.as_str()));
    let owed = asked.iter().filter(is_stored).map(|(asker, delivery)| Owed {
        event: event(delivery),
        source: asker.source.as_str(),
        route: delivery.lineage.route.as_str(),
        plugin: asker.plugin.as_str(),
        line: None,
        delay: millis(delivery.delay),
    });
    owe(connection, given, &owed.collect::<Vec<_>>()).await
}

/// The deliveries of an event, each with its route.
pub(super) async fn views(connection: &mut PgConnection, event: Uuid) -> Result<Vec<(String, DeliveryView)>, sqlx::Error> {
    let view = |row: &PgRow| DeliveryView {
        upstream: row.get("upstream"),
        method: row.get("method"),
        path: shown_path(row.get("path")),
        body_bytes: usize::try_from(row.get::<i32, _>("body_bytes")).unwrap_or(0),
        replays: count(row.get("replays")),
    };
    let rows = sqlx::query(VIEWS).bind(event).fetch_all(connection).await?;
    Ok(rows.iter().map(|row| (row.get("route"), view(row))).collect())
}

fn event(delivery: &Delivery) -> Uuid {
    Uuid::from_bytes(*delivery.lineage.event.as_bytes())
}
