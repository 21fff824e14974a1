//! A disk that takes long to sync. Each checkpoint waits for three syncs, and keeps senders waiting meanwhile.

use std::time::{Duration, Instant};

use hookfast::clock::Clock;
use hookfast_tests::sender::Wire;
use hookfast_tests::{Plan, Sender, Site, SlowDisk, Source, Upstream, skipped};

const SYNC: Duration = Duration::from_millis(300);
/// With so large a body an event is 7 pages of the write-ahead log and more.
const BODY_BYTES: usize = 100 << 10;
/// What they leave there would be enough for two checkpoints, and is not yet too much of it.
const EVENTS: usize = 20;

#[tokio::test]
async fn checkpoints_keep_few_senders_waiting() {
    let disk = match SlowDisk::new(SYNC) {
        Ok(disk) => disk,
        Err(why) => return skipped("who waits for a slow disk", &why),
    };
    let upstream = Upstream::start().await;
    let site = Site::new(&Plan::default().source(Source::new("stripe", "stripe")), upstream.address);
    let server = site.start_on(&disk).await;
    let (sender, wire) = (Sender::new("stripe", "stripe", "shared-secret"), Wire::new());
    let filler = "x".repeat(BODY_BYTES);
    let mut kept_waiting = 0;
    for number in 0..EVENTS {
        let body = format!(r#"{{"id": "evt_{number}", "type": "invoice.paid", "filler": "{filler}"}}"#);
        let delivery = sender.delivery_of(body, Clock::system().now());
        let sent = Instant::now();
        assert_eq!(wire.send(server.ingest, &delivery).await.expect("an answer").status, 202);
        kept_waiting += usize::from(sent.elapsed() > SYNC.mul_f64(2.5));
    }
    assert_eq!(kept_waiting, 1, "a checkpoint keeps one sender waiting, and the next one is far off");
    server.kill().await;
}
