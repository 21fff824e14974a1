//! A disk that takes no more writes, under the real process: senders are told to come back, what was acknowledged stays, and
//! everything goes on by itself once there is space.

use hookfast::clock::Clock;
use hookfast_tests::postgres::Postgres;
use hookfast_tests::sender::Wire;
use hookfast_tests::wait::eventually;
use hookfast_tests::{Disk, Plan, Sender, Server, Site, Source, Upstream, skipped};

/// Room for the tables and some events, not for all.
const DISK_KIB: u32 = 6 << 10;
/// Room for an empty database of PostgreSQL, or for its write-ahead log, and some events.
const POSTGRES_KIB: u32 = 64 << 10;
const BODY_PADDING: usize = 100 << 10;

struct Provider {
    sender: Sender,
    wire: Wire,
    clock: Clock,
    sent: u32,
}

impl Provider {
    fn new() -> Self {
        let sender = Sender::new("stripe", "stripe", "shared-secret");
        Self { sender, wire: Wire::new(), clock: Clock::system(), sent: 0 }
    }

    /// Sends until the disk is full; what was acknowledged.
    async fn fill(&mut self, server: &Server) -> Vec<String> {
        let mut acknowledged = Vec::new();
        loop {
            match self.send(server).await {
                (202, id) => acknowledged.extend(id),
                (status, _) => break assert_eq!(status, 503),
            }
            assert!(acknowledged.len() < 1000, "the disk does not fill");
        }
        assert!(acknowledged.len() > 10, "the disk was full from the start");
        acknowledged
    }

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

fn plan() -> Plan {
    Plan::default().source(Source::new("stripe", "stripe").to("forward"))
}

#[tokio::test]
async fn a_full_disk_is_answered_503_and_loses_nothing() {
    let upstream = Upstream::start().await;
    let site = Site::new(&plan(), upstream.address);
    let server = site.start_on_a_full_disk(DISK_KIB).await;
    let mut provider = Provider::new();
    let acknowledged = provider.fill(&server).await;
    assert_eq!(site.get(&server, "/readyz").await.status, 503, "a node that cannot store is not ready");

    server.free_disk();
    goes_on_by_itself(&site, server, &mut provider, &acknowledged).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_under_tables_of_postgres_is_answered_503_and_loses_nothing() {
    let disk = match Disk::of_memory(POSTGRES_KIB) {
        Ok(disk) => disk,
        Err(why) => return skipped("a full disk under tables of PostgreSQL", &why),
    };
    let database = Postgres::start();
    let url = database.database_on(&disk);
    fills_up(&database, &disk, &url).await;
}

/// PostgreSQL ends itself when it cannot write its log; it comes back when there is space, or an operator starts it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_under_the_log_of_postgres_is_answered_503_and_loses_nothing() {
    let disk = match Disk::of_memory(POSTGRES_KIB) {
        Ok(disk) => disk,
        Err(why) => return skipped("a full disk under the write-ahead log of PostgreSQL", &why),
    };
    let database = Postgres::start_with_log_on(&disk);
    let url = database.database();
    fills_up(&database, &disk, &url).await;
}

async fn fills_up(database: &Postgres, disk: &Disk, url: &str) {
    let upstream = Upstream::start().await;
    let site = Site::new(&plan().postgres(url), upstream.address);
    let server = site.start().await;
    disk.fill_but(6 << 10);
    let mut provider = Provider::new();
    let acknowledged = provider.fill(&server).await;
    // Many times, since what renews leases and takes jobs finds room where an event finds none.
    for _ in 0..50 {
        assert_eq!(site.get(&server, "/readyz").await.status, 503, "a node that cannot store is not ready");
        assert_eq!(provider.send(&server).await.0, 503);
    }

    disk.free();
    eventually("the node to be ready", async || {
        database.start_if_ended();
        site.get(&server, "/readyz").await.status == 200
    })
    .await;
    goes_on_by_itself(&site, server, &mut provider, &acknowledged).await;
}

async fn goes_on_by_itself(site: &Site, server: Server, provider: &mut Provider, acknowledged: &[String]) {
    // A balancer sends nothing to a node that is not ready: it must find out by itself.
    eventually("the node to be ready", async || site.get(&server, "/readyz").await.status == 200).await;
    eventually("the store to take events again", async || provider.send(&server).await.0 == 202).await;
    site.until_quiet(&server).await;
    assert_eq!(site.get(&server, "/readyz").await.status, 200);
    server.kill().await;

    let server = site.start().await;
    site.until_quiet(&server).await;
    let events = site.list(&server, "/api/v1/events").await;
    for id in acknowledged {
        let event = events.iter().find(|event| event["id"] == id.as_str());
        assert_eq!(event.map(|event| &event["status"]), Some(&"done".into()), "acknowledged and lost: {id}");
    }
}
