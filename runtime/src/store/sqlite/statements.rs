//! The statements of a round. Each is looked up and prepared once and then only bound anew: to look one up, and to put it back, costs as
//! much as half of a small insert.

use std::cell::RefCell;

use rusqlite::{CachedStatement, Connection, OptionalExtension, Params, Row};

/// The statements that a round has used so far. One runs at a time: what reads its rows must not run another.
pub(super) struct Statements<'c> {
    connection: &'c Connection,
    held: RefCell<Vec<(&'static str, CachedStatement<'c>)>>,
}

impl<'c> Statements<'c> {
    /// None yet.
    pub(super) fn of(connection: &'c Connection) -> Self {
        Self { connection, held: RefCell::default() }
    }

    /// Runs a statement that has to change one row.
    pub(super) fn execute_one(&self, sql: &'static str, values: impl Params) -> Result<(), rusqlite::Error> {
        match self.execute(sql, values)? {
            1 => Ok(()),
            rows => Err(rusqlite::Error::StatementChangedRows(rows)),
        }
    }

    /// Runs a statement that gives no rows; how many it changed.
    pub(super) fn execute(&self, sql: &'static str, values: impl Params) -> Result<usize, rusqlite::Error> {
        self.with(sql, |statement| statement.execute(values))
    }

    /// The only row of a statement that always gives one, read.
    pub(super) fn one<T>(
        &self,
        sql: &'static str,
        values: impl Params,
        read: impl FnOnce(&Row<'_>) -> Result<T, rusqlite::Error>,
    ) -> Result<T, rusqlite::Error> {
        self.with(sql, |statement| statement.query_row(values, read))
    }

    /// The first row of what a statement gives, read; `None` where there is none.
    pub(super) fn first<T>(
        &self,
        sql: &'static str,
        values: impl Params,
        read: impl FnOnce(&Row<'_>) -> Result<T, rusqlite::Error>,
    ) -> Result<Option<T>, rusqlite::Error> {
        self.with(sql, |statement| statement.query_row(values, read).optional())
    }

    /// All rows of what a statement gives, read.
    pub(super) fn all<T>(
        &self,
        sql: &'static str,
        values: impl Params,
        read: impl FnMut(&Row<'_>) -> Result<T, rusqlite::Error>,
    ) -> Result<Vec<T>, rusqlite::Error> {
        self.with(sql, |statement| statement.query_map(values, read)?.collect())
    }

    fn with<T>(
        &self,
        sql: &'static str,
        run: impl FnOnce(&mut CachedStatement<'c>) -> Result<T, rusqlite::Error>,
    ) -> Result<T, rusqlite::Error> {
        let mut held = self.held.borrow_mut();
        // A round uses some twenty at most. The same text at two addresses would be prepared anew in each round: what two files use is a
        // `static`.
        let at = match held.iter().position(|(own, _)| std::ptr::eq(*own, sql)) {
            Some(at) => at,
            None => {
                held.push((sql, self.connection.prepare_cached(sql)?));
                held.len() - 1
            }
        };
        run(&mut held[at].1)
    }
}
