//! A flooded source cannot starve another: whatever waits of the one, a new event of the other starts at once, and places go round.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use hookfast::clock::Clock;
use hookfast::domain::{Answer, Effects, Event, Headers, Job, NewEvent, NodeId, Outcome, Route, TypeFilter};
use hookfast::metrics::Metrics;
use hookfast::random::Random;
use hookfast::store::{Admitted, Claimed, Database, Rush, Slots, Store, StoreSettings};
use hookfast_tests::directory::Directory;
use hookfast_tests::sender::Wire;
use hookfast_tests::wait::eventually;
use hookfast_tests::{Call, Gate, Plan, Reply, Sender, Site, Source, Upstream, World, postgres};
use tokio::sync::Semaphore;

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
    let filler = Filler::of(world.database(), world.clock.clone(), false).await;
    filler.fill("flooded", FLOOD).await;
    filler.store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_sqlite_another_source_starts_while_one_holds_all_it_may() {
    check_newcomer(Plan::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_another_source_starts_while_one_holds_all_it_may() {
    check_newcomer(Plan::default().postgres(&postgres::database().await)).await;
}

/// The jobs of one source wait for their upstream, so that no place comes free.
async fn check_newcomer(plan: Plan) {
    /// All but those that are kept.
    const HELD: usize = 30;
    let gate = Gate::shut();
    let held = gate.clone();
    let upstream = Upstream::watched(move |call| is_of_type(call, "slow.paid").then(|| Reply::Held(held.clone()))).await;
    let source = |name: &str| Source::new(name, "stripe").to("forward");
    let site = Site::new(&plan.places(32).source(source("slow")).source(source("quick")), upstream.address);
    let (server, wire) = (site.start().await, Wire::new());
    let send = async |source: &str, number: usize| {
        let sender = Sender::new(source, "stripe", "shared-secret");
        let delivery = sender.delivery(&format!("{source}.paid"), &format!("evt_{source}_{number}"), Clock::system().now());
        assert_eq!(wire.send(server.ingest, &delivery).await.expect("an answer").status, 202);
    };
    for number in 0..3 * HELD {
        send("slow", number).await;
    }
    upstream.called(HELD).await;
    let mut waits = Vec::with_capacity(TRIALS);
    for trial in 1..=TRIALS {
        let sent = Instant::now();
        send("quick", trial).await;
        let is_called = || upstream.calls().iter().filter(|call| is_of_type(call, "quick.paid")).count() == trial;
        eventually("the quick one to ask its upstream", async || is_called()).await;
        waits.push(sent.elapsed());
    }
    waits.sort_unstable();
    println!("{:?} from sending to running in the median, {:?} at most", waits[TRIALS / 2], waits[TRIALS - 1]);
    assert!(waits[TRIALS / 2] <= SOON, "{waits:?}");
    gate.open();
    site.until_quiet(&server).await;
    server.kill().await;
}

fn is_of_type(call: &Call, event_type: &str) -> bool {
    String::from_utf8_lossy(&call.body).contains(event_type)
}

#[tokio::test]
async fn on_sqlite_places_go_round() {
    let directory = Directory::new();
    check_turns(Database::Sqlite(directory.path().join("hookfast.db"))).await;
}

#[tokio::test]
async fn on_postgres_places_go_round() {
    check_turns(Database::Postgres(postgres::database().await.parse().expect("a URL"))).await;
}

/// However few places are free at a time, and whatever the sources are called, each gets as many.
async fn check_turns(database: Database) {
    const SOURCES: [&str; 5] = ["alpha", "beta-1", "beta_0", "gamma", "omega"];
    let filler = Filler::of(database, Clock::system(), true).await;
    // Whose jobs are not due yet is not asked.
    for source in ["aleph", "delta", "zeta"] {
        filler.fill(source, 1).await;
    }
    for claimed in filler.claim(3).await {
        filler.try_again_later(claimed.job).await;
    }
    for source in SOURCES {
        filler.fill(source, 60).await;
    }
    for places in [1, 2, 3, 4, 7] {
        let mut runs = BTreeMap::new();
        for _ in SOURCES {
            for claimed in filler.claim(places).await {
                *runs.entry(claimed.job.source.to_string()).or_insert(0) += 1;
            }
        }
        let equal = SOURCES.map(|source| (source.to_owned(), places));
        assert_eq!(runs, BTreeMap::from(equal), "claims of {places} places");
    }
    // Claims that leave sources out give them none, and change no turn of those that leave out nobody.
    let (mut others, mut all) = (BTreeSet::new(), BTreeSet::new());
    for _ in SOURCES {
        others.extend(sources(&filler.claim_but(1, &["alpha", "omega"]).await));
        all.extend(sources(&filler.claim(1).await));
    }
    assert_eq!((others, all), (BTreeSet::from(["beta-1", "beta_0", "gamma"].map(String::from)), BTreeSet::from(SOURCES.map(String::from))));
    // What the others leave of their shares goes to the one that has more.
    let rest = 5 * (60 - (1 + 2 + 3 + 4 + 7)) - 5 - 5;
    assert_eq!(filler.claim(rest + 10).await.len(), rest);
    filler.fill("gamma", 30).await;
    filler.fill("omega", 2).await;
    let last = filler.claim(20).await;
    assert_eq!(last.iter().filter(|claimed| claimed.job.source.as_str() == "omega").count(), 2);
    assert_eq!(last.len(), 20);
    filler.store.close().await;
}

fn sources(claimed: &[Claimed]) -> Vec<String> {
    claimed.iter().map(|claimed| claimed.job.source.to_string()).collect()
}

/// A store that nobody works for.
struct Filler {
    store: Store,
    clock: Clock,
    random: Random,
}

impl Filler {
    async fn of(database: Database, clock: Clock, migrates: bool) -> Self {
        let random = Random::seeded(7);
        let opened = Store::open(StoreSettings {
            database,
            node: NodeId::new(clock.now(), random.bytes()),
            clock: clock.clone(),
            random: random.clone(),
            migrates,
            lease: Duration::from_secs(10),
            metrics: Metrics::default().into(),
            slots: Slots::new(0),
            rush: Rush::default(),
            dedupe_keys_max: 1000,
        });
        let store = opened.await.expect("a store").store;
        Self { store, clock, random }
    }

    /// So many events of this source.
    async fn fill(&self, source: &str, count: u32) {
        let numbers: Vec<u32> = (0..count).collect();
        for batch in numbers.chunks(2000) {
            let admitted = join_all(batch.iter().map(|number| self.store.admit(vec![self.event(source, *number)]))).await;
            assert!(admitted.iter().all(|admitted| matches!(admitted.as_deref(), Ok([Admitted::New(_)]))));
        }
    }

    fn event(&self, source: &str, number: u32) -> NewEvent {
        let received_at = self.clock.now();
        let event = Event {
            id: self.store.event_id(received_at, self.random.bytes()),
            source: source.parse().expect("a name"),
            event_type: Some("count".into()),
            dedupe_key: None,
            received_at,
            headers: Headers::default(),
            body: Bytes::from(format!(r#"{{"type":"count","number":{number}}}"#)),
            parent: None,
        };
        let types: Vec<TypeFilter> = Vec::new();
        let route = Route { name: "hostile".parse().expect("a name"), plugin: "hostile".parse().expect("a name"), types };
        let (answer, routes, delay) = (Answer::default(), vec![route], Duration::ZERO);
        NewEvent { event: event.into(), key: None, ordering: None, answer, routes, delay }
    }

    /// Takes jobs for so many places.
    async fn claim(&self, places: usize) -> Vec<Claimed> {
        self.claim_but(places, &[]).await
    }

    /// The same, but none of these sources.
    async fn claim_but(&self, places: usize, but: &[&str]) -> Vec<Claimed> {
        let semaphore = Arc::new(Semaphore::new(places));
        let permits = (0..places).map(|_| Arc::clone(&semaphore).try_acquire_owned().expect("a place")).collect();
        let but = but.iter().map(|name| name.parse().expect("a name")).collect();
        self.store.claim(permits, but).await.expect("a claim")
    }

    async fn try_again_later(&self, job: Job) {
        let retry = Outcome::Retry { at: self.clock.now() + Duration::from_hours(1), reason: "not now".into() };
        self.store.settle(&job, retry, None, Effects::default()).await.expect("settled");
    }
}
