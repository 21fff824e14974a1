//! Too large a part of a plugin's attempts.

use std::collections::BTreeMap;

use super::{Look, alert, words};
use crate::alerts::alert::{Alert, Measure, Rule};
use crate::alerts::series::Series;
use crate::config::ShareRule;
use crate::domain::{PluginName, Runs};

/// What was counted of each plugin.
#[derive(Debug)]
pub(super) struct Shares {
    rule: Rule,
    part: fn(&Runs) -> u64,
    plugins: BTreeMap<PluginName, Share>,
}

/// All attempts of a plugin, and the part of them.
#[derive(Debug)]
struct Share {
    all: Series,
    part: Series,
}

impl Shares {
    /// None yet; `part` is what this rule looks at.
    pub(super) fn new(rule: Rule, part: fn(&Runs) -> u64) -> Self {
        Self { rule, part, plugins: BTreeMap::new() }
    }

    /// Where the part is too large.
    pub(super) fn look(&mut self, look: &Look<'_>, rule: ShareRule) -> Vec<Alert> {
        let runs = &look.sample.runs;
        self.plugins.retain(|plugin, _| runs.contains_key(plugin));
        let mut found = Vec::new();
        for (plugin, runs) in runs {
            let (all, part) = (runs.attempts, (self.part)(runs));
            let share = self.plugins.entry(plugin.clone());
            let share = share.or_insert_with(|| Share { all: look.begun(all), part: look.begun(part) });
            share.all.push(look.sample.at, all, rule.window);
            share.part.push(look.sample.at, part, rule.window);
            found.extend(share.alert(self.rule, plugin, look, rule));
        }
        found
    }
}

impl Share {
    #[expect(clippy::cast_precision_loss, reason = "counts of some minutes")]
    fn alert(&self, name: Rule, plugin: &PluginName, look: &Look<'_>, rule: ShareRule) -> Option<Alert> {
        let key = look.key(name, plugin);
        let (all, part) = (self.all.grown(rule.window), self.part.grown(rule.window));
        let (ease, share) = (look.ease(&key), part as f64 / all.max(1) as f64);
        if (all as f64) < rule.minimum as f64 * ease || share < rule.share * ease {
            return None;
        }
        let how = if name == Rule::Traps { "trapped or went over a limit" } else { "failed" };
        let summary = format!("{part} of {all} attempts of plugin `{plugin}` {how} in the last {}", words(rule.window));
        Some(alert(key, summary, Some((thousandths(share), thousandths(rule.share))), look.sample.at))
    }
}

fn thousandths(share: f64) -> Measure {
    Measure::Share((share * 1000.0).round() / 1000.0)
}
