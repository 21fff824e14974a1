//! SQLite as durable as Hookfast's store, with pages as large, and with none of its work.

use std::path::Path;
use std::time::Duration;

use hookfast_tests::directory::Directory;
use rusqlite::{Connection, params};

use super::{BATCH_ROWS, ROW_BYTES, rate_of};
use crate::cores::{Core, pinned};

/// Such a database, empty.
pub(super) fn open(file: &Path) -> anyhow::Result<Connection> {
    let connection = Connection::open(file)?;
    connection.pragma_update(None, "page_size", 16 << 10)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", 256)?;
    Ok(connection)
}

pub(super) fn rows_a_second(time: Duration) -> anyhow::Result<f64> {
    pinned(Core::Server, "sqlite", move || {
        let directory = Directory::new();
        let mut connection = open(&directory.path().join("floor.db"))?;
        connection.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, body BLOB NOT NULL)", [])?;
        let (mut id, body) = (0_i64, vec![b'x'; ROW_BYTES]);
        rate_of(time, || {
            let transaction = connection.transaction()?;
            let mut insert = transaction.prepare_cached("INSERT INTO rows (id, body) VALUES (?1, ?2)")?;
            for _ in 0..BATCH_ROWS {
                id += 1;
                insert.execute(params![id, body])?;
            }
            drop(insert);
            Ok(transaction.commit()?)
        })
    })
}
