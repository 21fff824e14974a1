//! Ids: what names an event, a request, a node, a plugin's bytes, a line of work.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use sha2::{Digest as _, Sha256};
use uuid::{Builder, Uuid};

use super::{RouteName, Step, Timestamp};

/// An accepted webhook's id: `evt_` and the 32 hexadecimal digits of a UUIDv7 (RFC 9562 §5.7).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId(Uuid);

/// The id of a request that did not become an event: `req_` and 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(Uuid);

/// A server process from boot to end: `node_` and 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct NodeId(Uuid);

/// An id's text did not have the form its kind has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an id of the form `{prefix}_` and 32 hexadecimal digits")]
pub struct InvalidId {
    text: String,
    prefix: &'static str,
}

macro_rules! uuid_id {
    ($name:ident, $prefix:literal) => {
        impl $name {
            /// The id for a moment and 10 random bytes; ids of later milliseconds sort later.
            pub fn new(at: Timestamp, random: [u8; 10]) -> Self {
                Self(Builder::from_unix_timestamp_millis(at.as_millis().unsigned_abs(), &random).into_uuid())
            }

            /// The 16 bytes as the store keeps them.
            pub fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }

            /// The id that [`Self::as_bytes`] came from.
            pub fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{}"), self.0.simple())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let digits = text.strip_prefix(concat!($prefix, "_")).filter(|digits| digits.len() == 32);
                digits
                    .and_then(|digits| Uuid::try_parse(digits).ok())
                    .map(Self)
                    .ok_or_else(|| InvalidId { text: text.chars().take(64).collect(), prefix: $prefix })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    };
}

uuid_id!(EventId, "evt");

impl EventId {
    /// A number's low bits count within its millisecond.
    pub const NUMBERS_BITS: u32 = 20;

    /// The id that has `number` in it: milliseconds since the epoch times 2^20, plus a counter (RFC 9562 §6.2, method 1). The other
    /// 54 bits are of `random`.
    pub fn numbered(number: i64, random: [u8; 10]) -> Self {
        let number = number.unsigned_abs();
        let counter = number & ((1 << Self::NUMBERS_BITS) - 1);
        // 12 bits of the counter come before the variant, 8 after it.
        let tail = (counter & 0xff) << 54 | u64::from_be_bytes(*random.last_chunk().expect("8 of 10 bytes")) >> 10;
        let mut bytes = [0; 10];
        bytes[..2].copy_from_slice(&u16::try_from(counter >> 8).unwrap_or(0).to_be_bytes());
        bytes[2..].copy_from_slice(&tail.to_be_bytes());
        Self(Builder::from_unix_timestamp_millis(number >> Self::NUMBERS_BITS, &bytes).into_uuid())
    }

    /// The id of the event that a job emits as its `position`-th: the same whenever the job is run again. Of the same time as the job's
    /// own event, so that the two are found side by side.
    pub fn derived(lineage: &Lineage, position: usize) -> Self {
        let digest = Sha256::digest(format!("{lineage}/emit/{position}"));
        let millis = lineage.event.0.as_u64_pair().0 >> 16;
        Self(Builder::from_unix_timestamp_millis(millis, digest.first_chunk().expect("a SHA-256 has 32 bytes")).into_uuid())
    }

    /// The number of an id that was made by [`Self::numbered`]; of any other id, some number.
    pub fn number(&self) -> i64 {
        let (high, low) = self.0.as_u64_pair();
        let counter = (high & 0xfff) << 8 | (low >> 54) & 0xff;
        // 48 bits of milliseconds are too many for 63; an id of ours has at most 43.
        i64::try_from((high >> 16) << Self::NUMBERS_BITS & (i64::MAX as u64) | counter).unwrap_or(0)
    }
}

uuid_id!(RequestId, "req");
uuid_id!(NodeId, "node");

/// The SHA-256 of a plugin's `.wasm` bytes; pins which code ran.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Wraps the 32 bytes of a SHA-256.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes of the SHA-256.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first 12 hexadecimal digits: enough for a person to tell two versions apart.
    pub fn short(&self) -> String {
        hex::encode(&self.0[..6])
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// `<event>.<route>`: the thread that the retries, takeovers and dead-letter replays of one job share.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Lineage {
    /// The event that is owed work.
    pub event: EventId,
    /// The route by which it is owed.
    pub route: RouteName,
}

impl Lineage {
    /// What names an effect to an upstream, the same over all attempts: `<event>.<route>/<step>`, or of a delivery its lineage; with `.r<n>`
    /// once a recorded failure was replayed. `None` for a call that is no step.
    pub fn idempotency_key(&self, step: Option<&Step>, replays: u32) -> Option<String> {
        let mut key = self.to_string();
        match step {
            Some(step) => key.extend(["/", step.as_str()]),
            None if !self.route.is_delivery() => return None,
            None => {}
        }
        if replays > 0 {
            key.push_str(&format!(".r{replays}"));
        }
        Some(key)
    }
}

impl fmt::Display for Lineage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.event, self.route)
    }
}

impl Serialize for Lineage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl FromStr for Lineage {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid = || InvalidId { text: text.chars().take(128).collect(), prefix: "evt" };
        let (event, route) = text.split_once('.').ok_or_else(invalid)?;
        Ok(Self { event: event.parse()?, route: RouteName::of_job(route).map_err(|_| invalid())? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_id_reads_back_and_sorts_by_time() {
        let early = EventId::new(Timestamp::from_millis(1_700_000_000_000), [0xff; 10]);
        let late = EventId::new(Timestamp::from_millis(1_700_000_000_001), [0; 10]);
        assert!(early < late);
        assert_eq!(early.to_string().parse(), Ok(early));
    }

    #[test]
    fn a_lineage_reads_back() {
        let text = "evt_018bcfe568007fffbfffffffffffffff.crm";
        let lineage: Lineage = text.parse().expect("a lineage");
        assert_eq!(lineage.to_string(), text);
    }

    #[test]
    fn text_of_another_kind_is_refused() {
        for text in ["", "evt_", "req_018bcfe568007fffbfffffffffffffff", "evt_018bcfe5-6800-7fff-bfff-ffffffffffff", "evt_zz"] {
            assert!(text.parse::<EventId>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_event_id_gives_its_number_back_and_is_a_uuid_of_version_7() {
        for number in [1_700_000_000_000 << 20, (1_700_000_000_000 << 20) + 0xf_ffff, (1_700_000_000_001 << 20) + 0x1_2345] {
            let id = EventId::numbered(number, [0xff; 10]);
            assert_eq!(id.number(), number);
            let uuid = Uuid::from_bytes(*id.as_bytes());
            assert_eq!((uuid.get_version_num(), uuid.get_variant()), (7, uuid::Variant::RFC4122));
            assert!(id < EventId::numbered(number + 1, [0; 10]), "sorted by number");
            assert_ne!(id, EventId::numbered(number, [0; 10]), "and not to be guessed");
        }
        let other = EventId::from_bytes([0xff; 16]);
        assert!(other.number() > 0, "of a foreign id too there is a number, which is nobody's");
    }
}
