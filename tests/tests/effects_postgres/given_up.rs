//! What takes the database longer than a node waits for it: it ends there, nothing of it is lost, and what must be done is done in parts.

use std::collections::BTreeSet;
use std::sync::Arc;

use hookfast::clock::Clock;
use hookfast::domain::{Event, EventId, NewEvent, PluginName, Timestamp};
use hookfast::store::{AdmitError, Store, StoreError};
use hookfast_tests::postgres::Postgres;
use hookfast_tests::wait::{eventually, within};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::asking::{admit, claim, new_event, open};

/// A node over a database of its own that can be made to take its time.
struct Slow {
    server: Postgres,
    url: String,
    clock: Clock,
    store: Store,
}

impl Slow {
    async fn start() -> Self {
        let server = tokio::task::spawn_blocking(Postgres::start).await.expect("no panic");
        let (url, clock) = (server.database(), Clock::system());
        let store = open(&url, &clock, 1).await;
        Self { server, url, clock, store }
    }

    fn run(&self, sql: &str) -> String {
        tokio::task::block_in_place(|| self.server.run(sql, self.url.rsplit('/').next().expect("a name")))
    }

    /// From now on each of these rows, as a trigger names them, takes so many seconds; `dawdled` has a row for each that was committed.
    fn slow_down(&self, rows: &str, seconds: f32) {
        self.run(&format!("CREATE TABLE dawdling AS SELECT {seconds}::float AS seconds; CREATE TABLE dawdled (row int)"));
        self.run(
            "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(seconds) FROM dawdling; \
             INSERT INTO dawdled VALUES (1); IF TG_OP = 'DELETE' THEN RETURN OLD; END IF; RETURN NEW; END $$",
        );
        self.run(&format!("CREATE TRIGGER dawdles BEFORE {rows} EXECUTE FUNCTION dawdle()"));
    }

    fn speed_up(&self) {
        self.run("DELETE FROM dawdling");
    }

    fn event(&self, key: u8) -> NewEvent {
        new_event(self.store.event_id(self.clock.now(), [key; 10]), key, None)
    }

    /// Has the node make all connections that it may have: each that it makes later has it look at its jobs at once.
    async fn connect_all(&self) {
        let nobody: PluginName = "nobody".parse().expect("a name");
        let sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'hookfast'";
        eventually("no more connections to be made", async || {
            let before = self.run(sessions);
            let calls: JoinSet<_> = (0..32)
                .map(|_| {
                    let (store, nobody) = (self.store.clone(), nobody.clone());
                    async move { store.unpark(&nobody).await }
                })
                .collect();
            calls.join_all().await.into_iter().for_each(|woken| assert_eq!(woken.expect("an answer"), 0));
            before == self.run(sessions)
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_given_up_does_not_go_on_in_the_database() {
    let slow = Slow::start().await;
    slow.slow_down("INSERT ON events FOR EACH ROW", 600.0);
    let refused = within("the refusal", slow.store.admit(vec![slow.event(1)])).await;
    assert!(matches!(refused, Err(AdmitError::Saturated)), "{refused:?}");
    let dawdling = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'hookfast' AND wait_event = 'PgSleep'";
    eventually("the insert to end", async || slow.run(dawdling) == "0").await;
    slow.speed_up();
    eventually("the database to be taken for writable", async || slow.store.is_writable()).await;
    admit(&slow.store, slow.event(1)).await;
    assert_eq!(slow.run("SELECT count(*) FROM events"), "1");
    slow.store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_that_are_taken_by_a_claim_that_was_given_up_are_given_back() {
    let slow = Slow::start().await;
    let NewEvent { event, key, ordering, answer, routes, delay } = slow.event(1);
    let event = Arc::new(Event { source: "bills".parse().expect("a name"), ..(*event).clone() });
    let mut admitted = BTreeSet::from([admit(&slow.store, NewEvent { event, key, ordering, answer, routes, delay }).await]);
    for number in 2..=3 {
        admitted.insert(admit(&slow.store, slow.event(number)).await);
    }
    slow.connect_all().await;
    // Two of the places are due to the bills, of which there is one: so the last job is taken in a second turn, which is a statement of its own.
    // The first one ends in time, the other when nobody waits for it any more.
    slow.slow_down("UPDATE ON jobs FOR EACH ROW WHEN (NEW.state = 'running')", 6.0);
    let places = Arc::new(Semaphore::new(3));
    let places = (0..3).map(|_| Arc::clone(&places).try_acquire_owned().expect("a free place")).collect();
    let claimed = within("the claim", slow.store.claim(places, Vec::new())).await;
    assert!(matches!(claimed, Err(StoreError::Unavailable(_))), "{:?}", claimed.map(|claimed| claimed.len()));
    eventually("both statements to be committed", async || slow.run("SELECT count(*) FROM dawdled") == "3").await;
    slow.speed_up();
    eventually("it to be noticed that nobody has the job", async || slow.run("SELECT count(*) FROM jobs WHERE state = 'running'") == "0")
        .await;
    let claimed = claim(&slow.store, 3).await.into_iter().map(|claimed| claimed.job.lineage.event);
    assert_eq!(claimed.collect::<BTreeSet<_>>(), admitted);
    slow.store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_take_too_long_to_forget_are_forgotten_in_parts() {
    const EVENTS: u8 = 160;
    let slow = Slow::start().await;
    let received_at = Timestamp::from_millis(1_767_225_600_000);
    let id = |number: u8| slow.store.event_id(received_at, [number; 10]);
    let event = |id: EventId| NewEvent { key: None, routes: Vec::new(), ..new_event(id, 1, None) };
    slow.store.admit((0..EVENTS).map(|number| event(id(number))).collect()).await.expect("admitted");
    // All at once take 16 s.
    slow.slow_down("DELETE ON events FOR EACH ROW", 0.1);
    within("the events to be forgotten", slow.store.expire(slow.clock.now())).await.expect("forgotten");
    assert_eq!(slow.run("SELECT count(*) FROM events"), "0");
    slow.store.close().await;
}
