//! The dedupe window in memory: exact, since this process is the only one. Rebuilt at start from the table of keys.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use rusqlite::{Connection, params};

use crate::domain::Timestamp;

/// What is remembered of a key: 40 bytes with the key itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    pub(super) event_id: [u8; 16],
    pub(super) body_hash: [u8; 8],
    expires_at: Timestamp,
}

impl Seen {
    pub(super) fn new(event_id: [u8; 16], body_hash: [u8; 8], expires_at: Timestamp) -> Self {
        Self { event_id, body_hash, expires_at }
    }
}

/// All keys of the window.
#[derive(Default)]
pub(super) struct Window(HashMap<[u8; 16], Seen, BuildHasherDefault<KeyHasher>>);

impl Window {
    /// Reads the keys that are still remembered.
    pub(super) fn load(connection: &Connection, now: Timestamp) -> Result<Self, rusqlite::Error> {
        let mut statement = connection.prepare("SELECT hash, body_hash, event_id, expires_at FROM dedupe_keys WHERE expires_at > ?1")?;
        let rows = statement.query_map(params![now.as_millis()], |row| {
            let seen = Seen::new(row.get(2)?, row.get(1)?, Timestamp::from_millis(row.get(3)?));
            Ok((row.get::<_, [u8; 16]>(0)?, seen))
        })?;
        rows.collect::<Result<_, _>>().map(Self)
    }

    /// What is remembered of a key now.
    pub(super) fn seen(&self, hash: &[u8; 16], now: Timestamp) -> Option<Seen> {
        self.0.get(hash).copied().filter(|seen| seen.expires_at > now)
    }

    /// Remembers a committed key.
    pub(super) fn remember(&mut self, hash: [u8; 16], seen: Seen) {
        self.0.insert(hash, seen);
    }

    /// Forgets keys whose time has passed.
    pub(super) fn forget_expired(&mut self, now: Timestamp) {
        self.0.retain(|_, seen| seen.expires_at > now);
        self.0.shrink_to(self.0.len() * 2);
    }
}

/// Keys are SHA-256 output: their first 8 bytes are as good a hash as any.
#[derive(Default)]
pub(super) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    // The array's length is written first, and replaced by what follows.
    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 = u64::from_le_bytes(*first);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
