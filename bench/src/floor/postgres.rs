//! PostgreSQL with factory settings and one statement: an array of rows.

use std::time::{Duration, Instant};

use sqlx::postgres::PgConnection;
use sqlx::types::Uuid;
use sqlx::{Connection, Executor};

use super::{BATCH_ROWS, ROW_BYTES};
use crate::cores::{Core, pinned};

pub(super) fn rows_a_second(url: &str, connections: usize, time: Duration) -> anyhow::Result<f64> {
    let url = url.to_owned();
    pinned(Core::Server, "postgres", move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(insert(url, connections, time))
    })
}

async fn insert(url: String, connections: usize, time: Duration) -> anyhow::Result<f64> {
    let mut first = PgConnection::connect(&url).await?;
    first.execute("DROP TABLE IF EXISTS rows").await?;
    first.execute("CREATE TABLE rows (id uuid PRIMARY KEY, body bytea NOT NULL)").await?;
    first.execute("ALTER TABLE rows ALTER COLUMN body SET STORAGE EXTERNAL").await?;
    let started = Instant::now();
    let mut clients = Vec::new();
    for number in 0..connections {
        let mut connection = PgConnection::connect(&url).await?;
        clients.push(tokio::spawn(async move {
            let (mut rows, body) = (0_usize, vec![b'x'; ROW_BYTES]);
            while started.elapsed() < time {
                // In order within a connection, as ids of version 7 are.
                let ids = (rows..rows + BATCH_ROWS).map(|id| Uuid::from_u64_pair(id as u64, number as u64)).collect::<Vec<_>>();
                let insert = sqlx::query("INSERT INTO rows (id, body) SELECT * FROM unnest($1::uuid[], $2::bytea[])");
                insert.bind(ids).bind(vec![body.as_slice(); BATCH_ROWS]).execute(&mut connection).await?;
                rows += BATCH_ROWS;
            }
            anyhow::Ok(rows)
        }));
    }
    let mut rows = 0;
    for client in clients {
        rows += client.await??;
    }
    Ok(rows as f64 / started.elapsed().as_secs_f64())
}
