//! A disk that takes no more writes, under the real process: senders are told to come back, what was acknowledged stays, and
//! everything goes on by itself once there is space.

use hookfast::clock::Clock;
use hookfast_tests::sender::Wire;
use hookfast_tests::wait::eventually;
use hookfast_tests::{Plan, Sender, Server, Site, Source, Upstream};

/// Room for the tables and some events, not for all.
const DISK_KIB: u32 = 6 << 10;
const BODY_PADDING: usize = 100 << 10;

struct Provider {
    sender: Sender,
    wire: Wire,
    clock: Clock,
    sent: u32,
}

impl Provider {
    /// Sends the next event; its status, and its id where it was accepted.
    async fn send(&mut self, server: &Server) -> (u16, Option<String>) {
        self.sent += 1;
        let body = format!("{{\"id\":\"evt_{}\",\"type\":\"invoice.paid\",\"padding\":\"{}\"}}", self.sent, "x".repeat(BODY_PADDING));
        let answer = self.wire.send(server.ingest, &self.sender.delivery_of(body, self.clock.now())).await.expect("an answer");
        if answer.status == 503 {
            assert_eq!(answer.headers["retry-after"], "5");
        }
        (answer.status, (answer.status == 202).then(|| answer.event().to_string()))
    }
}

#[tokio::test]
async fn a_full_disk_is_answered_503_and_loses_nothing() {
    let upstream = Upstream::start().await;
    let site = Site::new(&Plan::default().source(Source::new("stripe", "stripe").to("forward")), upstream.address);
    let server = site.start_on_a_full_disk(DISK_KIB).await;
    let sender = Sender::new("stripe", "stripe", "shared-secret");
    let mut provider = Provider { sender, wire: Wire::new(), clock: Clock::system(), sent: 0 };

    let mut acknowledged = Vec::new();
    loop {
        match provider.send(&server).await {
            (202, id) => acknowledged.extend(id),
            (status, _) => break assert_eq!(status, 503),
        }
        assert!(acknowledged.len() < 1000, "the disk does not fill");
    }
    assert!(acknowledged.len() > 10, "the disk was full from the start");
    assert_eq!(site.get(&server, "/readyz").await.status, 503, "a node that cannot store is not ready");

    server.free_disk();
    // A balancer sends nothing to a node that is not ready: it must find out by itself.
    eventually("the node to be ready", async || site.get(&server, "/readyz").await.status == 200).await;
    eventually("the store to take events again", async || provider.send(&server).await.0 == 202).await;
    eventually("everything to be handled", async || site.is_quiet(&server).await).await;
    assert_eq!(site.get(&server, "/readyz").await.status, 200);
    server.kill().await;

    let server = site.start().await;
    eventually("everything to be handled", async || site.is_quiet(&server).await).await;
    let events = site.list(&server, "/api/v1/events").await;
    for id in &acknowledged {
        let event = events.iter().find(|event| event["id"] == id.as_str());
        assert_eq!(event.map(|event| &event["status"]), Some(&"done".into()), "acknowledged and lost: {id}");
    }
}
