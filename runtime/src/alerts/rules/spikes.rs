//! Many more refusals of a source than usual.

use std::collections::BTreeMap;

use super::{Look, alert, words};
use crate::alerts::alert::{Alert, Measure, Rule};
use crate::alerts::series::Series;
use crate::config::SpikeRule;
use crate::domain::SourceName;

/// What was counted of each source.
#[derive(Debug, Default)]
pub(super) struct Spikes(BTreeMap<SourceName, Series>);

impl Spikes {
    /// Where there are many more than usual.
    pub(super) fn look(&mut self, look: &Look<'_>, rule: SpikeRule) -> Vec<Alert> {
        let refused = &look.sample.refused;
        self.0.retain(|source, _| refused.contains_key(source));
        let mut found = Vec::new();
        for (source, refused) in refused {
            let series = self.0.entry(source.clone()).or_insert_with(|| look.begun(*refused));
            series.push(look.sample.at, *refused, rule.window);
            found.extend(spike(source, series, look, rule));
        }
        found
    }
}

#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts of some minutes")]
fn spike(source: &SourceName, series: &Series, look: &Look<'_>, rule: SpikeRule) -> Option<Alert> {
    let key = look.key(Rule::Refusals, source);
    let (refused, usual) = (series.grown(rule.window), series.usual(rule.window));
    let threshold = (rule.factor * usual).max(rule.minimum as f64);
    if (refused as f64) < threshold * look.ease(&key) {
        return None;
    }
    let (window, usual) = (words(rule.window), usual.round());
    let summary = format!("source `{source}` has refused {refused} requests in the last {window}; usual are {usual}");
    Some(alert(key, summary, Some((Measure::Whole(refused), Measure::Whole(threshold.ceil() as u64))), look.sample.at))
}
