//! Refused requests on their way into quarantine, those of one second: as they came, and no more than a source may have.

use std::collections::BTreeMap;

use tracing::{debug, warn};

use super::refusals::Evidence;
use crate::domain::{OnRefusal, Quarantined, Refusal, SourceName};
use crate::store::Store;

/// So many bytes of one source are kept in a second. A body that is larger is never kept: strangers must not fill the disk with them.
const BYTES_MAX: usize = 4 << 20;
/// So many requests of one source are kept in a second.
const REQUESTS_MAX: usize = 1000;

/// What is to be kept of the running interval.
#[derive(Default)]
pub(super) struct Incoming(BTreeMap<SourceName, OfSource>);

#[derive(Default)]
struct OfSource {
    bytes: usize,
    requests: Vec<Quarantined>,
}

impl Incoming {
    /// Keeps a copy of a request if its source wants that and has room.
    pub(super) fn take(&mut self, refusal: &Refusal, evidence: &Evidence) {
        if evidence.source.on_refusal != OnRefusal::Quarantine || !refusal.cause.is_about_proof() {
            return;
        }
        let name = &evidence.source.name;
        let own = self.0.entry(name.clone()).or_default();
        let mut kept = Quarantined { id: refusal.id, source: name.clone(), request: evidence.request.clone() };
        if own.requests.len() >= REQUESTS_MAX || own.bytes + kept.bytes() > BYTES_MAX {
            debug!(source = %name, "refused and not kept: too much in one second");
            return;
        }
        own.bytes += kept.bytes();
        // A body of its own: a piece of what a connection has read would hold on to all of it.
        kept.request.body = kept.request.body.to_vec().into();
        own.requests.push(kept);
    }

    /// Writes it all, source by source.
    pub(super) async fn write_to(self, store: &Store) {
        for (source, OfSource { requests, .. }) in self.0 {
            if let Err(error) = store.quarantine(requests).await {
                warn!(%source, %error, "refused requests could not be kept");
            }
        }
    }
}
