//! A disk that takes long to sync the database itself: what arrives meanwhile is stored and answered.

use std::time::{Duration, Instant};

use hookfast::clock::Clock;
use hookfast_tests::sender::Wire;
use hookfast_tests::wait::eventually;
use hookfast_tests::{Plan, Sender, Site, SlowDisk, Source, Upstream, skipped};

const SYNC: Duration = Duration::from_secs(2);
/// Their commits fill the write-ahead log to where it is written back, some ten times.
const EVENTS: usize = 128;

#[tokio::test]
async fn nobody_waits_while_the_log_is_written_back() {
    let disk = match SlowDisk::new(SYNC, ".db") {
        Ok(disk) => disk,
        Err(why) => return skipped("who waits for a slow disk", &why),
    };
    let upstream = Upstream::start().await;
    let site = Site::new(&Plan::default().source(Source::new("stripe", "stripe")), upstream.address);
    let server = site.start_on(&disk).await;
    let database_bytes = || site.path("hookfast.db").metadata().expect("a database").len();
    let (sender, wire, before) = (Sender::new("stripe", "stripe", "shared-secret"), Wire::new(), database_bytes());
    for number in 0..EVENTS {
        let delivery = sender.delivery("invoice.paid", &format!("evt_{number}"), Clock::system().now());
        let sent = Instant::now();
        assert_eq!(wire.send(server.ingest, &delivery).await.expect("an answer").status, 202);
        assert!(sent.elapsed() < SYNC, "event {number} waited {:?} for the database", sent.elapsed());
    }
    eventually("the log to be written back", async || database_bytes() > before).await;
    server.kill().await;
}
