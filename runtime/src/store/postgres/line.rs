//! First in, first out for each route and ordering key. Whoever adds to a line or takes its head away holds the line's lock until it
//! commits: else a job could begin to wait for one that has just gone. The lock is taken by a statement of its own, so that the next
//! one sees what its last holder committed.

use std::collections::HashSet;

use sqlx::PgConnection;
use sqlx::types::Uuid;

/// Locks are numbered, not made for each key, so that no group of events asks the database for more than so many. Two lines that
/// share one wait for each other's commits, and no more.
const LOCKS: u16 = 1024;
/// The first half of the advisory locks' numbers: this database's own use of them.
const LOCK_CLASS: i32 = 0x1f_0000;

const LOCK: &str = "SELECT pg_advisory_xact_lock($1, number) FROM unnest($2::integer[]) AS number";
// The budget of a job begins when it may run: now, whatever the clock did since it came, or once the delay has passed with which it was
// emitted.
const ADVANCE: &str = "UPDATE jobs SET state = 'ready', \
       due_at = CASE WHEN due_at > owed_since THEN greatest(due_at, c.now) ELSE c.now END, \
       owed_since = CASE WHEN due_at > owed_since THEN greatest(due_at, c.now) ELSE c.now END \
     FROM unnest($2::uuid[], $3::text[]) AS l (line, route) \
       CROSS JOIN (SELECT hookfast_now($1) AS now) c \
       CROSS JOIN LATERAL (SELECT id FROM jobs WHERE line = l.line AND route = l.route AND state = 'waiting' ORDER BY id LIMIT 1) next \
       LEFT JOIN LATERAL (SELECT id FROM jobs WHERE line = l.line AND route = l.route AND state <> 'waiting' LIMIT 1) head ON true \
       LEFT JOIN LATERAL (SELECT id FROM dead_letters WHERE line = l.line AND route = l.route LIMIT 1) dead ON true \
     WHERE jobs.id = next.id AND head.id IS NULL AND dead.id IS NULL";

/// A line and the route whose jobs stand in it.
pub(super) type Place = (Uuid, String);

/// Locks these lines until the transaction ends. To be the first thing that a transaction waits for.
pub(super) async fn hold(connection: &mut PgConnection, lines: Vec<Uuid>) -> Result<(), sqlx::Error> {
    if lines.is_empty() {
        return Ok(());
    }
    let mut numbers: Vec<i32> = lines.into_iter().map(lock_number).collect();
    // In one order everywhere: two who want the same locks never wait for each other in turn.
    numbers.sort_unstable();
    numbers.dedup();
    sqlx::query(LOCK).bind(LOCK_CLASS).bind(numbers).execute(connection).await.map(drop)
}

/// Makes the next job of each line ready, if nothing stands before it; how many there were. The lines are held.
pub(super) async fn advance(connection: &mut PgConnection, places: &[Place], given: Option<i64>) -> Result<u64, sqlx::Error> {
    if places.is_empty() {
        return Ok(0);
    }
    // Several jobs of a line may end in one group where it goes on without its head.
    let distinct: HashSet<&Place> = places.iter().collect();
    let (lines, routes): (Vec<Uuid>, Vec<&str>) = distinct.into_iter().map(|(line, route)| (*line, route.as_str())).unzip();
    sqlx::query(ADVANCE).bind(given).bind(lines).bind(routes).execute(connection).await.map(|done| done.rows_affected())
}

/// The lines of these places.
pub(super) fn lines_of(places: &[Place]) -> Vec<Uuid> {
    places.iter().map(|(line, _)| *line).collect()
}

fn lock_number(line: Uuid) -> i32 {
    let [first, second, ..] = line.into_bytes();
    i32::from(u16::from_be_bytes([first, second]) % LOCKS)
}
