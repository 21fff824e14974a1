//! What is told when: what begins to fire, or ends, within a while goes into one notice, and what goes on is told again. Pure; whoever
//! tells says when it was told.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::alert::{Alert, Key};
use crate::domain::Timestamp;

/// What a notice says of its alerts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Kind {
    /// They fire.
    #[serde(rename = "alert.firing")]
    Firing,
    /// They do not any more.
    #[serde(rename = "alert.resolved")]
    Resolved,
}

impl Kind {
    /// The event's type.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Firing => "alert.firing",
            Self::Resolved => "alert.resolved",
        }
    }
}

/// Something to tell.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Notice {
    pub(super) kind: Kind,
    /// Sorted by rule and subject; at least one.
    pub(super) alerts: Vec<Alert>,
}

/// How patient it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    pub(super) group: Duration,
    pub(super) repeat: Duration,
}

/// What was told, and what waits for others.
#[derive(Debug, Default)]
pub(super) struct Notices {
    told: BTreeMap<Key, Told>,
    /// Since when something that fires waits to be told.
    firing_since: Option<Timestamp>,
    /// The same of what has ended.
    ended_since: Option<Timestamp>,
}

/// An alert that was told as firing.
#[derive(Debug)]
struct Told {
    at: Timestamp,
    alert: Alert,
}

impl Notices {
    /// What is to be told now of what fires. It is due until it is [`told`](Self::told).
    pub(super) fn due<'a>(&mut self, firing: impl Iterator<Item = &'a Alert>, now: Timestamp, pace: Pace) -> Vec<Notice> {
        let firing: BTreeMap<Key, &Alert> = firing.map(|alert| (alert.key(), alert)).collect();
        let is_untold = |key: &Key, alert: &Alert| match self.told.get(key) {
            None => true,
            Some(told) => told.at + pace.repeat <= now || alert.has_outgrown(&told.alert),
        };
        let untold: Vec<_> = firing.iter().filter(|(key, alert)| is_untold(key, alert)).map(|(_, alert)| (*alert).clone()).collect();
        let ended = self.told.iter().filter(|(key, _)| !firing.contains_key(*key)).map(|(_, told)| told.alert.clone()).collect();
        let notices = [(Kind::Firing, untold, &mut self.firing_since), (Kind::Resolved, ended, &mut self.ended_since)];
        let due = |(kind, alerts, since): (Kind, Vec<Alert>, &mut Option<Timestamp>)| {
            if alerts.is_empty() {
                *since = None;
                return None;
            }
            (now.since(*since.get_or_insert(now)) >= pace.group).then_some(Notice { kind, alerts })
        };
        notices.into_iter().filter_map(due).collect()
    }

    /// A notice was told.
    pub(super) fn told(&mut self, notice: &Notice, at: Timestamp) {
        match notice.kind {
            Kind::Firing => self.firing_since = None,
            Kind::Resolved => self.ended_since = None,
        }
        notice.alerts.iter().for_each(|alert| self.learn(notice.kind, alert, at));
    }

    /// Somebody has told this: this node, one that shares the database, or the process before this one.
    pub(super) fn learn(&mut self, kind: Kind, alert: &Alert, at: Timestamp) {
        if self.told.get(&alert.key()).is_some_and(|told| told.at > at) {
            return;
        }
        match kind {
            Kind::Firing => self.told.insert(alert.key(), Told { at, alert: alert.clone() }),
            Kind::Resolved => self.told.remove(&alert.key()),
        };
    }

    /// When this alert was told last, where it was.
    pub(super) fn told_at(&self, alert: &Alert) -> Option<Timestamp> {
        self.told.get(&alert.key()).map(|told| told.at)
    }
}

#[cfg(test)]
mod tests {
    use super::super::standings::tests::alert;
    use super::*;
    use crate::alerts::{Measure, Rule};

    const PACE: Pace = Pace { group: Duration::from_secs(30), repeat: Duration::from_hours(4) };

    /// Tells whatever is due at these seconds.
    struct Teller {
        notices: Notices,
        firing: Vec<Alert>,
    }

    impl Teller {
        fn new(firing: &[&Alert]) -> Self {
            Self { notices: Notices::default(), firing: firing.iter().map(|alert| (*alert).clone()).collect() }
        }

        fn at(&mut self, second: i64) -> Vec<String> {
            let now = Timestamp::from_millis(second * 1000);
            let due = self.notices.due(self.firing.iter(), now, PACE);
            due.iter().for_each(|notice| self.notices.told(notice, now));
            let subjects = |notice: &Notice| notice.alerts.iter().map(|alert| alert.subject.clone()).collect::<Vec<_>>().join(" ");
            due.iter().map(|notice| format!("{} {}", notice.kind.as_str(), subjects(notice))).collect()
        }
    }

    fn nothing() -> Vec<String> {
        Vec::new()
    }

    #[test]
    fn what_begins_within_the_group_is_one_notice_and_so_is_what_ends() {
        let (crm, mail) = (alert(Rule::Errors, "crm", 0), alert(Rule::Errors, "mail", 20));
        let mut teller = Teller::new(&[&crm]);
        assert_eq!(teller.at(0), nothing());
        teller.firing.push(mail);
        assert_eq!(teller.at(20), nothing());
        assert_eq!(teller.at(30), ["alert.firing crm mail"]);
        assert_eq!(teller.at(45), nothing());
        teller.firing.pop();
        assert_eq!(teller.at(60), nothing());
        teller.firing.clear();
        assert_eq!(teller.at(75), nothing());
        assert_eq!(teller.at(90), ["alert.resolved crm mail"]);
        assert_eq!(teller.at(1000), nothing());
    }

    #[test]
    fn the_next_group_waits_as_long_as_the_first() {
        let (crm, mail) = (alert(Rule::Errors, "crm", 0), alert(Rule::Errors, "mail", 40));
        let mut teller = Teller::new(&[&crm]);
        assert_eq!((teller.at(0), teller.at(30)), (nothing(), vec!["alert.firing crm".to_owned()]));
        teller.firing.push(mail);
        assert_eq!((teller.at(45), teller.at(60)), (nothing(), nothing()));
        assert_eq!(teller.at(75), ["alert.firing mail"]);
    }

    #[test]
    fn what_ends_before_it_was_told_is_never_told() {
        let mut teller = Teller::new(&[&alert(Rule::Errors, "crm", 0)]);
        assert_eq!(teller.at(0), nothing());
        teller.firing.clear();
        assert_eq!((teller.at(30), teller.at(60)), (nothing(), nothing()));
    }

    #[test]
    fn what_comes_back_before_its_end_was_told_has_not_ended() {
        let crm = alert(Rule::Errors, "crm", 0);
        let mut teller = Teller::new(&[&crm]);
        assert_eq!((teller.at(0), teller.at(30).len()), (nothing(), 1));
        teller.firing.clear();
        assert_eq!(teller.at(45), nothing());
        teller.firing.push(crm);
        assert_eq!((teller.at(60), teller.at(600)), (nothing(), nothing()));
    }

    #[test]
    fn what_goes_on_is_told_again_after_a_while_and_sooner_once_it_is_ten_times_as_much() {
        let dead = |count| Alert { value: Some(Measure::Whole(count)), ..alert(Rule::DeadLetters, "queue", 0) };
        let mut teller = Teller::new(&[&dead(2)]);
        assert_eq!((teller.at(0), teller.at(30).len()), (nothing(), 1));
        teller.firing = vec![dead(19)];
        assert_eq!((teller.at(60), teller.at(600)), (nothing(), nothing()));
        teller.firing = vec![dead(20)];
        assert_eq!((teller.at(700), teller.at(730).len()), (nothing(), 1));
        let again = 730 + 4 * 3600;
        assert_eq!(teller.at(again - 1), nothing());
        assert_eq!(teller.at(again), nothing());
        assert_eq!(teller.at(again + 30), ["alert.firing queue"]);
    }

    #[test]
    fn what_another_has_told_is_not_told_again() {
        let queue = alert(Rule::DeadLetters, "queue", 0);
        let mut teller = Teller::new(&[&queue]);
        assert_eq!(teller.at(0), nothing());
        teller.notices.learn(Kind::Firing, &queue, Timestamp::from_millis(20_000));
        assert_eq!((teller.at(30), teller.at(60)), (nothing(), nothing()));
        teller.firing.clear();
        assert_eq!(teller.at(75), nothing());
        teller.notices.learn(Kind::Resolved, &queue, Timestamp::from_millis(80_000));
        assert_eq!(teller.at(105), nothing());
    }

    #[test]
    fn older_news_changes_nothing() {
        let queue = alert(Rule::DeadLetters, "queue", 0);
        let mut teller = Teller::new(&[&queue]);
        assert_eq!((teller.at(0), teller.at(30).len()), (nothing(), 1));
        teller.notices.learn(Kind::Resolved, &queue, Timestamp::from_millis(20_000));
        assert_eq!((teller.at(60), teller.at(90)), (nothing(), nothing()));
    }
}
