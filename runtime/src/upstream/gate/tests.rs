//! The gate as a whole: what is held against an upstream, in which order, and for how long. The clocks are the test's.

use super::breaker::Finding;
use super::marks::Sign;
use super::*;
use crate::domain::Headers;
use crate::upstream::BreakerPolicy;

const SECOND: Duration = Duration::from_secs(1);
const NOON: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// A condition with both clocks under the test's hand.
struct Bench {
    condition: Condition,
    now: Now,
    log: Vec<String>,
}

impl Bench {
    fn new() -> Self {
        let start = Instant::now();
        let policy = BreakerPolicy { minimum_calls: 4, ..BreakerPolicy::default() };
        let condition = Condition::new(Some(Breaker::new(policy, 15 * SECOND, start)), start);
        Self { condition, now: Now { monotonic: start, wall: NOON }, log: Vec::new() }
    }

    fn pass(&mut self, time: Duration) -> &mut Self {
        self.now = Now { monotonic: self.now.monotonic + time, wall: self.now.wall + time };
        self
    }

    fn log(&mut self, change: Option<Change>) {
        let told = change.map(|change| format!("{} → {}: {}", change.from.code(), change.to.code(), change.why));
        self.log.extend(told);
    }

    fn admit(&mut self) -> Result<Leave, Refusal> {
        let (leave, change) = self.condition.admit(self.now);
        self.log(change);
        leave
    }

    fn calls(&mut self, number: u32, report: Report) -> &mut Self {
        for _ in 0..number {
            let leave = self.admit().expect("let through");
            let change = self.condition.report(leave, report, self.now, 0.0);
            self.log(change);
        }
        self
    }

    fn room(&mut self) -> u32 {
        let (room, change) = self.condition.room(self.now);
        self.log(change);
        room
    }

    fn refusal(&mut self) -> (UpstreamState, Duration) {
        self.admit().map_err(|refusal| (refusal.state, refusal.again_in)).expect_err("let through")
    }

    fn was(&mut self, log: &[&str]) -> &mut Self {
        assert_eq!(std::mem::take(&mut self.log), log);
        self
    }
}

fn found(failed: bool, sign: Sign) -> Report {
    Report { finding: Some(Finding { failed, took: Duration::ZERO }), sign, pause: None }
}

const OK: Sign = Sign::LetIn;

fn pausing(pause: Duration) -> Report {
    Report { finding: None, sign: Sign::Answered, pause: Some(pause) }
}

#[test]
fn a_breaker_opens_is_probed_and_closes_and_each_step_is_told_with_its_reason() {
    let mut bench = Bench::new();
    bench.calls(4, found(true, Sign::Nothing)).was(&["closed → open: 4 of 4 calls in 30s failed"]);
    assert_eq!((bench.refusal(), bench.room()), ((UpstreamState::Open, 5 * SECOND), 0));
    assert_eq!(bench.pass(5 * SECOND).room(), 3);
    bench.was(&[]).calls(3, found(false, OK));
    bench.was(&["open → half_open: its open time is over", "half_open → closed: 3 probes succeeded"]);
    assert_eq!((bench.room(), bench.condition.refused), (3, Refused { breaker_open: 1, ..Refused::default() }));
    assert_eq!(bench.pass(8 * SECOND).room(), u32::MAX);
}

#[test]
fn a_pause_holds_all_calls_and_ends_by_itself_on_whichever_clock_is_first() {
    for is_wall in [true, false] {
        let mut bench = Bench::new();
        bench.calls(1, pausing(7 * SECOND)).was(&["closed → paused: it answered 429 and asked for a pause"]);
        assert_eq!((bench.refusal(), bench.room()), ((UpstreamState::Paused, 7 * SECOND), 0));
        match is_wall {
            true => bench.now.wall = bench.now.wall + 7 * SECOND,
            false => bench.now.monotonic += 7 * SECOND,
        }
        assert_eq!(bench.room(), u32::MAX);
        bench.was(&["paused → closed: the pause is over"]).calls(1, found(false, OK));
        assert_eq!(bench.condition.refused, Refused { rate_limited: 1, ..Refused::default() });
    }
}

#[test]
fn a_later_429_lengthens_a_pause_and_never_shortens_it() {
    let mut bench = Bench::new();
    let leaves = [bench.admit().expect("let through"), bench.admit().expect("let through"), bench.admit().expect("let through")];
    for (leave, (pause, left)) in leaves.into_iter().zip([(5, 5), (9, 9), (2, 9)]) {
        bench.condition.report(leave, pausing(pause * SECOND), bench.now, 0.0);
        assert_eq!(bench.refusal(), (UpstreamState::Paused, left * SECOND));
    }
}

#[test]
fn refused_credentials_mark_the_upstream_until_a_probe_is_let_in() {
    let mut bench = Bench::new();
    bench.calls(3, found(false, Sign::Refused)).was(&["closed → auth_failed: it refused its credentials 3 times in a row"]);
    assert_eq!((bench.refusal(), bench.room()), ((UpstreamState::AuthFailed, 30 * SECOND), 0));
    assert_eq!(bench.pass(30 * SECOND).room(), 1);
    bench.calls(1, found(false, Sign::Refused)).was(&[]);
    assert_eq!(bench.refusal(), (UpstreamState::AuthFailed, 60 * SECOND));
    bench.pass(60 * SECOND).calls(1, found(false, OK)).was(&["auth_failed → closed: a probe was let in"]);
    assert_eq!((bench.room(), bench.condition.refused), (u32::MAX, Refused { auth_failed: 2, ..Refused::default() }));
}

#[test]
fn tls_that_fails_weighs_more_than_the_breaker_that_it_opens() {
    let mut bench = Bench::new();
    bench.calls(3, found(true, Sign::NoTls)).was(&["closed → tls_failed: TLS with it failed 3 times in a row"]);
    bench.pass(30 * SECOND).calls(1, found(true, Sign::NoTls));
    bench.pass(60 * SECOND).calls(1, found(false, OK));
    bench.was(&["tls_failed → closed: a probe was answered"]);
}

#[test]
fn a_call_that_is_given_up_leaves_its_place_and_says_nothing() {
    let mut bench = Bench::new();
    bench.calls(4, found(true, Sign::Nothing)).pass(5 * SECOND);
    bench.log.clear();
    for _ in 0..10 {
        bench.calls(1, Report::NOTHING);
    }
    bench.was(&["open → half_open: its open time is over"]);
    assert_eq!((bench.room(), bench.condition.in_flight), (3, 0));
}

#[test]
fn a_reset_forgets_everything() {
    for held in [found(true, Sign::NoTls), found(false, Sign::Refused), found(true, Sign::Nothing)] {
        let mut bench = Bench::new();
        while bench.room() > 0 {
            bench.calls(1, held);
        }
        let change = bench.condition.reset(bench.now.monotonic).expect("a change");
        assert_eq!((change.to, change.why.as_str(), bench.room()), (UpstreamState::Closed, "an operator has reset it", u32::MAX));
    }
}

#[test]
fn changed_settings_forget_what_was_held_against_it_and_remember_that_it_was() {
    let mut bench = Bench::new();
    bench.calls(3, found(false, Sign::Refused));
    let (mut after, change) = Condition::continuing(&bench.condition, None, bench.now.monotonic);
    assert_eq!(change.map(|change| (change.from, change.why)), Some((UpstreamState::AuthFailed, "its configuration changed".into())));
    assert_eq!((after.room(bench.now).0, after.history.changes((bench.now.monotonic, NOON)).len()), (u32::MAX, 2));
}

fn gate(policies: crate::upstream::Policies) -> Gate {
    let settings = UpstreamSettings::new("crm".parse().expect("a name"), "http://crm".parse().expect("a URL"));
    Gate::new(&UpstreamSettings { policies, ..settings }, None)
}

fn answered(status: u16) -> Result<OutboundAnswer, CallFault> {
    Ok(OutboundAnswer { status, headers: Headers::default(), body: bytes::Bytes::new(), stale_for: None })
}

#[tokio::test]
async fn a_ticket_that_is_dropped_gives_everything_back() {
    let gate = gate(crate::upstream::Policies { concurrency: Some(1), ..Default::default() });
    drop(gate.enter(SECOND, NOON).await.expect("let through"));
    let ticket = gate.enter(SECOND, NOON).await.expect("let through");
    assert_eq!(gate.standing(NOON).in_flight, 1);
    ticket.report(&answered(200));
    let standing = gate.standing(NOON);
    assert_eq!((standing.in_flight, standing.calls, standing.failed), (0, 1, 0));
}

/// What a call costs for being looked at: run with `--release --ignored --nocapture`.
#[tokio::test]
#[ignore = "a measurement, not a test"]
async fn the_cost_of_a_check() {
    const CHECKS: u32 = 2_000_000;
    let per_check = |since: Instant| since.elapsed().as_nanos() / u128::from(CHECKS);
    let (gate, answer) = (gate(crate::upstream::Policies::default()), answered(200));
    let started = Instant::now();
    for _ in 0..CHECKS {
        gate.enter(SECOND, NOON).await.expect("let through").report(&answer);
    }
    println!("{} ns for a call through the gate, in and out", per_check(started));
    let mut bench = Bench::new();
    let started = Instant::now();
    for _ in 0..CHECKS {
        let leave = bench.condition.admit(bench.now).0.expect("let through");
        bench.condition.report(leave, found(false, OK), bench.now, 0.0);
    }
    println!("{} ns of that for the state machines", per_check(started));
}
