//! What fires: what two looks in a row have found, or one where that is certain, until two in a row have not.

use std::collections::BTreeMap;

use super::alert::{Alert, Key};

/// Each alert that is in sight, and how sure of it we are.
#[derive(Debug, Default)]
pub(super) struct Standings(BTreeMap<Key, (Standing, Alert)>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Found once; nothing is said of it.
    Suspected,
    /// Found again.
    Firing,
    /// Not found by the last look; fires still.
    Fading,
}

impl Standings {
    /// What a look has found.
    pub(super) fn look(&mut self, found: Vec<Alert>) {
        let mut before = std::mem::take(&mut self.0);
        for alert in found {
            let known = before.remove(&alert.key());
            let since = known.as_ref().map_or(alert.since, |(_, known)| known.since);
            let standing = if known.is_some() || alert.rule.is_certain() { Standing::Firing } else { Standing::Suspected };
            self.0.insert(alert.key(), (standing, Alert { since, ..alert }));
        }
        let fading = before.into_iter().filter(|(_, (standing, _))| *standing == Standing::Firing);
        self.0.extend(fading.map(|(key, (_, alert))| (key, (Standing::Fading, alert))));
    }

    /// Takes up what fired before this process began.
    pub(super) fn resume(&mut self, alerts: impl IntoIterator<Item = Alert>) {
        self.0.extend(alerts.into_iter().map(|alert| (alert.key(), (Standing::Firing, alert))));
    }

    /// What fires.
    pub(super) fn firing(&self) -> impl Iterator<Item = &Alert> {
        self.0.values().filter(|(standing, _)| *standing != Standing::Suspected).map(|(_, alert)| alert)
    }

    /// Whether this fires.
    pub(super) fn is_firing(&self, key: &Key) -> bool {
        self.0.get(key).is_some_and(|(standing, _)| *standing != Standing::Suspected)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::alerts::Rule;
    use crate::domain::Timestamp;

    /// An alert that was seen first at this second.
    pub(in crate::alerts) fn alert(rule: Rule, subject: &str, second: i64) -> Alert {
        let (subject, since) = (subject.to_owned(), Timestamp::from_millis(second * 1000));
        Alert { rule, summary: format!("{} of {subject}", rule.as_str()), subject, value: None, threshold: None, since }
    }

    /// What fires after each look: `x` where the look finds it.
    fn firing(rule: Rule, looks: &str) -> String {
        let mut standings = Standings::default();
        let look = |(second, found): (usize, char)| {
            let found = (found == 'x').then(|| alert(rule, "crm", i64::try_from(second).expect("small")));
            standings.look(found.into_iter().collect());
            if standings.is_firing(&(rule, "crm".into())) { '!' } else { '.' }
        };
        looks.chars().enumerate().map(look).collect()
    }

    #[test]
    fn it_takes_two_looks_to_fire_and_two_to_recover() {
        assert_eq!(firing(Rule::Errors, "x.x.xx.xx..x..xx"), ".....!!!!!.....!");
    }

    #[test]
    fn what_is_certain_fires_at_the_first_look() {
        assert_eq!(firing(Rule::BreakerOpen, ".x.x..x"), ".!!!!.!");
    }

    #[test]
    fn it_fires_since_it_was_seen_first() {
        let mut standings = Standings::default();
        (3..9).for_each(|second| standings.look(vec![alert(Rule::Oldest, "queue", second)]));
        assert_eq!(standings.firing().map(|alert| alert.since.as_seconds()).collect::<Vec<_>>(), [3]);
    }

    proptest! {
        #[test]
        fn it_changes_only_where_two_looks_agree(found in proptest::collection::vec(any::<bool>(), 2..60)) {
            let looks: String = found.iter().map(|found| if *found { 'x' } else { '.' }).collect();
            let states: Vec<_> = firing(Rule::Traps, &looks).chars().collect();
            for at in 1..states.len() {
                if states[at] != states[at - 1] {
                    prop_assert_eq!(found[at], found[at - 1], "at {} of {}", at, looks);
                    prop_assert_eq!(found[at], states[at] == '!');
                }
            }
        }
    }
}
