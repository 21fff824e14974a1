//! Forgetting old events, in small batches so that no commit waits long. An event with a live job or a dead letter is kept,
//! however old it is.

use std::sync::LazyLock;

use rusqlite::params;

use super::numbers::HAS_JOB;
use super::writer::Round;
use crate::domain::Timestamp;

/// So many events are looked at in one round.
const BATCH: i64 = 200;

const LAST: &str = "SELECT max(seq), min(received_at) FROM (SELECT seq, received_at FROM events WHERE seq > ?1 ORDER BY seq LIMIT ?2)";
static OLD: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT seq FROM events e WHERE seq > ?1 AND seq <= ?2 AND received_at < ?3 \
         AND NOT {HAS_JOB} AND NOT EXISTS (SELECT 1 FROM dead_letters WHERE event_seq = e.seq)"
    )
});

const FORGET: [&str; 5] = [
    "DELETE FROM attempts WHERE event_seq = ?1",
    "DELETE FROM discards WHERE event_seq = ?1",
    "DELETE FROM steps WHERE event_seq = ?1",
    "DELETE FROM deliveries WHERE event_seq = ?1",
    "DELETE FROM events WHERE seq = ?1",
];

/// Looks at the next events after `after`; the last one's number, `None` once those are young.
pub(super) fn apply(round: &Round<'_>, after: i64, cutoff: Timestamp) -> Result<Option<i64>, rusqlite::Error> {
    let found = |row: &rusqlite::Row<'_>| Ok((row.get::<_, Option<i64>>(0)?, row.get::<_, Option<i64>>(1)?));
    let Some((Some(last), Some(oldest))) = round.statements.first(LAST, params![after, BATCH], found)? else { return Ok(None) };
    if oldest >= cutoff.as_millis() {
        return Ok(None);
    }
    let old: Vec<i64> = round.statements.all(&OLD, params![after, last, cutoff.as_millis()], |row| row.get(0))?;
    for seq in old {
        for forget in FORGET {
            round.statements.execute(forget, [seq])?;
        }
    }
    Ok(Some(last))
}
