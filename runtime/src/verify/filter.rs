//! What a template does to a part before it is signed: hashes and spellings.

use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use md5::Md5;
use sha1::{Digest, Sha1};
use sha2::Sha256;

use super::words::value_of;

/// One step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Filter {
    Lower,
    Upper,
    Md5,
    Sha1,
    Sha256,
    Crc32,
    Hex,
    Base64,
    Base64Url,
    /// Undoes the percent-encoding of the characters that HubSpot's page on its signature v3 lists.
    HubspotUnescape,
}

impl Filter {
    const WORDS: [(&'static str, Self); 10] = [
        ("lower", Self::Lower),
        ("upper", Self::Upper),
        ("md5", Self::Md5),
        ("sha1", Self::Sha1),
        ("sha256", Self::Sha256),
        ("crc32", Self::Crc32),
        ("hex", Self::Hex),
        ("base64", Self::Base64),
        ("base64url", Self::Base64Url),
        ("hubspot_unescape", Self::HubspotUnescape),
    ];

    pub(super) fn apply(self, bytes: Vec<u8>) -> Vec<u8> {
        match self {
            Self::Lower => bytes.to_ascii_lowercase(),
            Self::Upper => bytes.to_ascii_uppercase(),
            Self::Md5 => Md5::digest(&bytes).to_vec(),
            Self::Sha1 => Sha1::digest(&bytes).to_vec(),
            Self::Sha256 => Sha256::digest(&bytes).to_vec(),
            // PayPal signs it as a decimal number.
            Self::Crc32 => crc32fast::hash(&bytes).to_string().into(),
            Self::Hex => hex::encode(bytes).into(),
            Self::Base64 => STANDARD.encode(bytes).into(),
            Self::Base64Url => URL_SAFE_NO_PAD.encode(bytes).into(),
            Self::HubspotUnescape => hubspot_unescape(&bytes),
        }
    }
}

impl FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words = || Self::WORDS.map(|(word, _)| word).join(", ");
        value_of(&Self::WORDS, text).ok_or_else(|| format!("`|{text}` is no filter; there are {}", words()))
    }
}

fn hubspot_unescape(bytes: &[u8]) -> Vec<u8> {
    const CODES: [(&[u8], u8); 12] = [
        (b"3a", b':'),
        (b"2f", b'/'),
        (b"3f", b'?'),
        (b"40", b'@'),
        (b"21", b'!'),
        (b"24", b'$'),
        (b"27", b'\''),
        (b"28", b'('),
        (b"29", b')'),
        (b"2a", b'*'),
        (b"2c", b','),
        (b"3b", b';'),
    ];
    let mut plain = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).filter(|_| *first == b'%');
        let code = digits.and_then(|digits| CODES.iter().find(|(code, _)| code.eq_ignore_ascii_case(digits)));
        plain.push(code.map_or(*first, |(_, character)| *character));
        rest = if code.is_some() { &after[2..] } else { after };
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(filters: &str, text: &str) -> String {
        let filters = filters.split('|').map(|filter| filter.parse::<Filter>().expect("a filter"));
        let bytes = filters.fold(text.as_bytes().to_vec(), |bytes, filter| filter.apply(bytes));
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn filters_do_what_they_are_called() {
        assert_eq!(apply("sha256|hex", "abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(apply("md5|hex|upper", ""), "D41D8CD98F00B204E9800998ECF8427E");
        assert_eq!(apply("sha1|base64", "abc"), "qZk+NkcGgWq6PiVxeFDCbJzQ2J0=");
        // The check value of CRC-32/ISO-HDLC.
        assert_eq!(apply("crc32", "123456789"), "3421780262");
        assert_eq!(apply("hubspot_unescape", "a%3Ab%2fc%20%"), "a:b/c%20%");
        assert!("sha3".parse::<Filter>().is_err());
    }
}
