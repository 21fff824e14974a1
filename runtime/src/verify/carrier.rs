//! From a header to the proofs in it. Never guesses: a header that came twice or does not have the provider's form is a
//! refusal that says what was expected. Does not decode and does not judge.

use crate::domain::{Headers, RefusalCause};

use super::scheme::{Parse, Scheme};

/// How many proofs of one scheme a header may carry: two are usual during a rotation, and each costs us work.
const PROOFS_MAX: usize = 16;

/// The only value of a header.
pub(super) fn only<'a>(headers: &'a Headers, name: &str) -> Result<&'a [u8], RefusalCause> {
    let mut values = headers.iter().filter(|(own, _)| *own == name).map(|(_, value)| value);
    let value = values.next().ok_or_else(|| RefusalCause::MissingHeader { header: name.into() })?;
    // Proxies and libraries disagree on which of two counts, so neither does.
    if values.next().is_some() { Err(RefusalCause::DuplicateHeader { header: name.into() }) } else { Ok(value) }
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
    /// The proofs that the scheme's header carries, not yet decoded; at least one.
    pub(super) fn proofs<'a>(&self, value: &'a [u8]) -> Result<Vec<&'a [u8]>, RefusalCause> {
        let proofs: Vec<&[u8]> = match &self.parse {
            Parse::List { prefix, separator } => {
                elements(value, *separator).filter_map(|element| element.strip_prefix(prefix.as_bytes())).take(PROOFS_MAX + 1).collect()
            }
            Parse::Pairs { separator, signature } => pairs(value, *separator, signature).take(PROOFS_MAX + 1).collect(),
        };
        let well_formed = (1..=PROOFS_MAX).contains(&proofs.len()) && proofs.iter().all(|proof| !proof.is_empty());
        if well_formed { Ok(proofs) } else { Err(self.malformed()) }
    }

    /// The only value of the pair `name` beside the proof.
    pub(super) fn pair<'a>(&self, value: &'a [u8], name: &str) -> Result<&'a [u8], RefusalCause> {
        let Parse::Pairs { separator, .. } = &self.parse else { return Err(self.malformed()) };
        let mut values = pairs(value, *separator, name);
        values.next().filter(|_| values.next().is_none()).ok_or_else(|| self.malformed())
    }

    /// The refusal that tells what the header should have looked like.
    pub(super) fn malformed(&self) -> RefusalCause {
        RefusalCause::MalformedHeader { header: self.header.clone(), expected: self.to_string() }
    }
}

fn elements(value: &[u8], separator: Option<char>) -> impl Iterator<Item = &[u8]> {
    // Without a separator nothing is split off and nothing trimmed: the value is the proof.
    value
        .split(move |byte| separator.is_some_and(|separator| char::from(*byte) == separator))
        .map(move |element| if separator.is_some() { element.trim_ascii() } else { element })
}

fn pairs<'a>(value: &'a [u8], separator: char, name: &str) -> impl Iterator<Item = &'a [u8]> {
    elements(value, Some(separator)).filter_map(move |pair| pair.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::Proof;

    fn scheme(parse: Parse) -> Scheme {
        Scheme { header: "x-signature".into(), parse, proof: Proof::Token }
    }

    fn list(prefix: &str, separator: Option<char>) -> Scheme {
        scheme(Parse::List { prefix: prefix.into(), separator })
    }

    #[test]
    fn a_plain_proof_follows_its_prefix_to_the_letter() {
        assert_eq!(list("sha256=", None).proofs(b"sha256=ab,c "), Ok(vec![&b"ab,c "[..]]));
        for value in [&b"SHA256=ab"[..], b"ab", b"sha256=", b""] {
            assert!(list("sha256=", None).proofs(value).is_err());
        }
    }

    #[test]
    fn other_versions_in_a_list_are_ignored() {
        assert_eq!(list("v1,", Some(' ')).proofs(b"v1,a v1a,b v1,c"), Ok(vec![&b"a"[..], b"c"]));
        assert!(list("v1,", Some(' ')).proofs(b"v1a,b").is_err());
    }

    #[test]
    fn pairs_are_found_by_name_and_trimmed_around_separators_only() {
        let stripe = scheme(Parse::Pairs { separator: ',', signature: "v1".into() });
        let value = b"t=17, v1=aa ,v1=b b,v0=cc";
        assert_eq!(stripe.proofs(value), Ok(vec![&b"aa"[..], b"b b"]));
        assert_eq!(stripe.pair(value, "t"), Ok(&b"17"[..]));
        assert!(stripe.pair(b"t=17,t=18,v1=aa", "t").is_err(), "two timestamps");
        assert!(stripe.pair(b"v1=aa", "t").is_err(), "no timestamp");
    }

    #[test]
    fn sixteen_proofs_are_read_and_seventeen_refused() {
        let value = |count: usize| vec!["v1=aa"; count].join(",").into_bytes();
        let stripe = scheme(Parse::Pairs { separator: ',', signature: "v1".into() });
        assert_eq!(stripe.proofs(&value(16)).map(|proofs| proofs.len()), Ok(16));
        assert!(stripe.proofs(&value(17)).is_err());
    }
}
