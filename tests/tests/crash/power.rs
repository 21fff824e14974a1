//! The power is cut at any moment, under the file system that the server, its database and its plugins are on.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hookfast::clock::Clock;
use hookfast::random::Random;
use hookfast_tests::sender::Wire;
use hookfast_tests::wait::within;
use hookfast_tests::{Disk, Sender, Site, Upstream, skipped};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::ledger::{check_books, check_effects, check_ledger, database_bytes};
use super::provider::Provider;

const CUTS: u32 = 12;
const CONNECTIONS: u64 = 12;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_however_often_the_power_is_cut() {
    let disk = match Disk::with_power() {
        Ok(disk) => disk,
        Err(why) => return skipped("whether an SQLite database survives a power cut", &why),
    };
    let upstream = Upstream::start().await;
    let site = Site::on(&disk, &super::plan_with_books(), upstream.address);
    let (addresses, served) = watch::channel(vec![None]);
    let (random, provider) = (Random::system(), Arc::new(Provider::new(served)));
    let mut connections = JoinSet::new();
    for number in 0..CONNECTIONS {
        connections.spawn(Arc::clone(&provider).send(number));
    }

    let mut with_checkpoint = 0;
    for _ in 0..CUTS {
        let server = site.start().await;
        let size = database_bytes(&site);
        addresses.send_replace(vec![Some(server.ingest)]);
        // Not a wait for anything: the moment is the point.
        tokio::time::sleep(Duration::from_millis(20) + Duration::from_millis(380).mul_f64(random.draw())).await;
        // Without power nothing runs. It must not either while the disk is shut down: Linux (6.18, for one) lets a sync that is then
        // under way succeed, though what it wrote is gone.
        server.pause();
        disk.cut_power();
        server.kill().await;
        disk.plug_in_again();
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
    println!("{} events over {CUTS} power cuts, {} effects", stored.len(), upstream.calls().len());
    println!("{with_checkpoint} of them wrote their log back");
    assert!(with_checkpoint > 1, "none could be ended in the midst of that");
    assert!(acknowledged.len() > 100, "too few to mean anything: {}", acknowledged.len());
    server.kill().await;
}

#[tokio::test]
async fn a_disk_that_dies_under_the_process_is_answered_503() {
    let disk = match Disk::with_power() {
        Ok(disk) => disk,
        Err(why) => return skipped("what senders are told while the disk dies", &why),
    };
    let upstream = Upstream::start().await;
    let site = Site::on(&disk, &super::plan(), upstream.address);
    let server = site.start().await;
    let (sender, wire, clock) = (Sender::new("stripe", "stripe", "shared-secret"), Wire::new(), Clock::system());
    let send = async |number: u32| {
        let delivery = sender.delivery("invoice.paid", &format!("evt_{number}"), clock.now());
        wire.send(server.ingest, &delivery).await.expect("an answer").status
    };
    for number in 0..50 {
        assert_eq!(send(number).await, 202);
    }
    disk.cut_power();
    // Many, since each may find the disk in another way: what cannot be written, and what cannot be read.
    for number in 50..150 {
        assert_eq!(send(number).await, 503, "number {number}");
    }
    server.kill().await;
    disk.plug_in_again();
    let server = site.start().await;
    assert_eq!(site.list(&server, "/api/v1/requests").await, Vec::<serde_json::Value>::new(), "no event was at fault");
    server.kill().await;
}
