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
        delimit_headers(&mut template.parts)?;
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
        let template = parse(optional)?;
        let is_empty = template.parts.is_empty();
        return if is_empty { Err("`{?}` is empty".into()) } else { Ok((Part::Optional(template), after)) };
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

/// A header's value is of any length and chosen by whoever sends, so only a delimiter, or the shape of an id, tells where it ends.
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
        if let Part::Optional(inner) = part {
            delimit_headers(&mut inner.parts)?;
        }
        let Part::Header { name, delimiters, is_id: false } = part else { continue };
        let before = (at > 0).then(|| edges[at - 1].map(|(_, last)| last));
        let after = (at < last).then(|| edges[at + 1].map(|(first, _)| first));
        for neighbour in [before, after].into_iter().flatten() {
            delimiters.push(neighbour.ok_or_else(|| {
                format!("nothing delimits `{{header:{name}}}` from the part beside it; `{{header:{name}|id}}` takes ids only")
            })?);
        }
        delimiters.dedup();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_optional_part_has_something_in_it() {
        assert_eq!("{?}{body}".parse::<Template>(), Err("`{?}` is empty".into()));
        assert!("{?{body}}".parse::<Template>().is_ok());
    }
}
