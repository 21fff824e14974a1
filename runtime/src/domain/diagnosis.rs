//! What was found out about a refused request afterwards: a stable code, what was found, and the one thing to do next. For the
//! operator only; none of it carries a secret, the signature that would have been right, or anything made from either.

use std::fmt;
use std::time::Duration;

/// Why a proof did not hold, as far as trying could tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Diagnosis {
    /// A secret of the source makes it, and is not valid now; secrets are counted from 0.
    SecretNotValidNow { secret: usize },
    /// A secret makes it if it is read in another way; `key` is the word for that way in files.
    SecretEncoding { secret: usize, key: &'static str, is_settable: bool },
    /// A secret makes it if it is written otherwise.
    SecretSpelling { secret: usize, spelling: SecretSpelling },
    /// A live secret makes it over another body.
    Body(BodyChange),
    /// A live secret makes it over another URL than the source's `public_url`.
    WrongUrl { signed: String },
    /// A live secret makes it under other settings of the source, as they are written in files.
    WrongSettings { settings: String },
    /// What carries a proof of the same provider is there, and the source has no secret for that one.
    OtherVersion { carrier: String },
    /// A header of other providers is there; `holds` where the source's secret makes their signature, too.
    OtherProvider { header: String, providers: Vec<String>, holds: bool },
    /// Another header of the provider is there, and no proof.
    NotSigned { sign: String },
    /// There is no proof, and the request came through a proxy, as this header tells.
    HeaderRemoved { missing: String, sign: String },
    /// The timestamp counts seconds where milliseconds are read, or the other way round.
    TimestampUnit,
    /// The signature holds and was made so long before the request arrived.
    SentLate { skew: Duration },
    /// The signature holds and was made so far ahead of this machine's clock.
    ClockBehind { skew: Duration },
    /// Nothing that was tried makes it.
    OtherSecret,
}

/// How a secret would have to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretSpelling {
    /// Without blanks and newlines around it.
    Trimmed,
    /// With a newline at its end.
    WithNewline,
    /// Without quotes around it.
    Unquoted,
    /// Without `whsec_` before it.
    WithoutPrefix,
}

/// What happened to a body between signing and receiving.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyChange {
    /// A newline was added at its end.
    NewlineAdded,
    /// The newline at its end was removed.
    NewlineRemoved,
    /// LF became CRLF, or the other way round.
    LineEnds,
    /// A byte order mark was added or removed.
    ByteOrderMark,
    /// It was written in ISO 8859-1 and is UTF-8 now, or the other way round.
    Charset,
    /// Its JSON was written with other blanks or another order of keys; how it was written then.
    JsonLayout(&'static str),
    /// Its JSON has other escapes in its texts than it had.
    JsonEscapes,
    /// No body was signed.
    NotSigned,
}

impl Diagnosis {
    /// A stable code for machines and filters.
    pub fn code(&self) -> &'static str {
        match self {
            Self::SecretNotValidNow { .. } => "secret_not_valid_now",
            Self::SecretEncoding { .. } => "secret_encoding",
            Self::SecretSpelling { .. } => "secret_spelling",
            Self::Body(change) => change.code(),
            Self::WrongUrl { .. } => "wrong_url",
            Self::WrongSettings { .. } => "wrong_settings",
            Self::OtherVersion { .. } => "other_version",
            Self::OtherProvider { .. } => "other_provider",
            Self::NotSigned { .. } => "not_signed",
            Self::HeaderRemoved { .. } => "header_removed",
            Self::TimestampUnit => "timestamp_unit",
            Self::SentLate { .. } => "sent_late",
            Self::ClockBehind { .. } => "clock_behind",
            Self::OtherSecret => "other_secret",
        }
    }

    /// The one thing to do next.
    pub fn advice(&self) -> String {
        match self {
            Self::SecretNotValidNow { .. } => {
                "change its `not_before` or `not_after`, or have the provider sign with the secret that is valid".into()
            }
            Self::SecretEncoding { key, is_settable: true, .. } => format!("set `key = \"{key}\"` in this source"),
            Self::SecretEncoding { key, is_settable: false, .. } => format!(
                "this provider's own requests are keyed otherwise: find out who sends these, and take `provider = \"hmac\"` with `key = \"{key}\"` if it is meant to"
            ),
            Self::SecretSpelling { .. } => "write the secret so where the source's `secrets` refers to".into(),
            Self::Body(BodyChange::NotSigned) => "have the sender sign the body that it sends".into(),
            Self::Body(_) => {
                "let whatever stands before this server pass bodies on byte for byte; if nothing does, have the sender sign what it sends".into()
            }
            Self::WrongUrl { signed } => format!("set `public_url = \"{signed}\"`, or register the source's public_url with the provider"),
            Self::WrongSettings { settings } => format!("set {settings} in this source"),
            Self::OtherVersion { .. } => "add the secret or public key of that version to the source's `secrets`".into(),
            Self::OtherProvider { providers, .. } => match &providers[..] {
                [provider] => format!("set `provider = \"{provider}\"`, or give the sender the URL of another source"),
                _ => "set `provider` to the one that sends, or give the sender the URL of another source".into(),
            },
            Self::NotSigned { .. } => "set the source's secret at the provider, which then signs what it sends".into(),
            Self::HeaderRemoved { missing, .. } if missing.contains('_') => {
                format!("have the proxy pass `{missing}` on: many drop names with an underscore, nginx unless `underscores_in_headers on`")
            }
            Self::HeaderRemoved { missing, .. } => {
                format!("have the proxy pass `{missing}` on; if it does, switch signing on at the provider")
            }
            Self::TimestampUnit => "take the provider's own entry of the catalogue, or describe the unit in catalogue.d".into(),
            Self::SentLate { .. } => {
                "compare this machine's clock; if it is right and the provider sends again under the first signature, raise `timestamp_tolerance`"
                    .into()
            }
            Self::ClockBehind { .. } => "compare this machine's clock with the sender's, and have it set by NTP".into(),
            Self::OtherSecret => "copy the secret from the provider's page of this very endpoint: each has its own, and so have test and live mode".into(),
        }
    }
}

impl fmt::Display for Diagnosis {
    /// What was found.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SecretNotValidNow { secret } => write!(f, "secret {} makes this signature, and is not valid now", secret + 1),
            Self::SecretEncoding { secret, key, .. } => {
                write!(f, "secret {} makes this signature if it is read as `{key}`, which this source does not", secret + 1)
            }
            Self::SecretSpelling { secret, spelling } => write!(f, "secret {} is the sender's {spelling}", secret + 1),
            Self::Body(change) => change.fmt(f),
            Self::WrongUrl { signed } => write!(f, "the signature holds for the URL {signed}"),
            Self::WrongSettings { settings } => write!(f, "the signature holds with {settings}"),
            Self::OtherVersion { carrier } => {
                write!(f, "`{carrier}` is there, a proof of this provider's that the source has no secret for")
            }
            Self::OtherProvider { header, providers, holds } => {
                let providers = providers.join(", ");
                let holds = if *holds { ", and with this source's secret it holds" } else { "" };
                write!(f, "header `{header}` is a proof of another provider ({providers}){holds}")
            }
            Self::NotSigned { sign } => write!(f, "header `{sign}` is this provider's, and the request is not signed"),
            Self::HeaderRemoved { missing, sign } => {
                write!(f, "the request came through a proxy, as `{sign}` tells, and has no `{missing}`")
            }
            Self::TimestampUnit => f.write_str("the signature holds, and its timestamp counts in another unit than the source reads"),
            Self::SentLate { skew } => write!(f, "the signature holds and was made {} s before the request arrived", skew.as_secs()),
            Self::ClockBehind { skew } => write!(f, "the signature holds and was made {} s ahead of this machine's clock", skew.as_secs()),
            Self::OtherSecret => f.write_str("no secret of this source makes this signature, in whichever way secret and body are read"),
        }
    }
}

impl BodyChange {
    fn code(self) -> &'static str {
        match self {
            Self::NewlineAdded => "body_newline_added",
            Self::NewlineRemoved => "body_newline_removed",
            Self::LineEnds => "body_line_ends",
            Self::ByteOrderMark => "body_byte_order_mark",
            Self::Charset => "body_charset",
            Self::JsonLayout(_) => "body_json_layout",
            Self::JsonEscapes => "body_json_escapes",
            Self::NotSigned => "body_not_signed",
        }
    }
}

impl fmt::Display for BodyChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rest = match self {
            Self::NewlineAdded => "without the newline at its end",
            Self::NewlineRemoved => "with a newline at its end",
            Self::LineEnds => "with other line ends (LF, CRLF)",
            Self::ByteOrderMark => "with or without the byte order mark, other than it arrived",
            Self::Charset => "in the other of the charsets ISO 8859-1 and UTF-8",
            Self::JsonLayout(layout) => return write!(f, "the signature holds for the same JSON written {layout}"),
            Self::JsonEscapes => "with other escapes in its JSON texts",
            Self::NotSigned => return f.write_str("the signature holds for an empty body"),
        };
        write!(f, "the signature holds for the body {rest}")
    }
}

impl fmt::Display for SecretSpelling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Trimmed => "without the blanks around it",
            Self::WithNewline => "with a newline at its end",
            Self::Unquoted => "without the quotes around it",
            Self::WithoutPrefix => "without the `whsec_` before it",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_do_next_depends_on_what_the_operator_can_do() {
        let removed = |missing: &str| Diagnosis::HeaderRemoved { missing: missing.into(), sign: "via".into() }.advice();
        assert!(removed("x_signature").contains("underscores_in_headers on") && !removed("x-signature").contains("underscore"));
        let keyed = |is_settable| Diagnosis::SecretEncoding { secret: 0, key: "hex", is_settable }.advice();
        assert_eq!(keyed(true), "set `key = \"hex\"` in this source");
        assert!(keyed(false).contains("provider = \"hmac\""));
        let sent_by = |providers: &[&str]| {
            let providers = providers.iter().map(ToString::to_string).collect();
            Diagnosis::OtherProvider { header: "x-hub-signature-256".into(), providers, holds: false }
        };
        assert!(sent_by(&["github"]).advice().contains("provider = \"github\""));
        assert!(!sent_by(&["gitea", "github"]).advice().contains("provider = \""));
        assert_eq!(
            sent_by(&["gitea", "github"]).to_string(),
            "header `x-hub-signature-256` is a proof of another provider (gitea, github)"
        );
    }

    #[test]
    fn secrets_are_counted_from_one_for_people() {
        let told = Diagnosis::SecretSpelling { secret: 1, spelling: SecretSpelling::Unquoted }.to_string();
        assert_eq!(told, "secret 2 is the sender's without the quotes around it");
    }
}
