//! What a run wants to be true once it is done: its writes of state, the events it emits, the requests it hands over. Kept apart from
//! the world until the worker commits them with the outcome; dropped with the run otherwise.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use super::outside::{Outside, Unavailable};
use crate::domain::{
    Delivery, Digest, EFFECT_BYTES_MAX, EFFECTS_MAX, Emission, Grant, Lineage, STATE_KEY_BYTES_MAX, STATE_KEYS_MAX, STATE_VALUE_BYTES_MAX,
    StateChange, StateGrant, StateItem, StateWrite, Wishes,
};

/// Why a wish is refused: a code of the contract and a sentence for the author.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) code: &'static str,
    pub(super) message: String,
}

impl Refused {
    pub(super) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl From<Unavailable> for Refused {
    fn from(Unavailable: Unavailable) -> Self {
        Self::new("unavailable", "the store cannot be read now")
    }
}

/// The wishes of one run so far.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) lineage: Lineage,
    pub(super) digest: Digest,
    positions_before: usize,
    keys: BTreeMap<String, Key>,
    /// The bytes of state that are committed; read before the first write that takes more.
    committed_bytes: Option<u64>,
    emissions: Vec<Emission>,
    deliveries: Vec<Delivery>,
    effect_bytes: usize,
}

/// What a run knows and wants of one key.
#[derive(Debug, Default)]
struct Key {
    /// What was committed when the run first looked; the outer `None`: it has not.
    committed: Option<Option<StateItem>>,
    /// Whether the handler has seen what was committed: then what it writes depends on it.
    is_seen: bool,
    expect: Option<Option<u64>>,
    write: Option<StateWrite>,
}

impl Key {
    fn version(&self) -> Option<u64> {
        self.committed.as_ref().and_then(Option::as_ref).map(|item| item.version)
    }

    /// What the run sees: the committed value, changed by its own writes.
    fn value(&self) -> Result<Option<Bytes>, Refused> {
        let committed = self.committed.as_ref().and_then(Option::as_ref).map(|item| item.value.clone());
        match &self.write {
            None => Ok(committed),
            Some(StateWrite::Set { value, .. }) => Ok(Some(value.clone())),
            Some(StateWrite::Delete) => Ok(None),
            Some(StateWrite::Add { by, .. }) => {
                let number = number(committed.as_deref())?;
                let sum = number.checked_add(*by).ok_or_else(|| Refused::new("overflow", "the sum is no number of 64 bits"))?;
                Ok(Some(sum.to_string().into()))
            }
        }
    }

    fn write(&mut self, write: StateWrite) {
        if self.is_seen && self.expect.is_none() {
            self.expect = Some(self.version());
        }
        self.write = Some(write);
    }

    /// How many bytes more the scope takes once this is committed, as far as this run can tell.
    fn growth(&self, key: &str) -> i64 {
        let size = |value: usize| i64::try_from(key.len() + value).unwrap_or(i64::MAX);
        let before = self.committed.as_ref().and_then(Option::as_ref).map_or(0, |item| size(item.value.len()));
        match &self.write {
            None => 0,
            Some(StateWrite::Set { value, .. }) => size(value.len()) - before,
            Some(StateWrite::Delete) => -before,
            Some(StateWrite::Add { .. }) => self.value().ok().flatten().map_or(0, |sum| size(sum.len()) - before),
        }
    }
}

/// A number as state keeps it: decimal digits, with a sign where it is negative.
pub(crate) fn number(value: Option<&[u8]>) -> Result<i64, Refused> {
    let not_a_number = || Refused::new("not_a_number", "the value is not a decimal number of 64 bits, as `increment` writes them");
    match value {
        None => Ok(0),
        Some(bytes) => str::from_utf8(bytes).ok().and_then(|text| text.parse().ok()).ok_or_else(not_a_number),
    }
}

impl Draft {
    /// Its positions come after `positions_before`: two runs of one job that ask for different things must not make the same ids.
    pub(super) fn new(lineage: Lineage, digest: Digest, positions_before: usize) -> Self {
        Self {
            lineage,
            digest,
            positions_before,
            keys: BTreeMap::new(),
            committed_bytes: None,
            emissions: Vec::new(),
            deliveries: Vec::new(),
            effect_bytes: 0,
        }
    }

    /// The value and the version of what it replaces; 0 where that is nothing.
    pub(super) async fn get(&mut self, outside: &dyn Outside, key: &str) -> Result<Option<(Bytes, u64)>, Refused> {
        let key = self.known(outside, key).await?;
        key.is_seen = true;
        Ok(key.value()?.map(|value| (value, key.version().unwrap_or(0))))
    }

    pub(super) async fn set(
        &mut self,
        outside: &dyn Outside,
        grant: StateGrant,
        key: &str,
        value: Bytes,
        ttl: Option<Duration>,
    ) -> Result<(), Refused> {
        if value.len() > STATE_VALUE_BYTES_MAX {
            return Err(Refused::new("value_too_large", format!("a value is at most {} KiB", STATE_VALUE_BYTES_MAX >> 10)));
        }
        self.write(outside, grant, key, StateWrite::Set { value, ttl }).await
    }

    pub(super) async fn delete(&mut self, outside: &dyn Outside, grant: StateGrant, key: &str) -> Result<(), Refused> {
        self.write(outside, grant, key, StateWrite::Delete).await
    }

    pub(super) fn expect(&mut self, key: &str, version: Option<u64>) -> Result<(), Refused> {
        self.key(key)?.expect = Some(version);
        Ok(())
    }

    /// The sum, as this run sees it.
    pub(super) async fn increment(&mut self, outside: &dyn Outside, grant: StateGrant, key: &str, by: i64) -> Result<i64, Refused> {
        let overflow = || Refused::new("overflow", "the sum is no number of 64 bits");
        let known = self.known(outside, key).await?;
        let sum = number(known.value()?.as_deref())?.checked_add(by).ok_or_else(overflow)?;
        let write = match &known.write {
            None => StateWrite::Add { by, to_present: known.version().is_some() },
            Some(StateWrite::Add { by: before, to_present }) => {
                StateWrite::Add { by: before.checked_add(by).ok_or_else(overflow)?, to_present: *to_present }
            }
            Some(StateWrite::Delete) => StateWrite::Set { value: sum.to_string().into(), ttl: None },
            Some(StateWrite::Set { ttl, .. }) => StateWrite::Set { value: sum.to_string().into(), ttl: *ttl },
        };
        let is_addition = matches!(write, StateWrite::Add { .. });
        // An addition does not depend on what number the run has seen.
        let change = |own: &mut Key| if is_addition { own.write = Some(write) } else { own.write(write) };
        self.change(outside, grant, key, change).await?;
        Ok(sum)
    }

    async fn write(&mut self, outside: &dyn Outside, grant: StateGrant, key: &str, write: StateWrite) -> Result<(), Refused> {
        self.change(outside, grant, key, |own| own.write(write)).await
    }

    /// Changes what is wanted of a key, and takes it back where there is no room for it.
    async fn change(&mut self, outside: &dyn Outside, grant: StateGrant, key: &str, change: impl FnOnce(&mut Key)) -> Result<(), Refused> {
        let own = self.known(outside, key).await?;
        let (before, growth_before) = (own.write.clone(), own.growth(key));
        change(own);
        let has_grown = own.growth(key) > growth_before;
        let room = self.has_room(outside, grant, has_grown).await;
        if room.is_err() {
            self.key(key)?.write = before;
        }
        room
    }

    /// Whether all that is written is within its bounds. `has_grown`: by the latest write.
    async fn has_room(&mut self, outside: &dyn Outside, grant: StateGrant, has_grown: bool) -> Result<(), Refused> {
        let written: usize = self.keys.iter().map(|(name, key)| if key.write.is_some() { name.len() + key.written() } else { 0 }).sum();
        if written > EFFECT_BYTES_MAX {
            return Err(Refused::new("too_many_writes", format!("one run writes at most {} MiB of state", EFFECT_BYTES_MAX >> 20)));
        }
        // What makes it no larger is never refused, and need not know how large it is.
        if !has_grown {
            return Ok(());
        }
        let committed = match self.committed_bytes {
            Some(bytes) => bytes,
            None => outside.state_bytes().await?,
        };
        self.committed_bytes = Some(committed);
        let growth: i64 = self.keys.iter().map(|(name, key)| key.growth(name)).sum();
        if committed.saturating_add_signed(growth) <= grant.quota_bytes {
            return Ok(());
        }
        Err(Refused::new("quota_exceeded", format!("state would be larger than the {} bytes granted", grant.quota_bytes)))
    }

    /// What is committed under the key is read once a run: a run sees it as it was then.
    async fn known(&mut self, outside: &dyn Outside, key: &str) -> Result<&mut Key, Refused> {
        if self.key(key)?.committed.is_none() {
            let committed = outside.state(key).await?;
            self.key(key)?.committed = Some(committed);
        }
        self.key(key)
    }

    fn key(&mut self, key: &str) -> Result<&mut Key, Refused> {
        if !(1..=STATE_KEY_BYTES_MAX).contains(&key.len()) || key.contains('\0') {
            return Err(Refused::new("invalid_key", format!("a key is 1 to {STATE_KEY_BYTES_MAX} bytes of text without NUL")));
        }
        if !self.keys.contains_key(key) && self.keys.len() >= STATE_KEYS_MAX {
            return Err(Refused::new("too_many_writes", format!("one run touches at most {STATE_KEYS_MAX} keys")));
        }
        Ok(self.keys.entry(key.to_owned()).or_default())
    }

    /// Makes room for another emitted event or delivery.
    pub(super) fn room(&mut self, bytes: usize) -> Result<(), Refused> {
        if self.emissions.len() + self.deliveries.len() >= EFFECTS_MAX || self.effect_bytes + bytes > EFFECT_BYTES_MAX {
            let message =
                format!("one run asks for at most {EFFECTS_MAX} events and deliveries of {} MiB together", EFFECT_BYTES_MAX >> 20);
            return Err(Refused::new("too_many_effects", message));
        }
        self.effect_bytes += bytes;
        Ok(())
    }

    /// The position of the next emitted event.
    pub(super) fn next_emission(&self) -> usize {
        self.positions_before + self.emissions.len() + 1
    }

    /// The position of the next delivery.
    pub(super) fn next_delivery(&self) -> usize {
        self.positions_before + self.deliveries.len() + 1
    }

    pub(super) fn emit(&mut self, emission: Emission) {
        self.emissions.push(emission);
    }

    pub(super) fn deliver(&mut self, delivery: Delivery) {
        self.deliveries.push(delivery);
    }

    /// All of it, for the commit.
    pub(super) fn finish(self, grant: &Grant) -> Wishes {
        let change = |(key, Key { expect, write, .. })| StateChange { key, expect, write };
        let changes = self.keys.into_iter().map(change).filter(|change| change.expect.is_some() || change.write.is_some());
        let state = if grant.state.is_some() { changes.collect() } else { Vec::new() };
        Wishes { state, emissions: self.emissions, deliveries: self.deliveries }
    }
}

impl Key {
    fn written(&self) -> usize {
        if let Some(StateWrite::Set { value, .. }) = &self.write { value.len() } else { 20 }
    }
}
