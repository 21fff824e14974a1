//! From a proven request to stored events: the same way for what has just arrived and for what was kept in quarantine.

use std::sync::Arc;
use std::time::Duration;

use tracing::{debug, error};

use crate::config::Source;
use crate::domain::{EVENT_BYTES_PER_REQUEST_MAX, Event, EventId, NewEvent, RawRequest, RefusalCause, Verified};
use crate::random::Random;
use crate::store::{AdmitError, Admitted, Store};
use crate::verify::{Identity, Part};

/// The events of a proven request, which gives all that it has to them.
pub(super) fn events(
    store: &Store,
    random: &Random,
    source: &Source,
    request: &mut RawRequest,
    verified: &Verified,
) -> Result<Vec<NewEvent>, RefusalCause> {
    source.verifier.redact(request, verified);
    let bodies = source.verifier.split(&request.body)?;
    let (count, mut events) = (bodies.len(), Vec::with_capacity(bodies.len()));
    for (number, (body, part)) in bodies.into_iter().enumerate() {
        request.body = body;
        let id = store.event_id(request.received_at, random.bytes());
        let identity = source.verifier.identify(request, verified);
        // The last one has no need of a copy.
        let empty = RawRequest::empty(request.received_at);
        let own = if number + 1 == count { std::mem::replace(request, empty) } else { request.clone() };
        events.push(event(id, source, own, identity, part));
    }
    Ok(events)
}

/// Stores the events of a request and the jobs of their routes, all or none. Returns once they are synced; dropping the future does not
/// undo it.
pub(super) async fn store(store: &Store, source: &Source, events: Vec<NewEvent>) -> Result<Vec<Admitted>, RefusalCause> {
    // A lone event is within the source's `max_body`.
    if events.len() > 1 && events.iter().map(NewEvent::bytes).sum::<usize>() > EVENT_BYTES_PER_REQUEST_MAX {
        return Err(RefusalCause::BatchTooLarge { limit: EVENT_BYTES_PER_REQUEST_MAX });
    }
    let first = events.first().map(|new| tracing::field::display(new.event.id));
    match store.admit(events).await {
        Ok(admitted) => {
            debug!(event = first, source = %source.name, events = admitted.len(), "stored");
            Ok(admitted)
        }
        Err(AdmitError::Saturated) => Err(RefusalCause::Saturated),
        Err(AdmitError::Unstorable(error)) => {
            error!(event = first, source = %source.name, %error, "the database refuses this event");
            Err(RefusalCause::Unstorable)
        }
    }
}

/// An event of a request, with what its source says of keys and routes.
pub(super) fn event(id: EventId, source: &Source, request: RawRequest, identity: Identity, part: Option<Part>) -> NewEvent {
    let key = source.verifier.dedupe_key(&source.name, &request, &identity, source.dedupe, part);
    let ordering = source.verifier.ordering_key(&source.name, &identity, source.skip_after);
    let (dedupe_key, key) = key.unzip();
    let routes = source.routes.iter().filter(|route| route.takes(identity.event_type.as_deref())).cloned().collect();
    let event = Event {
        id,
        source: source.name.clone(),
        event_type: identity.event_type,
        dedupe_key,
        received_at: request.received_at,
        headers: request.headers,
        body: request.body,
        parent: None,
    };
    NewEvent { event: Arc::new(event), key, ordering, answer: source.answer.clone(), routes, delay: Duration::ZERO }
}
