//! Where values stand in a JSON text, byte for byte: nothing is decoded, nothing copied.

use std::fmt;
use std::ops::Range;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::location::Items;

/// The document as it is written; `None` where it is not JSON.
pub(super) fn document(body: &[u8]) -> Option<&RawValue> {
    serde_json::from_slice(body).ok()
}

/// The value that the keys lead to; `None` also where one of them stands twice, since readers disagree on which counts.
pub(super) fn descend<'b>(root: &'b RawValue, keys: &[String]) -> Option<&'b RawValue> {
    keys.iter().try_fold(root, |node, key| match node.get().as_bytes().first() {
        Some(b'{') => Member(key).deserialize(&mut serde_json::Deserializer::from_str(node.get())).ok()?,
        Some(b'[') => elements(node)?.get(key.parse::<usize>().ok()?).copied(),
        _ => None,
    })
}

/// The elements of an array.
pub(super) fn elements(node: &RawValue) -> Option<Vec<&RawValue>> {
    serde_json::from_str(node.get()).ok()
}

/// The items of a body; `None` where it has no such array.
pub(super) fn items<'b>(body: &'b [u8], items: &Items) -> Option<Vec<&'b RawValue>> {
    let array = elements(descend(document(body)?, items.array.keys())?)?;
    array.into_iter().map(|element| descend(element, items.item.keys())).collect()
}

/// Where in the text a part of it stands.
pub(super) fn span(body: &[u8], part: &RawValue) -> Range<usize> {
    let start = part.get().as_ptr().addr() - body.as_ptr().addr();
    start..start + part.get().len()
}

/// The only member of an object under this key.
struct Member<'k>(&'k str);

impl<'de> DeserializeSeed<'de> for Member<'_> {
    type Value = Option<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Member<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(key) = map.next_key::<String>()? {
            if key != self.0 {
                map.next_value::<IgnoredAny>()?;
            } else if found.replace(map.next_value()?).is_some() {
                return Err(serde::de::Error::custom("a key stands twice"));
            }
        }
        Ok(found)
    }
}
