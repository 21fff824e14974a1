//! The plugin's state as the test host keeps it: what is committed, and what the current run has read and written.

use super::fault;
use crate::bindings::hookfast::plugin::{state::Item, types::Fault};
use std::collections::BTreeMap;

const KEY_BYTES_MAX: usize = 512;
const VALUE_BYTES_MAX: usize = 256 << 10;
const KEYS_MAX: usize = 1000;
const RUN_BYTES_MAX: usize = 4 << 20;

type Answer<T> = Result<T, Fault>;

#[derive(Debug, Default)]
pub(super) struct Kept {
    committed: BTreeMap<String, Value>,
    last_version: u64,
    pub(super) now_ms: u64,
    run: BTreeMap<String, Key>,
    /// What another run commits just before the current one.
    races: Vec<(String, Vec<u8>)>,
}

#[derive(Debug, Clone)]
struct Value {
    bytes: Vec<u8>,
    version: u64,
    expires_at_ms: Option<u64>,
}

/// What the current run knows and wants of a key.
#[derive(Debug, Default)]
struct Key {
    committed: Option<Value>,
    is_seen: bool,
    expect: Option<Option<u64>>,
    write: Option<Write>,
}

#[derive(Debug, Clone)]
enum Write {
    Set { bytes: Vec<u8>, ttl_ms: Option<u64> },
    Delete,
    Add(i64),
}

/// State that the run relied on has changed.
pub(super) struct Conflict;

impl Key {
    fn version(&self) -> Option<u64> {
        self.committed.as_ref().map(|value| value.version)
    }

    fn bytes(&self) -> Answer<Option<Vec<u8>>> {
        let committed = self.committed.as_ref().map(|value| value.bytes.clone());
        match &self.write {
            None => Ok(committed),
            Some(Write::Set { bytes, .. }) => Ok(Some(bytes.clone())),
            Some(Write::Delete) => Ok(None),
            Some(Write::Add(by)) => add(committed.as_deref(), *by).map(|sum| Some(sum.to_string().into())),
        }
    }
}

impl Kept {
    pub(super) fn start_run(&mut self) {
        self.run.clear();
    }

    pub(super) fn seed(&mut self, key: &str, bytes: Vec<u8>) {
        self.last_version += 1;
        let value = Value { bytes, version: self.last_version, expires_at_ms: None };
        self.committed.insert(key.to_owned(), value);
    }

    pub(super) fn race(&mut self, key: &str, bytes: Vec<u8>) {
        self.races.push((key.to_owned(), bytes));
    }

    pub(super) fn committed(&self, key: &str, now_ms: u64) -> Option<&[u8]> {
        self.live_at(key, now_ms).map(|value| value.bytes.as_slice())
    }

    pub(super) fn get(&mut self, key: &str) -> Answer<Option<Item>> {
        let key = self.key(key)?;
        key.is_seen = true;
        let version = key.version().unwrap_or_default();
        Ok(key.bytes()?.map(|value| Item { value, version }))
    }

    pub(super) fn set(&mut self, key: &str, bytes: &[u8], ttl_ms: Option<u64>) -> Answer<()> {
        if bytes.len() > VALUE_BYTES_MAX {
            return Err(fault("value_too_large", format!("a value is at most {} KiB", VALUE_BYTES_MAX >> 10)));
        }
        self.write(key, Write::Set { bytes: bytes.to_vec(), ttl_ms })
    }

    pub(super) fn delete(&mut self, key: &str) -> Answer<()> {
        self.write(key, Write::Delete)
    }

    pub(super) fn expect_version(&mut self, key: &str, version: Option<u64>) -> Answer<()> {
        self.key(key)?.expect = Some(version);
        Ok(())
    }

    pub(super) fn increment(&mut self, key: &str, by: i64) -> Answer<i64> {
        let known = self.key(key)?;
        let sum = add(known.bytes()?.as_deref(), by)?;
        let write = match &known.write {
            None => Write::Add(by),
            Some(Write::Add(before)) => Write::Add(before.checked_add(by).ok_or_else(overflow)?),
            Some(Write::Delete) => Write::Set { bytes: sum.to_string().into(), ttl_ms: None },
            Some(Write::Set { ttl_ms, .. }) => Write::Set { bytes: sum.to_string().into(), ttl_ms: *ttl_ms },
        };
        // An addition depends on nothing that the run has seen.
        known.write = Some(write);
        Ok(sum)
    }

    /// Commits what the run wrote, or nothing of it.
    pub(super) fn commit(&mut self) -> Result<(), Conflict> {
        for (key, bytes) in std::mem::take(&mut self.races) {
            self.seed(&key, bytes);
        }
        let run = std::mem::take(&mut self.run);
        let holds = |(name, key): (&String, &Key)| key.expect.is_none_or(|expected| expected == self.live(name).map(|value| value.version));
        if !run.iter().all(holds) {
            return Err(Conflict);
        }
        for (name, key) in run {
            if let Some(write) = key.write {
                self.apply(&name, write);
            }
        }
        Ok(())
    }

    fn apply(&mut self, key: &str, write: Write) {
        let (bytes, expires_at_ms) = match write {
            Write::Delete => {
                self.committed.remove(key);
                return;
            }
            Write::Set { bytes, ttl_ms } => (bytes, ttl_ms.map(|ttl| self.now_ms.saturating_add(ttl))),
            Write::Add(by) => {
                let before = self.live(key);
                let sum = add(before.map(|value| value.bytes.as_slice()), by).expect("a race of the test leaves a number to add to");
                (sum.to_string().into(), before.and_then(|value| value.expires_at_ms))
            }
        };
        self.last_version += 1;
        self.committed.insert(key.to_owned(), Value { bytes, version: self.last_version, expires_at_ms });
    }

    fn write(&mut self, key: &str, write: Write) -> Answer<()> {
        let known = self.key(key)?;
        if known.is_seen && known.expect.is_none() {
            known.expect = Some(known.version());
        }
        let before = known.write.replace(write);
        let size = |key: &Key| if let Some(Write::Set { bytes, .. }) = &key.write { bytes.len() } else { 20 };
        let written: usize = self.run.iter().filter(|(_, key)| key.write.is_some()).map(|(name, key)| name.len() + size(key)).sum();
        if written <= RUN_BYTES_MAX {
            return Ok(());
        }
        self.key(key)?.write = before;
        Err(fault("too_many_writes", format!("one run writes at most {} MiB of state", RUN_BYTES_MAX >> 20)))
    }

    fn key(&mut self, key: &str) -> Answer<&mut Key> {
        if !(1..=KEY_BYTES_MAX).contains(&key.len()) || key.contains('\0') {
            return Err(fault("invalid_key", format!("a key is 1 to {KEY_BYTES_MAX} bytes of text without NUL")));
        }
        if !self.run.contains_key(key) && self.run.len() >= KEYS_MAX {
            return Err(fault("too_many_writes", format!("one run touches at most {KEYS_MAX} keys")));
        }
        let committed = self.live(key).cloned();
        Ok(self.run.entry(key.to_owned()).or_insert_with(|| Key { committed, ..Key::default() }))
    }

    fn live(&self, key: &str) -> Option<&Value> {
        self.live_at(key, self.now_ms)
    }

    fn live_at(&self, key: &str, now_ms: u64) -> Option<&Value> {
        self.committed.get(key).filter(|value| value.expires_at_ms.is_none_or(|expires| now_ms < expires))
    }
}

fn add(bytes: Option<&[u8]>, by: i64) -> Answer<i64> {
    let not_a_number = || fault("not_a_number", "the value is not a decimal number of 64 bits, as `increment` writes them".to_owned());
    let number = match bytes {
        None => 0,
        Some(bytes) => str::from_utf8(bytes).ok().and_then(|text| text.parse::<i64>().ok()).ok_or_else(not_a_number)?,
    };
    number.checked_add(by).ok_or_else(overflow)
}

fn overflow() -> Fault {
    fault("overflow", "the sum is no number of 64 bits".to_owned())
}
