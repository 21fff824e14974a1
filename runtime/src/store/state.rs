//! Deciding over writes of state: which settlements of a group can commit one after the other, and what is in the tables afterwards.
//! Pure: a driver loads what the group touches, and writes what has changed.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::domain::{StateChange, StateChanges, StateItem, StateScope, StateWrite, Timestamp};

/// A row of state as it is in the table, expired or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    /// The bytes.
    pub(super) value: Bytes,
    /// Another one with every write.
    pub(super) version: u64,
    /// From when on it is as if it were not there.
    pub(super) expires_at: Option<Timestamp>,
}

impl Row {
    /// What whoever reads sees of it.
    pub(super) fn item(self, now: Timestamp) -> Option<StateItem> {
        self.is_there(now).then_some(StateItem { value: self.value, version: self.version })
    }

    fn is_there(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|expires_at| now < expires_at)
    }
}

/// State is not what a run relied on, or has no room for what it wants.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Conflict;

/// The rows that a group of settlements touches, as they are after those that were applied.
pub(super) struct Ledger {
    now: Timestamp,
    rows: BTreeMap<(StateScope, String), Cell>,
    used: BTreeMap<StateScope, u64>,
}

#[derive(Default)]
struct Cell {
    row: Option<Row>,
    is_changed: bool,
}

impl Ledger {
    /// With nothing loaded: no row is there, and no byte used.
    pub(super) fn new(now: Timestamp) -> Self {
        Self { now, rows: BTreeMap::new(), used: BTreeMap::new() }
    }

    /// A row that the group touches.
    pub(super) fn load(&mut self, scope: StateScope, key: String, row: Row) {
        self.rows.insert((scope, key), Cell { row: Some(row), is_changed: false });
    }

    /// The bytes that a scope's rows take, expired ones included.
    pub(super) fn load_used(&mut self, scope: StateScope, bytes: u64) {
        self.used.insert(scope, bytes);
    }

    /// Applies what a run wants, all of it or nothing. Each write takes a version of its own.
    pub(super) fn apply(&mut self, changes: &StateChanges, mut next_version: impl FnMut() -> u64) -> Result<(), Conflict> {
        let StateChanges { scope, changes, quota_bytes } = changes;
        let before = self.used.get(scope).copied().unwrap_or_default();
        let mut used = before;
        let mut written = Vec::with_capacity(changes.len());
        for change in changes {
            let row = self.rows.get(&(scope.clone(), change.key.clone())).and_then(|cell| cell.row.as_ref());
            let Some(after) = self.after(change, row, &mut next_version)? else { continue };
            let bytes = |row: Option<&Row>| row.map_or(0, |row| (change.key.len() + row.value.len()) as u64);
            used = (used + bytes(after.as_ref())).saturating_sub(bytes(row));
            written.push((change.key.clone(), after));
        }
        // What makes it smaller is never refused.
        if used > *quota_bytes && used > before {
            return Err(Conflict);
        }
        for (key, row) in written {
            self.rows.insert((scope.clone(), key), Cell { row, is_changed: true });
            self.used.insert(scope.clone(), used);
        }
        Ok(())
    }

    /// What a row becomes; the outer `None`: it stays.
    fn after(
        &self,
        change: &StateChange,
        row: Option<&Row>,
        next_version: &mut impl FnMut() -> u64,
    ) -> Result<Option<Option<Row>>, Conflict> {
        let there = row.filter(|row| row.is_there(self.now));
        if change.expect.is_some_and(|expected| expected != there.map(|row| row.version)) {
            return Err(Conflict);
        }
        Ok(match &change.write {
            None => None,
            Some(StateWrite::Delete) => Some(None),
            Some(StateWrite::Set { value, ttl }) => {
                let expires_at = ttl.map(|ttl| self.now + ttl);
                Some(Some(Row { value: value.clone(), version: next_version(), expires_at }))
            }
            Some(StateWrite::Add { to_present: true, .. }) if there.is_none() => return Err(Conflict),
            Some(StateWrite::Add { by, .. }) => {
                let number = there.map_or(Some(0), |row| str::from_utf8(&row.value).ok()?.parse::<i64>().ok());
                let sum = number.and_then(|number| number.checked_add(*by)).ok_or(Conflict)?;
                let expires_at = there.and_then(|row| row.expires_at);
                Some(Some(Row { value: sum.to_string().into(), version: next_version(), expires_at }))
            }
        })
    }

    /// The rows that have changed: what is to be in the table, or that nothing is.
    pub(super) fn changed(&self) -> impl Iterator<Item = (&StateScope, &str, Option<&Row>)> {
        self.rows.iter().filter(|(_, cell)| cell.is_changed).map(|((scope, key), cell)| (scope, key.as_str(), cell.row.as_ref()))
    }

    /// The bytes that each scope with a changed row takes now.
    pub(super) fn used(&self) -> impl Iterator<Item = (&StateScope, u64)> {
        self.used.iter().map(|(scope, bytes)| (scope, *bytes))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1000);

    fn scope() -> StateScope {
        StateScope { plugin: "crm".parse().expect("a name"), source: None }
    }

    fn changes(key: &str, expect: Option<Option<u64>>, write: StateWrite) -> StateChanges {
        let change = StateChange { key: key.into(), expect, write: Some(write) };
        StateChanges { scope: scope(), changes: vec![change], quota_bytes: 20 }
    }

    fn add(by: i64) -> StateWrite {
        StateWrite::Add { by, to_present: false }
    }

    fn set(value: &'static str) -> StateWrite {
        StateWrite::Set { value: value.into(), ttl: None }
    }

    fn ledger(rows: &[(&str, &'static str, Option<i64>)]) -> Ledger {
        let mut ledger = Ledger::new(NOW);
        for (key, value, expires_at) in rows {
            let row = Row { value: (*value).into(), version: 1, expires_at: expires_at.map(Timestamp::from_millis) };
            ledger.load(scope(), (*key).into(), row);
        }
        let used = rows.iter().map(|(key, value, _)| (key.len() + value.len()) as u64).sum();
        ledger.load_used(scope(), used);
        ledger
    }

    fn value(ledger: &Ledger, key: &str) -> Option<String> {
        let (_, _, row) = ledger.changed().find(|(_, changed, _)| *changed == key)?;
        row.map(|row| String::from_utf8(row.value.to_vec()).expect("text"))
    }

    fn used(ledger: &Ledger) -> u64 {
        ledger.used().map(|(_, bytes)| bytes).sum()
    }

    #[test]
    fn one_after_the_other_each_sees_what_the_one_before_wrote() {
        let mut ledger = ledger(&[("n", "7", None)]);
        assert_eq!(ledger.apply(&changes("n", None, add(2)), || 2), Ok(()));
        assert_eq!(ledger.apply(&changes("n", Some(Some(1)), set("x")), || 3), Err(Conflict));
        assert_eq!(ledger.apply(&changes("n", Some(Some(2)), add(1)), || 3), Ok(()));
        assert_eq!((value(&ledger, "n").as_deref(), used(&ledger)), (Some("10"), 3));
    }

    #[test]
    fn what_has_expired_is_not_there() {
        let mut ledger = ledger(&[("old", "7", Some(1000)), ("new", "7", Some(1001))]);
        assert_eq!(ledger.apply(&changes("new", Some(None), set("x")), || 2), Err(Conflict));
        assert_eq!(ledger.apply(&changes("old", Some(None), add(1)), || 2), Ok(()));
        assert_eq!(ledger.apply(&changes("new", None, add(1)), || 3), Ok(()));
        let expiries: Vec<_> = ledger.changed().map(|(_, _, row)| row.and_then(|row| row.expires_at)).collect();
        assert_eq!(expiries, [Some(Timestamp::from_millis(1001)), None], "an addition keeps the time to live of what is there");
        assert_eq!(value(&ledger, "old").as_deref(), Some("1"));

        let mut ledger = self::ledger(&[("old", "7", Some(1000))]);
        let seen = changes("old", None, StateWrite::Add { by: 1, to_present: true });
        assert_eq!(ledger.apply(&seen, || 2), Err(Conflict), "the run saw a number with a time to live");
    }

    #[test]
    fn a_quota_stops_growth_only() {
        let mut ledger = ledger(&[("a", "123456789012345678901234567890", None)]);
        assert_eq!(ledger.apply(&changes("b", None, set("1")), || 2), Err(Conflict));
        assert_eq!(ledger.apply(&changes("a", None, set("1234567890123456789012345")), || 2), Ok(()), "smaller, and still too large");
        assert_eq!(ledger.apply(&changes("a", None, StateWrite::Delete), || 2), Ok(()));
        assert_eq!(used(&ledger), 0);
        let ttl = Some(Duration::from_secs(1));
        assert_eq!(ledger.apply(&changes("a", Some(None), StateWrite::Set { value: "1".into(), ttl }), || 3), Ok(()));
        assert_eq!(used(&ledger), 2);
    }

    #[test]
    fn a_run_that_cannot_commit_changes_nothing() {
        let mut ledger = ledger(&[("n", "word", None)]);
        let mut both = changes("a", None, set("1"));
        both.changes.extend(changes("n", None, add(1)).changes);
        assert_eq!(ledger.apply(&both, || 2), Err(Conflict), "what is there is no number");
        assert_eq!(ledger.changed().count(), 0);
        let too_far = StateChanges { quota_bytes: 100, ..changes("m", None, add(i64::MAX)) };
        assert_eq!(ledger.apply(&too_far, || 3), Ok(()));
        assert_eq!(ledger.apply(&too_far, || 4), Err(Conflict), "more than 64 bits hold");
    }
}
