//! The real process, killed at any moment: nothing that was acknowledged is lost, nothing is stored twice, no key changes,
//! and no innocent job is condemned.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hookfast::clock::Clock;
use hookfast::random::Random;
use hookfast_tests::sender::Wire;
use hookfast_tests::server::Process;
use hookfast_tests::wait::{eventually, within};
use hookfast_tests::{Call, Plan, Reply, Sender, Server, Site, Source, Upstream};
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;

const KILLS: u32 = 30;
const CONNECTIONS: u64 = 16;

fn plan() -> Plan {
    Plan::default().source(Source::new("stripe", "stripe").to("forward").retry(&["50ms", "50ms", "50ms"])).places(32)
}

fn source() -> Sender {
    Sender::new("stripe", "stripe", "shared-secret")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_however_often_the_process_is_killed() {
    let upstream = Upstream::start().await;
    let site = Site::new(&plan(), upstream.address);
    let random = Random::system();
    let (addresses, served) = watch::channel(None);
    let provider = Arc::new(Provider::new(served));
    let mut connections = JoinSet::new();
    for number in 0..CONNECTIONS {
        connections.spawn(Arc::clone(&provider).send(number));
    }

    for _ in 0..KILLS {
        let server = site.start().await;
        addresses.send_replace(Some(server.ingest));
        // Not a wait for anything: the moment is the point.
        tokio::time::sleep(Duration::from_millis(20) + Duration::from_millis(380).mul_f64(random.draw())).await;
        server.kill().await;
    }
    let server = site.start().await;
    addresses.send_replace(Some(server.ingest));
    provider.stops.store(true, Ordering::Relaxed);
    within("every event to be acknowledged", connections.join_all()).await;
    eventually("the queue to be quiet", async || site.is_quiet(&server).await).await;

    let acknowledged = provider.acknowledged.lock().expect("no panic").clone();
    let stored = check_ledger(&site, &server, &acknowledged).await;
    check_effects(&upstream.calls(), &stored);
    println!("{} events over {KILLS} kills, {} effects", stored.len(), upstream.calls().len());
    assert!(acknowledged.len() > 100, "too few to mean anything: {}", acknowledged.len());
    server.kill().await;
}

/// Every acknowledged event is there, under the id that was told, once, and done.
async fn check_ledger(site: &Site, server: &Server, acknowledged: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    assert_eq!(site.list(server, "/api/v1/dead-letters").await, Vec::<Value>::new());
    let mut stored = BTreeMap::new();
    for event in site.list(server, "/api/v1/events").await {
        assert_eq!(event["status"], "done", "{event}");
        let key = event["dedupe_key"].as_str().and_then(|key| key.strip_prefix("id:")).expect("a key").to_owned();
        let twice = stored.insert(key, event["id"].as_str().expect("an id").to_owned());
        assert_eq!(twice, None, "stored twice: {event}");
    }
    for (key, id) in acknowledged {
        assert_eq!(stored.get(key), Some(id), "acknowledged and lost: {key}");
    }
    stored
}

/// Every stored event had its effect, always under its one key.
fn check_effects(calls: &[Call], stored: &BTreeMap<String, String>) {
    let mut keys: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for call in calls {
        keys.entry(event_id(call)).or_default().insert(call.header("idempotency-key"));
    }
    for (id, event) in stored {
        let expected = format!("{event}.forward/forward");
        assert_eq!(keys.remove(id), Some(BTreeSet::from([expected.as_str()])), "{id}");
    }
    assert_eq!(keys, BTreeMap::new(), "effects of no event");
}

fn event_id(call: &Call) -> String {
    call.json()["id"].as_str().expect("an id").to_owned()
}

/// A provider as providers are: what is not acknowledged is sent again under the same id.
struct Provider {
    sender: Sender,
    clock: Clock,
    served: watch::Receiver<Option<SocketAddr>>,
    stops: AtomicBool,
    /// The provider's id of each event, and ours.
    acknowledged: Mutex<BTreeMap<String, String>>,
}

impl Provider {
    fn new(served: watch::Receiver<Option<SocketAddr>>) -> Self {
        Self { sender: source(), clock: Clock::system(), served, stops: AtomicBool::new(false), acknowledged: Mutex::default() }
    }

    /// One connection: event after event, and some of them again later, across crashes.
    async fn send(self: Arc<Self>, connection: u64) {
        let (wire, mut served, random) = (Wire::new(), self.served.clone(), Random::seeded(connection));
        let mut sent = Vec::new();
        while !self.stops.load(Ordering::Relaxed) {
            let old = sent.get((random.draw() * 10.0 * sent.len() as f64) as usize).cloned();
            let id = old.unwrap_or_else(|| format!("evt_{connection}_{}", sent.len()));
            let event = self.until_acknowledged(&id, &wire, &mut served).await;
            let known = self.acknowledged.lock().expect("no panic").insert(id.clone(), event.clone());
            match known {
                Some(known) => assert_eq!(known, event, "{id} is another event the second time"),
                None => sent.push(id),
            }
        }
    }

    async fn until_acknowledged(&self, id: &str, wire: &Wire, served: &mut watch::Receiver<Option<SocketAddr>>) -> String {
        loop {
            let address = *served.borrow_and_update();
            let delivery = self.sender.delivery("invoice.paid", id, self.clock.now());
            let answer = match address {
                Some(address) => wire.send(address, &delivery).await.ok(),
                None => None,
            };
            match answer {
                Some(answer) if answer.status == 202 => return answer.event().to_string(),
                Some(answer) => assert_eq!(answer.status, 503, "{answer:?}"),
                // The process is gone; the next one will be announced.
                None => served.changed().await.expect("the test goes on"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_kills_the_process_is_given_up_and_no_other() {
    const DEADLY: &str = "evt_deadly";
    let victim: Arc<Mutex<Option<Process>>> = Arc::default();
    let upstream = {
        let victim = Arc::clone(&victim);
        let kill = move |call: &Call| {
            let is_deadly = event_id(call) == DEADLY;
            is_deadly.then(|| victim.lock().expect("no panic").iter().for_each(Process::kill))?;
            Some(Reply::Break)
        };
        Upstream::watched(kill).await
    };
    let site = Site::new(&plan(), upstream.address);
    let start = async || {
        let server = site.start().await;
        *victim.lock().expect("no panic") = Some(server.process());
        server
    };

    let mut server = start().await;
    let (addresses, served) = watch::channel(Some(server.ingest));
    let provider = Arc::new(Provider::new(served));
    let mut senders = JoinSet::new();
    for number in 0..40 {
        let (provider, id) = (Arc::clone(&provider), if number == 20 { DEADLY.into() } else { format!("evt_{number}") });
        senders.spawn(async move { provider.until_acknowledged(&id, &Wire::new(), &mut provider.served.clone()).await });
    }
    let mut deaths = 0;
    loop {
        let is_condemned =
            async || site.try_get(&server, "/api/v1/dead-letters").await.is_ok_and(|answer| answer.body.contains("process_crash"));
        tokio::select! {
            () = server.ended() => {}
            () = eventually("a dead letter", is_condemned) => break,
        }
        deaths += 1;
        server = start().await;
        addresses.send_replace(Some(server.ingest));
    }
    within("every event to be acknowledged", senders.join_all()).await;
    eventually("the queue to be quiet", async || site.is_quiet(&server).await).await;

    let dead = site.list(&server, "/api/v1/dead-letters").await;
    assert_eq!(dead.len(), 1, "{dead:?}");
    assert_eq!(dead[0]["cause"], "process_crash");
    let deadly = dead[0]["event"].clone();
    let events = site.list(&server, "/api/v1/events").await;
    assert_eq!(events.len(), 40);
    for event in events {
        let expected = if event["id"] == deadly { "dead" } else { "done" };
        assert_eq!(event["status"], expected, "{event}");
    }
    assert_eq!(deaths, 4, "one that made it a suspect, and three that it was charged with");
    server.kill().await;
}
