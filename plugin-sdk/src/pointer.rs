//! A value read from where a JSON Pointer (RFC 6901) says it sits, in one pass: no tree is built, what lies beside is skipped.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The value at `pointer`; `None` where nothing sits there. Of a key that stands twice the last one counts, if each could be a `T`.
/// An escape that RFC 6901 does not know is taken as it is written.
pub(crate) fn read<T: DeserializeOwned>(body: &[u8], pointer: &str) -> serde_json::Result<Option<T>> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let Some(rest) = pointer.strip_prefix('/') else {
        // RFC 6901 §5: a pointer is empty, or begins with a slash. Another one points nowhere.
        let found = if pointer.is_empty() { T::deserialize(&mut json).map(Some) } else { ignore(&mut json) };
        return found.and_then(|found| json.end().map(|()| found));
    };
    let keys: Vec<String> = rest.split('/').map(|key| key.replace("~1", "/").replace("~0", "~")).collect();
    let found = At::<T> { keys: &keys, value: PhantomData }.deserialize(&mut json)?;
    json.end().map(|()| found)
}

fn ignore<'de, T, D: Deserializer<'de>>(json: D) -> Result<Option<T>, D::Error> {
    json.deserialize_ignored_any(IgnoredAny).map(|_| None)
}

/// Steps down one key at a time.
struct At<'k, T> {
    keys: &'k [String],
    value: PhantomData<T>,
}

impl<'de, T: DeserializeOwned> DeserializeSeed<'de> for At<'_, T> {
    type Value = Option<T>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Option<T>, D::Error> {
        match self.keys {
            [] => T::deserialize(json).map(Some),
            [key, keys @ ..] => json.deserialize_any(Below { key, keys, value: PhantomData }),
        }
    }
}

struct Below<'k, T> {
    key: &'k str,
    keys: &'k [String],
    value: PhantomData<T>,
}

impl<'k, T> Below<'k, T> {
    fn next(&self) -> At<'k, T> {
        At { keys: self.keys, value: PhantomData }
    }
}

impl<'de, T: DeserializeOwned> Visitor<'de> for Below<'_, T> {
    type Value = Option<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Option<T>, A::Error> {
        let mut found = None;
        while let Some(is_it) = map.next_key_seed(Is(self.key))? {
            if is_it {
                found = map.next_value_seed(self.next())?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Option<T>, A::Error> {
        // RFC 6901 §4: digits without a leading zero.
        let is_index = self.key == "0" || (!self.key.starts_with('0') && self.key.bytes().all(|digit| digit.is_ascii_digit()));
        let index = self.key.parse::<usize>().ok().filter(|_| is_index);
        let mut found = None;
        for position in 0.. {
            if Some(position) == index {
                let Some(element) = elements.next_element_seed(self.next())? else { break };
                found = element;
            } else if elements.next_element::<IgnoredAny>()?.is_none() {
                break;
            }
        }
        Ok(found)
    }

    fn visit_str<E>(self, _: &str) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Option<T>, E> {
        Ok(None)
    }
}

/// Whether an object's key is the one that is looked for, without keeping it.
struct Is<'k>(&'k str);

impl<'de> DeserializeSeed<'de> for Is<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<bool, D::Error> {
        json.deserialize_str(self)
    }
}

impl Visitor<'_> for Is<'_> {
    type Value = bool;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<bool, E> {
        Ok(key == self.0)
    }
}
