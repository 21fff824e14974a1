//! Random histories of both drivers of the real store against a small model of what must be true: no job is lost, none is settled twice, a
//! stale settle changes nothing, of events under one key that arrive at once one is new, a crash costs no attempt, one bad row never fails
//! its group, and what a run asks for is there once for each outcome that was committed, and never without it.

mod step;
mod model;
mod history;
mod takeover;
mod upkeep;
mod together;
mod effects;
mod journal;
mod compare;

use std::cell::Cell;

use hookfast::store::Database;
use hookfast_tests::directory::Directory;
use hookfast_tests::postgres;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use self::history::History;
use self::step::{Step, steps};

/// So many histories of each driver: a database over a socket takes longer for each.
const HISTORIES_OF_SQLITE: u32 = 48;
const HISTORIES_OF_POSTGRES: u32 = 20;

#[test]
fn sqlite_does_what_the_model_says() {
    let directory = Directory::new();
    check(HISTORIES_OF_SQLITE, async |history| Database::Sqlite(directory.path().join(format!("{history}.db"))));
}

#[test]
fn postgres_does_what_the_model_says() {
    check(HISTORIES_OF_POSTGRES, async |_| Database::Postgres(postgres::database().await.parse().expect("a URL")));
}

/// Plays random histories, each on a database of its own.
fn check(histories: u32, database: impl AsyncFn(u32) -> Database) {
    let mut runner = TestRunner::new(ProptestConfig { cases: histories, failure_persistence: None, ..ProptestConfig::default() });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let played = Cell::new(0);
    let result = runner.run(&steps(), |steps| {
        played.set(played.get() + 1);
        runtime.block_on(async { play(database(played.get()).await, steps).await });
        Ok(())
    });
    result.unwrap_or_else(|failure| panic!("{failure}"));
}

async fn play(database: Database, steps: Vec<Step>) {
    let mut history = History::of(database).await;
    for step in steps {
        history.take(step).await;
        history.compare().await;
    }
    history.crash().await;
    history.compare().await;
    history.end().await;
}
