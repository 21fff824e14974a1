//! From a proven request to a stored event: the same way for what has just arrived and for what was kept in quarantine.

use tracing::{debug, error};

use crate::config::Source;
use crate::domain::{Event, NewEvent, RawRequest, RefusalCause, Verified};
use crate::random::Random;
use crate::store::{AdmitError, Admitted, Store};

/// Stores the event of a proven request and the jobs of its routes. Returns once they are synced; dropping the future does not undo it.
pub(super) async fn admit(
    store: &Store,
    random: &Random,
    source: &Source,
    mut request: RawRequest,
    verified: &Verified,
) -> Result<Admitted, RefusalCause> {
    let identity = source.verifier.identify(&request, verified);
    let key = source.verifier.dedupe_key(&source.name, &request, &identity, source.dedupe);
    let ordering = source.verifier.ordering_key(&source.name, &identity, source.skip_after);
    source.verifier.redact(&mut request.headers, verified);
    let (dedupe_key, key) = key.unzip();
    let routes = source.routes.iter().filter(|route| route.takes(identity.event_type.as_deref())).cloned().collect();
    let event = Event {
        id: store.event_id(request.received_at, random.bytes()),
        source: source.name.clone(),
        event_type: identity.event_type,
        dedupe_key,
        received_at: request.received_at,
        headers: request.headers,
        body: request.body,
    };
    let (id, bytes) = (event.id, event.body.len());
    let admitted = store.admit(NewEvent { event, key, ordering, answer: source.answer.clone() }, routes).await;
    match &admitted {
        Ok(Admitted::New(id)) => debug!(event = %id, source = %source.name, bytes, "accepted"),
        Ok(Admitted::Duplicate { of, key_reused, .. }) => debug!(event = %of, source = %source.name, key_reused, "duplicate"),
        Err(AdmitError::Saturated) => {}
        Err(AdmitError::Unstorable(error)) => error!(event = %id, source = %source.name, %error, "the database refuses this event"),
    }
    admitted.map_err(|error| match error {
        AdmitError::Saturated => RefusalCause::Saturated,
        AdmitError::Unstorable(_) => RefusalCause::Unstorable,
    })
}
