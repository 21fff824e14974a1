//! What plugins keep under their keys: writing it with a settlement, reading what is committed, forgetting what has expired.

use rusqlite::{Row as SqliteRow, params};
use sqlx::Row as _;

use super::Sqlite;
use super::operation::Edit;
use super::writer::Round;
use crate::domain::{StateChanges, StateItem, StateScope, Timestamp};
use crate::store::StoreError;
use crate::store::state::{Conflict, Ledger, Row};

/// So many expired keys are forgotten in one round.
const EXPIRE_BATCH: u32 = 500;

const ITEM: &str = "SELECT value, version, expires_at FROM state WHERE plugin = ?1 AND source = ?2 AND key = ?3";
const USED: &str = "SELECT bytes FROM state_usage WHERE plugin = ?1 AND source = ?2";
const WRITE: &str = "INSERT INTO state (plugin, source, key, value, version, expires_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
     ON CONFLICT (plugin, source, key) DO UPDATE SET value = excluded.value, version = excluded.version, expires_at = excluded.expires_at";
const DELETE: &str = "DELETE FROM state WHERE plugin = ?1 AND source = ?2 AND key = ?3";
const USE: &str = "INSERT INTO state_usage (plugin, source, bytes, version) VALUES (?1, ?2, ?3, ?4) \
     ON CONFLICT (plugin, source) DO UPDATE SET bytes = excluded.bytes, version = max(version, excluded.version)";
const EXPIRED: &str =
    "SELECT number, plugin, source, length(key) + length(value) FROM state WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2";
const FORGET: &str = "DELETE FROM state WHERE number = ?1";
const FREE: &str = "UPDATE state_usage SET bytes = bytes - ?3 WHERE plugin = ?1 AND source = ?2";

/// Writes what a run wants of its state, all of it or nothing. Rounds and the settlements in them follow each other, so that each sees
/// what the one before has written.
pub(super) fn apply(round: &Round<'_>, changes: &StateChanges) -> Result<Result<(), Conflict>, rusqlite::Error> {
    let mut ledger = load(round, changes)?;
    let mut version = 0;
    let next_version = || {
        version = round.numbers.next(round.now);
        version.unsigned_abs()
    };
    if let Err(conflict) = ledger.apply(changes, next_version) {
        return Ok(Err(conflict));
    }
    write(round, &ledger, version)?;
    Ok(Ok(()))
}

fn load(round: &Round<'_>, changes: &StateChanges) -> Result<Ledger, rusqlite::Error> {
    let scope = &changes.scope;
    let mut ledger = Ledger::new(round.now);
    for change in &changes.changes {
        let values = params![scope.plugin.as_str(), source(scope), change.key.as_bytes()];
        if let Some(row) = round.statements.first(ITEM, values, row)? {
            ledger.load(scope.clone(), change.key.clone(), row);
        }
    }
    let used: Option<i64> = round.statements.first(USED, params![scope.plugin.as_str(), source(scope)], |row| row.get(0))?;
    ledger.load_used(scope.clone(), used.unwrap_or(0).unsigned_abs());
    Ok(ledger)
}

fn write(round: &Round<'_>, ledger: &Ledger, version: i64) -> Result<(), rusqlite::Error> {
    let mut is_changed = false;
    for (scope, key, row) in ledger.changed() {
        is_changed = true;
        let (plugin, source, key) = (scope.plugin.as_str(), source(scope), key.as_bytes());
        match row {
            Some(Row { value, version, expires_at }) => {
                let expires_at = expires_at.map(Timestamp::as_millis);
                let values = params![plugin, source, key, &value[..], signed(*version), expires_at];
                round.statements.execute(WRITE, values)?
            }
            None => round.statements.execute(DELETE, params![plugin, source, key])?,
        };
    }
    for (scope, bytes) in ledger.used().filter(|_| is_changed) {
        let values = params![scope.plugin.as_str(), source(scope), signed(bytes), version];
        round.statements.execute(USE, values)?;
    }
    Ok(())
}

/// Forgets the next keys that have expired; how many there were.
pub(super) fn expire(round: &Round<'_>) -> Result<u64, rusqlite::Error> {
    let found =
        |row: &SqliteRow<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?, row.get::<_, i64>(3)?));
    let expired = round.statements.all(EXPIRED, params![round.now.as_millis(), EXPIRE_BATCH], found)?;
    for (number, plugin, source, bytes) in &expired {
        round.statements.execute(FORGET, [number])?;
        round.statements.execute(FREE, params![plugin, source, bytes])?;
    }
    Ok(expired.len() as u64)
}

impl Sqlite {
    pub(in crate::store) async fn state(&self, scope: &StateScope, key: &str) -> Result<Option<StateItem>, StoreError> {
        let query = sqlx::query(ITEM).bind(scope.plugin.as_str().to_owned()).bind(source(scope).to_owned()).bind(key.as_bytes().to_vec());
        let Some(row) = query.fetch_optional(&self.reads).await? else { return Ok(None) };
        let version = row.get::<i64, _>("version").unsigned_abs();
        let expires_at = row.get::<Option<i64>, _>("expires_at").map(Timestamp::from_millis);
        Ok(Row { value: row.get::<Vec<u8>, _>("value").into(), version, expires_at }.item(self.clock.steady()))
    }

    pub(in crate::store) async fn state_bytes(&self, scope: &StateScope) -> Result<u64, StoreError> {
        let query = sqlx::query_scalar(USED).bind(scope.plugin.as_str().to_owned()).bind(source(scope).to_owned());
        Ok(query.fetch_optional(&self.reads).await?.map_or(0, i64::unsigned_abs))
    }

    pub(super) async fn expire_state(&self) -> Result<(), StoreError> {
        while self.edit(Edit::ExpireState).await?.rows() >= EXPIRE_BATCH.into() {}
        Ok(())
    }
}

fn row(row: &SqliteRow<'_>) -> Result<Row, rusqlite::Error> {
    let expires_at = row.get::<_, Option<i64>>(2)?.map(Timestamp::from_millis);
    Ok(Row { value: row.get::<_, Vec<u8>>(0)?.into(), version: row.get::<_, i64>(1)?.unsigned_abs(), expires_at })
}

/// The column of that name: empty where a plugin has one state for all its sources.
fn source(scope: &StateScope) -> &str {
    scope.source.as_ref().map_or("", |source| source.as_str())
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
