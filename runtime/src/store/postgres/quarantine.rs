//! Refused requests that are kept as they came.

use sqlx::postgres::PgRow;
use sqlx::types::Uuid;
use sqlx::{PgConnection, Row};

use super::Postgres;
use crate::domain::{Headers, Quarantined, RawRequest, SourceName, Timestamp};
use crate::store::work::{QUARANTINE_BYTES, QUARANTINE_PAGE, QUARANTINE_ROWS};
use crate::store::{Held, HeldPlace, StoreError};

/// So many are forgotten by one statement.
const EXPIRE_BATCH: i64 = 200;

const KEEP: &str = "INSERT INTO quarantine (id, source, received_at, method, target, bytes, headers, body) \
     SELECT * FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::bigint[], $7::bytea[], $8::bytea[])";
// Deleted by their places in the table: nobody moves a row, and whatever is asked by number may be looked for in the whole index of a
// source, where there was little when PostgreSQL planned.
const TRIM: &str = "DELETE FROM quarantine WHERE ctid = ANY (ARRAY(SELECT place FROM (SELECT ctid AS place, \
       row_number() OVER newest AS nth, sum(bytes) OVER newest AS total FROM quarantine WHERE source = $1 \
       WINDOW newest AS (ORDER BY received_at DESC, seq DESC)) AS kept WHERE nth > $2 OR total > $3))";
const PAGE: &str = "SELECT seq, received_at, method, target, headers, body FROM quarantine \
     WHERE source = $1 AND (received_at, seq) > ($2, $3) ORDER BY received_at, seq LIMIT $4";
const RELEASE: &str = "DELETE FROM quarantine WHERE ctid = ANY (ARRAY(SELECT q.place FROM unnest($1::bigint[]) AS i (seq) \
     CROSS JOIN LATERAL (SELECT ctid AS place FROM quarantine WHERE seq = i.seq LIMIT 1) q))";
const EXPIRE: &str = "DELETE FROM quarantine WHERE ctid = ANY (ARRAY(SELECT ctid FROM quarantine WHERE received_at < $1 LIMIT $2))";

impl Postgres {
    pub(in crate::store) async fn quarantine(&self, requests: Vec<Quarantined>) -> Result<(), StoreError> {
        self.node.statements(async |connection| keep(connection, &requests).await).await
    }

    pub(in crate::store) async fn release(&self, seqs: Vec<i64>) -> Result<(), StoreError> {
        let release = self.node.statements(async |connection| sqlx::query(RELEASE).bind(&seqs).execute(connection).await.map(drop));
        release.await
    }

    pub(in crate::store) async fn expire_quarantine(&self, cutoff: Timestamp) -> Result<(), StoreError> {
        loop {
            let expired = self.node.statements(async |connection| {
                let expire = sqlx::query(EXPIRE).bind(cutoff.as_millis()).bind(EXPIRE_BATCH);
                expire.execute(connection).await.map(|done| done.rows_affected())
            });
            if expired.await? < EXPIRE_BATCH.unsigned_abs() {
                return Ok(());
            }
        }
    }

    pub(in crate::store) async fn quarantined(&self, source: &SourceName, after: HeldPlace) -> Result<Vec<Held>, StoreError> {
        let query =
            sqlx::query(PAGE).bind(source.as_str()).bind(after.received_at.as_millis()).bind(after.seq).bind(i64::from(QUARANTINE_PAGE));
        query.fetch_all(&self.node.pool).await?.iter().map(held).collect()
    }
}

async fn keep(connection: &mut PgConnection, requests: &[Quarantined]) -> Result<(), sqlx::Error> {
    fn column<'a, T>(requests: &'a [Quarantined], of: impl Fn(&'a Quarantined) -> T) -> Vec<T> {
        requests.iter().map(of).collect()
    }
    let mut sources = column(requests, |kept| kept.source.as_str());
    sqlx::query(KEEP)
        .bind(column(requests, |kept| Uuid::from_bytes(*kept.id.as_bytes())))
        .bind(&sources)
        .bind(column(requests, |kept| kept.request.received_at.as_millis()))
        .bind(column(requests, |kept| kept.request.method.as_str()))
        .bind(column(requests, |kept| kept.request.target.as_str()))
        .bind(column(requests, |kept| i64::try_from(kept.bytes()).unwrap_or(i64::MAX)))
        .bind(column(requests, |kept| kept.request.headers.as_bytes()))
        .bind(column(requests, |kept| &kept.request.body[..]))
        .execute(&mut *connection)
        .await?;
    sources.sort_unstable();
    sources.dedup();
    for source in sources {
        sqlx::query(TRIM).bind(source).bind(QUARANTINE_ROWS).bind(QUARANTINE_BYTES).execute(&mut *connection).await?;
    }
    Ok(())
}

fn held(row: &PgRow) -> Result<Held, StoreError> {
    let received_at = Timestamp::from_millis(row.get("received_at"));
    let headers = Headers::from_bytes(row.get("headers")).ok_or(StoreError::Damaged { table: "quarantine", what: "headers" })?;
    let body = row.get::<Vec<u8>, _>("body").into();
    let request = RawRequest { method: row.get("method"), target: row.get("target"), headers, body, received_at };
    Ok(Held { place: HeldPlace { received_at, seq: row.get("seq") }, request })
}
