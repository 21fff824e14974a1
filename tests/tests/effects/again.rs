//! Runs that are repeated, requests that come at the same time, and restarts: everything is there once.

use std::time::Duration;

use hookfast::domain::{DeadReason, Effects, EventId, JobState, Outcome};
use hookfast::store::{Admitted, Work};

use super::ask::{self, COUNTER};
use super::bench::{self, Bench, WINDOW};

fn dead(cause: DeadReason) -> Outcome {
    Outcome::Dead { cause, reason: "hopeless".into() }
}

/// Also where the window of its key is over by then.
pub(super) async fn a_run_that_is_repeated_emits_and_delivers_the_same_once(bench: Bench) {
    let job = bench.running("one").await;
    let effects = || Effects { state: None, ..ask::all(&job, bench.clock.now()) };
    bench.settle(&job, dead(DeadReason::Permanent), effects()).await.expect("settled");
    for pause in [Duration::from_secs(1), WINDOW * 2] {
        bench.clock.advance(pause);
        assert_eq!(bench.replay_all().await, 1);
        let jobs = bench.claim(9).await;
        let again = jobs.iter().find(|claimed| claimed.job.lineage == job.lineage).expect("the replayed one");
        bench.settle(&again.job, dead(DeadReason::Permanent), effects()).await.expect("settled");
        let event = bench.event(job.lineage.event).await;
        assert_eq!((event.emitted, bench.event_count().await), (vec![EventId::derived(&job.lineage, 0)], 2));
        assert_eq!(event.jobs.iter().map(|job| &*job.route).collect::<Vec<_>>(), ["crm", "crm:1"]);
        assert_eq!(event.jobs[0].reason.as_deref(), Some("permanent: hopeless"), "what is there already is no fault");
    }
    let counts = bench.store.job_counts().await.expect("counts");
    assert_eq!((counts.running, counts.ready, counts.dead), (2, 0, 1), "one job of the emitted event, one of the delivery");
    bench.end().await;
}

pub(super) async fn an_event_that_is_emitted_and_sent_at_once_is_stored_once(bench: Bench) {
    const ROUNDS: usize = 20;
    let mut stored = 0;
    for round in 0..ROUNDS {
        let job = bench.running(&format!("asks {round}")).await;
        let key = format!("both {round}");
        let effects = Effects { events: vec![ask::emitted(&job, &key, bench.clock.now())], ..Effects::default() };
        let sent = bench::event(bench.event_id(), &key, bench.clock.now());
        let (settled, admitted) = tokio::join!(bench.done(&job, effects), bench.store.admit(vec![sent]));
        settled.expect("settled");
        let emitted = EventId::derived(&job.lineage, 0);
        let is_emitted = bench.store.event(emitted).await.expect("read").is_some();
        match admitted.expect("admitted")[..] {
            [Admitted::New(_)] => assert!(!is_emitted),
            [Admitted::Duplicate { of, .. }] => assert_eq!((is_emitted, of), (true, emitted)),
            ref other => panic!("{other:?}"),
        }
        stored += 2;
        assert_eq!(bench.event_count().await, stored);
        for claimed in bench.claim(2).await {
            assert_eq!(bench::body(&claimed), key);
            bench.done(&claimed.job, Effects::default()).await.expect("settled");
        }
    }
    bench.end().await;
}

pub(super) async fn a_refused_delivery_is_sent_again_under_another_key(bench: Bench) {
    let job = bench.running("one").await;
    bench.done(&job, Effects { deliveries: vec![ask::delivery(&job)], ..Effects::default() }).await.expect("settled");
    let mut replays = Vec::new();
    for cause in [DeadReason::MaxAttempts, DeadReason::Permanent, DeadReason::MaxAge, DeadReason::Permanent] {
        let [claimed] = <[_; 1]>::try_from(bench.claim(2).await).expect("the delivery");
        let Work::Deliver(delivery) = claimed.work else { panic!("{:?} delivers nothing", claimed.job) };
        assert_eq!((&delivery.lineage, claimed.job.plugin.as_str()), (&claimed.job.lineage, "crm"));
        replays.push(delivery.replays);
        bench.settle(&claimed.job, dead(cause), Effects::default()).await.expect("settled");
        assert_eq!(bench.replay_all().await, 1);
    }
    assert_eq!(replays, [0, 0, 1, 1]);
    let delivery = bench.event(job.lineage.event).await.jobs.remove(1).delivery.expect("a delivery");
    assert_eq!(delivery.replays, 2);
    bench.end().await;
}

pub(super) async fn everything_is_there_after_a_restart(bench: Bench) {
    let job = bench.running("one").await;
    bench.done(&job, ask::all(&job, bench.clock.now())).await.expect("settled");
    let before = (bench.version(COUNTER).await, bench.bytes().await);
    let bench = bench.restarted().await;
    assert_eq!(bench.value(COUNTER).await.as_deref(), Some("1"));
    assert_eq!((bench.version(COUNTER).await, bench.bytes().await), before);
    let claimed = bench.claim(3).await;
    let emitted = claimed.iter().find_map(|claimed| if let Work::Handle(event) = &claimed.work { Some(event) } else { None });
    let parent = emitted.expect("the emitted event").parent.clone().expect("who emitted it");
    assert_eq!((parent.lineage, parent.depth), (job.lineage.clone(), 1));
    let sent = claimed.iter().find_map(|claimed| if let Work::Deliver(delivery) = &claimed.work { Some(delivery) } else { None });
    let (sent, asked) = (sent.expect("the delivery"), ask::delivery(&job));
    assert_eq!((&sent.lineage, sent.digest, &sent.upstream), (&asked.lineage, asked.digest, &asked.upstream));
    assert_eq!((&sent.method, &sent.path, &sent.headers, &sent.body), (&asked.method, &asked.path, &asked.headers, &asked.body));
    assert_eq!(claimed.len(), 2);
    // A process that dies with a delivery in hand leaves it to the next.
    let bench = bench.restarted().await;
    for _ in 0..2 {
        let suspect = bench.claim_suspect().await;
        bench.done(&suspect, Effects::default()).await.expect("settled");
    }
    assert_eq!(bench.jobs(job.lineage.event).await, [("crm".into(), JobState::Done), ("crm:1".into(), JobState::Done)]);
    bench.end().await;
}
