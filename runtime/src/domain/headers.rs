//! HTTP headers as they arrived: in order, duplicates kept, values as bytes.

use bytes::Bytes;

/// An ordered list of headers. Names are lower-case; values are bytes, since providers do send text that is not UTF-8.
///
/// One buffer in the form that the store keeps: for each header the name's length (u16), the value's length (u32), name, value; little
/// endian. A request has a dozen headers, and two allocations for each would cost more than looking for a name does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers {
    encoded: Vec<u8>,
    count: usize,
}

/// What stands before a name and its value.
const LENGTHS: usize = 6;

impl Headers {
    /// An empty list with room for headers of so many bytes, names and values together.
    pub fn with_capacity(count: usize, bytes: usize) -> Self {
        Self { encoded: Vec::with_capacity(count * LENGTHS + bytes), count: 0 }
    }

    /// Appends a header; `name` must be lower-case, of at most 64 KiB.
    pub fn push(&mut self, name: &str, value: impl AsRef<[u8]>) {
        debug_assert!(!name.bytes().any(|b| b.is_ascii_uppercase()), "header names are lower-case: {name}");
        let value = value.as_ref();
        self.encoded.extend_from_slice(&u16::try_from(name.len()).expect("the front door bounds header names").to_le_bytes());
        self.encoded.extend_from_slice(&u32::try_from(value.len()).expect("the front door bounds header values").to_le_bytes());
        self.encoded.extend_from_slice(name.as_bytes());
        self.encoded.extend_from_slice(value);
        self.count += 1;
    }

    /// The values under a lower-case name, in order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.iter().filter(move |(own, _)| *own == name).map(|(_, value)| value)
    }

    /// The value under a lower-case name if there is exactly one.
    pub fn only<'a>(&'a self, name: &'a str) -> Option<&'a [u8]> {
        let mut values = self.all(name);
        let first = values.next()?;
        values.next().is_none().then_some(first)
    }

    /// The only value under a lower-case name, where it is UTF-8.
    pub fn text<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.only(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// Puts `value` in place of every value under `name`.
    pub fn replace(&mut self, name: &str, value: &str) {
        if self.all(name).next().is_none() {
            return;
        }
        let mut replaced = Self::with_capacity(self.count, self.encoded.len());
        for (own, old) in self.iter() {
            replaced.push(own, if own == name { value.as_bytes() } else { old });
        }
        *self = replaced;
    }

    /// All headers in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let mut rest = &self.encoded[..];
        std::iter::from_fn(move || {
            let (name, value, after) = split_first(rest)?;
            rest = after;
            Some((name, value))
        })
    }

    /// How many headers there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The bytes the store keeps.
    pub fn as_bytes(&self) -> &[u8] {
        &self.encoded
    }

    /// Takes what [`Self::as_bytes`] gave; `None` where the bytes are damaged.
    pub fn from_bytes(encoded: Vec<u8>) -> Option<Self> {
        let (mut rest, mut count) = (&encoded[..], 0);
        while !rest.is_empty() {
            (_, _, rest) = split_first(rest)?;
            count += 1;
        }
        Some(Self { encoded, count })
    }
}

/// The first header and what follows it; `None` where there is none, or it is damaged.
fn split_first(encoded: &[u8]) -> Option<(&str, &[u8], &[u8])> {
    let (name_length, rest) = encoded.split_first_chunk()?;
    let (value_length, rest) = rest.split_first_chunk()?;
    let (name, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*name_length)))?;
    let (value, rest) = rest.split_at_checked(u32::from_le_bytes(*value_length) as usize)?;
    Some((std::str::from_utf8(name).ok()?, value, rest))
}

impl<'a> FromIterator<(&'a str, Bytes)> for Headers {
    fn from_iter<I: IntoIterator<Item = (&'a str, Bytes)>>(headers: I) -> Self {
        let mut list = Self::default();
        for (name, value) in headers {
            list.push(&name.to_ascii_lowercase(), value);
        }
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Headers {
        [("X-One", Bytes::from_static(b"1")), ("x-two", Bytes::from_static(b"\xff")), ("x-one", Bytes::from_static(b""))]
            .into_iter()
            .collect()
    }

    #[test]
    fn order_duplicates_and_odd_bytes_survive_the_store() {
        assert_eq!(Headers::from_bytes(sample().as_bytes().to_vec()), Some(sample()));
        assert_eq!(Headers::from_bytes(Vec::new()), Some(Headers::default()));
    }

    #[test]
    fn damaged_bytes_are_noticed_at_every_cut() {
        let encoded = sample().as_bytes().to_vec();
        let ends = [0, 12, 24, encoded.len()];
        for cut in (1..encoded.len()).filter(|cut| !ends.contains(cut)) {
            assert_eq!(Headers::from_bytes(encoded[..cut].to_vec()), None, "{cut}");
        }
    }

    #[test]
    fn a_duplicate_is_not_the_only_one() {
        assert_eq!(sample().only("x-one"), None);
        assert_eq!(sample().only("x-two"), Some(&b"\xff"[..]));
    }
}
