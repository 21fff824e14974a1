//! A plugin's own fixtures: events that a version must handle before it may serve. Every upstream answers 200, nothing is sent.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use super::engine::Engine;
use super::load::{LoadFailure, LoadStage};
use super::outside::{Called, Outside, Soon, Standing, Unavailable};
use super::plugin::{Fixture, Plugin};
use super::run::Run;
use crate::domain::{
    CallFault, CallRecord, Event, EventId, Grant, Headers, Lineage, OutboundAnswer, OutboundRequest, StateItem, Step, Timestamp,
    UpstreamName, Verdict,
};

/// So many of a plugin's fixtures are run.
const FIXTURES_MAX: usize = 64;

/// Runs the fixtures in order; the first that does not end as done fails the load.
pub(super) async fn pass(engine: &Engine, plugin: &Plugin, grant: &Arc<Grant>) -> Result<(), LoadFailure> {
    // An instance that has seen a fixture never sees an event.
    let grant = Arc::new(Grant { events_per_instance: 1, ..Grant::clone(grant) });
    for fixture in plugin.description.fixtures.iter().take(FIXTURES_MAX) {
        let ran = plugin.run(engine, run(plugin, fixture, &grant)).await;
        let reason = match ran.verdict {
            Verdict::Done(_) => continue,
            Verdict::Retry { reason, .. } => format!("asked for a retry: {reason}"),
            Verdict::Discard(reason) => format!("was discarded: {reason}"),
            Verdict::DeadLetter(reason) => format!("became a dead letter: {reason}"),
        };
        let message = format!("its own fixture of type `{}` {reason}", fixture.event_type);
        return Err(LoadFailure::new(LoadStage::Fixtures, message));
    }
    Ok(())
}

fn run(plugin: &Plugin, fixture: &Fixture, grant: &Arc<Grant>) -> Run {
    let now = Timestamp::from_millis(0);
    let event = Event {
        id: EventId::new(now, [0; 10]),
        source: "fixture".parse().expect("a name"),
        event_type: Some(fixture.event_type.clone()),
        dedupe_key: None,
        received_at: now,
        headers: Headers::default(),
        body: Bytes::copy_from_slice(fixture.body.as_bytes()),
        parent: None,
    };
    let lineage = Lineage { event: event.id, route: plugin.name.clone().into() };
    Run { event: Arc::new(event), lineage, attempt: 1, max_attempts: 1, now, seed: 0, grant: Arc::clone(grant), outside: Arc::new(Empty) }
}

/// A world of upstreams that answer 200, and of nothing else.
struct Empty;

impl Outside for Empty {
    fn call(&self, request: OutboundRequest) -> Soon<'_, Called> {
        let record = CallRecord {
            upstream: request.upstream,
            method: request.method,
            path: request.path,
            step: request.step.map(|step| step.to_string()),
            idempotency_key: None,
            status: Some(200),
            fault: None,
            recorded: false,
            ms: 0,
        };
        let answer = OutboundAnswer { status: 200, headers: Headers::default(), body: Bytes::from_static(b"{}"), stale_for: None };
        Box::pin(std::future::ready((Ok(answer), record)))
    }

    fn upstream_at(&self, url: &http::Uri, of: &BTreeSet<UpstreamName>) -> Option<(String, String)> {
        of.first().map(|name| (name.to_string(), url.path().to_owned()))
    }

    fn begin(&self, _: Step) -> Soon<'_, Result<Standing, CallFault>> {
        Box::pin(std::future::ready(Ok(Standing::Fresh)))
    }

    fn state(&self, _: &str) -> Soon<'_, Result<Option<StateItem>, Unavailable>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    fn state_bytes(&self) -> Soon<'_, Result<u64, Unavailable>> {
        Box::pin(std::future::ready(Ok(0)))
    }
}
