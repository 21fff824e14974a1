//! When what was asked for is due, and who wakes what is parked.

use std::time::Duration;

use hookfast::domain::{Effects, Line, NewEvent, OrderingKey, Outcome, ParkReason, UpstreamName};
use hookfast::store::Work;

use super::ask;
use super::bench::{Bench, body, route};

pub(super) async fn what_is_asked_for_with_a_delay_is_due_later(bench: Bench) {
    let delay = Duration::from_secs(30);
    let job = bench.running("one").await;
    let mut effects = Effects { state: None, ..ask::all(&job, bench.clock.now()) };
    effects.events[0].delay = delay;
    effects.deliveries[0].delay = delay;
    bench.done(&job, effects).await.expect("settled");
    let due = bench.clock.now() + delay;
    bench.clock.advance(delay - Duration::from_millis(1));
    assert_eq!(bench.claim(9).await.len(), 0);
    assert_eq!(bench.store.backlog().borrow().next_due(), Some(due));
    bench.clock.advance(Duration::from_millis(1));
    let claimed = bench.claim(9).await;
    assert_eq!(claimed.len(), 2);
    for claimed in claimed {
        let is_delivery = matches!(claimed.work, Work::Deliver(_));
        assert_eq!(claimed.job.lineage.route.is_delivery(), is_delivery);
        assert_eq!(claimed.job.owed_since, due, "the budget begins when it may run");
    }
    bench.end().await;
}

pub(super) async fn a_delayed_event_joins_its_line_and_is_not_due_before(bench: Bench) {
    let line = Line { hash: [1; 16], skip_after: None };
    let in_line = |new: NewEvent| NewEvent { ordering: Some(OrderingKey { text: "customer".into(), line }), ..new };
    let asking = bench.running("asks").await;
    let head = in_line(super::bench::event(bench.event_id(), "head", bench.clock.now()));
    bench.store.admit(vec![head]).await.expect("admitted");
    let head = bench.claim_one().await;
    let delayed = NewEvent { delay: Duration::from_secs(30), ..in_line(ask::emitted(&asking, "delayed", bench.clock.now())) };
    bench.done(&asking, Effects { events: vec![delayed], ..Effects::default() }).await.expect("settled");
    let behind = in_line(super::bench::event(bench.event_id(), "behind", bench.clock.now()));
    bench.store.admit(vec![behind]).await.expect("admitted");
    assert_eq!(bench.store.job_counts().await.expect("counts").waiting, 2);
    bench.done(&head, Effects::default()).await.expect("settled");
    assert_eq!(bench.claim(9).await.len(), 0, "its turn has come, and not its time");
    bench.clock.advance(Duration::from_secs(30));
    for expected in ["delayed", "behind"] {
        let [claimed] = <[_; 1]>::try_from(bench.claim(9).await).expect("the head of the line");
        assert_eq!(body(&claimed), expected);
        bench.done(&claimed.job, Effects::default()).await.expect("settled");
    }
    bench.end().await;
}

pub(super) async fn an_upstream_that_is_back_wakes_its_jobs_oldest_first(bench: Bench) {
    let name = |name: &str| name.parse::<UpstreamName>().expect("a name");
    for (key, upstream) in [("a", "crm"), ("b", "crm"), ("c", "erp"), ("d", "crm")] {
        let job = bench.running(key).await;
        let parked = Outcome::Park { reason: ParkReason::UpstreamDown(name(upstream)) };
        bench.settle(&job, parked, Effects::default()).await.expect("settled");
    }
    let job = bench.running("e").await;
    bench.settle(&job, Outcome::Park { reason: ParkReason::PluginMissing }, Effects::default()).await.expect("settled");
    assert_eq!(bench.store.parked_upstreams().await.expect("read"), [(name("crm"), 3), (name("erp"), 1)]);
    let claimed = async || {
        let mut bodies: Vec<_> = bench.claim(9).await.iter().map(body).collect();
        bodies.sort_unstable();
        bodies
    };
    assert_eq!(bench.store.unpark(&route().plugin).await.expect("unparked"), 1);
    assert_eq!(claimed().await, ["e"], "what waits for an upstream does not wait for its plugin");
    assert_eq!(bench.store.unpark_upstream(&name("crm"), 2).await.expect("unparked"), 2);
    assert_eq!(claimed().await, ["a", "b"]);
    assert_eq!(bench.store.parked_upstreams().await.expect("read"), [(name("crm"), 1), (name("erp"), 1)]);
    assert_eq!(bench.store.unpark_upstream(&name("crm"), 9).await.expect("unparked"), 1);
    assert_eq!(bench.store.unpark_upstream(&name("crm"), 9).await.expect("unparked"), 0);
    let [last] = <[_; 1]>::try_from(bench.claim(9).await).expect("the last of them");
    assert_eq!((body(&last), last.job.attempt), ("d".into(), 1), "a park burns no attempt");
    bench.done(&last.job, Effects::default()).await.expect("settled");
    let attempts = bench.event(last.job.lineage.event).await.attempts;
    assert_eq!(attempts.iter().map(|attempt| (attempt.attempt, &*attempt.outcome)).collect::<Vec<_>>(), [(1, "done")]);
    bench.end().await;
}
