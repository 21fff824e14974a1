//! Order: the jobs of one route whose events have the same ordering key stand in a line, and run one after the other.

/// What a source orders an event by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderingKey {
    /// The key's text, for people.
    pub text: String,
    /// The line that the event's jobs join.
    pub line: Line,
}

/// A line, and what happens where its head fails. Jobs of different routes never share one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// The first 128 bits of a SHA-256 over source and key.
    pub hash: [u8; 16],
    /// After so many failed attempts of the head, or its death, the others go on without it, from 1. `None`: they wait until it is
    /// done or discarded, also while it is a dead letter.
    pub skip_after: Option<u32>,
}

impl Line {
    /// Whether a dead letter holds its line up.
    pub fn waits_for_the_dead(self) -> bool {
        self.skip_after.is_none()
    }
}
