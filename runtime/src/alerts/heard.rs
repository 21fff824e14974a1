//! What has been told already, by this node before it was restarted or by others that share the database: the newest events of the topic.

use std::collections::BTreeMap;

use super::alert::{Alert, Key};
use super::message::Message;
use super::notices::{Kind, Notices};
use crate::config::alerts_topic;
use crate::domain::{EventId, Timestamp};
use crate::store::{EventFilter, Store, StoreError};

/// So many notices are read.
const READ_MAX: u32 = 30;

/// The last that was told of each alert.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// The newest notice: what comes next is told after it.
    pub(super) newest: Option<EventId>,
    last: BTreeMap<Key, (Kind, Timestamp, Alert)>,
}

impl Heard {
    /// Reads what concerns this host.
    pub(super) async fn read(store: &Store, host: &str) -> Result<Self, StoreError> {
        let filter = EventFilter { source: Some(alerts_topic()), limit: READ_MAX, ..EventFilter::default() };
        let events = store.events(&filter).await?.data;
        let mut heard = Self { newest: events.first().map(|event| event.id), last: BTreeMap::new() };
        for event in &events {
            let content = store.event(event.id).await?.and_then(|event| event.content);
            let message = content.and_then(|(_, body)| Message::read(&body));
            message.into_iter().for_each(|message| heard.hear(message, event.received_at, host));
        }
        Ok(heard)
    }

    /// Hears an older message than those before.
    fn hear(&mut self, message: Message, at: Timestamp, host: &str) {
        let Message { kind, node, alerts, .. } = message;
        for alert in alerts.into_iter().filter(|alert| alert.rule.is_shared() || node == host) {
            self.last.entry(alert.key()).or_insert((kind, at, alert));
        }
    }

    /// What fires as far as was told.
    pub(super) fn firing(&self) -> impl Iterator<Item = Alert> {
        self.last.values().filter(|(kind, ..)| *kind == Kind::Firing).map(|(.., alert)| alert.clone())
    }

    /// Tells what was told.
    pub(super) fn teach(&self, notices: &mut Notices) {
        self.last.values().for_each(|(kind, at, alert)| notices.learn(*kind, alert, *at));
    }
}

#[cfg(test)]
mod tests {
    use super::super::notices::Notice;
    use super::super::standings::tests::alert;
    use super::*;
    use crate::alerts::Rule;

    #[test]
    fn the_newest_word_counts_and_others_hosts_only_for_what_is_shared() {
        let mut heard = Heard::default();
        let mut hear = |second: i64, kind, node, alerts: &[(Rule, &str)]| {
            let alerts = alerts.iter().map(|(rule, subject)| alert(*rule, subject, 0)).collect();
            let at = Timestamp::from_millis(second * 1000);
            heard.hear(Message::new(Notice { kind, alerts }, node, at), at, "a");
        };
        hear(9, Kind::Resolved, "b", &[(Rule::DeadLetters, "queue")]);
        hear(8, Kind::Firing, "a", &[(Rule::DeadLetters, "queue"), (Rule::Errors, "crm@a")]);
        hear(7, Kind::Firing, "b", &[(Rule::Oldest, "queue"), (Rule::Errors, "crm@b")]);
        assert_eq!(heard.firing().map(|alert| alert.subject).collect::<Vec<_>>(), ["queue", "crm@a"]);
        assert_eq!(heard.firing().map(|alert| alert.rule).collect::<Vec<_>>(), [Rule::Oldest, Rule::Errors]);
    }
}
