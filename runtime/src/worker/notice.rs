//! The host's own handler: an event of the topic `alerts` becomes a delivery for each receiver, and the rest is the outbox's.

use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::attempt::Ended;
use crate::alerts::Message;
use crate::config::{ALERTS, AlertFormat, AlertSettings, AlertTarget, Live};
use crate::domain::{AttemptRecord, Delivery, Digest, Effects, Event, Headers, Job, Outcome, Timestamp};

/// Whether the host handles this job by itself. Where alerts are not configured any more it is only told apart from a job of an operator's
/// plugin of that name if no topic can have routed to one.
pub(super) fn is_own(job: &Job, live: &Live) -> bool {
    let route = job.lineage.route.as_str();
    let is_alert = job.source.as_str() == ALERTS && job.plugin.as_str() == ALERTS && route.split(':').next() == Some(ALERTS);
    is_alert && (live.alerts.is_some() || live.target(&job.source).is_none())
}

/// What becomes of it: the same deliveries whenever it is run again under the same settings.
pub(super) fn handle(job: &Job, event: &Event, settings: Option<&AlertSettings>, now: Timestamp) -> Ended {
    let record =
        AttemptRecord { started_at: now, duration: Duration::ZERO, digest: digest(), failure: None, calls: Vec::new(), log: Vec::new() };
    let ended = |outcome, deliveries| Ended { outcome, record: Some(record), effects: Effects { deliveries, ..Effects::default() } };
    let Some(settings) = settings else {
        return ended(Outcome::Discard { reason: "[alerts] is not configured any more".into() }, Vec::new());
    };
    let Some(message) = Message::read(&event.body) else {
        return ended(Outcome::Discard { reason: "this is no notice of this version's".into() }, Vec::new());
    };
    let deliveries: Vec<_> = (1..).zip(&settings.to).map(|(number, target)| delivery(job, number, target, &message)).collect();
    let note = if deliveries.len() == 1 { "told 1 receiver".to_owned() } else { format!("told {} receivers", deliveries.len()) };
    ended(Outcome::Done { note: Some(note) }, deliveries)
}

fn delivery(job: &Job, number: usize, target: &AlertTarget, message: &Message) -> Delivery {
    let mut lineage = job.lineage.clone();
    lineage.route = lineage.route.of_delivery(number);
    let mut headers = Headers::default();
    headers.push("content-type", "application/json");
    let body = match target.format {
        AlertFormat::Webhook => {
            // One name for the notice, whoever receives it and however often.
            headers.push("webhook-id", job.lineage.event.to_string());
            message.webhook()
        }
        AlertFormat::Slack => message.slack(),
    };
    Delivery {
        lineage,
        digest: digest(),
        upstream: target.upstream.clone(),
        method: "POST".into(),
        path: target.path.clone(),
        headers,
        body: body.into(),
        delay: Duration::ZERO,
        replays: 0,
    }
}

/// What stands in a plugin's place: this version of the host.
fn digest() -> Digest {
    Digest::from_bytes(Sha256::digest(concat!("hookfast ", env!("CARGO_PKG_VERSION"))).into())
}
