//! The message that a signature covers, as a template over a request's bytes: `{timestamp}.{body}`. Literals and whole parts are
//! not copied; what a filter makes of a part is.

use std::fmt;

use crate::domain::RefusalCause;

use super::canonical::Canonical;
use super::carrier;
use super::filter::Filter;
use super::json;
use super::location::Pointer;
use super::message::{Context, Message, Piece};
use super::view;

/// How many parts a message may have.
pub(super) const PARTS_MAX: usize = 16;

/// A message made of literals and parts of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    pub(super) parts: Vec<Part>,
    /// As it is written in files.
    pub(super) text: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    Literal(String),
    Body,
    Timestamp,
    /// A header's value, of graphic characters and none of the delimiters that stand beside it; without delimiters, of the
    /// characters of an id only.
    Header {
        name: String,
        delimiters: Vec<u8>,
        is_id: bool,
    },
    /// The secret itself, under a bare hash.
    Secret,
    /// What is not there as it stands.
    Made(Source, Vec<Filter>),
    /// Left out where a part of it is not in the request; holds no other such part.
    Optional(Template),
}

/// Where a made part begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    Body,
    Method,
    Url,
    UrlWithoutQuery,
    Query(String),
    Form(String),
    FormSorted,
    Json(Pointer),
    Pair(String),
    /// The values of the headers that a pair names, joined with dots.
    PairHeaders(String),
    Parameter(String),
    Canonical(Canonical),
}

/// A part of the request that a message is made from.
#[derive(PartialEq, Eq)]
pub(super) enum Want<'t> {
    Query(&'t str),
    Form(&'t str),
    AnyForm,
    Json(&'t Pointer),
    /// The names of signed headers.
    PairHeaders(&'t str),
    Canonical(Canonical),
}

impl Template {
    /// Whether the message contains the timestamp.
    pub fn has_timestamp(&self) -> bool {
        self.parts.iter().any(|part| match part {
            Part::Timestamp => true,
            Part::Made(Source::Canonical(canonical), _) => canonical.covers_timestamp(),
            _ => false,
        })
    }

    /// Whether the message contains the secret.
    pub(super) fn has_secret(&self) -> bool {
        self.parts.contains(&Part::Secret)
    }

    /// Whether all of the body that means something is in the message.
    pub(super) fn covers_body(&self) -> bool {
        self.parts.iter().any(|part| match part {
            Part::Body | Part::Made(Source::FormSorted, _) => true,
            // Anyone makes another body of the same checksum.
            Part::Made(Source::Body, filters) => !filters.contains(&Filter::Crc32),
            Part::Made(Source::Canonical(canonical), _) => canonical.covers_body(),
            _ => false,
        })
    }

    /// Whether a value of the JSON body is in the message.
    pub(super) fn covers_json(&self, pointer: &Pointer) -> bool {
        self.covers_body() || self.parts.iter().any(|part| matches!(part, Part::Made(Source::Json(own), _) if own == pointer))
    }

    /// Whether it ends in base64.
    pub(super) fn is_base64(&self) -> bool {
        matches!(self.parts.last(), Some(Part::Made(_, filters)) if matches!(filters.last(), Some(Filter::Base64 | Filter::Base64Url)))
    }

    /// Whether the message is of a form that insists on this header among what the request lists.
    pub(super) fn lists_header(&self, name: &str) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Made(Source::Canonical(canonical), _) if canonical.digest_header() == Some(name)))
    }

    /// Whether the provider's URL is in the message.
    pub(super) fn needs_url(&self) -> bool {
        self.flat().any(|part| match part {
            Part::Made(Source::Url | Source::UrlWithoutQuery, _) => true,
            Part::Made(Source::Canonical(canonical), _) => canonical.needs_url(),
            _ => false,
        })
    }

    /// The parts, those that may be left out among them.
    pub(super) fn flat(&self) -> impl Iterator<Item = &Part> {
        self.parts.iter().flat_map(Part::flat)
    }

    /// The lower-case names of the headers that the message has wherever a request has them.
    pub fn signed_headers(&self) -> impl Iterator<Item = &str> {
        // With another part that is missing a header would be left out, too.
        let is_sure = |part: &Part| match part {
            Part::Optional(inner) => inner.parts.iter().filter(|part| !matches!(part, Part::Literal(_))).count() == 1,
            _ => true,
        };
        self.parts.iter().filter(move |part| is_sure(part)).flat_map(Part::flat).filter_map(Part::header)
    }

    /// The headers that the message may contain.
    pub(super) fn named_headers(&self) -> impl Iterator<Item = &str> {
        self.flat().filter_map(Part::header)
    }

    /// What the message takes from query, form and JSON body.
    pub(super) fn wants(&self) -> impl Iterator<Item = Want<'_>> {
        self.flat().filter_map(|part| match part {
            Part::Made(Source::Query(name), _) => Some(Want::Query(name)),
            Part::Made(Source::Form(name), _) => Some(Want::Form(name)),
            Part::Made(Source::FormSorted, _) => Some(Want::AnyForm),
            Part::Made(Source::Json(pointer), _) => Some(Want::Json(pointer)),
            Part::Made(Source::PairHeaders(name), _) => Some(Want::PairHeaders(name)),
            Part::Made(Source::Canonical(canonical), _) => Some(Want::Canonical(*canonical)),
            _ => None,
        })
    }

    /// The names of the source's parameters in the message.
    pub(super) fn parameters(&self) -> impl Iterator<Item = &str> {
        self.flat().filter_map(|part| match part {
            Part::Made(Source::Parameter(name), _) => Some(name.as_str()),
            _ => None,
        })
    }

    /// The message of one request.
    pub(super) fn resolve<'a>(&'a self, context: &Context<'a>) -> Result<Message<'a>, RefusalCause> {
        let mut message = Message::new();
        self.resolve_into(context, &mut message)?;
        Ok(message)
    }

    fn resolve_into<'a>(&'a self, context: &Context<'a>, message: &mut Message<'a>) -> Result<(), RefusalCause> {
        for part in &self.parts {
            let piece = match part {
                Part::Literal(text) => Piece::Slice(text.as_bytes()),
                Part::Body => Piece::Slice(context.view.body()),
                Part::Timestamp => Piece::Slice(context.timestamp),
                Part::Secret => Piece::Secret,
                Part::Header { name, delimiters, is_id } => Piece::Slice(header_part(context, name, delimiters, *is_id)?),
                Part::Made(source, filters) => {
                    Piece::Made(filters.iter().fold(source.bytes(context)?, |bytes, filter| filter.apply(bytes)))
                }
                Part::Optional(inner) => {
                    let before = message.count;
                    match inner.resolve_into(context, message) {
                        // What is there twice, or is malformed, is not left out: whoever adds it would choose what is signed.
                        Err(RefusalCause::MissingField { .. } | RefusalCause::MissingHeader { .. }) => message.count = before,
                        resolved => resolved?,
                    }
                    continue;
                }
            };
            message.push(piece);
        }
        Ok(())
    }
}

impl Part {
    fn flat(&self) -> &[Self] {
        if let Self::Optional(inner) = self { &inner.parts } else { std::slice::from_ref(self) }
    }

    fn header(&self) -> Option<&str> {
        if let Self::Header { name, .. } = self { Some(name) } else { None }
    }
}

impl Source {
    fn bytes(&self, context: &Context<'_>) -> Result<Vec<u8>, RefusalCause> {
        let view = context.view;
        let missing = |field: String| RefusalCause::MissingField { field };
        let url = || context.url.or(view.url()).ok_or_else(|| missing("public_url".into()));
        match self {
            Self::Body => Ok(view.body().to_vec()),
            Self::Method => Ok(view.method().into()),
            Self::Url => url().map(Into::into),
            Self::UrlWithoutQuery => url().map(|url| url.split('?').next().unwrap_or_default().into()),
            Self::Query(name) => field(view.query(), name, format!("query:{name}")),
            Self::Form(name) => field(view.form(), name, format!("form:{name}")),
            Self::FormSorted => view.form().map(sorted).ok_or_else(|| missing("form".into())),
            Self::Json(pointer) => {
                let root = context.item.or(view.json()).ok_or_else(|| missing("json".into()))?;
                let text = json::signed_text(pointer.find(root));
                text.map(|text| text.into_owned().into()).ok_or_else(|| missing(format!("json:{pointer}")))
            }
            Self::Pair(name) => context.scheme.pair(context.value, name).map(Into::into),
            Self::PairHeaders(name) => pair_headers(context, name),
            Self::Parameter(name) => {
                let value = context.parameters.get(name);
                value.map(|value| value.clone().into()).ok_or_else(|| missing(format!("parameters.{name}")))
            }
            Self::Canonical(canonical) => canonical.bytes(context),
        }
    }
}

/// The only value of a field.
fn field(fields: Option<&view::Fields>, name: &str, field: String) -> Result<Vec<u8>, RefusalCause> {
    let is_there = fields.is_some_and(|fields| fields.iter().any(|(own, _)| own == name));
    match fields.and_then(|fields| view::only(fields, name)) {
        Some(value) => Ok(value.into()),
        None if is_there => Err(RefusalCause::MalformedField { field, expected: "to be there once".into() }),
        None => Err(RefusalCause::MissingField { field }),
    }
}

/// Names and values without anything between them, sorted by name; of equal names the values sorted, each once (Twilio).
fn sorted(form: &view::Fields) -> Vec<u8> {
    let mut fields: Vec<_> = form.iter().collect();
    fields.sort_unstable();
    fields.dedup();
    fields.into_iter().flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]).flatten().copied().collect()
}

fn pair_headers(context: &Context<'_>, pair: &str) -> Result<Vec<u8>, RefusalCause> {
    let names = context.scheme.pair(context.value, pair)?;
    let names = carrier::names(names, b' ').ok_or_else(|| context.scheme.malformed())?;
    let values = names.iter().map(|name| carrier::only(context.view.headers(), name));
    Ok(values.collect::<Result<Vec<_>, _>>()?.join(&b"."[..]))
}

fn header_part<'a>(context: &Context<'a>, name: &str, delimiters: &[u8], is_id: bool) -> Result<&'a [u8], RefusalCause> {
    let value = carrier::only(context.view.headers(), name)?;
    let is_fit = |byte: &u8| if is_id { byte.is_ascii_alphanumeric() || b"-_".contains(byte) } else { byte.is_ascii_graphic() };
    if !value.is_empty() && value.iter().all(|byte| is_fit(byte) && !delimiters.contains(byte)) {
        return Ok(value);
    }
    let expected = if is_id {
        "letters, digits, `-` and `_`".into()
    } else {
        format!("visible characters, none of them `{}`", String::from_utf8_lossy(delimiters))
    };
    Err(RefusalCause::MalformedHeader { header: name.into(), expected })
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::scheme::{Carrier, Parse, Proof, Scheme};
    use super::super::view::View;
    use super::*;
    use crate::domain::{RawRequest, Timestamp};

    fn message(template: &str, id: &'static str) -> Result<Vec<u8>, RefusalCause> {
        let template: Template = template.parse().expect("a template");
        let request = RawRequest {
            method: "POST".into(),
            target: "/in/x?a=1".into(),
            headers: [("id", bytes::Bytes::from_static(id.as_bytes()))].into_iter().collect(),
            body: bytes::Bytes::from_static(br#"{"n":1,"t":"x"}"#),
            received_at: Timestamp::from_millis(0),
        };
        let (view, parameters) =
            (View::new(&request, Some("https://h.example/in/x")), BTreeMap::from([("key".to_owned(), "K".to_owned())]));
        let parse = Parse::Pairs { separator: ',', signatures: vec!["s".into()], groups: None };
        let scheme = Scheme {
            carrier: Carrier::Body,
            parse,
            proof: Proof::Token,
            partial: false,
            each: None,
            requirements: Vec::new(),
            keys: None,
            unless_pair: None,
        };
        let context = Context {
            view: &view,
            scheme: &scheme,
            value: b"t=17,h=id,s=aa",
            timestamp: b"17",
            item: None,
            url: None,
            parameters: &parameters,
        };
        let message = template.resolve(&context)?;
        Ok(message.parts(b"SECRET").collect::<Vec<_>>().concat())
    }

    #[test]
    fn parts_are_put_in_order() {
        let check = |template, expected: &str| assert_eq!(message(template, "msg_1"), Ok(expected.as_bytes().to_vec()), "{template}");
        check("v0:{timestamp}:{body}", r#"v0:17:{"n":1,"t":"x"}"#);
        check("{header:id}.{timestamp}.{body}", r#"msg_1.17.{"n":1,"t":"x"}"#);
        check("{header:id|id}{timestamp}", "msg_117");
    }

    #[test]
    fn each_source_is_found() {
        let check = |template, expected: &str| assert_eq!(message(template, "msg_1"), Ok(expected.as_bytes().to_vec()), "{template}");
        check("{method}{url}", "POSThttps://h.example/in/x?a=1");
        check("{url_without_query}", "https://h.example/in/x");
        check("{query:a}-{json:/n}-{json:/t|upper}-{json:/absent}", "1-1-X-");
        check("{pair:t}{pair_headers:h}{parameter:key}{secret}", "17msg_1KSECRET");
        check("{?id:{query:a};}{?no:{query:b};}ts:{timestamp};", "id:1;ts:17;");
        assert_eq!(message("{query:b}", ""), Err(RefusalCause::MissingField { field: "query:b".into() }));
    }

    #[test]
    fn a_header_cannot_swallow_its_neighbour() {
        for id in ["a.1", "", "a b", "a\u{7f}"] {
            assert!(matches!(message("{header:id}.{timestamp}.{body}", id), Err(RefusalCause::MalformedHeader { .. })), "{id}");
        }
        assert!(message("{body}-{header:id}", "a-b").is_err());
        assert!(message("{header:id|id}{body}", "a{b").is_err());
        // Where a part between is left out, what stands beyond it delimits.
        assert!(message("{header:id}{?-{query:a}}.{body}", "a.b").is_err());
        assert!(message("{header:id}{?-{query:a}}.{body}", "a-b").is_err());
        assert!(message("{?{header:id}}.{body}", "a.b").is_err());
        assert!(message("{header:id}{?-{query:a}}.{body}", "a_b").is_ok());
    }

    #[test]
    fn templates_that_could_be_cut_in_two_ways_are_refused() {
        let bad = ["", "{body", "{id}{body}", "{header:id}{body}", "{body}{body}", "{header:A}.{body}", "{header:}.{body}", "{body|sha3}"];
        let beside = ["{query:a}{body}", "{body}{json:/a}", "{?{query:a}}{body}", "{?.{header:a}}{body}", "{header:a}{?{query:a}}.{body}"];
        let optional = ["{?}{body}", "{?a}{body}", "{?a{?{query:b}}}.{body}"];
        for text in bad.into_iter().chain(beside).chain(optional) {
            assert!(text.parse::<Template>().is_err(), "{text}");
        }
    }
}
