//! One alert: which rule, about what, how far over.

use serde::{Deserialize, Serialize};

use crate::domain::Timestamp;

/// Something that the operator is told of, as receivers and the admin API get it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// The rule that fires.
    pub rule: Rule,
    /// What it is about; with rule one name for as long as it fires. What only one node sees has `@` and that node's host behind it.
    pub subject: String,
    /// One sentence for people.
    pub summary: String,
    /// What was measured, where something is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Measure>,
    /// From where on it fires.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<Measure>,
    /// When it was seen first.
    pub since: Timestamp,
}

/// A number of things, of seconds, or a part of 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Measure {
    /// Things or seconds.
    Whole(u64),
    /// A part, rounded to thousandths.
    Share(f64),
}

/// What names an alert: rule and subject.
pub(super) type Key = (Rule, String);

impl Alert {
    pub(super) fn key(&self) -> Key {
        (self.rule, self.subject.clone())
    }

    /// Whether it has become so much more than what was told that it is told again: ten times.
    pub(super) fn has_outgrown(&self, told: &Self) -> bool {
        match (self.value, told.value) {
            (Some(Measure::Whole(now)), Some(Measure::Whole(then))) => now >= then.max(1).saturating_mul(10),
            _ => false,
        }
    }
}

/// What is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// There are dead letters.
    DeadLetters,
    /// The oldest due job waits too long.
    Oldest,
    /// A plugin fails too often.
    Errors,
    /// A plugin traps, or goes over its limits, too often.
    Traps,
    /// A source refuses many more requests than usual.
    Refusals,
    /// An upstream takes no calls: it failed too often.
    BreakerOpen,
    /// An upstream refuses our credentials.
    AuthFailed,
    /// No TLS connection to an upstream can be made.
    TlsFailed,
}

impl Rule {
    /// All rules.
    pub const ALL: [Self; 8] =
        [Self::DeadLetters, Self::Oldest, Self::Errors, Self::Traps, Self::Refusals, Self::BreakerOpen, Self::AuthFailed, Self::TlsFailed];

    /// The word of notices and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DeadLetters => "dead_letters",
            Self::Oldest => "oldest",
            Self::Errors => "errors",
            Self::Traps => "traps",
            Self::Refusals => "refusals",
            Self::BreakerOpen => "breaker_open",
            Self::AuthFailed => "auth_failed",
            Self::TlsFailed => "tls_failed",
        }
    }

    /// Whether every node that shares the database sees the same, and one of them tells it.
    pub fn is_shared(self) -> bool {
        matches!(self, Self::DeadLetters | Self::Oldest)
    }

    /// Whether one look is enough: what it is about has made up its mind slowly enough by itself.
    pub(super) fn is_certain(self) -> bool {
        matches!(self, Self::BreakerOpen | Self::AuthFailed | Self::TlsFailed)
    }
}
