//! First in, first out for each route and ordering key. Whatever takes a head out of its line, or lets the line go on without it,
//! calls [`advance`].

use rusqlite::{Connection, params};

use super::writer::Round;
use crate::domain::{Line, Timestamp};

const IS_OCCUPIED: &str = "SELECT EXISTS (SELECT 1 FROM jobs WHERE line = ?1 AND route = ?2) \
     OR EXISTS (SELECT 1 FROM dead_letters WHERE line = ?1 AND route = ?2)";
// The budget of a job begins when it may run: now, whatever the clock did since it came, or once the delay has passed with which it was
// emitted.
const ADVANCE: &str = "UPDATE jobs SET state = 'ready', \
       due_at = CASE WHEN due_at > owed_since THEN max(due_at, ?3) ELSE ?3 END, \
       owed_since = CASE WHEN due_at > owed_since THEN max(due_at, ?3) ELSE ?3 END \
     WHERE id = (SELECT min(id) FROM jobs WHERE line = ?1 AND route = ?2 AND state = 'waiting') \
       AND NOT EXISTS (SELECT 1 FROM jobs WHERE line = ?1 AND route = ?2 AND state <> 'waiting') \
       AND NOT EXISTS (SELECT 1 FROM dead_letters WHERE line = ?1 AND route = ?2) \
     RETURNING due_at";
const ADVANCE_ALL: &str = "UPDATE jobs SET state = 'ready', \
       due_at = CASE WHEN due_at > owed_since THEN max(due_at, ?1) ELSE ?1 END, \
       owed_since = CASE WHEN due_at > owed_since THEN max(due_at, ?1) ELSE ?1 END \
     WHERE id IN (SELECT min(id) FROM jobs w WHERE line IS NOT NULL AND state = 'waiting' \
         AND NOT EXISTS (SELECT 1 FROM jobs h WHERE h.line = w.line AND h.route = w.route AND h.state <> 'waiting') \
         AND NOT EXISTS (SELECT 1 FROM dead_letters d WHERE d.line = w.line AND d.route = w.route) \
       GROUP BY line, route)";

/// Whether a new job of the line has to wait.
pub(super) fn is_occupied(round: &Round<'_>, line: Line, route: &str) -> Result<bool, rusqlite::Error> {
    round.statements.one(IS_OCCUPIED, params![line.hash, route], |row| row.get(0))
}

/// Makes the next job of a line ready, if nothing stands before it.
pub(super) fn advance(round: &mut Round<'_>, line: [u8; 16], route: &str) -> Result<(), rusqlite::Error> {
    let values = params![line, route, round.now.as_millis()];
    let due: Option<i64> = round.statements.first(ADVANCE, values, |row| row.get(0))?;
    if let Some(due) = due {
        round.draft.becomes_due(Timestamp::from_millis(due));
    }
    Ok(())
}

/// The same for every line.
pub(super) fn advance_all(connection: &Connection, now: Timestamp) -> Result<(), rusqlite::Error> {
    connection.execute(ADVANCE_ALL, [now.as_millis()]).map(drop)
}
