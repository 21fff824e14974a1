//! Samples in, findings out.

use expect_test::{Expect, expect};

use super::*;

const LOOK: Duration = Duration::from_secs(15);

/// A node that is looked at every 15 seconds.
struct Node {
    observer: Observer,
    sample: Sample,
    firing: Vec<Key>,
}

impl Node {
    fn new() -> Self {
        let sample = Sample {
            at: Timestamp::from_millis(0),
            dead_letters: 0,
            waited: Duration::ZERO,
            runs: BTreeMap::new(),
            refused: BTreeMap::new(),
            upstreams: Vec::new(),
        };
        let mut node = Self { observer: Observer::new("a".into()), sample, firing: Vec::new() };
        node.look();
        node
    }

    /// So many more attempts of a plugin, of which so many failed and so many of them trapped.
    fn ran(&mut self, plugin: &str, attempts: u64, failed: u64, trapped: u64) {
        let runs = self.sample.runs.entry(plugin.parse().expect("a name")).or_default();
        *runs = Runs { attempts: runs.attempts + attempts, failed: runs.failed + failed, trapped: runs.trapped + trapped };
    }

    fn refused(&mut self, source: &str, requests: u64) {
        *self.sample.refused.entry(source.parse().expect("a name")).or_default() += requests;
    }

    fn upstream(&mut self, state: &'static str) {
        let name = "crm".parse().expect("a name");
        self.sample.upstreams = vec![UpstreamHealth { name, state, why: Some("9 of 10 calls failed".into()), since: self.sample.at }];
    }

    /// What is found, 15 seconds later; that fires from then on.
    fn look(&mut self) -> Vec<Alert> {
        self.sample.at = self.sample.at + LOOK;
        let found = self.observer.look(&self.sample, &AlertRules::default(), &|key| self.firing.contains(key));
        self.firing = found.iter().map(Alert::key).collect();
        found
    }

    fn pass(&mut self, looks: u32) {
        (0..looks).for_each(|_| drop(self.look()));
    }

    fn check(&mut self, expected: &Expect) {
        let measure = |measure: Option<Measure>| measure.map_or("-".into(), |measure| serde_json::to_string(&measure).expect("JSON"));
        let line = |alert: Alert| {
            let (value, threshold) = (measure(alert.value), measure(alert.threshold));
            format!("{} {} {value}/{threshold} {}\n", alert.rule.as_str(), alert.subject, alert.summary)
        };
        expected.assert_eq(&self.look().into_iter().map(line).collect::<String>());
    }
}

fn nothing() -> Expect {
    expect![""]
}

#[test]
fn the_queue_is_the_same_for_all_nodes() {
    let mut node = Node::new();
    node.sample.dead_letters = 1;
    node.sample.waited = Duration::from_mins(15) - Duration::from_millis(1);
    node.check(&expect![[r#"
        dead_letters queue 1/1 there is 1 dead letter
    "#]]);
    node.sample.dead_letters = 3;
    node.sample.waited = Duration::from_mins(15);
    node.check(&expect![[r#"
        dead_letters queue 3/1 there are 3 dead letters
        oldest queue 900/900 the oldest due job has waited 15 min
    "#]]);
}

#[test]
fn failures_count_in_proportion_and_only_of_enough() {
    let mut node = Node::new();
    node.ran("crm", 19, 19, 0);
    node.ran("mail", 1000, 499, 0);
    node.check(&nothing());
    node.ran("crm", 1, 0, 0);
    node.ran("mail", 0, 1, 0);
    node.check(&expect![[r#"
        errors crm@a 0.95/0.5 19 of 20 attempts of plugin `crm` failed in the last 5 min
        errors mail@a 0.5/0.5 500 of 1000 attempts of plugin `mail` failed in the last 5 min
    "#]]);
}

#[test]
fn a_rate_that_fires_goes_on_until_it_is_well_below() {
    let mut node = Node::new();
    node.ran("crm", 100, 60, 0);
    assert_eq!(node.look().len(), 1);
    node.ran("crm", 45, 0, 0);
    assert_eq!(node.look().len(), 1, "41 %");
    node.ran("crm", 10, 0, 0);
    assert_eq!(node.look().len(), 0, "39 %");
    node.ran("crm", 45, 38, 0);
    assert_eq!(node.look().len(), 0, "49 %");
}

#[test]
fn traps_are_a_rule_of_their_own() {
    let mut node = Node::new();
    node.ran("crm", 100, 10, 10);
    node.check(&expect![[r#"
        traps crm@a 0.1/0.1 10 of 100 attempts of plugin `crm` trapped or went over a limit in the last 5 min
    "#]]);
    node.pass(25);
    node.check(&nothing());
}

#[test]
fn refusals_count_against_what_is_usual() {
    let mut node = Node::new();
    // A sender that never gets it right: 10 in five minutes.
    for _ in 0..240 {
        node.refused("shop", u64::from(node.sample.at.as_seconds() % 30 == 0));
        assert_eq!(node.look(), []);
    }
    node.refused("shop", 30);
    node.check(&nothing());
    node.refused("shop", 20);
    node.check(&expect![[r#"
        refusals shop@a 59/50 source `shop` has refused 59 requests in the last 5 min; usual are 10
    "#]]);
    // What stays for an hour is what is usual.
    for _ in 0..300 {
        node.refused("shop", 3);
        node.look();
    }
    node.check(&nothing());
}

#[test]
fn an_upstreams_trial_call_neither_begins_nor_ends_an_alert() {
    let mut node = Node::new();
    node.upstream("half_open");
    node.check(&nothing());
    node.upstream("open");
    let open = || expect![["breaker_open crm@a -/- upstream `crm` is given a rest: too many calls failed (9 of 10 calls failed)\n"]];
    node.check(&open());
    node.upstream("half_open");
    node.check(&open());
    node.upstream("closed");
    node.check(&nothing());
    node.upstream("auth_failed");
    node.check(&expect![["auth_failed crm@a -/- upstream `crm` refuses our credentials (9 of 10 calls failed)\n"]]);
}

#[test]
fn what_was_counted_before_the_first_look_is_history() {
    let mut node = Node::new();
    node.observer = Observer::new("a".into());
    node.ran("crm", 1000, 1000, 1000);
    node.refused("shop", 1000);
    node.check(&nothing());
    node.ran("new", 20, 20, 0);
    node.check(&expect![[r#"
        errors new@a 1.0/0.5 20 of 20 attempts of plugin `new` failed in the last 5 min
    "#]]);
}

#[test]
fn a_rule_that_is_off_finds_nothing() {
    let mut node = Node::new();
    node.sample.dead_letters = 9;
    node.sample.waited = Duration::from_hours(9);
    node.ran("crm", 100, 100, 100);
    node.refused("shop", 1000);
    node.upstream("open");
    node.sample.at = node.sample.at + LOOK;
    let off = AlertRules { dead_letters: None, oldest: None, errors: None, traps: None, refusals: None, upstreams: false };
    assert_eq!(node.observer.look(&node.sample, &off, &|_| false), []);
}
