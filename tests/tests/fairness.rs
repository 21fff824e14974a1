//! A flooded source cannot starve another: whatever waits of the one, a new event of the other starts at once.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use hookfast::domain::{Answer, Event, Headers, NewEvent, Route, TypeFilter};
use hookfast::metrics::Metrics;
use hookfast::random::Random;
use hookfast::store::{Admitted, Rush, Slots, Store, StoreSettings};
use hookfast_tests::{Plan, Source, World, postgres};

const FLOOD: u32 = 100_000;
/// So many events of the other source, one after the other.
const TRIALS: usize = 21;
const SOON: Duration = Duration::from_millis(100);

#[tokio::test(flavor = "multi_thread")]
async fn on_sqlite_another_source_starts_within_100_ms() {
    check(plan()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_another_source_starts_within_100_ms() {
    check(plan().postgres(&postgres::database().await)).await;
}

fn plan() -> Plan {
    Plan::default().source(Source::new("flooded", "token").to("hostile")).source(Source::new("stripe", "stripe").to("stripe-crm"))
}

async fn check(plan: Plan) {
    let mut world = plan.start().await;
    world.stop().await;
    flood(&world).await;
    world.start_again().await;
    let mut waits = Vec::with_capacity(TRIALS);
    for trial in 1..=TRIALS {
        let sent = Instant::now();
        world.send("stripe", "invoice.paid").await;
        // Only this source's plugin asks the upstream.
        world.upstream.called(trial).await;
        waits.push(sent.elapsed());
    }
    let left = world.counts().await.due;
    assert!(left > u64::from(FLOOD / 2), "only {left} were left: this says nothing of a flood");
    waits.sort_unstable();
    let (median, longest) = (waits[TRIALS / 2], waits[TRIALS - 1]);
    println!("with {left} events waiting: {median:?} from sending to running in the median, {longest:?} at most");
    // A busy machine may delay one of them; a queue that is served in turn delays them all.
    assert!(median <= SOON, "{waits:?}");
    world.kill();
}

/// Fills the queue while no worker runs.
async fn flood(world: &World) {
    let random = Random::seeded(7);
    let opened = Store::open(StoreSettings {
        database: world.database(),
        node: hookfast::domain::NodeId::new(world.clock.now(), random.bytes()),
        clock: world.clock.clone(),
        random: random.clone(),
        migrates: false,
        lease: Duration::from_secs(10),
        metrics: Metrics::default().into(),
        slots: Slots::new(0),
        rush: Rush::default(),
        dedupe_keys_max: 1000,
    });
    let store = opened.await.expect("a store").store;
    let numbers: Vec<u32> = (0..FLOOD).collect();
    for batch in numbers.chunks(2000) {
        let admitted = join_all(batch.iter().map(|number| store.admit(vec![event(world, &store, &random, *number)]))).await;
        assert!(admitted.iter().all(|admitted| matches!(admitted.as_deref(), Ok([Admitted::New(_)]))));
    }
    store.close().await;
}

fn route() -> Route {
    let types: Vec<TypeFilter> = Vec::new();
    Route { name: "hostile".parse().expect("a name"), plugin: "hostile".parse().expect("a name"), types }
}

fn event(world: &World, store: &Store, random: &Random, number: u32) -> NewEvent {
    let received_at = world.clock.now();
    let id = store.event_id(received_at, random.bytes());
    let event = Event {
        id,
        source: "flooded".parse().expect("a name"),
        event_type: Some("count".into()),
        dedupe_key: None,
        received_at,
        headers: Headers::default(),
        body: Bytes::from(format!(r#"{{"type":"count","number":{number}}}"#)),
        parent: None,
    };
    let (answer, routes, delay) = (Answer::default(), vec![route()], Duration::ZERO);
    NewEvent { event: event.into(), key: None, ordering: None, answer, routes, delay }
}
