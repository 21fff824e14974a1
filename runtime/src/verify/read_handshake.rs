//! The handshakes of a catalogue file.

use crate::document::{Field, Section};

use super::algorithm::Encoding;
use super::carrier;
use super::handshake::{Form, Handshake, JSON, Spot, TEXT};

pub(super) fn handshakes(field: &Field<'_>) -> Option<Vec<Handshake>> {
    field.as_list()?.iter().map(|field| field.section(handshake)?).collect()
}

fn handshake(section: &Section<'_>) -> Option<Handshake> {
    const METHODS: [(&str, &str); 4] = [("GET", "GET"), ("HEAD", "HEAD"), ("OPTIONS", "OPTIONS"), ("POST", "POST")];
    let is = |key, otherwise| section.field(key).map_or(Some(otherwise), |field| field.as_bool());
    let optional = |key| section.field(key).map_or(Some(None), |field| field.as_str().map(|text| Some(text.to_owned())));
    let method = section.field("method").map_or(Some("POST"), |field| field.one_of(&METHODS));
    let (is_signed, is_json) = (is("signed", true), is("json", false));
    let when = section.section("when", |section| beside(section, "is"));
    let token = section.section("token", |section| beside(section, "parameter"));
    let unless = section.field("unless").map_or(Some(None), |field| field.parse().map(Some));
    let challenge = section.field("challenge").map_or(Some(None), |field| field.parse_with(spot).map(Some));
    let mac = section.field("mac").map_or(Some(None), |field| field.one_of(&Encoding::WORDS).map(Some));
    let hash = optional("hash");
    let offers = section.field("offers").map_or(Some(None), |field| field.parse_with(spot).map(Some));
    let visit = section.section("visit", |section| {
        let at = section.required("at").and_then(|field| field.parse_with(spot));
        let within = section.required("within").and_then(|field| field.as_list()?.iter().map(Field::parse).collect());
        Some((at?, within?))
    });
    let status = section.field("status").map_or(Some(200), |field| field.as_integer(200..=299));
    let body = section.required("answer").and_then(|field| field.as_str());
    let headers = section.section("headers", |headers| {
        let read = |(name, field): (String, Field<'_>)| Some((carrier::header_name(&name).ok()?, field.as_str()?.to_owned()));
        headers.entries().into_iter().map(read).collect::<Option<Vec<_>>>()
    });
    let answer = Form {
        status: u16::try_from(status?).unwrap_or(200),
        content_type: if is_json? { JSON } else { TEXT },
        body: body?.into(),
        headers: headers.unwrap_or(Some(Vec::new()))?,
    };
    Some(Handshake {
        method: method?.into(),
        is_signed: is_signed?,
        when: when.map_or(Some(None), |when| when.map(Some))?,
        unless: unless?,
        token: token.map_or(Some(None), |token| token.map(Some))?,
        challenge: challenge?,
        mac: mac?,
        hash: hash?,
        offers: offers?,
        visit: visit.map_or(Some(None), |visit| visit.map(Some))?,
        answer,
    })
}

/// A place, and a word that belongs to it.
fn beside(section: &Section<'_>, key: &'static str) -> Option<(Spot, String)> {
    let at = section.required("at").and_then(|field| field.parse_with(spot));
    let word = section.required(key).and_then(|field| field.as_str());
    Some((at?, word?.into()))
}

fn spot(text: &str) -> Result<Spot, String> {
    match text.split_once(':') {
        Some(("header", name)) => carrier::header_name(name).map(Spot::Header),
        Some(("query", name)) if !name.is_empty() => Ok(Spot::Query(name.into())),
        Some(("form", name)) if !name.is_empty() => Ok(Spot::Form(name.into())),
        _ => text.parse().map(Spot::Json),
    }
}
