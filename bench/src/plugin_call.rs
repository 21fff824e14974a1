//! What one call of a plugin costs: a fresh instance, the event in, the outcome out. No server, no store, no network.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use clap::Args;
use hookfast::domain::{CallRecord, Event, EventId, Grant, Headers, OutboundAnswer, Timestamp};
use hookfast::metrics::Metrics;
use hookfast::sandbox::{Caller, Engine, EngineSettings, Loader, Run};

#[derive(Args)]
pub(crate) struct Arguments {
    /// The component
    wasm: PathBuf,
    /// The event's body
    #[arg(long)]
    event: PathBuf,
    /// The event's type
    #[arg(long = "type")]
    event_type: String,
    /// Calls in a round
    #[arg(long, default_value_t = 20_000)]
    calls: u32,
    /// Rounds
    #[arg(long, default_value_t = 5)]
    rounds: u32,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(measure(arguments))
}

async fn measure(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let metrics = Arc::new(Metrics::default());
    let engine = Arc::new(Engine::start(EngineSettings { instances: 256 }, metrics)?);
    let loader = Arc::new(Loader::uncached(Arc::clone(&engine))?);
    let wasm = std::fs::read(&arguments.wasm).with_context(|| arguments.wasm.display().to_string())?;
    let plugin = Arc::new(loader.inspect("bench".parse().expect("a name"), wasm).await?);
    let now = Timestamp::from_millis(1_767_225_600_000);
    let event = Arc::new(Event {
        id: EventId::new(now, [0; 10]),
        source: "bench".parse().expect("a name"),
        event_type: Some(arguments.event_type.clone()),
        dedupe_key: None,
        received_at: now,
        headers: Headers::default(),
        body: std::fs::read(&arguments.event)?.into(),
    });
    let mut grant = Grant::default();
    grant.upstreams.extend(plugin.description.upstreams.iter().filter_map(|name| name.parse().ok()));
    let grant = Arc::new(grant);
    for round in 0..arguments.rounds {
        let (plugin, engine, event, grant, calls) =
            (Arc::clone(&plugin), Arc::clone(&engine), Arc::clone(&event), Arc::clone(&grant), arguments.calls);
        let took = tokio::spawn(async move {
            let started = Instant::now();
            for _ in 0..calls {
                let run = Run {
                    event: Arc::clone(&event),
                    attempt: 1,
                    max_attempts: 1,
                    now,
                    seed: 0,
                    grant: Arc::clone(&grant),
                    caller: answers(),
                };
                std::hint::black_box(plugin.run(&engine, run).await.verdict);
            }
            started.elapsed()
        })
        .await?;
        println!("round {round}: {:.1} us a call", took.as_secs_f64() * 1e6 / f64::from(arguments.calls));
    }
    Ok(ExitCode::SUCCESS)
}

fn answers() -> Caller {
    Arc::new(|request| {
        let record = CallRecord {
            upstream: request.upstream,
            method: request.method,
            path: request.path,
            step: None,
            idempotency_key: None,
            status: Some(200),
            fault: None,
            ms: 0,
        };
        let answer = OutboundAnswer { status: 200, headers: Headers::default(), body: b"{}".as_slice().into() };
        Box::pin(std::future::ready((Ok(answer), record)))
    })
}
