//! The dedupe window: exact, since this process is the only one. A map in memory, rebuilt at start from an append-only table, which has
//! one row for all keys of a transaction that expire together; keys past the map's bound are in a table of their own, looked up there.

use rusqlite::{Connection, Row, params};

use super::keys::Keys;
use super::statements::Statements;
use crate::domain::Timestamp;

/// What is remembered of a key: 48 bytes with the key itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) event_id: [u8; 16],
    pub(super) body_hash: [u8; 8],
    expires_at: Timestamp,
}

impl Seen {
    pub(super) fn new(event_id: [u8; 16], body_hash: [u8; 8], expires_at: Timestamp) -> Self {
        Self { event_id, body_hash, expires_at }
    }

    /// Whether its window is still open.
    pub(super) fn is_live(&self, now: Timestamp) -> bool {
        self.expires_at > now
    }
}

/// All keys of the window.
pub(super) struct Window {
    keys: Keys,
    keys_max: usize,
    /// Whether there may be keys past the bound.
    has_overflow: bool,
    /// Whether an event may have been answered otherwise than usual.
    has_unusual: bool,
}

const LOAD: &str = "SELECT expires_at, keys FROM dedupe_log WHERE expires_at > ?1 ORDER BY seq";
const LOOK_UP: &str = "SELECT event_id, body_hash, expires_at FROM dedupe_overflow WHERE hash = ?1 AND expires_at > ?2";
const APPEND: &str = "INSERT INTO dedupe_log (expires_at, keys) VALUES (?1, ?2)";
const OVERFLOW: &str = "INSERT OR REPLACE INTO dedupe_overflow (hash, body_hash, event_id, expires_at) VALUES (?1, ?2, ?3, ?4)";

impl Window {
    /// Reads the keys that are still remembered; new ones are kept in memory as long as there are fewer than `keys_max`.
    pub(super) fn load(connection: &Connection, now: Timestamp, keys_max: usize) -> Result<Self, rusqlite::Error> {
        let mut statement = connection.prepare(LOAD)?;
        let mut rows = statement.query(params![now.as_millis()])?;
        let mut keys = Keys::default();
        while let Some(row) = rows.next()? {
            let expires_at = Timestamp::from_millis(row.get(0)?);
            let (logged, _) = row.get_ref(1)?.as_blob()?.as_chunks();
            logged.iter().map(|bytes| read(bytes, expires_at)).for_each(|(hash, seen)| keys.insert(hash, seen));
        }
        let has_overflow = connection.query_row("SELECT EXISTS (SELECT 1 FROM dedupe_overflow)", [], |row| row.get(0))?;
        let has_unusual = "SELECT EXISTS (SELECT 1 FROM events WHERE answer_status IS NOT NULL)";
        let has_unusual = connection.query_row(has_unusual, [], |row| row.get(0))?;
        Ok(Self { keys, keys_max, has_overflow, has_unusual })
    }

    /// What is remembered of a key now.
    pub(super) fn seen(&self, statements: &Statements<'_>, hash: &[u8; 16], now: Timestamp) -> Result<Option<Seen>, rusqlite::Error> {
        let in_memory = self.keys.get(hash).filter(|seen| seen.is_live(now));
        if in_memory.is_some() || !self.has_overflow {
            return Ok(in_memory);
        }
        let read = |row: &Row<'_>| Ok(Seen::new(row.get(0)?, row.get(1)?, Timestamp::from_millis(row.get(2)?)));
        statements.first(LOOK_UP, params![hash, now.as_millis()], read)
    }

    /// Writes the keys of a round, in the order they came.
    pub(super) fn write(&self, statements: &Statements<'_>, round: &[([u8; 16], Seen)]) -> Result<(), rusqlite::Error> {
        let (in_memory, overflow) = round.split_at(self.room_for(round.len()));
        // Windows of one length end together, so these are few.
        let mut rows: Vec<(Timestamp, Vec<u8>)> = Vec::new();
        for (hash, seen) in in_memory {
            let bytes = [&hash[..], &seen.body_hash, &seen.event_id].concat();
            match rows.iter_mut().find(|(expires_at, _)| *expires_at == seen.expires_at) {
                Some((_, keys)) => keys.extend(bytes),
                None => rows.push((seen.expires_at, bytes)),
            }
        }
        for (expires_at, keys) in rows {
            statements.execute(APPEND, params![expires_at.as_millis(), keys])?;
        }
        for (hash, seen) in overflow {
            statements.execute(OVERFLOW, params![hash, seen.body_hash, seen.event_id, seen.expires_at.as_millis()])?;
        }
        Ok(())
    }

    /// Remembers the keys of a committed round, in the order they were written.
    pub(super) fn remember(&mut self, round: &[([u8; 16], Seen)]) {
        let (in_memory, overflow) = round.split_at(self.room_for(round.len()));
        self.has_overflow |= !overflow.is_empty();
        in_memory.iter().for_each(|(hash, seen)| self.keys.insert(*hash, *seen));
    }

    /// How many of so many new keys are kept in memory.
    fn room_for(&self, keys: usize) -> usize {
        keys.min(self.keys_max.saturating_sub(self.keys.len()))
    }

    /// Whether a duplicate's first answer may be another than the usual one.
    pub(super) fn has_unusual_answers(&self) -> bool {
        self.has_unusual
    }

    /// An event was answered otherwise than usual.
    pub(super) fn note_unusual_answer(&mut self) {
        self.has_unusual = true;
    }

    /// Forgets keys whose time has passed.
    pub(super) fn forget_expired(&mut self, now: Timestamp) {
        self.keys.retain(|seen| seen.is_live(now));
    }
}

/// A key in the log: its hash, its body's, its event's id.
const LOGGED_BYTES: usize = 40;

fn read(logged: &[u8; LOGGED_BYTES], expires_at: Timestamp) -> ([u8; 16], Seen) {
    fn part<const N: usize>(logged: &[u8; LOGGED_BYTES], from: usize) -> [u8; N] {
        logged[from..from + N].try_into().expect("within the bytes of a key")
    }
    (part(logged, 0), Seen::new(part(logged, 24), part(logged, 16), expires_at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_expire_together_are_one_row_which_is_forgotten_with_them() {
        let connection = Connection::open_in_memory().expect("a database");
        let tables = "CREATE TABLE dedupe_log (seq INTEGER PRIMARY KEY, expires_at INTEGER NOT NULL, keys BLOB NOT NULL); \
             CREATE TABLE dedupe_overflow (hash BLOB PRIMARY KEY, body_hash BLOB, event_id BLOB, expires_at INTEGER); \
             CREATE TABLE events (answer_status INTEGER)";
        connection.execute_batch(tables).expect("tables");
        let at = Timestamp::from_millis;
        let key = |number: u8, end| ([number; 16], Seen::new([number; 16], [number; 8], at(end)));
        let window = Window::load(&connection, at(0), 3).expect("no keys");
        // Of five keys the first three are within the bound.
        let round = [key(1, 900), key(2, 500), key(3, 900), key(4, 500), key(5, 900)];
        window.write(&Statements::of(&connection), &round).expect("written");
        let mut rows = connection.prepare("SELECT expires_at, length(keys) FROM dedupe_log ORDER BY seq").expect("a statement");
        let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("rows");
        assert_eq!(rows.collect::<Result<Vec<(i64, i64)>, _>>().expect("rows"), [(900, 80), (500, 40)]);
        let later = Window::load(&connection, at(600), 3).expect("the keys");
        let statements = Statements::of(&connection);
        let seen = |number| later.seen(&statements, &[number; 16], at(600)).expect("an answer");
        let known = |number, end| Some(key(number, end).1);
        assert_eq!([1, 2, 3, 4, 5].map(seen), [known(1, 900), None, known(3, 900), None, known(5, 900)]);
        assert_eq!(later.keys.len(), 2);
    }
}
