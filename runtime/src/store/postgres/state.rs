//! What plugins keep under their keys: deciding over and writing it with settlements, reading what is committed, forgetting what has
//! expired. Whoever changes a scope's state locks its row of `state_usage` first, so that over all nodes one comes after the other.

use std::collections::{BTreeSet, HashSet};

use bytes::Bytes;
use sqlx::postgres::PgRow;
use sqlx::{Connection, PgConnection, Row as _};

use super::settle::Settlement;
use super::{Node, Postgres};
use crate::domain::{JobId, StateItem, StateScope, Timestamp};
use crate::store::StoreError;
use crate::store::state::{Ledger, Row};

/// So many expired keys are forgotten by one statement.
const EXPIRE_BATCH: i64 = 500;

// In the order of their names, so that two transactions never wait for each other in turn. The row is locked, and says what its last
// holder committed.
const LOCK: &str = "INSERT INTO state_usage AS u (plugin, source, bytes) \
     SELECT plugin, source, 0 FROM unnest($1::text[], $2::text[]) AS s (plugin, source) ORDER BY plugin, source \
     ON CONFLICT (plugin, source) DO UPDATE SET bytes = u.bytes RETURNING plugin, source, bytes";
// A statement of its own, so that it sees what was committed before the locks were there. The limit keeps the planner from joining all
// state, which it would where there was little when it planned.
const LOAD: &str = "WITH clock AS MATERIALIZED (SELECT hookfast_now($1) AS now, nextval('state_versions') AS versions) \
     SELECT c.now, c.versions, s.plugin, s.source, s.key, s.value, s.version, s.expires_at \
     FROM clock c LEFT JOIN (unnest($2::text[], $3::text[], $4::bytea[]) AS i (plugin, source, key) \
       CROSS JOIN LATERAL (SELECT * FROM state WHERE plugin = i.plugin AND source = i.source AND key = i.key LIMIT 1) s) ON true";
// By their places: nobody moves them while their scopes are locked.
const WRITE: &str = "WITH gone AS (DELETE FROM state WHERE ctid = ANY (ARRAY( \
         SELECT s.place FROM unnest($1::text[], $2::text[], $3::bytea[]) AS i (plugin, source, key) CROSS JOIN LATERAL \
           (SELECT ctid AS place FROM state WHERE plugin = i.plugin AND source = i.source AND key = i.key LIMIT 1) s))), \
     used AS (INSERT INTO state_usage (plugin, source, bytes) SELECT * FROM unnest($4::text[], $5::text[], $6::bigint[]) \
       ON CONFLICT (plugin, source) DO UPDATE SET bytes = excluded.bytes) \
     INSERT INTO state (plugin, source, key, value, version, expires_at) \
     SELECT * FROM unnest($7::text[], $8::text[], $9::bytea[], $10::bytea[], $11::bigint[], $12::bigint[]) \
     ON CONFLICT (plugin, source, key) DO UPDATE SET value = excluded.value, version = excluded.version, expires_at = excluded.expires_at";
const ITEM: &str = "SELECT value, version, expires_at, hookfast_now($4) AS now FROM state WHERE plugin = $1 AND source = $2 AND key = $3";
const USED: &str = "SELECT bytes FROM state_usage WHERE plugin = $1 AND source = $2";

const EXPIRED: &str = "SELECT DISTINCT plugin, source FROM \
     (SELECT plugin, source FROM state WHERE expires_at <= (SELECT hookfast_now($1)) ORDER BY expires_at LIMIT $2) s";
// By their places, too.
const FORGET: &str = "WITH clock AS MATERIALIZED (SELECT hookfast_now($1) AS now), \
     locked AS MATERIALIZED (SELECT plugin, source FROM unnest($2::text[], $3::text[]) AS s (plugin, source)), \
     gone AS (DELETE FROM state WHERE ctid = ANY (ARRAY(SELECT ctid FROM state WHERE expires_at <= (SELECT now FROM clock) \
         AND (plugin, source) IN (SELECT plugin, source FROM locked) ORDER BY expires_at LIMIT $4)) \
       RETURNING plugin, source, length(key) + length(value) AS bytes), \
     freed AS (SELECT plugin, source, count(*) AS rows, sum(bytes)::bigint AS bytes FROM gone GROUP BY plugin, source), \
     used AS (UPDATE state_usage u SET bytes = u.bytes - f.bytes FROM freed f WHERE u.plugin = ANY($2) AND u.plugin = f.plugin AND u.source = f.source) \
     SELECT coalesce(sum(rows), 0)::bigint FROM freed";

/// What a group can write, and which of it cannot commit.
pub(super) struct Decided {
    pub(super) ledger: Ledger,
    pub(super) conflicts: HashSet<JobId>,
}

/// Locks the scopes of state that a group touches, and decides over its settlements one after the other.
pub(super) async fn decide(connection: &mut PgConnection, given: Option<i64>, group: &[&Settlement]) -> Result<Decided, sqlx::Error> {
    let wanted = || group.iter().filter_map(|settlement| Some((settlement.job.id, settlement.effects.state.as_ref()?)));
    let scopes: BTreeSet<&StateScope> = wanted().map(|(_, changes)| &changes.scope).collect();
    if scopes.is_empty() {
        return Ok(Decided { ledger: Ledger::new(Timestamp::from_millis(0)), conflicts: HashSet::new() });
    }
    let plugins: Vec<&str> = scopes.iter().map(|scope| scope.plugin.as_str()).collect();
    let sources: Vec<&str> = scopes.iter().map(|scope| source(scope)).collect();
    let used = sqlx::query(LOCK).bind(plugins).bind(sources).fetch_all(&mut *connection).await?;
    let touched = wanted().flat_map(|(_, changes)| changes.changes.iter().map(|change| (&changes.scope, change.key.as_str())));
    let touched: BTreeSet<(&StateScope, &str)> = touched.collect();
    let rows = sqlx::query(LOAD)
        .bind(given)
        .bind(touched.iter().map(|(scope, _)| scope.plugin.as_str()).collect::<Vec<_>>())
        .bind(touched.iter().map(|(scope, _)| source(scope)).collect::<Vec<_>>())
        .bind(touched.iter().map(|(_, key)| key.as_bytes()).collect::<Vec<_>>())
        .fetch_all(connection)
        .await?;
    // The clock's row is there, whatever else is.
    let first = rows.first().ok_or(sqlx::Error::RowNotFound)?;
    let mut version = first.get::<i64, _>("versions").unsigned_abs();
    let mut ledger = Ledger::new(Timestamp::from_millis(first.get("now")));
    for row in &used {
        ledger.load_used(scope(row)?, row.get::<i64, _>("bytes").unsigned_abs());
    }
    for row in rows.iter().filter(|row| row.get::<Option<&[u8]>, _>("key").is_some()) {
        let key = String::from_utf8(row.get("key")).map_err(|error| sqlx::Error::Decode(error.into()))?;
        ledger.load(scope(row)?, key, self::row(row));
    }
    let mut next_version = || {
        version += 1;
        version
    };
    let conflicts = wanted().filter(|(_, changes)| ledger.apply(changes, &mut next_version).is_err()).map(|(job, _)| job).collect();
    Ok(Decided { ledger, conflicts })
}

/// Writes what has changed. The scopes are locked.
pub(super) async fn write(connection: &mut PgConnection, ledger: &Ledger) -> Result<(), sqlx::Error> {
    type Changed<'a> = (&'a StateScope, &'a str, Option<&'a Row>);
    let (set, gone): (Vec<Changed<'_>>, Vec<Changed<'_>>) = ledger.changed().partition(|(_, _, row)| row.is_some());
    if set.is_empty() && gone.is_empty() {
        return Ok(());
    }
    fn column<'a, T>(rows: &[Changed<'a>], of: impl Fn(&'a StateScope, &'a str) -> T) -> Vec<T> {
        rows.iter().map(|(scope, key, _)| of(scope, key)).collect()
    }
    let rows: Vec<&Row> = set.iter().filter_map(|(_, _, row)| *row).collect();
    sqlx::query(WRITE)
        .bind(column(&gone, |scope, _| scope.plugin.as_str()))
        .bind(column(&gone, |scope, _| source(scope)))
        .bind(column(&gone, |_, key| key.as_bytes()))
        .bind(ledger.used().map(|(scope, _)| scope.plugin.as_str()).collect::<Vec<_>>())
        .bind(ledger.used().map(|(scope, _)| source(scope)).collect::<Vec<_>>())
        .bind(ledger.used().map(|(_, bytes)| signed(bytes)).collect::<Vec<_>>())
        .bind(column(&set, |scope, _| scope.plugin.as_str()))
        .bind(column(&set, |scope, _| source(scope)))
        .bind(column(&set, |_, key| key.as_bytes()))
        .bind(rows.iter().map(|row| &row.value[..]).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| signed(row.version)).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.expires_at.map(Timestamp::as_millis)).collect::<Vec<_>>())
        .execute(connection)
        .await
        .map(drop)
}

impl Postgres {
    pub(in crate::store) async fn state(&self, scope: &StateScope, key: &str) -> Result<Option<StateItem>, StoreError> {
        let query = sqlx::query(ITEM).bind(scope.plugin.as_str()).bind(source(scope)).bind(key.as_bytes()).bind(self.node.given_now());
        let found = query.fetch_optional(&self.node.pool).await?;
        Ok(found.and_then(|found| row(&found).item(Timestamp::from_millis(found.get("now")))))
    }

    pub(in crate::store) async fn state_bytes(&self, scope: &StateScope) -> Result<u64, StoreError> {
        let query = sqlx::query_scalar(USED).bind(scope.plugin.as_str()).bind(source(scope));
        Ok(query.fetch_optional(&self.node.pool).await?.map_or(0, i64::unsigned_abs))
    }
}

impl Node {
    /// Forgets state that has expired, in batches.
    pub(super) async fn prune_state(&self) -> Result<(), StoreError> {
        let given = self.given_now();
        while self.statements(async |connection| forget(connection, given).await).await? >= EXPIRE_BATCH {}
        Ok(())
    }
}

/// Forgets the next keys that have expired; how many there were.
async fn forget(connection: &mut PgConnection, given: Option<i64>) -> Result<i64, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    let scopes = sqlx::query(EXPIRED).bind(given).bind(EXPIRE_BATCH).fetch_all(&mut *transaction).await?;
    if scopes.is_empty() {
        return transaction.rollback().await.map(|()| 0);
    }
    let name = |column| move |row: &'_ PgRow| row.get::<String, _>(column);
    let plugins: Vec<String> = scopes.iter().map(name("plugin")).collect();
    let sources: Vec<String> = scopes.iter().map(name("source")).collect();
    sqlx::query(LOCK).bind(&plugins).bind(&sources).execute(&mut *transaction).await?;
    let forget = sqlx::query(FORGET).bind(given).bind(plugins).bind(sources).bind(EXPIRE_BATCH);
    let forgotten = forget.fetch_one(&mut *transaction).await?.get(0);
    transaction.commit().await.map(|()| forgotten)
}

fn row(row: &PgRow) -> Row {
    let value: Vec<u8> = row.get("value");
    let expires_at = row.get::<Option<i64>, _>("expires_at").map(Timestamp::from_millis);
    Row { value: Bytes::from(value), version: row.get::<i64, _>("version").unsigned_abs(), expires_at }
}

fn scope(row: &PgRow) -> Result<StateScope, sqlx::Error> {
    let source: &str = row.get("source");
    let source = if source.is_empty() { Ok(None) } else { source.parse().map(Some) };
    let plugin = row.get::<&str, _>("plugin").parse();
    let scope = plugin.and_then(|plugin| Ok(StateScope { plugin, source: source? }));
    scope.map_err(|error| sqlx::Error::Decode(error.into()))
}

/// The column of that name: empty where a plugin has one state for all its sources.
fn source(scope: &StateScope) -> &str {
    scope.source.as_ref().map_or("", |source| source.as_str())
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
