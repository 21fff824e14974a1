//! Values picked out of a JSON body in one pass: no tree, no copy of what is skipped, and nothing is trusted to be well-formed.
//!
//! A key that stands twice in one object is ambiguous, since readers disagree on which counts: nothing below it is found.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::location::Pointer;

/// The longest value that is taken for an id or a type, in bytes.
const VALUE_BYTES_MAX: usize = 256;
/// How many values a document may have that is read whole: each takes some ten times the bytes it is written in.
const VALUES_MAX: usize = 100_000;

/// The values that are wanted, as a tree of keys.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    root: Node,
    count: usize,
}

#[derive(Debug, Default)]
struct Node {
    slot: Option<usize>,
    children: Vec<(String, Node)>,
}

impl Wanted {
    /// Asks for one more value; the answer is its place in the findings.
    pub(super) fn add(&mut self, pointer: &Pointer) -> usize {
        let mut node = &mut self.root;
        for key in pointer.keys() {
            let known = node.children.iter().position(|(own, _)| own == key);
            let at = known.unwrap_or_else(|| {
                node.children.push((key.clone(), Node::default()));
                node.children.len() - 1
            });
            node = &mut node.children[at].1;
        }
        *node.slot.get_or_insert_with(|| {
            self.count += 1;
            self.count - 1
        })
    }

    /// The strings and whole numbers found; none at all where the body is not JSON to its last byte.
    pub(super) fn find(&self, body: &[u8]) -> Vec<Option<String>> {
        let mut found = vec![None; self.count];
        if self.count == 0 || !matches!(body.trim_ascii_start().first(), Some(b'{' | b'[')) {
            return found;
        }
        let mut json = serde_json::Deserializer::from_slice(body);
        let read = Walk { node: &self.root, found: &mut found }.deserialize(&mut json).and_then(|()| json.end());
        if read.is_err() {
            found.fill(None);
        }
        found
    }
}

/// The text if it can be an id or a type: not empty, not long, no control characters.
pub(super) fn plain(text: &str) -> Option<String> {
    let plain = (1..=VALUE_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control);
    plain.then(|| text.to_owned())
}

/// The whole document; `None` where it is not JSON, has too many values, or an object has a key twice, since readers disagree on which
/// counts.
pub(super) fn unambiguous(body: &[u8]) -> Option<Value> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let value = Tree { left: &Cell::new(VALUES_MAX) }.deserialize(&mut json).ok()?;
    json.end().ok().map(|()| value)
}

/// A value as it goes into a signed message: texts without quotes, nothing for what is not there.
pub(super) fn signed_text(value: Option<&Value>) -> Option<Cow<'_, str>> {
    match value {
        None | Some(Value::Null) => Some("".into()),
        Some(Value::String(text)) => Some(text.as_str().into()),
        Some(Value::Bool(_) | Value::Number(_)) => value.map(|value| value.to_string().into()),
        Some(Value::Array(_) | Value::Object(_)) => None,
    }
}

/// A whole document, of as many values as are left.
#[derive(Clone, Copy)]
struct Tree<'t> {
    left: &'t Cell<usize>,
}

impl<'de> DeserializeSeed<'de> for Tree<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Value, D::Error> {
        let left = self.left.get().checked_sub(1).ok_or_else(|| serde::de::Error::custom("too many values"))?;
        self.left.set(left);
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut object = serde_json::Map::new();
        while let Some(key) = map.next_key::<String>()? {
            let value = map.next_value_seed(self)?;
            if object.insert(key, value).is_some() {
                return Err(serde::de::Error::custom("a key stands twice"));
            }
        }
        Ok(Value::Object(object))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(element) = elements.next_element_seed(self)? {
            array.push(element);
        }
        Ok(Value::Array(array))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
}

struct Walk<'w> {
    node: &'w Node,
    found: &'w mut [Option<String>],
}

impl Walk<'_> {
    fn take(&mut self, text: &str) {
        if let Some(slot) = self.node.slot {
            self.found[slot] = plain(text);
        }
    }
}

fn forget(node: &Node, found: &mut [Option<String>]) {
    node.slot.into_iter().for_each(|slot| found[slot] = None);
    node.children.iter().for_each(|(_, child)| forget(child, found));
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        if self.node.slot.is_none() && self.node.children.is_empty() {
            return json.deserialize_ignored_any(IgnoredAny).map(|_| ());
        }
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen: u64 = 0;
        while let Some(child) = map.next_key_seed(Child(self.node))? {
            let Some(at) = child else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let node = &self.node.children[at].1;
            // A source wants a few dozen values at the very most, so an object has no more than 64 wanted keys.
            let bit = 1_u64.checked_shl(u32::try_from(at).unwrap_or(u32::MAX)).unwrap_or(0);
            if seen & bit == 0 {
                map.next_value_seed(Walk { node, found: &mut *self.found })?;
            } else {
                forget(node, self.found);
                map.next_value::<IgnoredAny>()?;
            }
            seen |= bit;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        let unwanted = Node::default();
        let mut at = 0_usize;
        loop {
            let wanted = self.node.children.iter().find(|(key, _)| key.parse() == Ok(at));
            let node = wanted.map_or(&unwanted, |(_, node)| node);
            if elements.next_element_seed(Walk { node, found: &mut *self.found })?.is_none() {
                return Ok(());
            }
            at += 1;
        }
    }

    fn visit_str<E>(mut self, text: &str) -> Result<(), E> {
        self.take(text);
        Ok(())
    }

    fn visit_u64<E>(mut self, number: u64) -> Result<(), E> {
        self.take(&number.to_string());
        Ok(())
    }

    fn visit_i64<E>(mut self, number: i64) -> Result<(), E> {
        self.take(&number.to_string());
        Ok(())
    }

    /// Not taken: a number that needed rounding could be the same as another.
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// A key of an object, as the position of the child it names.
struct Child<'n>(&'n Node);

impl<'de> DeserializeSeed<'de> for Child<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_str(self)
    }
}

impl Visitor<'_> for Child<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.children.iter().position(|(own, _)| own == key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(pointers: &[&str], body: &str) -> Vec<Option<String>> {
        let mut wanted = Wanted::default();
        for (at, pointer) in pointers.iter().enumerate() {
            assert_eq!(wanted.add(&pointer.parse().expect("a pointer")), at);
        }
        wanted.find(body.as_bytes())
    }

    fn one(pointer: &str, body: &str) -> Option<String> {
        find(&[pointer], body).remove(0)
    }

    #[test]
    fn values_are_found_at_any_depth_in_one_pass() {
        let body = r#" {"id":"e1","data":{"x":[1,{"id":-7}]},"a/b":"\u00e9","type":12} "#;
        let found = find(&["/id", "/type", "/data/x/1/id", "/a~1b", "/none", "/data"], body);
        let expected = [Some("e1"), Some("12"), Some("-7"), Some("é"), None, None];
        assert_eq!(found, expected.map(|value| value.map(str::to_owned)));
        assert_eq!(one("/0/type", r#"[{"type":"t"}]"#).as_deref(), Some("t"));
    }

    #[test]
    fn what_is_no_string_and_no_whole_number_is_absent() {
        for body in
            [r#"{"id":true}"#, r#"{"id":null}"#, r#"{"id":1.5}"#, r#"{"id":{}}"#, r#"{"id":["a"]}"#, r#"{"id":18446744073709551616}"#]
        {
            assert_eq!(one("/id", body), None, "{body}");
        }
    }

    #[test]
    fn long_and_unprintable_values_are_absent() {
        assert!(one("/id", &format!(r#"{{"id":"{}"}}"#, "a".repeat(256))).is_some());
        assert_eq!(one("/id", &format!(r#"{{"id":"{}"}}"#, "a".repeat(257))), None);
        for value in ["", "a\\u0000", "a\\nb", "\\u009b"] {
            assert_eq!(one("/id", &format!(r#"{{"id":"{value}"}}"#)), None, "{value}");
        }
    }

    #[test]
    fn a_body_that_is_not_json_to_its_end_has_no_values() {
        for body in ["", "id=1", "\"id\"", r#"{"id":"a"} x"#, r#"{"id":"a","b":}"#, r#"{"id":"a""#, "{\"id\":\"a\",\"b\":\"\n\"}"] {
            assert_eq!(one("/id", body), None, "{body}");
        }
    }

    #[test]
    fn a_key_that_stands_twice_is_ambiguous() {
        assert_eq!(one("/id", r#"{"id":"a","id":"b"}"#), None);
        assert_eq!(one("/id", r#"{"id":"a","id":"b","\u0069d":"c"}"#), None);
        assert_eq!(one("/a/id", r#"{"a":{"id":"x"},"a":{}}"#), None);
        assert_eq!(one("/id", r#"{"id":"a","x":{"id":"b"}}"#).as_deref(), Some("a"));
    }

    #[test]
    fn a_document_of_too_many_values_is_not_read_whole() {
        let zeros = |count: usize| format!("[{}]", vec!["0"; count].join(","));
        assert!(unambiguous(zeros(VALUES_MAX - 1).as_bytes()).is_some());
        assert!(unambiguous(zeros(VALUES_MAX).as_bytes()).is_none());
    }

    #[test]
    fn a_deep_body_does_not_exhaust_the_stack() {
        assert_eq!(one("/id", &format!(r#"{{"x":{}"#, "[".repeat(200_000))), None);
        let deep = format!(r#"{{"x":{}{},"id":"a"}}"#, "[".repeat(200_000), "]".repeat(200_000));
        assert_eq!(one("/id", &deep).as_deref(), Some("a"));
    }
}
