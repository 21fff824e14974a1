//! A disk that takes long to sync. Each checkpoint waits for three syncs, and keeps senders waiting meanwhile.

use std::collections::BTreeSet;
use std::time::Duration;

use hookfast::clock::Clock;
use hookfast_tests::sender::Wire;
use hookfast_tests::{Plan, Sender, Site, SlowDisk, Source, Upstream, skipped};

const SYNC: Duration = Duration::from_millis(300);
/// With so large a body an event is some ten pages of the write-ahead log.
const BODY_BYTES: usize = 100 << 10;
/// What they leave there would be enough for three checkpoints, and is not yet too much of it.
const EVENTS: usize = 24;

#[tokio::test]
async fn a_checkpoint_is_seldom_where_a_sync_takes_long() {
    let disk = match SlowDisk::new(SYNC) {
        Ok(disk) => disk,
        Err(why) => return skipped("checkpoints on a slow disk", &why),
    };
    let upstream = Upstream::start().await;
    let site = Site::new(&Plan::default().source(Source::new("stripe", "stripe")), upstream.address);
    let server = site.start_on(&disk).await;
    let (sender, wire) = (Sender::new("stripe", "stripe", "shared-secret"), Wire::new());
    let filler = "x".repeat(BODY_BYTES);
    let size = || std::fs::metadata(site.path("hookfast.db")).expect("the database").len();
    let mut sizes = BTreeSet::from([size()]);
    for number in 0..EVENTS {
        let body = format!(r#"{{"id": "evt_{number}", "type": "invoice.paid", "filler": "{filler}"}}"#);
        let delivery = sender.delivery_of(body, Clock::system().now());
        assert_eq!(wire.send(server.ingest, &delivery).await.expect("an answer").status, 202);
        sizes.insert(size());
    }
    assert_eq!(sizes.len(), 2, "it grows with each checkpoint, and the second one is far off: {sizes:?}");
    server.kill().await;
}
