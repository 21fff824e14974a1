//! The schemes of a catalogue file. What a proof's kind needs is asked for, what does not belong to it is an unknown key.

use std::time::Duration;

use crate::document::{Field, Section};

use super::algorithm::{Algorithm, Encoding, JwtAlgorithm, KeyForm};
use super::carrier;
use super::key_source::{KeyDocument, KeySource};
use super::location::{Items, Pointer};
use super::scheme::{
    Carrier, Claim, ClaimRule, Jwt, Parse, Proof, Requirement, Scheme, Signature, TimestampPlace, TimestampRule, TimestampUnit,
};
use super::template::Template;

/// How far a signed timestamp may be off where the provider says nothing else.
pub(super) const TOLERANCE: Duration = Duration::from_secs(300);

/// A provider's schemes; none where it signs nothing.
pub(super) fn schemes(field: &Field<'_>) -> Option<Vec<Scheme>> {
    // All are read, so that one run reports every mistake; a provider with fewer of them would prove less than its file says.
    let fields = field.as_list()?;
    let schemes: Vec<Scheme> = fields.iter().filter_map(scheme).collect();
    (schemes.len() == fields.len()).then_some(schemes)
}

fn scheme(field: &Field<'_>) -> Option<Scheme> {
    let scheme = field.section(|section| {
        let carrier = section.required("carrier").and_then(|field| field.parse_with(carrier));
        let parse = section.section("parse", parse).unwrap_or(Some(Parse::List { prefix: String::new(), separator: None }));
        let each = section.field("each").map(|field| field.parse::<Items>());
        let requirements = section.field("require").map(|field| requirements(&field));
        let unless_pair = section.field("unless_pair").and_then(|field| field.as_str()).map(Into::into);
        let partial = is(section, "partial");
        let keys = section.section("keys", keys);
        let proof = proof(section);
        Some(Scheme {
            carrier: carrier?,
            parse: parse?,
            proof: proof?,
            partial,
            each: each.map_or(Some(None), |items| items.map(Some))?,
            requirements: requirements.map_or(Some(Vec::new()), |requirements| requirements)?,
            keys: keys.map_or(Some(None), |keys| keys.map(Some))?,
            unless_pair,
        })
    })??;
    scheme.check().map_err(|error| field.error(error, None)).ok()?;
    Some(scheme)
}

fn carrier(text: &str) -> Result<Carrier, String> {
    let form = "a carrier is `header:NAME`, `query:NAME`, `json:/POINTER`, `form:NAME` or `body`";
    if let Some((prefix, max)) = text.strip_prefix("header:").and_then(|name| name.strip_suffix('}')?.split_once("{1..")) {
        let max = max.parse().ok().filter(|max| (1..=carrier::PROOFS_MAX).contains(max)).ok_or("a carrier counts from 1 to at most 16")?;
        return Ok(Carrier::Numbered { prefix: carrier::header_name(prefix)?, max });
    }
    Ok(match text.split_once(':') {
        None if text == "body" => Carrier::Body,
        Some(("header", _)) => {
            let names = text.split('|').map(|name| carrier::header_name(name.trim().strip_prefix("header:").ok_or(form)?));
            Carrier::Headers(names.collect::<Result<_, _>>()?)
        }
        Some(("query", name)) if !name.is_empty() => Carrier::Query(name.into()),
        Some(("form", name)) if !name.is_empty() => Carrier::Form(name.into()),
        Some(("json", pointer)) => Carrier::Json(pointer.parse()?),
        _ => return Err(form.into()),
    })
}

/// What a scheme's `algorithm` may say; its other keys depend on it.
fn proof(section: &Section<'_>) -> Option<Proof> {
    #[derive(Clone, Copy)]
    enum Kind {
        Token,
        Basic,
        Jwt,
        Signature(Algorithm),
    }
    let mut words = vec![("token", Kind::Token), ("basic", Kind::Basic), ("jwt", Kind::Jwt)];
    words.extend(Algorithm::WORDS.map(|(word, algorithm)| (word, Kind::Signature(algorithm))));
    match section.required("algorithm").and_then(|field| field.one_of(&words)) {
        Some(Kind::Token) => Some(Proof::Token),
        Some(Kind::Basic) => Some(Proof::Basic),
        Some(Kind::Jwt) => jwt(section).map(Proof::Jwt),
        Some(Kind::Signature(algorithm)) => signature(section, algorithm).map(Proof::Signature),
        None => {
            // Which keys belong here is not known, so none of them is called unknown.
            section.entries();
            None
        }
    }
}

fn keys(section: &Section<'_>) -> Option<KeySource> {
    let url = section.required("url").and_then(|field| field.parse::<Template>());
    let document = section.required("form").and_then(|field| field.parse::<KeyDocument>());
    let has_token = is(section, "token");
    let within = section.field("within").map_or(Some(Vec::new()), |field| field.as_list()?.iter().map(Field::parse).collect());
    Some(KeySource { url: url?, document: document?, within: within?, has_token })
}

fn signature(section: &Section<'_>, algorithm: Algorithm) -> Option<Signature> {
    let encoding = section.required("encoding").and_then(|field| field.one_of(&Encoding::WORDS));
    let key = section.required("key").and_then(|field| field.one_of(&KeyForm::WORDS));
    let message = section.required("message").and_then(|field| field.parse::<Template>());
    let timestamp = section.section("timestamp", timestamp);
    let timestamp = timestamp.map_or(Some(None), |rule| rule.map(Some));
    let any_port = is(section, "any_port");
    Some(Signature { algorithm, encoding: encoding?, key: key?, message: message?, timestamp: timestamp?, any_port })
}

fn is(section: &Section<'_>, key: &'static str) -> bool {
    section.field(key).and_then(|field| field.as_bool()).unwrap_or(false)
}

fn jwt(section: &Section<'_>) -> Option<Jwt> {
    let algorithms = section.required("algorithms").and_then(|field| field.as_list());
    let algorithms: Option<Vec<JwtAlgorithm>> = algorithms?.iter().map(|field| field.one_of(&JwtAlgorithm::WORDS)).collect();
    let key = section.required("key").and_then(|field| field.one_of(&KeyForm::WORDS));
    let detached = is(section, "detached");
    let claims = section.section("claims", |claims| {
        let read = |(name, field): (String, Field<'_>)| Some(Claim { name, rule: claim_rule(&field)? });
        claims.entries().into_iter().map(read).collect::<Option<Vec<_>>>()
    });
    Some(Jwt { algorithms: algorithms?, key: key?, claims: claims.unwrap_or(Some(Vec::new()))?, detached })
}

/// `["a", "b"]`, `"there"`, `"true"`, `"qsh"`, `"near:5m"`, `"parameter:NAME"`, a template, `"if-body:TEMPLATE"`, or one text.
fn claim_rule(field: &Field<'_>) -> Option<ClaimRule> {
    if field.is_list() {
        return field.as_list()?.iter().map(|field| field.as_str().map(Into::into)).collect::<Option<Vec<_>>>().map(ClaimRule::OneOf);
    }
    field.parse_with(|text| {
        Ok(match (text, text.split_once(':')) {
            ("there", _) => ClaimRule::There,
            ("true", _) => ClaimRule::True,
            ("qsh", _) => ClaimRule::Qsh,
            (_, Some(("parameter", name))) => ClaimRule::Parameter(name.into()),
            (_, Some(("near", seconds))) => {
                let seconds = seconds.strip_suffix('s').and_then(|seconds| seconds.parse().ok());
                ClaimRule::Near(Duration::from_secs(seconds.ok_or("`near:` takes seconds, as in `near:300s`")?))
            }
            (_, Some(("if-body", template))) => ClaimRule::EqualsIfBody(template.parse()?),
            _ if text.starts_with('{') => ClaimRule::Equals(text.parse()?),
            _ => ClaimRule::OneOf(vec![text.into()]),
        })
    })
}

fn requirements(field: &Field<'_>) -> Option<Vec<Requirement>> {
    let requirement = |field: &Field<'_>| {
        field.section(|section| {
            let template = |key| section.required(key).and_then(|field| field.parse::<Template>());
            let (value, equals) = (template("value"), template("equals"));
            Some(Requirement { value: value?, equals: equals? })
        })?
    };
    field.as_list()?.iter().map(requirement).collect()
}

fn parse(section: &Section<'_>) -> Option<Parse> {
    let character = |field: Field<'_>| field.parse_with(separator);
    let optional = |key| section.field(key).map_or(Some(None), |field| character(field).map(Some));
    if let Some(pointer) = section.field("envelope") {
        return Some(Parse::Envelope { signature: pointer.parse::<Pointer>()? });
    }
    if is(section, "dictionary") {
        return Some(Parse::Dictionary);
    }
    if let Some(separator) = section.field("positional") {
        return Some(Parse::Positional { separator: character(separator)? });
    }
    if let Some(field) = section.field("signature") {
        let separator = section.required("separator").and_then(character);
        let signatures =
            if field.is_list() { field.as_list()?.iter().map(Field::as_str).collect::<Option<_>>()? } else { vec![field.as_str()?] };
        let groups = optional("groups");
        return Some(Parse::Pairs { signatures: signatures.into_iter().map(Into::into).collect(), separator: separator?, groups: groups? });
    }
    if let Some(key_separator) = section.field("key_separator") {
        let separator = section.required("separator").and_then(character);
        return Some(Parse::Keyed { key_separator: character(key_separator)?, separator: separator? });
    }
    let prefix = section.field("prefix").map_or(Some(""), |field| field.as_str());
    let separator = optional("separator");
    Some(Parse::List { prefix: prefix?.into(), separator: separator? })
}

fn separator(text: &str) -> Result<char, String> {
    let mut characters = text.chars();
    let only = characters.next().filter(|c| c.is_ascii() && characters.next().is_none());
    only.ok_or_else(|| "a separator is one ASCII character".into())
}

fn timestamp(section: &Section<'_>) -> Option<TimestampRule> {
    let place = section.required("at").and_then(|field| field.parse_with(timestamp_place));
    let unit = section.required("unit").and_then(|field| field.one_of(&TimestampUnit::WORDS));
    let range = Duration::from_secs(1)..=Duration::from_hours(24);
    let tolerance = section.field("tolerance").map_or(Some(Some(TOLERANCE)), |field| match field.as_str() {
        Some("none") => Some(None),
        _ => field.as_duration(range).map(Some),
    });
    Some(TimestampRule { place: place?, unit: unit?, tolerance: tolerance? })
}

fn timestamp_place(text: &str) -> Result<TimestampPlace, String> {
    match text.split_once(':') {
        None if text == "first" => Ok(TimestampPlace::First),
        None if text == "created" => Ok(TimestampPlace::Created),
        Some(("header", name)) => carrier::header_name(name).map(TimestampPlace::Header),
        Some(("pair", name)) if !name.is_empty() => Ok(TimestampPlace::Pair(name.into())),
        Some(("json", pointer)) => pointer.parse().map(TimestampPlace::Json),
        _ => Err("a timestamp stands at `header:NAME`, `pair:NAME`, `json:/POINTER`, `first` or `created`".into()),
    }
}
