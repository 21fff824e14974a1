//! A disk that takes long to sync the database itself, which each checkpoint has to wait for.

use std::time::{Duration, Instant};

use hookfast::clock::Clock;
use hookfast_tests::sender::Wire;
use hookfast_tests::{Plan, Sender, Site, SlowDisk, Source, Upstream, skipped};

const SYNC: Duration = Duration::from_secs(4);
/// What they leave in the write-ahead log would be enough for four checkpoints, and is not yet too much of it.
const EVENTS: usize = 128;

#[tokio::test]
async fn a_slow_checkpoint_keeps_few_senders_waiting() {
    let disk = match SlowDisk::new(SYNC, ".db") {
        Ok(disk) => disk,
        Err(why) => return skipped("who waits for a slow disk", &why),
    };
    let upstream = Upstream::start().await;
    let site = Site::new(&Plan::default().source(Source::new("stripe", "stripe")), upstream.address);
    let server = site.start_on(&disk).await;
    let (sender, wire) = (Sender::new("stripe", "stripe", "shared-secret"), Wire::new());
    let mut kept_waiting = 0;
    for number in 0..EVENTS {
        let delivery = sender.delivery("invoice.paid", &format!("evt_{number}"), Clock::system().now());
        let sent = Instant::now();
        assert_eq!(wire.send(server.ingest, &delivery).await.expect("an answer").status, 202);
        kept_waiting += usize::from(sent.elapsed() > SYNC.mul_f64(0.75));
    }
    assert_eq!(kept_waiting, 1, "the first checkpoint is slow, and the next one waits for that");
    server.kill().await;
}
