//! The numbers of events and jobs. An event's number is a part of its id, and its first job has the same number, so that neither an
//! id nor an event's job needs an index to be found by.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::domain::{EventId, Timestamp};

/// Gives out numbers that rise: those of a millisecond begin at the millisecond times 2^20. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Numbers(Arc<AtomicI64>);

impl Numbers {
    /// All will be above `last`.
    pub(super) fn after(last: i64) -> Self {
        Self(Arc::new(AtomicI64::new(last)))
    }

    /// The millisecond of the last one.
    pub(super) fn newest(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Relaxed) >> EventId::NUMBERS_BITS)
    }

    /// The next one; never given out before, also where the clock was set back.
    pub(super) fn next(&self, now: Timestamp) -> i64 {
        // A clock of the year 2248 or from before 1970 is wrong, and must not make numbers that are negative.
        let first = now.as_millis().clamp(0, MILLIS_MAX) << EventId::NUMBERS_BITS;
        let last = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(first.max(last + 1)));
        let (Ok(last) | Err(last)) = last;
        first.max(last + 1)
    }
}

/// The last millisecond whose numbers fit.
const MILLIS_MAX: i64 = i64::MAX >> EventId::NUMBERS_BITS;

/// The number of the event with the id `?1`, whose number is `?2` if it is not from before numbers were a part of ids, nor emitted: such an
/// id was made before the event had a number.
pub(super) const SEQ_OF_ID: &str = "coalesce((SELECT seq FROM events WHERE seq = ?2 AND id = ?1), \
     (SELECT seq FROM events WHERE id = ?1 AND seq < 1099511627776), (SELECT seq FROM events WHERE id = ?1 AND parent IS NOT NULL))";

/// Whether the event `e` has a live job: one that shares its number, or another.
pub(super) const HAS_JOB: &str = "(EXISTS (SELECT 1 FROM jobs WHERE id = e.seq AND event_seq = e.seq) \
     OR EXISTS (SELECT 1 FROM jobs WHERE event_seq = e.seq AND id <> event_seq))";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_rise_whatever_the_clock_does() {
        let numbers = Numbers::after(0);
        let at = Timestamp::from_millis;
        let given =
            [at(1_700_000_000_000), at(1_700_000_000_000), at(1_600_000_000_000), at(1_700_000_000_001)].map(|now| numbers.next(now));
        let base = 1_700_000_000_000 << 20;
        assert_eq!(given, [base, base + 1, base + 2, base + (1 << 20)]);
        assert_eq!(Numbers::after(given[3]).next(at(0)), given[3] + 1);
        assert_eq!([at(-1), at(i64::MAX)].map(|now| Numbers::after(-1).next(now)), [0, MILLIS_MAX << 20]);
    }

    #[test]
    fn an_event_is_found_by_its_id_also_one_whose_number_is_not_in_it() {
        let connection = rusqlite::Connection::open_in_memory().expect("a database");
        let tables = "CREATE TABLE events (seq INTEGER PRIMARY KEY, id BLOB NOT NULL, parent TEXT)";
        connection.execute_batch(tables).expect("tables");
        let old = EventId::new(Timestamp::from_millis(1_600_000_000_000), [7; 10]);
        let new = EventId::numbered(1_700_000_000_000 << 20, [7; 10]);
        let emitted = EventId::new(Timestamp::from_millis(1_700_000_000_000), [9; 10]);
        for (seq, id, parent) in [(3, old, None), (new.number(), new, None), (new.number() + 1, emitted, Some("evt_1.crm"))] {
            let values = rusqlite::params![seq, id.as_bytes(), parent];
            connection.execute("INSERT INTO events (seq, id, parent) VALUES (?1, ?2, ?3)", values).expect("a row");
        }
        let seq = |id: EventId| {
            let found = connection.query_row(&format!("SELECT {SEQ_OF_ID}"), rusqlite::params![id.as_bytes(), id.number()], |row| {
                row.get::<_, Option<i64>>(0)
            });
            found.expect("an answer")
        };
        let guessed = EventId::numbered(new.number(), [8; 10]);
        assert_eq!([seq(old), seq(new), seq(emitted), seq(guessed)], [Some(3), Some(new.number()), Some(new.number() + 1), None]);
    }
}
