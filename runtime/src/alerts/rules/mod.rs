//! What one look finds: the operator's rules over what is counted. Pure; whoever looks says when, and whether an alert fires already,
//! since a rate that does goes on a little below where it began.

mod shares;
mod spikes;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::Duration;

use super::alert::{Alert, Key, Measure, Rule};
use super::health::UpstreamHealth;
use super::series::Series;
use crate::config::AlertRules;
use crate::domain::{PluginName, Runs, SourceName, Timestamp};
use shares::Shares;
use spikes::Spikes;

/// A rate that fires goes on firing down to this part of where it began.
const EASE: f64 = 0.8;
/// What the alerts of the whole queue are about.
const QUEUE: &str = "queue";

/// What is there to be seen at one time. Counters are those of this process.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    pub(super) at: Timestamp,
    /// Without those of alerts themselves.
    pub(super) dead_letters: u64,
    /// For how long the oldest due job has been due.
    pub(super) waited: Duration,
    pub(super) runs: BTreeMap<PluginName, Runs>,
    /// Refused requests by source.
    pub(super) refused: BTreeMap<SourceName, u64>,
    pub(super) upstreams: Vec<UpstreamHealth>,
}

/// Remembers what the looks before have counted.
#[derive(Debug)]
pub(super) struct Observer {
    host: String,
    looked_at: Option<Timestamp>,
    errors: Shares,
    traps: Shares,
    refusals: Spikes,
}

/// One look, for rules that count.
struct Look<'l> {
    sample: &'l Sample,
    /// When the look before was; what appears later was 0 then.
    before: Option<Timestamp>,
    host: &'l str,
    is_firing: &'l dyn Fn(&Key) -> bool,
}

impl Observer {
    /// One that has not looked yet, on this host.
    pub(super) fn new(host: String) -> Self {
        let (errors, traps) = (Shares::new(Rule::Errors, |runs| runs.failed), Shares::new(Rule::Traps, |runs| runs.trapped));
        Self { host, looked_at: None, errors, traps, refusals: Spikes::default() }
    }

    /// What is as the rules say. What was counted before the first look is history.
    pub(super) fn look(&mut self, sample: &Sample, rules: &AlertRules, is_firing: &dyn Fn(&Key) -> bool) -> Vec<Alert> {
        let before = self.looked_at.replace(sample.at);
        let look = Look { sample, before, host: &self.host, is_firing };
        let queue = [
            rules.dead_letters.and_then(|minimum| dead_letters(sample, minimum)),
            rules.oldest.and_then(|longest| oldest(sample, longest)),
        ];
        let mut found: Vec<_> = queue.into_iter().flatten().collect();
        found.extend(rules.errors.map(|rule| self.errors.look(&look, rule)).unwrap_or_default());
        found.extend(rules.traps.map(|rule| self.traps.look(&look, rule)).unwrap_or_default());
        found.extend(rules.refusals.map(|rule| self.refusals.look(&look, rule)).unwrap_or_default());
        if rules.upstreams {
            found.extend(sample.upstreams.iter().filter_map(|health| upstream(health, &look)));
        }
        found
    }
}

impl Look<'_> {
    /// What names an alert that this host alone sees.
    fn key(&self, rule: Rule, name: &impl Display) -> Key {
        (rule, if self.host.is_empty() { name.to_string() } else { format!("{name}@{}", self.host) })
    }

    /// What thresholds are multiplied by.
    fn ease(&self, key: &Key) -> f64 {
        if (self.is_firing)(key) { EASE } else { 1.0 }
    }

    /// A counter that is seen for the first time.
    fn begun(&self, count: u64) -> Series {
        self.before.map_or_else(|| Series::new(self.sample.at, count), |before| Series::new(before, 0))
    }
}

fn dead_letters(sample: &Sample, minimum: u64) -> Option<Alert> {
    let count = sample.dead_letters;
    let summary = if count == 1 { "there is 1 dead letter".into() } else { format!("there are {count} dead letters") };
    let measures = Some((Measure::Whole(count), Measure::Whole(minimum)));
    (count >= minimum).then(|| alert((Rule::DeadLetters, QUEUE.into()), summary, measures, sample.at))
}

fn oldest(sample: &Sample, longest: Duration) -> Option<Alert> {
    let summary = format!("the oldest due job has waited {}", words(sample.waited));
    let measures = Some((Measure::Whole(sample.waited.as_secs()), Measure::Whole(longest.as_secs())));
    (sample.waited >= longest).then(|| alert((Rule::Oldest, QUEUE.into()), summary, measures, sample.at))
}

fn upstream(health: &UpstreamHealth, look: &Look<'_>) -> Option<Alert> {
    let UpstreamHealth { name, state, why, since } = health;
    let (rule, what) = match *state {
        "open" | "half_open" => (Rule::BreakerOpen, "is given a rest: too many calls failed"),
        "auth_failed" => (Rule::AuthFailed, "refuses our credentials"),
        "tls_failed" => (Rule::TlsFailed, "cannot be reached over TLS"),
        _ => return None,
    };
    let key = look.key(rule, name);
    // A trial is no beginning and no end.
    if *state == "half_open" && !(look.is_firing)(&key) {
        return None;
    }
    let why = why.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
    Some(alert(key, format!("upstream `{name}` {what}{why}"), None, (*since).min(look.sample.at)))
}

fn alert((rule, subject): Key, summary: String, measures: Option<(Measure, Measure)>, since: Timestamp) -> Alert {
    let (value, threshold) = measures.unzip();
    Alert { rule, subject, summary, value, threshold, since }
}

/// About how long, for people.
fn words(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}
