//! What PostgreSQL reads for an event: as much behind many rows as behind none, also under plans that were made when there were none. Pages
//! are counted, which do not depend on the machine; what only goes through the same few of them again and again takes time, and shows in
//! the rare work.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hookfast::clock::Clock;
use hookfast::domain::{NodeId, Quarantined, RawRequest, Refusal, RefusalCause, RequestId, SourceName};
use hookfast::metrics::Metrics;
use hookfast::random::Random;
use hookfast::store::{Database, DeadFilter, HeldPlace, Rush, Slots, Store, StoreSettings};
use hookfast_tests::postgres::Postgres;
use hookfast_tests::sender::Wire;
use hookfast_tests::{Plan, Sender, Server, Site, Source, Upstream};
use serde_json::json;

const ROUNDS: usize = 30;
/// Calls of the upstream that one round is answered with.
const CALLS: usize = 4;
/// Pages of 8 KB that a call of a statement may read more behind many rows: each index that it looks into is a level or two deeper. Any index
/// here has ten times as many.
const DEEPER: f64 = 20.0;
/// How many statements those of the hot path are at least.
const STATEMENTS: usize = 15;

/// Of everything that the hot path looks into, far more than it may look at: what is due later, what waits for its plugin, its upstream or
/// its turn, what another node runs, and what is over.
const MANY: &str = "
    INSERT INTO nodes (id, host, version, started_at, lease_until) VALUES ('00000000-0000-7000-8000-000000000001', 'other', '0', 0, 4102444800000);
    INSERT INTO jobs (event_id, source, route, plugin, state, due_at, attempt, attempts_before, owed_since, owner, park_reason, suspect, charges, line, upstream)
        SELECT gen_random_uuid(), source, 'absent', plugin, state, CASE state WHEN 'ready' THEN 4102444800000 ELSE 0 END, 1, 0, 0, owner::uuid, park_reason,
            charges > 0, charges, line::uuid, upstream
        FROM generate_series(1, 20000), (VALUES
            ('later', 'absent', 'ready', NULL, NULL, 0, NULL, NULL),
            ('shop', 'scripted', 'ready', NULL, NULL, 0, NULL, NULL),
            ('shop', 'scripted', 'ready', NULL, NULL, 1000000, NULL, NULL),
            ('shop', 'absent', 'parked', NULL, 'plugin_missing', 0, NULL, NULL),
            ('shop', 'scripted', 'waiting', NULL, NULL, 0, '00000000-0000-7000-8000-000000000002', NULL),
            ('shop', 'scripted', 'running', '00000000-0000-7000-8000-000000000001', NULL, 0, NULL, NULL)
        ) AS kind (source, plugin, state, owner, park_reason, charges, line, upstream);
    INSERT INTO events (id, source, received_at, headers, body) SELECT gen_random_uuid(), 'shop', 0, '', '' FROM generate_series(1, 50000);
    INSERT INTO dedupe_keys (hash, body_hash, event_id, expires_at)
        SELECT gen_random_uuid(), 0, gen_random_uuid(), 4102444800000 FROM generate_series(1, 50000);
    INSERT INTO attempts (event_id, route, attempt, node, plugin, digest, started_at, duration_us, outcome)
        SELECT gen_random_uuid(), 'scripted', 1, gen_random_uuid(), 'scripted', sha256(''), 0, 0, 'done' FROM generate_series(1, 50000);
    INSERT INTO dead_letters (event_id, source, route, plugin, attempts, cause, reason, died_at, line)
        SELECT gen_random_uuid(), 'shop', 'scripted', 'scripted', 1, 'permanent', '', 4102444800000, gen_random_uuid() FROM generate_series(1, 50000);
    INSERT INTO deliveries (event_id, route, digest, upstream, method, path, headers, body, replays)
        SELECT gen_random_uuid(), 'scripted:1', sha256(''), 'crm', 'POST', '/', '', '', 0 FROM generate_series(1, 50000);
    INSERT INTO steps (event_id, route, step, state, replays, attempt)
        SELECT gen_random_uuid(), 'scripted', 'order', 'begun', 0, 1 FROM generate_series(1, 50000);
    INSERT INTO state (plugin, source, key, value, version)
        SELECT 'scripted', '', sha256(number::text::bytea), '', 1 FROM generate_series(1, 50000) AS number;
    INSERT INTO state_usage (plugin, source, bytes) SELECT 'other-' || number, '', 1 FROM generate_series(1, 50000) AS number;
    INSERT INTO discards (event_id, route, plugin, attempts, discarded_at, reason)
        SELECT gen_random_uuid(), 'scripted', 'scripted', 1, 0, '' FROM generate_series(1, 50000);
    INSERT INTO requests (id, source, at, cause, status, detail, body_bytes)
        SELECT gen_random_uuid(), nullif(number % 50, 0), 0, 'unknown_source', 404, '', 0 FROM generate_series(1, 50000) AS number;
    INSERT INTO quarantine (id, source, received_at, method, target, bytes, headers, body)
        SELECT gen_random_uuid(), number % 100, 4102444800000, 'POST', '/', 1, '', '' FROM generate_series(1, 50000) AS number;
";

/// A new database of a server that tells what each statement has read: its URL and name.
fn counting(server: &Postgres) -> (String, String) {
    let system = |setting: &str| server.run(&format!("ALTER SYSTEM SET {setting}"), "postgres");
    system("shared_preload_libraries = 'pg_stat_statements'");
    // It would look at the tables anew, and mend the plans.
    system("autovacuum = off");
    server.crash();
    let url = server.database();
    let name = url.rsplit('/').next().expect("a name").to_owned();
    server.run("CREATE EXTENSION pg_stat_statements", &name);
    (url, name)
}

/// A server over such a database.
struct Bench {
    database: Postgres,
    name: String,
    upstream: Upstream,
    site: Site,
    rounds: usize,
}

impl Bench {
    fn new(database: Postgres, upstream: Upstream) -> Self {
        let (url, name) = counting(&database);
        let scripted = Source::new("shop", "github").to("scripted").retry(&["1ms"]).set("dedupe = \"none\"");
        let line = Source::new("line", "stripe").to("forward").set("ordering = \"json:/type\"");
        let plan = Plan::default().source(scripted).source(line).postgres(&url).sections(
            "[topics.orders]\nroutes = [{ plugin = \"forward\" }]\n\
             [grants.scripted]\nupstreams = [\"crm\", \"chat\"]\nemits = [\"orders\"]\nstate = { quota = \"1 MiB\" }\n",
        );
        let site = Site::new(&plan, upstream.address);
        // Whoever renews a lease looks through what runs.
        site.edit(|file| file.replace("lease = \"1s\"", "lease = \"2m\""));
        Self { database, name, upstream, site, rounds: 0 }
    }

    /// Events one at a time, so that no statement is about more than a few; what each statement has read.
    async fn run(&mut self, server: &Server) -> BTreeMap<i64, (String, f64)> {
        self.database.run("SELECT pg_stat_statements_reset()", &self.name);
        let now = Clock::system().now();
        let (shop, line) = (Sender::new("shop", "github", "shared-secret"), Sender::new("line", "stripe", "shared-secret"));
        let script = json!({ "lines": [
            { "do": "increment", "key": "seen" },
            { "do": "call", "to": "crm", "path": "/orders", "step": "order" },
            { "do": "emit", "to": "orders", "event_type": "order.placed", "body": "{}" },
            { "do": "deliver", "to": "chat", "path": "/messages" },
            { "do": "fail", "how": "retry", "up_to": 1 },
        ]});
        for _ in 0..ROUNDS {
            self.rounds += 1;
            let in_line = line.delivery("invoice.paid", &format!("evt_{}", self.rounds), now);
            // The same twice: one is a duplicate.
            for delivery in [&shop.delivery_of(script.to_string(), now), &in_line, &in_line] {
                Wire::new().send(server.ingest, delivery).await.expect("an answer").event();
            }
            self.upstream.called(CALLS * self.rounds).await;
        }
        self.pages()
    }

    /// Pages that a call of each statement has read, of those that every round needs; by number and text.
    fn pages(&self) -> BTreeMap<i64, (String, f64)> {
        let sql = format!(
            "SELECT coalesce(json_agg(json_build_array(queryid, query, (shared_blks_hit + shared_blks_read)::float / calls)), '[]') \
             FROM pg_stat_statements JOIN pg_database ON oid = dbid WHERE datname = '{}' AND calls >= {}",
            self.name,
            ROUNDS / 2
        );
        serde_json::from_str::<Vec<(i64, String, f64)>>(&self.database.run(&sql, &self.name))
            .expect("JSON")
            .into_iter()
            .map(|(number, text, pages)| (number, (text, pages)))
            .collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_event_reads_does_not_depend_on_how_many_rows_there_are() {
    let upstream = Upstream::start().await;
    let database = tokio::task::spawn_blocking(Postgres::start).await.expect("no panic");
    let mut bench = Bench::new(database, upstream);
    let server = bench.site.start().await;
    // PostgreSQL plans a statement when a connection first uses it, for the rows that it knows of: none.
    bench.database.run("VACUUM ANALYZE", &bench.name);
    let few = bench.run(&server).await;
    bench.database.run(MANY, &bench.name);
    let many = bench.run(&server).await;
    server.kill().await;

    let both: Vec<_> = few.iter().filter_map(|(number, (text, few))| Some((text, *few, many.get(number)?.1))).collect();
    assert!(both.len() >= STATEMENTS, "{} statements were seen in both", both.len());
    let grown = both.iter().filter(|(_, few, many)| *many > few + DEEPER);
    let grown: Vec<String> = grown.map(|(text, few, many)| format!("{few:.0} pages, then {many:.0}: {text}")).collect();
    assert!(grown.is_empty(), "they read more where there is more:\n{}", grown.join("\n"));
}

/// The rare work, all of it once.
async fn rare_work(store: &Store, clock: &Clock) {
    let now = clock.now();
    let source: SourceName = "few".parse().expect("a name");
    store.prune().await.expect("expired keys are forgotten");
    store.expire(now).await.expect("old events are forgotten");
    store.expire_quarantine(now).await.expect("there is no old request");
    store.unpark(&"absent".parse().expect("a name")).await.expect("jobs are unparked");
    let filter = DeadFilter { source: Some(source.clone()), ..DeadFilter::default() };
    store.replay_dead(filter).await.expect("dead letters are replayed");
    let refusal = |source: Option<SourceName>| Refusal {
        id: RequestId::new(now, [1; 10]),
        source,
        at: now,
        cause: RefusalCause::UnknownSource,
        body_bytes: 0,
        headers: None,
        diagnosis: None,
    };
    store.record_refusals(vec![refusal(Some(source.clone())), refusal(None)]).await.expect("refusals are recorded");
    let request = RawRequest::empty(now);
    let kept = Quarantined { id: RequestId::new(now, [1; 10]), source: source.clone(), request };
    store.quarantine(vec![kept.clone(), kept]).await.expect("requests are kept");
    let held = store.quarantined(&source, HeldPlace::FIRST).await.expect("requests are read");
    store.release(&[held[0].place]).await.expect("one is released");
    store.expire_quarantine(now + Duration::from_secs(1)).await.expect("the other one is forgotten");
    assert!(store.quarantined(&source, HeldPlace::FIRST).await.expect("requests are read").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_rare_work_reads_does_not_depend_on_how_many_rows_there_are() {
    /// So many events, jobs or dead letters are worked on at once, at most.
    const BATCH: u32 = 500;
    /// Pages for each of them: its own, and three for each of the seven indexes that it is in, or that may know of it.
    const PAGES: u32 = 30;
    /// Keys that have expired, so few that whoever looks for them among all reads far more than is theirs.
    const EXPIRED: u32 = 5;
    /// Pages that a BRIN index summarizes as one.
    const RANGE: u32 = 128;
    /// A hundred times what the slowest takes.
    const LONGEST: Duration = Duration::from_secs(2);
    let server = tokio::task::spawn_blocking(Postgres::start).await.expect("no panic");
    let (url, name) = counting(&server);
    let (clock, random) = (Clock::system(), Random::seeded(1));
    let opened = Store::open(StoreSettings {
        database: Database::Postgres(url.parse().expect("a URL")),
        node: NodeId::new(clock.now(), random.bytes()),
        clock: clock.clone(),
        random,
        migrates: true,
        lease: Duration::from_mins(5),
        metrics: Arc::new(Metrics::default()),
        slots: Slots::new(0),
        rush: Rush::default(),
        dedupe_keys_max: 1,
    });
    let store = opened.await.expect("a store").store;
    server.run("VACUUM ANALYZE", &name);
    // On each connection that there is, in turn.
    for _ in 0..4 {
        rare_work(&store, &clock).await;
    }
    // They came before those that live.
    let expired = format!(
        "INSERT INTO dedupe_keys (hash, body_hash, event_id, expires_at) \
         SELECT gen_random_uuid(), 0, gen_random_uuid(), 0 FROM generate_series(1, {EXPIRED})"
    );
    server.run(&expired, &name);
    server.run(MANY, &name);
    // Of autovacuum's work, the part that mends no plan.
    server.run("SELECT brin_summarize_new_values('dedupe_keys_expiry')", &name);
    let dead = format!(
        "INSERT INTO dead_letters (event_id, source, route, plugin, attempts, cause, reason, died_at) \
         SELECT gen_random_uuid(), 'few', 'scripted', 'scripted', 1, 'permanent', '', 0 FROM generate_series(1, {BATCH})"
    );
    server.run(&dead, &name);
    let count = |of: &str| server.run(&format!("SELECT count(*) FROM {of}"), &name).parse::<u32>().expect("a number");
    let counts = || [count("events"), count("dead_letters"), count("dedupe_keys"), count("jobs WHERE state = 'parked'")];
    let before = counts();
    server.run("SELECT pg_stat_statements_reset()", &name);
    rare_work(&store, &clock).await;
    // The last id of the first batch says that its event came later than now, so that one batch of events is all.
    let after = counts();
    let worked_on = [0, 1, 2, 3].map(|of| before[of] - after[of]);
    assert_eq!(worked_on, [BATCH, BATCH, EXPIRED, before[3]]);
    let sql = format!(
        "SELECT query, calls, shared_blks_hit + shared_blks_read, max_exec_time FROM pg_stat_statements JOIN pg_database ON oid = dbid \
         WHERE datname = '{name}' AND query !~ 'pg_stat|^SELECT count' \
         AND (shared_blks_hit + shared_blks_read > CASE WHEN query ~ 'dedupe_keys' THEN {} ELSE {} END * calls OR max_exec_time > {})",
        EXPIRED * PAGES + RANGE,
        BATCH * PAGES,
        LONGEST.as_millis()
    );
    assert_eq!(server.run(&sql, &name), "", "these read or take too much");
    store.close().await;
}
