//! Schemes in words: what an operator compares a refused request with, and how a scheme is written in files.

use std::fmt;

use super::algorithm::Encoding;
use super::scheme::{Carrier, Parse, Proof, Requirement, Scheme, Signature, TimestampPlace, TimestampRule, TimestampUnit};

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {}", self.value, self.equals)
    }
}

impl fmt::Display for Carrier {
    /// As it is written in files.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Headers(names) => write!(f, "header:{}", names.join(" | header:")),
            Self::Numbered { prefix, max } => write!(f, "header:{prefix}{{1..{max}}}"),
            Self::Query(name) => write!(f, "query:{name}"),
            Self::Json(pointer) => write!(f, "json:{pointer}"),
            Self::Form(name) => write!(f, "form:{name}"),
            Self::Body => f.write_str("body"),
        }
    }
}

impl fmt::Display for Scheme {
    /// The form of the carrier's value, as an operator can compare it: `t=<unix seconds>,v1=<64 hexadecimal digits>`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.parse {
            Parse::List { prefix, separator } => {
                write!(f, "`{prefix}{}`", self.proof)?;
                separator.map_or(Ok(()), |separator| write!(f, ", several separated by {separator:?}"))
            }
            Parse::Pairs { separator, signatures, .. } => {
                let timestamp = match self.signature().and_then(|signature| signature.timestamp.as_ref()) {
                    Some(TimestampRule { place: TimestampPlace::Pair(name), unit, .. }) => format!("{name}={unit}{separator}"),
                    _ => String::new(),
                };
                write!(f, "`{timestamp}{}={}`", signatures.join("|"), self.proof)
            }
            Parse::Positional { separator } => write!(f, "`<timestamp>{separator}{}`", self.proof),
            Parse::Keyed { key_separator, .. } => write!(f, "`<public key>{key_separator}{}`", self.proof),
            Parse::Dictionary => write!(f, "`label=:{}:`", self.proof),
            Parse::Envelope { signature } => write!(f, "base64 of a JSON object with `{signature}`"),
        }
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token => f.write_str("<token>"),
            Self::Basic => f.write_str("<base64 of user:password>"),
            Self::Jwt(_) => f.write_str("<JSON Web Token>"),
            Self::Signature(Signature { algorithm, encoding, .. }) => match (algorithm.signature_bytes(), encoding) {
                (Some(bytes), Encoding::Hex) => write!(f, "<{} hexadecimal digits>", 2 * bytes),
                (Some(bytes), encoding) => write!(f, "<{encoding} of {bytes} bytes>"),
                (None, encoding) => write!(f, "<{encoding}>"),
            },
        }
    }
}

impl fmt::Display for TimestampUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Seconds => "<unix seconds>",
            Self::Milliseconds => "<unix milliseconds>",
            Self::SecondsOrMilliseconds => "<unix seconds or milliseconds>",
            Self::Rfc3339 => "<RFC 3339>",
            Self::HttpDate => "<HTTP date>",
        })
    }
}
