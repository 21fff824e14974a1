//! Three processes over one PostgreSQL. Nodes are killed and the database is restarted as by a crash, at random.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hookfast::random::Random;
use hookfast_tests::postgres::Postgres;
use hookfast_tests::wait::within;
use hookfast_tests::{Server, Site, Upstream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::ledger::{check_books, check_effects, check_ledger};
use super::provider::Provider;

const NODES: usize = 3;
const CONNECTIONS: u64 = 12;
const BLOWS: u32 = 16;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_however_often_nodes_and_the_database_are_killed() {
    let database = Arc::new(tokio::task::spawn_blocking(Postgres::start).await.expect("no panic"));
    let upstream = Upstream::start().await;
    let plan = super::plan_with_books().postgres(&database.database());
    let sites: Vec<Site> = (0..NODES).map(|_| Site::new(&plan, upstream.address)).collect();
    let (addresses, served) = watch::channel(vec![None; NODES]);
    let mut nodes: Vec<Option<Server>> = Vec::new();
    for (at, site) in sites.iter().enumerate() {
        let server = site.start().await;
        addresses.send_modify(|nodes| nodes[at] = Some(server.ingest));
        nodes.push(Some(server));
    }
    let (random, provider) = (Random::system(), Arc::new(Provider::new(served)));
    let mut connections = JoinSet::new();
    for number in 0..CONNECTIONS {
        connections.spawn(Arc::clone(&provider).send(number));
    }

    for _ in 0..BLOWS {
        // Not a wait for anything: the moment is the point.
        tokio::time::sleep(Duration::from_millis(50) + Duration::from_millis(600).mul_f64(random.draw())).await;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a draw below four")]
        let victim = (random.draw() * 4.0) as usize;
        match nodes.get_mut(victim) {
            Some(node) => {
                node.take().expect("a running node").kill().await;
                let server = sites[victim].start().await;
                addresses.send_modify(|nodes| nodes[victim] = Some(server.ingest));
                *node = Some(server);
            }
            None => {
                let database = Arc::clone(&database);
                tokio::task::spawn_blocking(move || database.crash()).await.expect("a restart");
            }
        }
    }
    provider.stops.store(true, Ordering::Relaxed);
    within("every event to be acknowledged", connections.join_all()).await;
    let (site, server) = (&sites[0], nodes[0].as_ref().expect("a running node"));
    site.until_quiet(server).await;

    let acknowledged = provider.acknowledged.lock().expect("no panic").clone();
    let stored = check_ledger(site, server, &acknowledged).await;
    check_effects(&upstream.calls(), &stored);
    check_books(site, server, &stored).await;
    println!("{} events over {BLOWS} blows, {} effects", stored.len(), upstream.calls().len());
    assert!(acknowledged.len() > 100, "too few to mean anything: {}", acknowledged.len());
}
