//! First in, first out for each route and ordering key. Whatever takes a head out of its line, or lets the line go on without it,
//! calls [`advance`].

use rusqlite::{Connection, params};

use super::writer::Round;
use crate::domain::{Line, Timestamp};

const IS_OCCUPIED: &str = "SELECT EXISTS (SELECT 1 FROM jobs WHERE line = ?1 AND route = ?2) \
     OR EXISTS (SELECT 1 FROM dead_letters WHERE line = ?1 AND route = ?2)";
// The budget of a job begins when it may run.
const ADVANCE: &str = "UPDATE jobs SET state = 'ready', due_at = ?3, owed_since = ?3 \
     WHERE id = (SELECT min(id) FROM jobs WHERE line = ?1 AND route = ?2 AND state = 'waiting') \
       AND NOT EXISTS (SELECT 1 FROM jobs WHERE line = ?1 AND route = ?2 AND state <> 'waiting') \
       AND NOT EXISTS (SELECT 1 FROM dead_letters WHERE line = ?1 AND route = ?2)";
const ADVANCE_ALL: &str = "UPDATE jobs SET state = 'ready', due_at = ?1, owed_since = ?1 \
     WHERE id IN (SELECT min(id) FROM jobs w WHERE line IS NOT NULL AND state = 'waiting' \
         AND NOT EXISTS (SELECT 1 FROM jobs h WHERE h.line = w.line AND h.route = w.route AND h.state <> 'waiting') \
         AND NOT EXISTS (SELECT 1 FROM dead_letters d WHERE d.line = w.line AND d.route = w.route) \
       GROUP BY line, route)";

/// Whether a new job of the line has to wait.
pub(super) fn is_occupied(round: &Round<'_>, line: Line, route: &str) -> Result<bool, rusqlite::Error> {
    round.connection.prepare_cached(IS_OCCUPIED)?.query_row(params![line.hash, route], |row| row.get(0))
}

/// Makes the next job of a line ready, if nothing stands before it.
pub(super) fn advance(round: &mut Round<'_>, line: [u8; 16], route: &str) -> Result<(), rusqlite::Error> {
    let advanced = round.connection.prepare_cached(ADVANCE)?.execute(params![line, route, round.now.as_millis()])?;
    if advanced > 0 {
        round.draft.becomes_due(round.now);
    }
    Ok(())
}

/// The same for every line.
pub(super) fn advance_all(connection: &Connection, now: Timestamp) -> Result<(), rusqlite::Error> {
    connection.execute(ADVANCE_ALL, [now.as_millis()]).map(drop)
}
