//! From a request to the proofs in it. Never guesses: a header or field that came twice or does not have the provider's form is a
//! refusal that says what was expected. Does not decode and does not judge.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::domain::{Headers, RefusalCause};

use super::http_signature;
use super::json;
use super::scheme::{Carrier, Parse, Scheme};
use super::view::{self, View};

/// How many proofs of one scheme a header may carry: two are usual during a rotation, and each costs us work.
pub(super) const PROOFS_MAX: usize = 16;
/// The same where each costs a public key's work.
const PUBLIC_PROOFS_MAX: usize = 4;
/// How many groups of pairs are looked at.
const GROUPS_MAX: usize = 4;
/// How many headers a request may name as signed.
const NAMES_MAX: usize = 32;

/// The only value of a header.
pub(super) fn only<'a>(headers: &'a Headers, name: &str) -> Result<&'a [u8], RefusalCause> {
    let mut values = headers.iter().filter(|(own, _)| *own == name).map(|(_, value)| value);
    let value = values.next().ok_or_else(|| RefusalCause::MissingHeader { header: name.into() })?;
    // Proxies and libraries disagree on which of two counts, so neither does.
    if values.next().is_some() { Err(RefusalCause::DuplicateHeader { header: name.into() }) } else { Ok(value) }
}

/// The headers that a request names as signed, in lower case; `None` where they are too many, or one is there twice.
pub(super) fn names(list: &[u8], separator: u8) -> Option<Vec<String>> {
    let names: Vec<String> = std::str::from_utf8(list)
        .ok()?
        .split(char::from(separator))
        .take(NAMES_MAX + 1)
        .map(|name| name.trim_ascii().to_ascii_lowercase())
        .collect();
    let is_once = |(at, name): (usize, &String)| !name.is_empty() && !names[..at].contains(name);
    (names.len() <= NAMES_MAX && names.iter().enumerate().all(is_once)).then_some(names)
}

/// Checks a header's name as it is written in files.
pub(super) fn header_name(text: &str) -> Result<String, String> {
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
    if !text.is_empty() && text.len() <= 128 && text.bytes().all(legal) {
        return Ok(text.into());
    }
    Err(format!("`{text}` is not a header's name in lower-case"))
}

impl Scheme {
    /// Whether the request has something where this scheme's proof is.
    pub(super) fn is_present(&self, view: &View<'_>) -> bool {
        match (&self.carrier, &self.each) {
            (Carrier::Json(_), Some(items)) => view.json_at(&items.array).is_some(),
            (Carrier::Json(pointer), None) => view.json_at(pointer).is_some(),
            (Carrier::Query(name), _) => view.query().is_some_and(|query| query.iter().any(|(own, _)| own == name)),
            (Carrier::Form(name), _) => view.form().is_some_and(|form| form.iter().any(|(own, _)| own == name)),
            (Carrier::Body, _) => !view.body().is_empty(),
            (carrier, _) => view.headers().iter().any(|(name, _)| carrier.is_header(name)),
        }
    }

    /// What the carrier holds: one value, or one for each secret that is in use; `item` is the item of a batch that is looked at.
    pub(super) fn values<'v>(&'v self, view: &'v View<'_>, item: Option<&'v Value>) -> Result<Vec<&'v [u8]>, RefusalCause> {
        let values = match &self.carrier {
            Carrier::Headers(names) => {
                let values = names.iter().map(|name| only(view.headers(), name));
                values.filter(|value| !matches!(value, Err(RefusalCause::MissingHeader { .. }))).collect::<Result<_, _>>()?
            }
            Carrier::Numbered { max, .. } => {
                let there = view.headers().iter().map(|(name, _)| name).filter(|name| self.carrier.is_header(name)).take(*max);
                there.map(|name| only(view.headers(), name)).collect::<Result<_, _>>()?
            }
            Carrier::Query(name) => vec![self.field(view.query(), name)?],
            Carrier::Form(name) => vec![self.field(view.form(), name)?],
            Carrier::Json(pointer) => {
                let root = item.or(view.json()).ok_or_else(|| self.missing())?;
                vec![pointer.find(root).ok_or_else(|| self.missing())?.as_str().ok_or_else(|| self.malformed())?.as_bytes()]
            }
            Carrier::Body => vec![view.body().trim_ascii()],
        };
        match &self.parse {
            // Each group has a timestamp of its own, and so a message.
            Parse::Pairs { groups: Some(separator), .. } => {
                Ok(values.into_iter().flat_map(|value| elements(value, Some(*separator))).take(GROUPS_MAX).collect())
            }
            Parse::Dictionary => Ok(values.into_iter().flat_map(http_signature::members).take(GROUPS_MAX).collect()),
            _ => Ok(values),
        }
    }

    fn field<'v>(&self, fields: Option<&'v view::Fields>, name: &str) -> Result<&'v [u8], RefusalCause> {
        let fields = fields.filter(|fields| fields.iter().any(|(own, _)| own == name)).ok_or_else(|| self.missing())?;
        view::only(fields, name).map(str::as_bytes).ok_or_else(|| self.malformed())
    }

    /// The proofs in a carrier's value, not yet decoded; at least one.
    pub(super) fn proofs<'a>(&self, value: &'a [u8]) -> Result<Vec<Cow<'a, [u8]>>, RefusalCause> {
        let most = PROOFS_MAX + 1;
        let proofs: Vec<Cow<'_, [u8]>> = match &self.parse {
            Parse::List { prefix, separator } => elements(value, *separator)
                .filter_map(|element| element.strip_prefix(prefix.as_bytes()))
                .take(most)
                .map(Cow::from)
                .collect(),
            Parse::Pairs { separator, signatures, .. } => {
                signatures.iter().flat_map(|name| pairs(value, *separator, name)).take(most).map(Cow::from).collect()
            }
            Parse::Positional { separator } => elements(value, Some(*separator)).skip(1).take(most).map(Cow::from).collect(),
            Parse::Keyed { separator, key_separator } => {
                let split =
                    |element: &'a [u8]| element.iter().position(|byte| char::from(*byte) == *key_separator).map(|at| &element[at + 1..]);
                elements(value, Some(*separator)).filter_map(split).take(most).map(Cow::from).collect()
            }
            Parse::Envelope { signature } => {
                let envelope = STANDARD.decode(value).ok().and_then(|bytes| json::unambiguous(&bytes));
                let proof = envelope.and_then(|envelope| Some(signature.find(&envelope)?.as_str()?.to_owned().into_bytes()));
                proof.into_iter().map(Cow::from).collect()
            }
            Parse::Dictionary => http_signature::byte_sequence(value).into_iter().map(Cow::from).collect(),
        };
        let most = if self.key_form().is_public() { PUBLIC_PROOFS_MAX } else { PROOFS_MAX };
        let well_formed = (1..=most).contains(&proofs.len()) && proofs.iter().all(|proof| !proof.is_empty());
        if well_formed { Ok(proofs) } else { Err(self.malformed()) }
    }

    /// The only value of the pair `name` beside the proof.
    pub(super) fn pair<'a>(&self, value: &'a [u8], name: &str) -> Result<&'a [u8], RefusalCause> {
        let Parse::Pairs { separator, .. } = &self.parse else { return Err(self.malformed()) };
        let mut values = pairs(value, *separator, name);
        values.next().filter(|_| values.next().is_none()).ok_or_else(|| self.malformed())
    }

    /// What stands before the proofs, where they stand by position.
    pub(super) fn first<'a>(&self, value: &'a [u8]) -> Result<&'a [u8], RefusalCause> {
        let Parse::Positional { separator } = &self.parse else { return Err(self.malformed()) };
        elements(value, Some(*separator)).next().ok_or_else(|| self.malformed())
    }

    /// Whether a stronger version stands beside this one, which then does not count.
    pub(super) fn is_outdone(&self, value: &[u8]) -> bool {
        match (&self.parse, &self.unless_pair) {
            (Parse::Pairs { separator, .. }, Some(stronger)) => pairs(value, *separator, stronger).next().is_some(),
            _ => false,
        }
    }

    /// The refusal that tells where the proof should have been.
    pub(super) fn missing(&self) -> RefusalCause {
        match &self.carrier {
            Carrier::Headers(names) => RefusalCause::MissingHeader { header: names.join(" or ") },
            Carrier::Numbered { prefix, .. } => RefusalCause::MissingHeader { header: format!("{prefix}1") },
            carrier => RefusalCause::MissingField { field: carrier.to_string() },
        }
    }

    /// The refusal that tells what the carrier's value should have looked like.
    pub(super) fn malformed(&self) -> RefusalCause {
        let expected = self.to_string();
        match &self.carrier {
            Carrier::Headers(names) => RefusalCause::MalformedHeader { header: names.join(" or "), expected },
            Carrier::Numbered { prefix, .. } => RefusalCause::MalformedHeader { header: format!("{prefix}1"), expected },
            carrier => RefusalCause::MalformedField { field: carrier.to_string(), expected },
        }
    }
}

fn elements(value: &[u8], separator: Option<char>) -> impl Iterator<Item = &[u8]> {
    // Without a separator nothing is split off and nothing trimmed: the value is the proof.
    value
        .split(move |byte| separator.is_some_and(|separator| char::from(*byte) == separator))
        .map(move |element| if separator.is_some() { element.trim_ascii() } else { element })
}

/// The values of the pairs of this name, without the quotes that some write around them.
fn pairs<'a>(value: &'a [u8], separator: char, name: &str) -> impl Iterator<Item = &'a [u8]> {
    let value_of = move |pair: &'a [u8]| pair.strip_prefix(name.as_bytes())?.strip_prefix(b"=");
    let unquoted = |value: &'a [u8]| value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value);
    elements(value, Some(separator)).filter_map(value_of).map(unquoted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::Proof;

    fn scheme(parse: Parse) -> Scheme {
        let carrier = Carrier::Headers(vec!["x-signature".into()]);
        Scheme { carrier, parse, proof: Proof::Token, partial: false, each: None, requirements: Vec::new(), keys: None, unless_pair: None }
    }

    fn list(prefix: &str, separator: Option<char>) -> Scheme {
        scheme(Parse::List { prefix: prefix.into(), separator })
    }

    #[test]
    fn a_plain_proof_follows_its_prefix_to_the_letter() {
        assert_eq!(list("sha256=", None).proofs(b"sha256=ab,c "), Ok(vec![Cow::from(&b"ab,c "[..])]));
        for value in [&b"SHA256=ab"[..], b"ab", b"sha256=", b""] {
            assert!(list("sha256=", None).proofs(value).is_err());
        }
    }

    #[test]
    fn other_versions_in_a_list_are_ignored() {
        assert_eq!(list("v1,", Some(' ')).proofs(b"v1,a v1a,b v1,c"), Ok(vec![Cow::from(&b"a"[..]), Cow::from(&b"c"[..])]));
        assert!(list("v1,", Some(' ')).proofs(b"v1a,b").is_err());
    }

    #[test]
    fn pairs_are_found_by_name_and_trimmed_around_separators_only() {
        let stripe = scheme(Parse::Pairs { separator: ',', signatures: vec!["v1".into()], groups: None });
        let value = b"t=17, v1=aa ,v1=b b,v0=cc";
        assert_eq!(stripe.proofs(value), Ok(vec![Cow::from(&b"aa"[..]), Cow::from(&b"b b"[..])]));
        assert_eq!(stripe.pair(value, "t"), Ok(&b"17"[..]));
        assert!(stripe.pair(b"t=17,t=18,v1=aa", "t").is_err(), "two timestamps");
        assert!(stripe.pair(b"v1=aa", "t").is_err(), "no timestamp");
    }

    #[test]
    fn sixteen_proofs_are_read_and_seventeen_refused() {
        let value = |count: usize| vec!["v1=aa"; count].join(",").into_bytes();
        let stripe = scheme(Parse::Pairs { separator: ',', signatures: vec!["v1".into()], groups: None });
        assert_eq!(stripe.proofs(&value(16)).map(|proofs| proofs.len()), Ok(16));
        assert!(stripe.proofs(&value(17)).is_err());
    }
}
