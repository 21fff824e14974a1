//! What receivers read: our own JSON, and Slack's.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::alert::Alert;
use super::notices::{Kind, Notice};
use crate::domain::Timestamp;

/// So many alerts are written out for Slack, which takes 50 blocks of up to 3000 characters and some 13,000 together.
const SLACK_ALERTS_MAX: usize = 20;
/// So much of a summary.
const SLACK_CHARS_MAX: usize = 400;

/// A notice as the body of its event, and of the webhook.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    #[serde(rename = "type")]
    pub(super) kind: Kind,
    /// The host of the node that tells it.
    pub(super) node: String,
    /// When it was told.
    pub(super) at: Timestamp,
    pub(super) alerts: Vec<Alert>,
}

impl Message {
    pub(super) fn new(notice: Notice, node: &str, at: Timestamp) -> Self {
        Self { kind: notice.kind, node: node.to_owned(), at, alerts: notice.alerts }
    }

    /// Reads what [`Self::webhook`] wrote; `None` for anything else.
    pub fn read(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }

    /// As JSON of our own.
    pub fn webhook(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts and numbers are JSON")
    }

    /// For Slack's incoming webhooks (<https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>): a line of text for
    /// notifications, and a section for each alert.
    pub fn slack(&self) -> Vec<u8> {
        let (icon, what) = match self.kind {
            Kind::Firing => (":rotating_light:", "firing"),
            Kind::Resolved => (":white_check_mark:", "resolved"),
        };
        let few: Vec<_> = self.alerts.iter().take(3).map(|alert| self.words(alert)).collect();
        let more = if self.alerts.len() > few.len() { "; …" } else { "" };
        let text = format!("Hookfast: {what}: {}{more}", few.join("; "));
        let heading = format!("{icon} *Hookfast: {} {what}* on {}", count(self.alerts.len()), escaped(&self.node));
        let mut blocks = vec![section(&heading)];
        blocks.extend(self.alerts.iter().take(SLACK_ALERTS_MAX).map(|alert| section(&self.line(alert))));
        if let Some(left @ 1..) = self.alerts.len().checked_sub(SLACK_ALERTS_MAX) {
            blocks.push(section(&format!("and {left} more: `hookfast alerts list`")));
        }
        json!({ "text": text, "blocks": blocks }).to_string().into_bytes()
    }

    /// An alert in the line of text: what there is, or which it was.
    fn words(&self, alert: &Alert) -> String {
        match self.kind {
            Kind::Firing => escaped(&shortened(&alert.summary)),
            Kind::Resolved => format!("{} {}", alert.rule.as_str(), escaped(&alert.subject)),
        }
    }

    fn line(&self, alert: &Alert) -> String {
        let (rule, subject, since) = (alert.rule.as_str(), escaped(&alert.subject), alert.since);
        match self.kind {
            Kind::Firing => format!("*{rule}* `{subject}`: {}\nsince {since}", escaped(&shortened(&alert.summary))),
            Kind::Resolved => format!("*{rule}* `{subject}`\nfrom {since} to {}", self.at),
        }
    }
}

fn section(text: &str) -> Value {
    json!({ "type": "section", "text": { "type": "mrkdwn", "text": text } })
}

fn count(alerts: usize) -> String {
    if alerts == 1 { "1 alert".into() } else { format!("{alerts} alerts") }
}

fn shortened(text: &str) -> String {
    text.chars().take(SLACK_CHARS_MAX).collect()
}

/// The three characters that Slack reads as its own (<https://docs.slack.dev/messaging/formatting-message-text#escaping>).
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::standings::tests::alert;
    use super::*;
    use crate::alerts::{Measure, Rule};

    fn message(kind: Kind, alerts: Vec<Alert>) -> Message {
        Message::new(Notice { kind, alerts }, "host-1", Timestamp::from_millis(1_767_225_600_000))
    }

    fn dead_letters() -> Alert {
        let (value, threshold) = (Some(Measure::Whole(3)), Some(Measure::Whole(1)));
        Alert { value, threshold, summary: "there are 3 dead letters".into(), ..alert(Rule::DeadLetters, "queue", 1_767_225_585) }
    }

    fn pretty(json: &[u8]) -> String {
        serde_json::to_string_pretty(&serde_json::from_slice::<Value>(json).expect("JSON")).expect("JSON")
    }

    #[test]
    fn the_webhooks_json_says_what_fires_and_reads_back() {
        let errors =
            Alert { value: Some(Measure::Share(0.95)), threshold: Some(Measure::Share(0.5)), ..alert(Rule::Errors, "crm@host-1", 0) };
        let message = message(Kind::Firing, vec![dead_letters(), errors]);
        expect![[r#"
            {
              "alerts": [
                {
                  "rule": "dead_letters",
                  "since": "2025-12-31T23:59:45.000Z",
                  "subject": "queue",
                  "summary": "there are 3 dead letters",
                  "threshold": 1,
                  "value": 3
                },
                {
                  "rule": "errors",
                  "since": "1970-01-01T00:00:00.000Z",
                  "subject": "crm@host-1",
                  "summary": "errors of crm@host-1",
                  "threshold": 0.5,
                  "value": 0.95
                }
              ],
              "at": "2026-01-01T00:00:00.000Z",
              "node": "host-1",
              "type": "alert.firing"
            }"#]]
        .assert_eq(&pretty(&message.webhook()));
        assert_eq!(Message::read(&message.webhook()), Some(message));
        assert_eq!(Message::read(br#"{"type":"alert.odd","node":"a","at":"2026-01-01T00:00:00Z","alerts":[]}"#), None);
    }

    #[test]
    fn slack_gets_a_line_and_blocks() {
        let odd = Alert { summary: "<!channel> & <more>".into(), ..alert(Rule::BreakerOpen, "crm@<host>", 0) };
        expect![[r#"
            {
              "blocks": [
                {
                  "text": {
                    "text": ":rotating_light: *Hookfast: 2 alerts firing* on host-1",
                    "type": "mrkdwn"
                  },
                  "type": "section"
                },
                {
                  "text": {
                    "text": "*dead_letters* `queue`: there are 3 dead letters\nsince 2025-12-31T23:59:45.000Z",
                    "type": "mrkdwn"
                  },
                  "type": "section"
                },
                {
                  "text": {
                    "text": "*breaker_open* `crm@&lt;host&gt;`: &lt;!channel&gt; &amp; &lt;more&gt;\nsince 1970-01-01T00:00:00.000Z",
                    "type": "mrkdwn"
                  },
                  "type": "section"
                }
              ],
              "text": "Hookfast: firing: there are 3 dead letters; &lt;!channel&gt; &amp; &lt;more&gt;"
            }"#]]
        .assert_eq(&pretty(&message(Kind::Firing, vec![dead_letters(), odd]).slack()));
        expect![[r#"
            {
              "blocks": [
                {
                  "text": {
                    "text": ":white_check_mark: *Hookfast: 1 alert resolved* on host-1",
                    "type": "mrkdwn"
                  },
                  "type": "section"
                },
                {
                  "text": {
                    "text": "*dead_letters* `queue`\nfrom 2025-12-31T23:59:45.000Z to 2026-01-01T00:00:00.000Z",
                    "type": "mrkdwn"
                  },
                  "type": "section"
                }
              ],
              "text": "Hookfast: resolved: dead_letters queue"
            }"#]]
        .assert_eq(&pretty(&message(Kind::Resolved, vec![dead_letters()]).slack()));
    }

    #[test]
    fn slack_is_never_told_more_than_it_takes() {
        let long = |number: i64| Alert { summary: "é".repeat(5000), ..alert(Rule::Errors, &format!("p{number}"), number) };
        let text = message(Kind::Firing, (0..500).map(long).collect()).slack();
        let json: Value = serde_json::from_slice(&text).expect("JSON");
        let blocks = json["blocks"].as_array().expect("blocks");
        assert_eq!(blocks.len(), 22);
        let chars = |block: &Value| block["text"]["text"].as_str().expect("text").chars().count();
        assert!(blocks.iter().all(|block| chars(block) < 3000));
        assert!(blocks.iter().map(chars).sum::<usize>() < 13_000);
        assert_eq!(blocks[21]["text"]["text"], "and 480 more: `hookfast alerts list`");
    }
}
