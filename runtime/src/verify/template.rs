//! The signed message as a template over the request's bytes: `{timestamp}.{body}`. It is fed to the signature part by part
//! and never put together, and its parts can be told apart again, so that no byte can slide from one into the next.

use bytes::Bytes;

use crate::domain::{Headers, RefusalCause};

use super::carrier;

/// How many parts a message may have.
const PARTS_MAX: usize = 8;

/// A message made of literals, `{body}`, `{timestamp}` and `{header:NAME}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Body,
    Timestamp,
    /// A header's value; it must not contain the delimiters that stand beside it.
    Header {
        name: String,
        delimiters: Vec<u8>,
    },
}

/// A request's message, as slices of the request.
pub(super) struct Message<'a> {
    parts: [&'a [u8]; PARTS_MAX],
    count: usize,
}

impl<'a> Message<'a> {
    /// The bytes that are signed, in order.
    pub(super) fn parts(&self) -> &[&'a [u8]] {
        &self.parts[..self.count]
    }
}

impl Template {
    /// Whether the message contains the timestamp.
    pub fn has_timestamp(&self) -> bool {
        self.0.contains(&Part::Timestamp)
    }

    /// The lower-case names of the headers in the message.
    pub fn headers(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Header { name, .. } => Some(name.as_str()),
            _ => None,
        })
    }

    /// The message of one request; `timestamp` is its text as sent.
    pub(super) fn resolve<'a>(&'a self, headers: &'a Headers, body: &'a Bytes, timestamp: &'a [u8]) -> Result<Message<'a>, RefusalCause> {
        let mut message = Message { parts: [b""; PARTS_MAX], count: self.0.len() };
        for (slot, part) in message.parts.iter_mut().zip(&self.0) {
            *slot = match part {
                Part::Literal(text) => text.as_bytes(),
                Part::Body => body,
                Part::Timestamp => timestamp,
                Part::Header { name, delimiters } => header_part(headers, name, delimiters)?,
            };
        }
        Ok(message)
    }
}

fn header_part<'a>(headers: &'a Headers, name: &str, delimiters: &[u8]) -> Result<&'a [u8], RefusalCause> {
    let value = carrier::only(headers, name)?;
    if !value.is_empty() && value.iter().all(|byte| byte.is_ascii_graphic() && !delimiters.contains(byte)) {
        return Ok(value);
    }
    let delimiters = String::from_utf8_lossy(delimiters).into_owned();
    Err(RefusalCause::MalformedHeader { header: name.into(), expected: format!("visible characters, none of them `{delimiters}`") })
}

impl std::str::FromStr for Template {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (part, after) = next_part(rest)?;
            parts.push(part);
            rest = after;
        }
        if parts.len() > PARTS_MAX {
            return Err(format!("a message has at most {PARTS_MAX} parts"));
        }
        // Whoever signs without the body has proved nothing about what we would store.
        if parts.iter().filter(|part| **part == Part::Body).count() != 1 {
            return Err("a message contains `{body}` exactly once".into());
        }
        if parts.iter().filter(|part| **part == Part::Timestamp).count() > 1 {
            return Err("a message contains `{timestamp}` at most once".into());
        }
        delimit_headers(&mut parts)?;
        Ok(Self(parts))
    }
}

fn next_part(text: &str) -> Result<(Part, &str), String> {
    let Some(inner) = text.strip_prefix('{') else {
        let end = text.find('{').unwrap_or(text.len());
        return Ok((Part::Literal(text[..end].into()), &text[end..]));
    };
    let (name, after) = inner.split_once('}').ok_or("a `{` is not closed")?;
    let part = match (name, name.strip_prefix("header:")) {
        ("body", _) => Part::Body,
        ("timestamp", _) => Part::Timestamp,
        (_, Some(header)) => Part::Header { name: carrier::header_name(header)?, delimiters: Vec::new() },
        _ => return Err(format!("`{{{name}}}` is unknown; allowed are {{body}}, {{timestamp}}, {{header:NAME}}")),
    };
    Ok((part, after))
}

/// A header's value is of any length and chosen by whoever sends, so only a delimiter tells where it ends.
fn delimit_headers(parts: &mut [Part]) -> Result<(), String> {
    let edges: Vec<Option<(u8, u8)>> = parts
        .iter()
        .map(|part| match part {
            Part::Literal(text) => text.bytes().next().zip(text.bytes().last()),
            _ => None,
        })
        .collect();
    let last = parts.len() - 1;
    for (at, part) in parts.iter_mut().enumerate() {
        let Part::Header { name, delimiters } = part else { continue };
        let before = (at > 0).then(|| edges[at - 1].map(|(_, last)| last));
        let after = (at < last).then(|| edges[at + 1].map(|(first, _)| first));
        for neighbour in [before, after].into_iter().flatten() {
            delimiters.push(neighbour.ok_or_else(|| format!("nothing delimits `{{header:{name}}}` from the part beside it"))?);
        }
        delimiters.dedup();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(template: &str, id: &'static str) -> Result<Vec<u8>, RefusalCause> {
        let template: Template = template.parse().expect("a template");
        let headers = [("id", Bytes::from_static(id.as_bytes()))].into_iter().collect();
        template.resolve(&headers, &Bytes::from_static(b"BODY"), b"17").map(|message| message.parts().concat())
    }

    #[test]
    fn parts_are_put_in_order() {
        assert_eq!(message("v0:{timestamp}:{body}", ""), Ok(b"v0:17:BODY".to_vec()));
        assert_eq!(message("{header:id}.{timestamp}.{body}", "msg_1"), Ok(b"msg_1.17.BODY".to_vec()));
    }

    #[test]
    fn a_header_cannot_swallow_its_neighbour() {
        for id in ["a.1", "", "a b", "a\u{7f}"] {
            assert!(matches!(message("{header:id}.{timestamp}.{body}", id), Err(RefusalCause::MalformedHeader { .. })), "{id}");
        }
        assert!(message("{body}-{header:id}", "a-b").is_err());
    }

    #[test]
    fn templates_that_could_be_cut_in_two_ways_are_refused() {
        let bad = ["", "{body", "{id}{body}", "{header:id}{body}", "{timestamp}", "{body}{body}", "{header:A}.{body}", "{header:}.{body}"];
        for text in bad {
            assert!(text.parse::<Template>().is_err(), "{text}");
        }
    }
}
