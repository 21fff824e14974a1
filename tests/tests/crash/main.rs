//! The real process, killed at any moment: nothing that was acknowledged is lost, nothing is stored twice, no key changes,
//! and no innocent job is condemned.

mod cluster;
mod power;
mod ledger;
mod provider;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hookfast::random::Random;
use hookfast_tests::sender::Wire;
use hookfast_tests::server::Process;
use hookfast_tests::wait::{eventually, within};
use hookfast_tests::{Call, Plan, Reply, Site, Source, Upstream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::ledger::{check_books, check_effects, check_ledger, database_bytes, event_id};
use self::provider::Provider;

const KILLS: u32 = 30;
const CONNECTIONS: u64 = 16;

/// A plugin that calls an upstream for each event.
fn plan() -> Plan {
    Plan::default().source(Source::new("stripe", "stripe").to("forward").retry(&["50ms", "50ms", "50ms"])).places(32)
}

/// Beside it one that books each event in every way there is.
fn plan_with_books() -> Plan {
    let source = Source::new("stripe", "stripe").to("forward").to("ledger").retry(&["50ms", "50ms", "50ms", "1s", "1s"]);
    Plan::default().source(source).places(32).sections(
        "[topics.books]\nroutes = [{ plugin = \"ledger\" }]\nretry = { strategy = \"schedule\", delays = [\"50ms\", \"1s\"] }\n\
         [grants.ledger]\nupstreams = [\"crm\", \"chat\"]\nemits = [\"books\"]\nstate = {}\n",
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_however_often_the_process_is_killed() {
    let upstream = Upstream::start().await;
    let site = Site::new(&plan_with_books(), upstream.address);
    let random = Random::system();
    let (addresses, served) = watch::channel(vec![None]);
    let provider = Arc::new(Provider::new(served));
    let mut connections = JoinSet::new();
    for number in 0..CONNECTIONS {
        connections.spawn(Arc::clone(&provider).send(number));
    }

    let mut with_checkpoint = 0;
    for _ in 0..KILLS {
        let server = site.start().await;
        let size = database_bytes(&site);
        addresses.send_replace(vec![Some(server.ingest)]);
        // Not a wait for anything: the moment is the point.
        tokio::time::sleep(Duration::from_millis(20) + Duration::from_millis(380).mul_f64(random.draw())).await;
        server.kill().await;
        // A start writes the log back, too; this was while it ran.
        with_checkpoint += u32::from(database_bytes(&site) > size);
    }
    let server = site.start().await;
    addresses.send_replace(vec![Some(server.ingest)]);
    provider.stops.store(true, Ordering::Relaxed);
    within("every event to be acknowledged", connections.join_all()).await;
    site.until_quiet(&server).await;

    let acknowledged = provider.acknowledged.lock().expect("no panic").clone();
    let stored = check_ledger(&site, &server, &acknowledged).await;
    check_effects(&upstream.calls(), &stored);
    check_books(&site, &server, &stored).await;
    println!("{} events over {KILLS} kills, {} effects", stored.len(), upstream.calls().len());
    println!("{with_checkpoint} of them wrote their log back");
    assert!(with_checkpoint > 1, "none could be ended in the midst of that");
    assert!(acknowledged.len() > 100, "too few to mean anything: {}", acknowledged.len());
    server.kill().await;
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
    let (addresses, served) = watch::channel(vec![Some(server.ingest)]);
    let provider = Arc::new(Provider::new(served));
    let mut senders = JoinSet::new();
    for number in 0..40 {
        let (provider, id) = (Arc::clone(&provider), if number == 20 { DEADLY.into() } else { format!("evt_{number}") });
        senders.spawn(async move { provider.until_acknowledged(&id, 0, &Wire::new(), &mut provider.served.clone()).await });
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
        addresses.send_replace(vec![Some(server.ingest)]);
    }
    within("every event to be acknowledged", senders.join_all()).await;
    site.until_quiet(&server).await;

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
