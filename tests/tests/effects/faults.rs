//! Settlements that must leave nothing behind, and their neighbours.

use futures_util::future::join_all;
use hookfast::domain::{Answer, DeadReason, EventId, JobState, Outcome};
use hookfast::store::{DeadFilter, SettleError};

use super::ask::{self, COUNTER};
use super::bench::Bench;

pub(super) async fn a_stale_owner_leaves_nothing(bench: Bench) {
    let stale = bench.running("one").await;
    let bench = bench.restarted().await;
    let effects = ask::all(&stale, bench.clock.now());
    assert!(matches!(bench.done(&stale, effects.clone()).await, Err(SettleError::Stale)));
    bench.check_nothing(&stale).await;
    // Not even a word about state is for one that is not the owner.
    let wrong = ask::state(vec![ask::set("k", "v", Some(Some(7)))]);
    assert!(matches!(bench.done(&stale, wrong).await, Err(SettleError::Stale)));
    let owned = bench.claim_suspect().await;
    assert_eq!(owned.lineage, stale.lineage);
    bench.done(&owned, effects.clone()).await.expect("settled");
    assert_eq!(bench.value(COUNTER).await.as_deref(), Some("1"));
    for late in [&stale, &owned] {
        assert!(matches!(bench.done(late, effects.clone()).await, Err(SettleError::Stale)));
    }
    assert_eq!((bench.value(COUNTER).await.as_deref(), bench.event_count().await), (Some("1"), 2));
    assert_eq!(bench.jobs(stale.lineage.event).await, [("crm".into(), JobState::Done), ("crm:1".into(), JobState::Ready)]);
    bench.end().await;
}

pub(super) async fn a_conflict_leaves_nothing_and_its_job_can_be_settled_again(bench: Bench) {
    let (first, second) = (bench.running("one").await, bench.running("two").await);
    // Both have read that there is nothing.
    let effects = |job, expect| {
        let mut effects = ask::all(job, bench.clock.now());
        effects.state = Some(ask::changes(vec![ask::one_more(), ask::set("last", "seen", Some(expect))]));
        effects.events = vec![ask::emitted(job, &format!("of {}", job.attempt), bench.clock.now())];
        effects
    };
    let mut alone = effects(&first, None);
    (alone.events, alone.deliveries) = (Vec::new(), Vec::new());
    bench.done(&first, alone).await.expect("settled");
    let before = (bench.version(COUNTER).await, bench.version("last").await, bench.bytes().await);
    assert!(matches!(bench.done(&second, effects(&second, None)).await, Err(SettleError::Conflict)));
    assert_eq!((bench.version(COUNTER).await, bench.version("last").await, bench.bytes().await), before);
    assert_eq!(bench.jobs(second.lineage.event).await, [("crm".into(), JobState::Running)]);
    assert!(bench.event(second.lineage.event).await.attempts.is_empty());
    assert_eq!(bench.event_count().await, 2);
    bench.done(&second, effects(&second, before.1)).await.expect("settled, with what is there now");
    assert_eq!((bench.value(COUNTER).await.as_deref(), bench.event_count().await), (Some("2"), 3));
    assert_eq!(bench.jobs(second.lineage.event).await, [("crm".into(), JobState::Done), ("crm:1".into(), JobState::Ready)]);
    bench.end().await;
}

pub(super) async fn of_a_group_only_what_the_database_refuses_is_buried_and_without_its_effects(bench: Bench) {
    const JOBS: usize = 9;
    for number in 0..JOBS {
        bench.admit(&format!("key {number}")).await;
    }
    let jobs: Vec<_> = bench.claim(JOBS).await.into_iter().map(|claimed| claimed.job).collect();
    let culprit = JOBS / 2;
    let settled = join_all(jobs.iter().enumerate().map(|(number, job)| {
        let mut effects = ask::all(job, bench.clock.now());
        effects.events = vec![ask::emitted(job, &format!("of {number}"), bench.clock.now())];
        if number == culprit {
            // The tables hold answers of success only.
            effects.events[0].answer = Answer { status: 500, body: None };
        }
        bench.done(job, effects)
    }));
    settled.await.into_iter().for_each(|settled| settled.expect("settled"));
    assert_eq!(bench.value(COUNTER).await, Some((JOBS - 1).to_string()));
    for (number, job) in jobs.iter().enumerate() {
        let emitted = bench.store.event(EventId::derived(&job.lineage, 0)).await.expect("read");
        let states: Vec<_> = bench.jobs(job.lineage.event).await.into_iter().map(|(_, state)| state).collect();
        if number == culprit {
            assert_eq!((emitted.is_none(), &states[..]), (true, &[JobState::Dead][..]));
        } else {
            assert_eq!((emitted.is_some(), &states[..]), (true, &[JobState::Done, JobState::Ready][..]));
        }
    }
    let dead = bench.store.dead_letters(&DeadFilter { all: true, ..DeadFilter::default() }, 10).await.expect("read");
    assert_eq!(dead.iter().map(|dead| &*dead.cause).collect::<Vec<_>>(), ["unstorable"]);
    bench.end().await;
}

pub(super) async fn a_compensation_commits_with_the_dead_letter(bench: Bench) {
    let job = bench.running("one").await;
    let dead = Outcome::Dead { cause: DeadReason::MaxAttempts, reason: "hopeless".into() };
    bench.settle(&job, dead, ask::all(&job, bench.clock.now())).await.expect("settled");
    assert_eq!((bench.value(COUNTER).await.as_deref(), bench.event_count().await), (Some("1"), 2));
    assert_eq!(bench.jobs(job.lineage.event).await, [("crm".into(), JobState::Dead), ("crm:1".into(), JobState::Ready)]);
    bench.end().await;
}
