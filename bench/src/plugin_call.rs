//! What one call of a plugin costs: a fresh instance, the event in, the outcome out. No server, no store, no network. Its parts are
//! found by calls that do more and more.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use hookfast::domain::{
    CallFault, CallRecord, Event, EventId, Grant, Headers, Lineage, OutboundAnswer, OutboundRequest, StateItem, Step, Timestamp,
    UpstreamName,
};
use hookfast::metrics::Metrics;
use hookfast::sandbox::{Called, Engine, EngineSettings, Loader, Outside, Plugin, Run, Soon, Standing, Unavailable};
use hookfast_tests::build::guest;

use crate::bench::Bench;
use crate::cores::{Core, pinned};
use crate::ingest::BODY_BYTES;
use crate::load::{Body, EVENT_TYPE};
use crate::report::{Row, Section};
use crate::site::PLACES;

const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_000);

/// A fresh instance for each event, and one for all.
const FRESH: u32 = 1;
const WARM: u32 = 1_000_000;

/// Each line of `parse` does what the line before it does, and more.
pub(crate) fn measure(bench: &Bench, section: &mut Section) -> anyhow::Result<()> {
    section
        .remark("In the benchmark's own process, on core 0, a fresh instance for each call but where the line says otherwise. An event of another type is discarded unread.");
    let (rounds, calls) = (bench.scale.rounds, bench.scale.calls);
    let rows = pinned(Core::Server, "plugin-call", move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(rows(rounds, calls))
    })?;
    rows.into_iter().for_each(|row| section.push(row));
    Ok(())
}

async fn rows(rounds: usize, calls: u32) -> anyhow::Result<Vec<Row>> {
    let engine = Arc::new(Engine::start(EngineSettings { instances: PLACES }, Arc::new(Metrics::default()))?);
    let loader = Arc::new(Loader::uncached(Arc::clone(&engine))?);
    let load = async |name: &str| loader.inspect(name.parse().expect("a name"), guest(name)).await;
    let (parse, stripe_crm) = (load("parse").await?, load("stripe-crm").await?);
    let body = Body::of(BODY_BYTES).with("evt_bench");
    let cases = [
        ("parse: event of 0 bytes, unread", &parse, event("other", Vec::new()), FRESH),
        ("parse: event of 2 KB, unread", &parse, event("other", body.clone()), FRESH),
        ("parse: event of 2 KB, parsed", &parse, event(EVENT_TYPE, body.clone()), FRESH),
        ("parse: event of 2 KB, parsed, in an instance that is used again", &parse, event(EVENT_TYPE, body.clone()), WARM),
        ("stripe-crm: 2 KB, one upstream call, answered in memory", &stripe_crm, event(EVENT_TYPE, body), FRESH),
    ];
    let mut instantiate = Row::of("parse: instance made and dropped");
    let mut rows: Vec<_> = cases.iter().map(|(what, ..)| Row::of(*what)).collect();
    for _ in 0..rounds {
        let started = Instant::now();
        for _ in 0..calls {
            parse.instantiate(&engine, &Grant::default().limits).await?;
        }
        let mut before = micros(started, calls);
        instantiate.figure("µs a call", before);
        for ((_, plugin, event, events_per_instance), row) in cases.iter().zip(&mut rows) {
            let took = call(&engine, plugin, event, *events_per_instance, calls).await;
            row.figure("µs a call", took);
            // Another plugin does not do what the line before it does, and more.
            if std::ptr::eq(*plugin, &parse) {
                row.figure("µs more than the line before", took - before);
            }
            before = took;
        }
    }
    rows.insert(0, instantiate);
    Ok(rows)
}

/// Microseconds a call.
async fn call(engine: &Engine, plugin: &Plugin, event: &Arc<Event>, events_per_instance: u32, calls: u32) -> f64 {
    let mut grant = Grant { events_per_instance, ..Grant::default() };
    grant.upstreams.extend(plugin.description.upstreams.iter().filter_map(|name| name.parse().ok()));
    let (grant, outside) = (Arc::new(grant), Arc::new(Answers));
    let lineage = Lineage { event: event.id, route: plugin.name.clone().into() };
    let started = Instant::now();
    for _ in 0..calls {
        let (event, lineage, grant) = (Arc::clone(event), lineage.clone(), Arc::clone(&grant));
        let run = Run { event, lineage, attempt: 1, max_attempts: 1, now: NOW, seed: 0, grant, outside: Arc::clone(&outside) as _ };
        std::hint::black_box(plugin.run(engine, run).await.verdict);
    }
    micros(started, calls)
}

fn micros(started: Instant, calls: u32) -> f64 {
    started.elapsed().as_secs_f64() * 1e6 / f64::from(calls)
}

fn event(event_type: &str, body: Vec<u8>) -> Arc<Event> {
    Arc::new(Event {
        id: EventId::new(NOW, [0; 10]),
        source: "bench".parse().expect("a name"),
        event_type: Some(event_type.to_owned()),
        dedupe_key: None,
        received_at: NOW,
        headers: Headers::default(),
        body: body.into(),
        parent: None,
    })
}

/// Upstreams that answer at once, and nothing else.
struct Answers;

impl Outside for Answers {
    fn call(&self, request: OutboundRequest) -> Soon<'_, Called> {
        let record = CallRecord {
            upstream: request.upstream,
            method: request.method,
            path: request.path,
            step: None,
            idempotency_key: None,
            status: Some(200),
            fault: None,
            recorded: false,
            ms: 0,
        };
        let answer = OutboundAnswer { status: 200, headers: Headers::default(), body: b"{}".as_slice().into(), stale_for: None };
        Box::pin(std::future::ready((Ok(answer), record)))
    }

    fn upstream_at(&self, _: &http::Uri, _: &BTreeSet<UpstreamName>) -> Option<(String, String)> {
        None
    }

    fn begin(&self, _step: Step) -> Soon<'_, Result<Standing, CallFault>> {
        Box::pin(std::future::ready(Ok(Standing::Fresh)))
    }

    fn state<'a>(&'a self, _key: &'a str) -> Soon<'a, Result<Option<StateItem>, Unavailable>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    fn state_bytes(&self) -> Soon<'_, Result<u64, Unavailable>> {
        Box::pin(std::future::ready(Ok(0)))
    }
}
