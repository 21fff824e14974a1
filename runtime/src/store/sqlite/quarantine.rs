//! Refused requests that are kept as they came.

use rusqlite::params;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::Sqlite;
use super::operation::Edit;
use super::writer::Round;
use crate::domain::{Headers, Quarantined, RawRequest, SourceName, Timestamp};
use crate::store::work::{QUARANTINE_BYTES, QUARANTINE_PAGE, QUARANTINE_ROWS};
use crate::store::{Held, HeldPlace, StoreError};

/// So many are forgotten in one round.
const EXPIRE_BATCH: i64 = 200;

const KEEP: &str =
    "INSERT INTO quarantine (id, source, received_at, method, target, bytes, headers, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
const TRIM: &str = "DELETE FROM quarantine WHERE seq IN (SELECT seq FROM (SELECT seq, \
       row_number() OVER newest AS place, sum(bytes) OVER newest AS total FROM quarantine WHERE source = ?1 \
       WINDOW newest AS (ORDER BY received_at DESC, seq DESC)) WHERE place > ?2 OR total > ?3)";
const PAGE: &str = "SELECT seq, received_at, method, target, headers, body FROM quarantine \
     WHERE source = ?1 AND (received_at, seq) > (?2, ?3) ORDER BY received_at, seq LIMIT ?4";
const RELEASE: &str = "DELETE FROM quarantine WHERE seq = ?1";
const EXPIRE: &str = "DELETE FROM quarantine WHERE seq IN (SELECT seq FROM quarantine WHERE received_at < ?1 LIMIT ?2)";

impl Sqlite {
    pub(in crate::store) async fn quarantine(&self, requests: Vec<Quarantined>) -> Result<(), StoreError> {
        self.edit(Edit::Quarantine(requests)).await.map(drop)
    }

    pub(in crate::store) async fn release(&self, seqs: Vec<i64>) -> Result<(), StoreError> {
        self.edit(Edit::Release(seqs)).await.map(drop)
    }

    pub(in crate::store) async fn expire_quarantine(&self, cutoff: Timestamp) -> Result<(), StoreError> {
        while self.edit(Edit::ExpireQuarantine { cutoff }).await?.rows() >= EXPIRE_BATCH.unsigned_abs() {}
        Ok(())
    }

    pub(in crate::store) async fn quarantined(&self, source: &SourceName, after: HeldPlace) -> Result<Vec<Held>, StoreError> {
        let query =
            sqlx::query(PAGE).bind(source.as_str().to_owned()).bind(after.received_at.as_millis()).bind(after.seq).bind(QUARANTINE_PAGE);
        query.fetch_all(&self.reads).await?.iter().map(held).collect()
    }
}

pub(super) fn keep(round: &Round<'_>, requests: &[Quarantined]) -> Result<u64, rusqlite::Error> {
    for kept in requests {
        let RawRequest { method, target, headers, body, received_at } = &kept.request;
        let bytes = i64::try_from(kept.bytes()).unwrap_or(i64::MAX);
        let (id, source, at) = (kept.id.as_bytes(), kept.source.as_str(), received_at.as_millis());
        round.statements.execute(KEEP, params![id, source, at, method, target, bytes, headers.as_bytes(), &body[..]])?;
    }
    let mut sources: Vec<&str> = requests.iter().map(|kept| kept.source.as_str()).collect();
    sources.sort_unstable();
    sources.dedup();
    for source in sources {
        round.statements.execute(TRIM, params![source, QUARANTINE_ROWS, QUARANTINE_BYTES])?;
    }
    Ok(requests.len() as u64)
}

pub(super) fn release(round: &Round<'_>, seqs: &[i64]) -> Result<u64, rusqlite::Error> {
    seqs.iter().map(|seq| round.statements.execute(RELEASE, [seq]).map(|rows| rows as u64)).sum()
}

pub(super) fn expire(round: &Round<'_>, cutoff: Timestamp) -> Result<u64, rusqlite::Error> {
    round.statements.execute(EXPIRE, params![cutoff.as_millis(), EXPIRE_BATCH]).map(|rows| rows as u64)
}

fn held(row: &SqliteRow) -> Result<Held, StoreError> {
    let received_at = Timestamp::from_millis(row.get("received_at"));
    let headers = Headers::from_bytes(row.get("headers")).ok_or(StoreError::Damaged { table: "quarantine", what: "headers" })?;
    let body = row.get::<Vec<u8>, _>("body").into();
    let request = RawRequest { method: row.get("method"), target: row.get("target"), headers, body, received_at };
    Ok(Held { place: HeldPlace { received_at, seq: row.get("seq") }, request })
}
