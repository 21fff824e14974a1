//! Sources whose requests a plugin proves: it is asked, and its ruling carried out.

use std::sync::Arc;

use bytes::Bytes;
use tracing::debug;

use super::answer::Receipt;
use super::receive::Visit;
use crate::config::{Adapter, Source};
use crate::domain::{Answer, Arrival, LogLine, NewEvent, PluginName, RefusalCause, Ruling, Timestamp};
use crate::sandbox::{Inquiry, Keyring, Ruled};
use crate::verify::{Identity, Part};

impl Visit {
    /// Asks the plugin about a request, and does as it says.
    pub(super) async fn ask(&self, source: &Arc<Source>, adapter: &Adapter) -> Result<Receipt, RefusalCause> {
        let name = &adapter.plugin;
        let Some(plugin) = self.door.plugins.get(name) else { return Err(RefusalCause::NoPlugin { plugin: name.clone() }) };
        let keyring = self.keyring(adapter, self.request.received_at);
        let [a, b, c, d, e, f, g, h, ..]: [u8; 10] = self.door.random.bytes();
        let inquiry = Inquiry {
            request: self.request.clone(),
            public_url: source.verifier.public_url().map(Into::into),
            seed: u64::from_le_bytes([a, b, c, d, e, f, g, h]),
            grant: self.door.current.load().settings.grant(name),
            keyring,
        };
        let busy = || RefusalCause::PluginBusy { plugin: name.clone() };
        // A source's own flood must not keep the others' senders waiting.
        let _turn = adapter.turns.acquire().await.ok_or_else(busy)?;
        let Ruled { ruling, log } = plugin.admit(&self.door.engine, inquiry).await.ok_or_else(busy)?;
        log.iter().for_each(|line| pass_on(name, source, line));
        match ruling.map_err(|reason| failed(name, reason))? {
            Ruling::Accept { events, answer } => self.accept(source, adapter, events, answer).await,
            Ruling::Respond(answer) => Ok(Receipt::Plugin(answer)),
            Ruling::Ignore(reason) => {
                debug!(source = %source.name, plugin = %name, reason, "ignored");
                Ok(Receipt::Ignored)
            }
            Ruling::Reject { code, message } => Err(RefusalCause::RejectedByPlugin { plugin: name.clone(), code, message }),
        }
    }

    /// The source's secrets for the plugin to use, counted as those of the catalogue's providers are.
    fn keyring(&self, adapter: &Adapter, now: Timestamp) -> Keyring {
        let (keys, usage) = (Arc::clone(&adapter.keyring), self.usage.clone());
        let held = move |position| usage.iter().for_each(|usage| usage.prove(position, now));
        Arc::new(move |key_use| keys.answer(key_use, now, &held))
    }

    async fn accept(
        &self,
        source: &Arc<Source>,
        adapter: &Adapter,
        arrivals: Vec<Arrival>,
        answer: Option<Answer>,
    ) -> Result<Receipt, RefusalCause> {
        let mut request = self.request.clone();
        adapter.keyring.redact(&mut request.headers);
        let (whole, count) = (request.body.clone(), arrivals.len());
        let answer = answer.unwrap_or_else(|| source.answer.clone());
        let mut events: Vec<NewEvent> = Vec::with_capacity(count);
        for (arrival, part) in arrivals.into_iter().zip(Part::all(&whole, count)) {
            let identity = Identity::of_arrival(&arrival);
            request.body = arrival.body.unwrap_or_else(|| Bytes::clone(&whole));
            events.push(NewEvent { answer: answer.clone(), ..self.event(source, request.clone(), identity, part) });
        }
        self.store(source, events, answer).await
    }
}

fn failed(plugin: &PluginName, reason: String) -> RefusalCause {
    // Not louder: whoever can send a request may be able to make it fail. The refusal says it.
    debug!(%plugin, reason, "a plugin that proves requests failed");
    RefusalCause::PluginFailed { plugin: plugin.clone(), reason }
}

/// What the plugin logged, never loud: whoever can send a request can make it log.
fn pass_on(plugin: &PluginName, source: &Source, line: &LogLine) {
    debug!(%plugin, source = %source.name, level = ?line.level, fields = ?line.fields, "{}", line.message);
}
