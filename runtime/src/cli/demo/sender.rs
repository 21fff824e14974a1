//! The providers: sample webhooks, really signed, really sent. One by one, or at a steady rate.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde::Deserialize;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::domain::Secret;
use crate::upstream;
use crate::verify::{Catalogue, Options, Sample, SecretSpec, Verifier, sample};

const ANSWER_MAX: Duration = Duration::from_secs(5);

/// A provider that sends to one source.
pub(super) struct Sender {
    url: String,
    verifier: Verifier,
    clock: Clock,
}

/// A webhook to send, once or again.
#[derive(Debug, Clone)]
pub(super) struct Webhook {
    /// The provider's id of the event.
    pub(super) id: String,
    sample: Sample,
}

/// What a provider was answered.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
    /// From the first byte sent to the last byte read.
    pub(super) took: Duration,
}

/// A webhook that was sent, and its answer where one came.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) webhook: Webhook,
    pub(super) answer: Option<Answer>,
}

impl Sender {
    /// Sends to `/in/{source}` as `provider`, with its secret.
    pub(super) fn new(ingest: SocketAddr, source: &str, provider: &str, secret: &str) -> anyhow::Result<Self> {
        let catalogue = Catalogue::builtin();
        let provider = catalogue.provider(provider).with_context(|| format!("the catalogue has no provider {provider}"))?;
        let secret = SecretSpec { secret: Secret::new(secret.as_bytes()), not_before: None, not_after: None };
        let verifier = Verifier::new(provider, &[secret], &Options::default())?;
        Ok(Self { url: format!("http://{ingest}/in/{source}"), verifier, clock: Clock::system() })
    }

    /// A sample of this type under this id.
    pub(super) fn webhook(&self, event_type: &str, id: &str) -> Webhook {
        Webhook { id: id.to_owned(), sample: sample(self.verifier.provider(), event_type, id, self.clock.now()) }
    }

    /// Signs it for now and sends it.
    pub(super) async fn send(&self, webhook: &Webhook) -> anyhow::Result<Answer> {
        let mut sample = webhook.sample.clone();
        self.verifier.sign(&mut sample, self.clock.now(), &webhook.id)?;
        let Sample { headers, body, .. } = sample;
        let begun = Instant::now();
        let answer = upstream::fetch("POST", &self.url, headers, body, ANSWER_MAX).await?;
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        Ok(Answer { status: answer.status, body, took: begun.elapsed() })
    }
}

impl Answer {
    /// The event's id, where the webhook was accepted.
    pub(super) fn event(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Accepted {
            id: String,
        }
        let accepted: Option<Accepted> = serde_json::from_str(&self.body).ok();
        accepted.filter(|_| self.status == 202).map(|accepted| accepted.id)
    }
}

impl Sent {
    /// The event's id, where the webhook was accepted.
    pub(super) fn event(&self) -> Option<String> {
        self.answer.as_ref().and_then(Answer::event)
    }
}

/// Webhooks at a steady rate, whatever becomes of them.
pub(super) struct Stream {
    stopping: CancellationToken,
    sending: JoinHandle<Vec<Sent>>,
}

impl Stream {
    /// Sends one webhook each `gap`, its id `{prefix}_{number}`, and waits for none before it sends the next.
    pub(super) fn start(sender: &Arc<Sender>, event_type: &'static str, prefix: &'static str, gap: Duration) -> Self {
        let (sender, stopping) = (Arc::clone(sender), CancellationToken::new());
        let until = stopping.clone();
        let sending = tokio::spawn(async move {
            let (mut sends, mut ticks) = (JoinSet::new(), tokio::time::interval(gap));
            while until.run_until_cancelled(ticks.tick()).await.is_some() {
                let (sender, number) = (Arc::clone(&sender), sends.len());
                sends.spawn(async move {
                    let webhook = sender.webhook(event_type, &format!("{prefix}_{number:04}"));
                    let answer = sender.send(&webhook).await.ok();
                    Sent { webhook, answer }
                });
            }
            sends.join_all().await
        });
        Self { stopping, sending }
    }

    /// Sends no more, and gives everything that was sent once all answers are there.
    pub(super) async fn stop(self) -> anyhow::Result<Vec<Sent>> {
        self.stopping.cancel();
        self.sending.await.context("the sender failed")
    }
}
