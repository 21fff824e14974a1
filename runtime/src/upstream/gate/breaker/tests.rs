//! The breaker in time: each story is told in seconds since its start.

use proptest::prelude::*;

use super::*;

const POLICY: BreakerPolicy = BreakerPolicy {
    failure_rate: 0.5,
    slow_rate: 0.9,
    slow_after: Some(Duration::from_secs(5)),
    window: Duration::from_secs(30),
    minimum_calls: 10,
    open: Duration::from_secs(5),
    growth: 2.0,
    open_max: Duration::from_secs(15),
    probes: 3,
};

/// A breaker whose calls end at once.
struct Bench {
    breaker: Breaker,
    start: Instant,
    now: Instant,
}

impl Bench {
    fn new(policy: BreakerPolicy) -> Self {
        let start = Instant::now();
        Self { breaker: Breaker::new(policy, Duration::from_secs(15), start), start, now: start }
    }

    fn at(&mut self, seconds: f64) -> &mut Self {
        self.now = self.start + Duration::from_secs_f64(seconds);
        self
    }

    fn calls(&mut self, number: u32, failed: bool, seconds: u64) -> &mut Self {
        for _ in 0..number {
            let pass = self.breaker.admit(self.now, 0).expect("let through");
            self.breaker.record(pass, Some(Finding { failed, took: Duration::from_secs(seconds) }), self.now, 0.0);
        }
        self
    }

    fn fail(&mut self, number: u32) -> &mut Self {
        self.calls(number, true, 0)
    }

    fn succeed(&mut self, number: u32) -> &mut Self {
        self.calls(number, false, 0)
    }

    fn is(&mut self, position: Position, why: &str) -> &mut Self {
        assert_eq!((self.breaker.position(), self.breaker.why()), (position, why));
        self
    }

    fn is_refused_for(&mut self, seconds: u64) -> &mut Self {
        assert_eq!(self.breaker.admit(self.now, 0).err(), Some(Duration::from_secs(seconds)));
        self
    }

    fn opened(policy: BreakerPolicy) -> Self {
        let mut bench = Self::new(policy);
        bench.fail(10).is(Position::Open, "10 of 10 calls in 30s failed");
        bench
    }
}

#[test]
fn it_opens_at_the_failure_rate_and_not_just_under_it() {
    Bench::new(POLICY).succeed(6).fail(5).is(Position::Closed, "").fail(1).is(Position::Open, "6 of 12 calls in 30s failed");
}

#[test]
fn too_few_calls_say_nothing() {
    Bench::new(POLICY).fail(9).is(Position::Closed, "").fail(1).is(Position::Open, "10 of 10 calls in 30s failed");
}

#[test]
fn failures_of_long_ago_are_forgotten() {
    Bench::new(POLICY).fail(9).at(30.0).fail(9).is(Position::Closed, "").fail(1).is(Position::Open, "10 of 10 calls in 30s failed");
}

#[test]
fn it_opens_at_the_rate_of_slow_calls() {
    let mut bench = Bench::new(POLICY);
    bench.succeed(2).calls(17, false, 5).is(Position::Closed, "");
    bench.calls(1, false, 5).is(Position::Open, "18 of 20 calls in 30s took 5s or longer");
}

#[test]
fn what_is_slow_depends_on_the_total_timeout_where_the_policy_does_not_say() {
    let policy = BreakerPolicy { slow_after: None, ..POLICY };
    Bench::new(policy)
        .calls(20, false, 14)
        .is(Position::Closed, "")
        .calls(180, false, 15)
        .is(Position::Open, "180 of 200 calls in 30s took 15s or longer");
}

#[test]
fn while_open_nothing_passes_and_then_so_many_probes_at_once() {
    let mut bench = Bench::opened(POLICY);
    bench.is_refused_for(5).at(4.0).is_refused_for(1).at(5.0);
    let passes: Vec<_> = (0..3).map(|_| bench.breaker.admit(bench.now, 0).expect("a probe")).collect();
    bench.is(Position::HalfOpen, "its open time is over").is_refused_for(1);
    bench.breaker.record(passes[0], None, bench.now, 0.0);
    bench.breaker.admit(bench.now, 0).expect("a call that said nothing leaves its place to another probe");
    bench.is_refused_for(1);
}

#[test]
fn enough_probes_close_it_and_the_calls_at_once_grow() {
    let mut bench = Bench::opened(POLICY);
    bench.at(5.0).succeed(2).is(Position::HalfOpen, "its open time is over").succeed(1).is(Position::Closed, "3 probes succeeded");
    let permitted = |bench: &mut Bench, seconds: f64| {
        bench.at(seconds);
        let most = (0..2000).take_while(|in_flight| bench.breaker.look(bench.now, *in_flight).is_ok()).count();
        (most, bench.breaker.room(bench.now, 2))
    };
    assert_eq!(permitted(&mut bench, 5.0), (3, 1));
    assert_eq!(permitted(&mut bench, 6.9), (6, 4));
    assert_eq!(permitted(&mut bench, 9.0), (48, 46));
    assert_eq!(permitted(&mut bench, 12.9), (384, 382));
    assert_eq!(permitted(&mut bench, 13.0), (2000, u32::MAX));
}

#[test]
fn a_probe_that_fails_or_is_slow_opens_it_for_longer_up_to_the_cap() {
    let mut bench = Bench::opened(POLICY);
    bench.at(5.0).succeed(2).fail(1).is(Position::Open, "a probe failed").is_refused_for(10);
    bench.at(15.0).calls(1, false, 5).is(Position::Open, "a probe was slow").is_refused_for(15);
    bench.at(30.0).fail(1).is_refused_for(15);
}

#[test]
fn the_open_time_grows_over_a_short_recovery_and_starts_anew_after_a_long_one() {
    let mut bench = Bench::opened(POLICY);
    bench.at(5.0).succeed(3).at(6.0).fail(10).is_refused_for(10);
    bench.at(16.0).succeed(3).at(24.0).fail(10).is_refused_for(5);
}

#[test]
fn what_a_call_of_an_earlier_phase_came_to_changes_nothing() {
    let mut bench = Bench::new(POLICY);
    let late = bench.breaker.admit(bench.now, 0).expect("let through");
    bench.fail(10).at(5.0).succeed(1);
    bench.breaker.record(late, Some(Finding { failed: true, took: Duration::ZERO }), bench.now, 0.0);
    bench.is(Position::HalfOpen, "its open time is over").succeed(2).is(Position::Closed, "3 probes succeeded");
}

#[test]
fn a_reset_closes_it_at_once_and_for_good() {
    let mut bench = Bench::opened(POLICY);
    bench.at(5.0).fail(1);
    bench.breaker.reset(bench.now);
    bench.is(Position::Closed, "").succeed(100).at(50.0).fail(10).is_refused_for(5);
}

#[test]
fn open_times_are_spread_by_up_to_a_fifth() {
    let open_for = |draw| {
        let mut bench = Bench::new(POLICY);
        bench.fail(9);
        let pass = bench.breaker.admit(bench.now, 0).expect("let through");
        bench.breaker.record(pass, Some(Finding { failed: true, took: Duration::ZERO }), bench.now, draw);
        bench.breaker.next_probe(bench.now)
    };
    assert_eq!([0.0, 0.5, 1.0].map(open_for), [5000, 4500, 4000].map(|millis| Some(Duration::from_millis(millis))));
}

#[derive(Debug, Clone, Copy)]
enum Move {
    Wait(u64),
    Call,
    End { which: usize, failed: Option<bool>, millis: u64 },
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let end = (any::<usize>(), any::<Option<bool>>(), 0_u64..8000).prop_map(|(which, failed, millis)| Move::End { which, failed, millis });
    let step = prop_oneof![2 => (0_u64..4000).prop_map(Move::Wait), 4 => Just(Move::Call), 4 => end];
    prop::collection::vec(step, 1..400)
}

proptest! {
    /// Whatever happens: nothing passes while it is open, never more probes than there may be, no open time over the cap; and once the
    /// upstream is well again and calls keep coming, it closes.
    #[test]
    fn it_keeps_its_promises_whatever_happens(moves in moves(), draw in 0.0..1.0_f64) {
        let mut bench = Bench::new(POLICY);
        let mut under_way = Vec::new();
        for step in moves {
            match step {
                Move::Wait(millis) => bench.now += Duration::from_millis(millis),
                Move::Call => {
                    let open_for = bench.breaker.next_probe(bench.now).unwrap_or_default();
                    let in_flight = u32::try_from(under_way.len()).expect("few");
                    match bench.breaker.admit(bench.now, in_flight) {
                        Ok(pass) => {
                            prop_assert!(open_for.is_zero());
                            under_way.push(pass);
                        }
                        Err(wait) => prop_assert!(!wait.is_zero() && wait <= POLICY.open_max),
                    }
                }
                Move::End { which, failed, millis } if !under_way.is_empty() => {
                    let pass = under_way.swap_remove(which % under_way.len());
                    let finding = failed.map(|failed| Finding { failed, took: Duration::from_millis(millis) });
                    bench.breaker.record(pass, finding, bench.now, draw);
                }
                Move::End { .. } => {}
            }
            if bench.breaker.position() == Position::HalfOpen {
                let probing = under_way.iter().filter(|pass| pass.phase == bench.breaker.phases).count();
                prop_assert!(probing <= POLICY.probes as usize);
            }
        }
        for pass in under_way {
            bench.breaker.record(pass, None, bench.now, draw);
        }
        bench.now += POLICY.open_max + POLICY.window;
        for _ in 0..POLICY.probes {
            bench.succeed(1);
        }
        prop_assert_eq!(bench.breaker.position(), Position::Closed);
        bench.now += RAMP_STEP * RAMP_STEPS;
        prop_assert_eq!(bench.breaker.room(bench.now, 1000), u32::MAX);
    }
}
