//! Order over several nodes: events of one key run one after the other, whichever node takes them and whichever runs them.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use hookfast::clock::Clock;
use hookfast_tests::postgres::Postgres;
use hookfast_tests::sender::Wire;
use hookfast_tests::wait::eventually;
use hookfast_tests::{Answer, Gate, Plan, Reply, Sender, Server, Site, Source, Upstream};
use serde_json::Value;

fn plan(database: &str, delays: &[&str]) -> Plan {
    let shop = Source::new("shop", "hmac").to("forward").retry(delays).set("ordering = \"json:/customer\"");
    Plan::default().source(shop).postgres(database)
}

async fn start_database() -> Postgres {
    tokio::task::spawn_blocking(Postgres::start).await.expect("no panic")
}

async fn order(server: &Server, customer: u64, number: u64) -> Answer {
    let body = format!(r#"{{"customer":"c{customer}","number":{number}}}"#);
    let delivery = Sender::new("shop", "hmac", "shared-secret").delivery_of(body, Clock::system().now());
    Wire::new().send(server.ingest, &delivery).await.expect("an answer")
}

/// So many customers, each of whom sends so many orders, one after the other and to either node.
const CUSTOMERS: u64 = 6;
const ORDERS: u64 = 25;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn order_holds_whichever_nodes_take_the_events() {
    let database = start_database().await;
    let upstream = Upstream::start().await;
    // Often enough for one order to meet all the failures there are.
    let plan = plan(&database.database(), &["50ms"; 8]);
    let sites = [Site::new(&plan, upstream.address), Site::new(&plan, upstream.address)];
    let servers = [sites[0].start().await, sites[1].start().await];
    // Some orders fail at first, and hold up those of their customer.
    upstream.script((0..ORDERS).map(|number| if number % 4 == 0 { Reply::Status(503) } else { Reply::Status(200) }));
    let customer = async |customer: u64| {
        for number in 0..ORDERS {
            order(&servers[usize::from((customer + number).is_multiple_of(3))], customer, number).await.event();
        }
    };
    join_all((0..CUSTOMERS).map(customer)).await;
    let waiting = async || sites[0].get(&servers[0], "/metrics").await.body.contains("hookfast_jobs{state=\"waiting\"} 0\n");
    let answered = || orders(&upstream).into_iter().map(|order| order.1).collect::<BTreeSet<_>>().len() as u64;
    eventually("all orders", async || answered() == CUSTOMERS * ORDERS && waiting().await).await;
    for customer in 0..CUSTOMERS {
        let mut numbers: Vec<u64> = orders(&upstream).iter().filter(|order| order.0 == customer).map(|order| order.1 % ORDERS).collect();
        // One that failed was asked for again, before any later one.
        numbers.dedup();
        assert_eq!(numbers, (0..ORDERS).collect::<Vec<_>>(), "customer {customer}");
    }
    for server in servers {
        server.kill().await;
    }
}

/// An event that begins to wait while the one before it ends: it must not wait for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_joins_its_line_as_the_head_leaves_it_is_run() {
    let database = start_database().await;
    let gate = Gate::shut();
    let upstream = Upstream::start().await;
    upstream.script([Reply::Held(gate.clone())]);
    let url = database.database();
    let name = url.rsplit('/').next().expect("a name");
    let site = Site::new(&plan(&url, &["50ms"]), upstream.address);
    let server = site.start().await;
    let first = order(&server, 1, 1).await.event().to_string();
    upstream.called(1).await;

    // Whoever begins to wait is held there, with the head seen and nothing committed.
    let wait = "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql SET lock_timeout = 0 \
        AS $$ BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NULL; END $$";
    database.run(wait, name);
    database.run("CREATE TRIGGER wait AFTER INSERT ON jobs FOR EACH ROW WHEN (NEW.state = 'waiting') EXECUTE FUNCTION wait()", name);
    let mut session = database.session(&url);
    session.run("SELECT pg_advisory_lock(1)");
    let waits = || database.run("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted", name);
    let second = async {
        let second = order(&server, 1, 2).await.event().to_string();
        eventually("the second event", async || status(&site, &server, &second).await == "done").await;
    };
    let meanwhile = async {
        eventually("the second event to be held", async || waits() == "1").await;
        gate.open();
        // The head leaves, or waits until it may.
        eventually("the head", async || waits() == "2" || status(&site, &server, &first).await == "done").await;
        session.run("SELECT pg_advisory_unlock(1)");
    };
    tokio::join!(second, meanwhile);
    server.kill().await;
}

async fn status(site: &Site, server: &Server, event: &str) -> Value {
    site.get(server, &format!("/api/v1/events/{event}")).await.json()["status"].clone()
}

/// Each call of the upstream as its customer and the order's number among all.
fn orders(upstream: &Upstream) -> Vec<(u64, u64)> {
    let read = |body: &[u8]| {
        let order: Value = serde_json::from_slice(body).expect("an order");
        let customer = order["customer"].as_str().and_then(|name| name[1..].parse().ok()).expect("a customer");
        (customer, customer * ORDERS + order["number"].as_u64().expect("a number"))
    };
    upstream.calls().iter().map(|call| read(&call.body)).collect()
}
