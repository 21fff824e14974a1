//! Judging again what is in quarantine, by the source as it is configured now and at the time of receipt; what holds is admitted as if it
//! had just arrived.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use tokio::sync::Mutex;
use tracing::info;

use super::{KeyFetcher, admission, decode, keys};
use crate::clock::Clock;
use crate::config::Source;
use crate::domain::{RawRequest, RefusalCause};
use crate::random::Random;
use crate::store::{Admitted, HeldPlace, Store, StoreError};

/// Judges again what is in quarantine; one run at a time.
pub struct Reverifier {
    store: Store,
    keys: KeyFetcher,
    clock: Clock,
    random: Random,
    turn: Mutex<()>,
}

/// What a run came to.
#[derive(Debug, Default, Serialize)]
pub(in crate::http) struct Reverified {
    /// Events that are stored now.
    pub admitted: u64,
    /// What is an event already.
    pub duplicates: u64,
    /// Questions of the provider's handshake, which nobody waits for any more.
    pub handshakes: u64,
    /// What stays in quarantine, by cause.
    pub refused: BTreeMap<&'static str, u64>,
}

/// Why a run ended early. What it had admitted is admitted and out of quarantine.
#[derive(Debug, thiserror::Error)]
pub(in crate::http) enum ReverifyError {
    /// The store takes no more now: the rest is judged by the next run.
    #[error("the store cannot take more now; run it again for the rest")]
    Saturated,
    /// The quarantine cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Reverifier {
    /// Judges what is in this store.
    pub fn new(store: Store, keys: KeyFetcher, clock: Clock, random: Random) -> Self {
        Self { store, keys, clock, random, turn: Mutex::new(()) }
    }

    /// Admits what holds, in order of receipt, each once; what does not stays where it is.
    ///
    /// A request leaves quarantine after its event is synced, so that a crash loses none: what was admitted and not yet taken out is found
    /// to be a duplicate by the next run, as far as the source's dedupe reaches. A run is a task of its own: whoever asked for it may go.
    pub(in crate::http) async fn run(self: Arc<Self>, source: Arc<Source>) -> Result<Reverified, ReverifyError> {
        let run = tokio::spawn(async move { self.go_through(&source).await });
        run.await.unwrap_or(Err(ReverifyError::Saturated))
    }

    async fn go_through(&self, source: &Arc<Source>) -> Result<Reverified, ReverifyError> {
        let _turn = self.turn.lock().await;
        let (mut counts, mut after) = (Reverified::default(), HeldPlace::FIRST);
        loop {
            let page = self.store.quarantined(&source.name, after).await?;
            let Some(last) = page.last() else { break };
            after = last.place;
            let mut done = Vec::new();
            for held in page {
                let judged = self.judge(source, held.request).await;
                if matches!(judged, Err(RefusalCause::Saturated)) {
                    self.store.release(&done).await?;
                    return Err(ReverifyError::Saturated);
                }
                done.extend(counts.count(&judged).then_some(held.place));
            }
            self.store.release(&done).await?;
        }
        let Reverified { admitted, duplicates, .. } = counts;
        info!(source = %source.name, admitted, duplicates, refused = counts.refused.values().sum::<u64>(), "quarantine judged again");
        Ok(counts)
    }

    /// What became of its events; none where the request is a handshake's.
    async fn judge(&self, source: &Arc<Source>, mut request: RawRequest) -> Result<Vec<Admitted>, RefusalCause> {
        let at = request.received_at;
        let encoding = decode::encoding(request.headers.all("content-encoding"), source)?;
        // The keys are those of now, whatever they were then.
        self.keys.supply(source, &request, self.clock.now()).await?;
        let verified = source.verifier.verify(&request, at)?;
        if let Some(encoding) = encoding {
            decode::unwrap(&mut request, encoding, source.max_body)?;
        }
        if let Some(answer) = source.verifier.handshake(&request, Some(&verified), at) {
            // Nobody waits for the answer any more, and still for the visit.
            keys::visit(source, &answer?).await?;
            return Ok(Vec::new());
        }
        let events = admission::events(&self.store, &self.random, source, &mut request, &verified)?;
        admission::store(&self.store, source, events).await
    }
}

impl Reverified {
    /// Whether the request has no more to wait for.
    fn count(&mut self, judged: &Result<Vec<Admitted>, RefusalCause>) -> bool {
        match judged {
            Ok(events) if events.is_empty() => self.handshakes += 1,
            Ok(events) => {
                let fresh = events.iter().filter(|admitted| matches!(admitted, Admitted::New(_))).count() as u64;
                self.admitted += fresh;
                self.duplicates += events.len() as u64 - fresh;
            }
            Err(cause) => *self.refused.entry(cause.code()).or_default() += 1,
        }
        judged.is_ok()
    }
}
