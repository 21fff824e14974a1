//! The W3C Trace Context that each call carries, so that the upstream's own traces join the event's
//! (<https://www.w3.org/TR/trace-context/>). Records nothing.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest as _, Sha256};

use super::CallContext;
use crate::domain::Headers;

/// One call's place in the event's trace: all calls of an event share the trace, and each is a span of its own.
pub(super) struct TraceContext {
    trace: [u8; 16],
    span: [u8; 8],
}

const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";

impl TraceContext {
    /// A new span in the trace that has the event's id for its own.
    pub(super) fn of(context: &CallContext) -> Self {
        static CALLS: AtomicU64 = AtomicU64::new(0);
        let number = CALLS.fetch_add(1, Ordering::Relaxed);
        let digest = Sha256::digest(format!("{}/{}/{number}", context.lineage, context.now.as_millis()));
        let mut span: [u8; 8] = *digest.first_chunk().expect("a SHA-256 has 32 bytes");
        // All zero is no span; ours is never so, and what is cheap to rule out is ruled out.
        span[7] |= u8::from(span == [0; 8]);
        Self { trace: *context.lineage.event.as_bytes(), span }
    }

    /// The span's id, for the log.
    pub(super) fn span(&self) -> String {
        hex::encode(self.span)
    }

    /// A plugin's headers with this context in place of one of its own.
    pub(super) fn put(&self, headers: &Headers) -> Headers {
        let own = self.to_string();
        let mut all = Headers::with_capacity(headers.len() + 1, headers.as_bytes().len() + TRACEPARENT.len() + own.len());
        headers.iter().filter(|(name, _)| !is_trace_context(name)).for_each(|(name, value)| all.push(name, value));
        all.push(TRACEPARENT, own);
        all
    }
}

/// Whether the header is the host's to say.
pub(super) fn is_trace_context(name: &str) -> bool {
    name == TRACEPARENT || name == TRACESTATE
}

impl fmt::Display for TraceContext {
    /// As `traceparent` has it: version 00, sampled.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-01", hex::encode(self.trace), hex::encode(self.span))
    }
}
