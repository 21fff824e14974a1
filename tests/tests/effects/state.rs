//! Plugins' state: counted, bounded, expiring, versioned.

use std::time::Duration;

use futures_util::future::join_all;
use hookfast::domain::{Effects, StateChange, StateChanges, StateScope, StateWrite};
use hookfast::store::SettleError;

use super::ask::{self, COUNTER};
use super::bench::{Bench, START, source};

pub(super) async fn counters_of_jobs_that_end_together_lose_nothing(bench: Bench) {
    const JOBS: usize = 40;
    for number in 0..JOBS {
        bench.admit(&format!("key {number}")).await;
    }
    let jobs = bench.claim(JOBS).await;
    let settled = join_all(jobs.iter().map(|claimed| bench.done(&claimed.job, ask::state(vec![ask::one_more()])))).await;
    assert!(settled.iter().all(Result::is_ok), "an addition relies on nothing");
    assert_eq!(bench.value(COUNTER).await, Some(JOBS.to_string()));
    bench.end().await;
}

pub(super) async fn a_quota_holds_at_the_commit(bench: Bench) {
    let within = |changes, quota_bytes| {
        let state = StateChanges { quota_bytes, ..ask::changes(changes) };
        Effects { state: Some(state), ..Effects::default() }
    };
    let (first, second) = (bench.running("one").await, bench.running("two").await);
    // Each of them has room, as far as it can tell: 5 bytes of 9.
    bench.done(&first, within(vec![ask::set("a", "1234", None)], 9)).await.expect("settled");
    assert!(matches!(bench.done(&second, within(vec![ask::set("b", "1234", None)], 9)).await, Err(SettleError::Conflict)));
    assert_eq!((bench.value("b").await, bench.bytes().await), (None, 5));
    bench.done(&second, within(vec![ask::set("b", "123", None)], 9)).await.expect("to the byte");
    assert_eq!(bench.bytes().await, 9);
    // What makes it smaller is never refused, also where the quota is less by now.
    let third = bench.running("three").await;
    let delete = StateChange { key: "a".into(), expect: None, write: Some(StateWrite::Delete) };
    bench.done(&third, within(vec![delete], 1)).await.expect("settled");
    assert_eq!((bench.value("a").await, bench.bytes().await), (None, 4));
    bench.end().await;
}

pub(super) async fn what_has_expired_is_not_there_and_then_forgotten(bench: Bench) {
    const TTL: Duration = Duration::from_secs(10);
    let job = bench.running("one").await;
    let fleeting = StateChange { key: "n".into(), expect: None, write: Some(StateWrite::Set { value: "41".into(), ttl: Some(TTL) }) };
    bench.done(&job, ask::state(vec![fleeting, ask::set("stays", "1", None)])).await.expect("settled");
    bench.clock.advance(TTL - Duration::from_millis(1));
    bench.store.prune().await.expect("pruned");
    assert_eq!((bench.value("n").await.as_deref(), bench.bytes().await), (Some("41"), 9));
    let version = bench.version("n").await;
    bench.clock.advance(Duration::from_millis(1));
    assert_eq!(bench.value("n").await, None);
    // Whoever read it while it was there relies on what is no more.
    let job = bench.running("two").await;
    assert!(matches!(bench.done(&job, ask::state(vec![ask::set("n", "0", Some(version))])).await, Err(SettleError::Conflict)));
    let add = StateChange { key: "n".into(), expect: Some(None), write: Some(StateWrite::Add { by: 1, to_present: false }) };
    bench.done(&job, ask::state(vec![add])).await.expect("settled");
    assert_eq!((bench.value("n").await.as_deref(), bench.bytes().await), (Some("1"), 8), "counted from nothing, and for ever");
    let job = bench.running("three").await;
    let fleeting = StateChange { key: "m".into(), expect: None, write: Some(StateWrite::Set { value: "x".into(), ttl: Some(TTL) }) };
    bench.done(&job, ask::state(vec![fleeting])).await.expect("settled");
    bench.clock.advance(TTL);
    assert_eq!(bench.bytes().await, 10, "until it is forgotten");
    bench.store.prune().await.expect("pruned");
    assert_eq!((bench.bytes().await, bench.value("n").await.as_deref(), bench.value("stays").await.as_deref()), (8, Some("1"), Some("1")));
    bench.end().await;
}

pub(super) async fn versions_are_never_given_twice_also_when_the_clock_was_set_back(mut bench: Bench) {
    let mut versions = Vec::new();
    for number in 0..4 {
        let job = bench.running(&format!("set {number}")).await;
        bench.done(&job, ask::state(vec![ask::set("k", "v", Some(None))])).await.expect("settled");
        versions.extend(bench.version("k").await);
        let job = bench.running(&format!("delete {number}")).await;
        let delete = StateChange { key: "k".into(), expect: None, write: Some(StateWrite::Delete) };
        bench.done(&job, ask::state(vec![delete])).await.expect("settled");
        // All that carries a number is forgotten, and the clock is an hour behind.
        bench.store.expire(bench.clock.now() + Duration::from_secs(1)).await.expect("expired");
        assert_eq!(bench.event_count().await, 0);
        bench = bench.restarted_at(START - Duration::from_hours(1)).await;
    }
    let mut unique = versions.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), 4, "{versions:?}");
    bench.end().await;
}

pub(super) async fn a_scope_of_one_source_is_apart(bench: Bench) {
    let of_source = StateScope { source: Some(source()), ..ask::scope() };
    for (number, scope) in [ask::scope(), of_source.clone(), of_source.clone()].into_iter().enumerate() {
        let job = bench.running(&format!("key {number}")).await;
        let state = StateChanges { scope, ..ask::changes(vec![ask::one_more()]) };
        bench.done(&job, Effects { state: Some(state), ..Effects::default() }).await.expect("settled");
    }
    let apart = bench.store.state(&of_source, COUNTER).await.expect("read").expect("a counter");
    assert_eq!((&apart.value[..], bench.value(COUNTER).await.as_deref()), (&b"2"[..], Some("1")));
    assert_eq!((bench.store.state_bytes(&of_source).await.expect("read"), bench.bytes().await), (8, 8));
    bench.end().await;
}
