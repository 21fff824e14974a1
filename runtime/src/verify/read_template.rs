//! Templates as they are written in files. What could be cut in two ways is refused.

use std::str::FromStr;

use super::carrier;
use super::template::{PARTS_MAX, Part, Source, Template};

impl FromStr for Template {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut template = parse(text)?;
        if template.flat().count() > PARTS_MAX {
            return Err(format!("a message has at most {PARTS_MAX} parts"));
        }
        if template.parts.is_empty() {
            return Err("a message has at least one part".into());
        }
        for (part, word) in [(Part::Body, "{body}"), (Part::Timestamp, "{timestamp}")] {
            if template.flat().filter(|own| **own == part).count() > 1 {
                return Err(format!("a message contains `{word}` at most once"));
            }
        }
        check_body_is_apart(&template)?;
        delimit(&mut template)?;
        Ok(template)
    }
}

fn parse(text: &str) -> Result<Template, String> {
    let mut parts = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (part, after) = next_part(rest)?;
        parts.push(part);
        rest = after;
    }
    Ok(Template { parts, text: text.into() })
}

fn next_part(text: &str) -> Result<(Part, &str), String> {
    let Some(inner) = text.strip_prefix('{') else {
        let end = text.find('{').unwrap_or(text.len());
        return Ok((Part::Literal(text[..end].into()), &text[end..]));
    };
    let end = closing(inner).ok_or("a `{` is not closed")?;
    let (inner, after) = (&inner[..end], &inner[end + 1..]);
    if let Some(optional) = inner.strip_prefix('?') {
        // Before it is read: a file must not decide how deep that goes.
        if optional.contains("{?") {
            return Err(format!("`{{?{optional}}}` holds another part that may be left out"));
        }
        let template = parse(optional)?;
        // A part that is made of literals alone would never be left out.
        if template.parts.iter().all(|part| matches!(part, Part::Literal(_))) {
            return Err(format!("`{{?{optional}}}` holds nothing that a request could lack"));
        }
        return Ok((Part::Optional(template), after));
    }
    let mut words = inner.split('|');
    let name = words.next().unwrap_or_default();
    let filters: Vec<&str> = words.collect();
    let part = match (name, name.split_once(':'), &filters[..]) {
        ("body", _, []) => Part::Body,
        ("timestamp", _, []) => Part::Timestamp,
        ("secret", _, []) => Part::Secret,
        (_, Some(("header", header)), []) => Part::Header { name: carrier::header_name(header)?, delimiters: Vec::new(), is_id: false },
        (_, Some(("header", header)), ["id"]) => Part::Header { name: carrier::header_name(header)?, delimiters: Vec::new(), is_id: true },
        _ => {
            let filters = filters.into_iter().map(str::parse).collect::<Result<_, _>>()?;
            Part::Made(source(name)?, filters)
        }
    };
    Ok((part, after))
}

/// Where the brace closes that was opened before `text`.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0;
    text.bytes().position(|byte| {
        depth += match byte {
            b'{' => 1,
            b'}' => -1,
            _ => 0,
        };
        depth < 0
    })
}

fn source(name: &str) -> Result<Source, String> {
    Ok(match (name, name.split_once(':')) {
        ("body", _) => Source::Body,
        ("method", _) => Source::Method,
        ("url", _) => Source::Url,
        ("url_without_query", _) => Source::UrlWithoutQuery,
        ("form_sorted", _) => Source::FormSorted,
        (_, Some(("query", name))) => Source::Query(name.into()),
        (_, Some(("form", name))) => Source::Form(name.into()),
        (_, Some(("json", pointer))) => Source::Json(pointer.parse()?),
        (_, Some(("pair", name))) => Source::Pair(name.into()),
        (_, Some(("pair_headers", name))) => Source::PairHeaders(name.into()),
        (_, Some(("parameter", name))) => Source::Parameter(name.into()),
        (_, Some(("canonical", name))) => Source::Canonical(name.parse()?),
        _ => {
            return Err(format!(
                "`{{{name}}}` is unknown; allowed are {{body}}, {{timestamp}}, {{header:NAME}}, {{method}}, {{url}}, {{url_without_query}}, \
                 {{query:NAME}}, {{form:NAME}}, {{form_sorted}}, {{json:/POINTER}}, {{pair:NAME}}, {{pair_headers:NAME}}, {{parameter:NAME}}, \
                 {{secret}}, {{canonical:NAME}} and {{?optional parts}}"
            ));
        }
    })
}

/// What may stand beside a part.
#[derive(Clone, Copy)]
enum Edge {
    /// Nothing: the message ends there.
    End,
    /// This byte of a literal.
    Byte(u8),
    /// The bytes of another part.
    Open,
}

/// A header's value is of any length and chosen by whoever sends, so only a delimiter, or the shape of an id, tells where it ends.
fn delimit(template: &mut Template) -> Result<(), String> {
    let parts = &template.parts;
    let mut delimited = parts.clone();
    for (at, part) in delimited.iter_mut().enumerate() {
        let (before, after) = (edges(parts[..at].iter().rev(), Edge::last), edges(parts[at + 1..].iter(), Edge::first));
        part.delimit(&before, &after)?;
        if let Part::Optional(inner) = part {
            let own = inner.parts.clone();
            for (at, part) in inner.parts.iter_mut().enumerate() {
                let (left, right) = (own[..at].last().map(Edge::last), own.get(at + 1).map(Edge::first));
                let (left, right) = (left.map(|edge| vec![edge]), right.map(|edge| vec![edge]));
                part.delimit(left.as_ref().unwrap_or(&before), right.as_ref().unwrap_or(&after))?;
            }
        }
    }
    template.parts = delimited;
    Ok(())
}

/// What may stand beside a part in one direction: the next part's edge, and beyond it where that may be left out.
fn edges<'p>(parts: impl Iterator<Item = &'p Part>, edge: impl Fn(&Part) -> Edge) -> Vec<Edge> {
    let mut edges = Vec::new();
    for part in parts {
        edges.push(edge(part));
        if !matches!(part, Part::Optional(_)) {
            return edges;
        }
    }
    edges.push(Edge::End);
    edges
}

impl Edge {
    fn first(part: &Part) -> Self {
        match part {
            Part::Literal(text) => text.bytes().next().map_or(Self::Open, Self::Byte),
            Part::Optional(inner) => inner.parts.first().map_or(Self::Open, Self::first),
            _ => Self::Open,
        }
    }

    fn last(part: &Part) -> Self {
        match part {
            Part::Literal(text) => text.bytes().last().map_or(Self::Open, Self::Byte),
            Part::Optional(inner) => inner.parts.last().map_or(Self::Open, Self::last),
            _ => Self::Open,
        }
    }
}

impl Part {
    fn delimit(&mut self, before: &[Edge], after: &[Edge]) -> Result<(), String> {
        let Self::Header { name, delimiters, is_id: false } = self else { return Ok(()) };
        for edge in before.iter().chain(after) {
            match edge {
                Edge::End => {}
                Edge::Byte(byte) => delimiters.push(*byte),
                Edge::Open => {
                    return Err(format!(
                        "nothing delimits `{{header:{name}}}` from the part beside it; `{{header:{name}|id}}` takes ids only"
                    ));
                }
            }
        }
        delimiters.sort_unstable();
        delimiters.dedup();
        Ok(())
    }
}

/// Whoever sends chooses where such a value ends, and the body begins there: bytes could be moved from one to the other.
fn check_body_is_apart(template: &Template) -> Result<(), String> {
    let flat: Vec<&Part> = template.flat().collect();
    let is_loose = |part: &Part| {
        use Source::{Form, Json, Pair, PairHeaders, Query};
        matches!(part, Part::Made(Query(_) | Form(_) | Json(_) | Pair(_) | PairHeaders(_), filters) if filters.is_empty())
    };
    let touches = flat.windows(2).any(|pair| match pair {
        [one, other] => (**one == Part::Body && is_loose(other)) || (is_loose(one) && **other == Part::Body),
        _ => false,
    });
    if touches { Err("nothing delimits `{body}` from the value beside it".into()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_optional_part_has_something_in_it() {
        assert_eq!("{?}{body}".parse::<Template>(), Err("`{?}` holds nothing that a request could lack".into()));
        assert!("{?".repeat(100_000).parse::<Template>().is_err());
        assert!(format!("{}{}", "{?".repeat(100_000), "}".repeat(100_000)).parse::<Template>().is_err(), "no depth of a file's choosing");
        assert!("{?{body}}".parse::<Template>().is_ok());
    }
}
