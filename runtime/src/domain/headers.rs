//! HTTP headers as they arrived: in order, duplicates kept, values as bytes.

use bytes::Bytes;

/// An ordered list of headers. Names are lower-case; values are bytes, since providers do send text that is not UTF-8.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(Box<str>, Bytes)>);

impl Headers {
    /// An empty list with room for `count` headers.
    pub fn with_capacity(count: usize) -> Self {
        Self(Vec::with_capacity(count))
    }

    /// Appends a header; `name` must be lower-case.
    pub fn push(&mut self, name: &str, value: impl Into<Bytes>) {
        debug_assert!(!name.bytes().any(|b| b.is_ascii_uppercase()), "header names are lower-case: {name}");
        self.0.push((name.into(), value.into()));
    }

    /// The values under a lower-case name, in order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.0.iter().filter(move |(own, _)| &**own == name).map(|(_, value)| &value[..])
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
    pub fn replace(&mut self, name: &str, value: &'static str) {
        for (own, old) in &mut self.0 {
            if &**own == name {
                *old = Bytes::from_static(value.as_bytes());
            }
        }
    }

    /// All headers in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &[u8])> {
        self.0.iter().map(|(name, value)| (&**name, &value[..]))
    }

    /// How many headers there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes the store keeps: for each header the name's length (u16), the value's length (u32), name, value; little endian.
    pub fn encode(&self) -> Vec<u8> {
        let length = self.0.iter().map(|(name, value)| 6 + name.len() + value.len()).sum();
        let mut out = Vec::with_capacity(length);
        for (name, value) in &self.0 {
            out.extend_from_slice(&u16::try_from(name.len()).expect("the front door bounds header names").to_le_bytes());
            out.extend_from_slice(&u32::try_from(value.len()).expect("the front door bounds header values").to_le_bytes());
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(value);
        }
        out
    }

    /// Reads what [`Self::encode`] wrote; `None` where the bytes are damaged.
    pub fn decode(bytes: &Bytes) -> Option<Self> {
        let mut headers = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let name_len = usize::from(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
            let value_len = u32::from_le_bytes(bytes.get(at + 2..at + 6)?.try_into().ok()?) as usize;
            let name = std::str::from_utf8(bytes.get(at + 6..at + 6 + name_len)?).ok()?;
            at += 6 + name_len;
            bytes.get(at..at + value_len)?;
            headers.push((name.into(), bytes.slice(at..at + value_len)));
            at += value_len;
        }
        Some(Self(headers))
    }
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
        assert_eq!(Headers::decode(&sample().encode().into()), Some(sample()));
        assert_eq!(Headers::decode(&Bytes::new()), Some(Headers::default()));
    }

    #[test]
    fn damaged_bytes_are_noticed_at_every_cut() {
        let encoded = Bytes::from(sample().encode());
        let ends = [0, 12, 24, encoded.len()];
        for cut in (1..encoded.len()).filter(|cut| !ends.contains(cut)) {
            assert_eq!(Headers::decode(&encoded.slice(..cut)), None, "{cut}");
        }
    }

    #[test]
    fn a_duplicate_is_not_the_only_one() {
        assert_eq!(sample().only("x-one"), None);
        assert_eq!(sample().only("x-two"), Some(&b"\xff"[..]));
    }
}
