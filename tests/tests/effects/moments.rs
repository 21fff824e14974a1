//! What somebody sees who looks in between: all of an outcome, or nothing of it. A crash leaves what could have been seen at some moment.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;

use super::ask::{self, COUNTER};
use super::bench::Bench;

/// The counter, the runs that are done, the emitted events with their jobs, the deliveries with theirs: in one look.
const LOOK: &str = "SELECT coalesce((SELECT CAST(CAST(value AS TEXT) AS INTEGER) FROM state WHERE key = CAST('counter' AS BLOB)), 0), \
     (SELECT count(*) FROM attempts WHERE outcome = 'done'), \
     (SELECT count(*) FROM events e JOIN jobs j ON j.event_seq = e.seq WHERE e.parent IS NOT NULL), \
     (SELECT count(*) FROM deliveries d JOIN jobs j ON j.event_seq = d.event_seq AND j.route = d.route)";
const JOBS: usize = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_every_moment_all_of_an_outcome_is_there_or_nothing() {
    let bench = Bench::on_sqlite().await;
    for number in 0..JOBS {
        bench.admit(&format!("key {number}")).await;
    }
    let jobs: Vec<_> = bench.claim(JOBS).await.into_iter().map(|claimed| claimed.job).collect();
    let file = bench.file().expect("a file");
    let is_over = AtomicBool::new(false);
    let looks = std::thread::scope(|threads| {
        let looks = threads.spawn(|| look(&file, &is_over));
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                for some in jobs.chunks(3) {
                    let settled = some.iter().map(|job| {
                        let mut effects = ask::all(job, bench.clock.now());
                        effects.events = vec![ask::emitted(job, &job.lineage.event.to_string()[24..], bench.clock.now())];
                        bench.done(job, effects)
                    });
                    join_all(settled).await.into_iter().for_each(|settled| settled.expect("settled"));
                }
            });
        });
        is_over.store(true, Ordering::SeqCst);
        looks.join().expect("no panic")
    });
    assert_eq!(bench.value(COUNTER).await, Some(JOBS.to_string()));
    assert!(looks > 10, "{looks} different moments were seen");
    bench.end().await;
}

/// Looks until it is over; how many different moments were seen.
fn look(file: &Path, is_over: &AtomicBool) -> usize {
    let connection = rusqlite::Connection::open(file).expect("the database");
    let mut moments = std::collections::BTreeSet::new();
    while !is_over.load(Ordering::SeqCst) {
        let seen = connection.query_row(LOOK, [], |row| Ok([row.get::<_, i64>(0)?, row.get(1)?, row.get(2)?, row.get(3)?]));
        let [counted, done, emitted, delivered] = seen.expect("a look");
        assert_eq!((counted, emitted, delivered), (done, done, done));
        moments.insert(done);
    }
    moments.len()
}
