//! An instance and its next event. By default there is none: every event has a fresh instance. Where a grant allows it an
//! instance waits for another event of the same plugin under the same grant, at most so many of all plugins together.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::OwnedSemaphorePermit;
use wasmtime::Store;

use super::bindings::handling::exports::hookfast::plugin::handler::{Event as GuestEvent, Failure};
use super::bindings::handling::{Handling, HandlingPre};
use super::engine::Engine;
use super::guest::{self, Guest, Powers};
use crate::domain::Grant;

/// One instance, made when it is first called.
pub(super) struct Instance {
    pub(super) store: Store<Guest>,
    exports: Option<Handling>,
    grant: Arc<Grant>,
    events: u32,
}

/// The instances of a plugin that wait for another event.
#[derive(Default)]
pub(super) struct Waiting(Mutex<Vec<Idle>>);

/// An instance that waits, since when, and the room it takes.
struct Idle {
    instance: Instance,
    since: Instant,
    _room: OwnedSemaphorePermit,
}

impl Instance {
    fn fresh(engine: &Engine, grant: Arc<Grant>, powers: Powers) -> Self {
        Self { store: guest::store(engine, &grant.limits, Some(powers)), exports: None, grant, events: 0 }
    }

    /// Hands the handler one event.
    pub(super) async fn handle(
        &mut self,
        pre: &HandlingPre<Guest>,
        event: &GuestEvent,
    ) -> wasmtime::Result<Result<Option<String>, Failure>> {
        self.events += 1;
        if self.exports.is_none() {
            self.exports = Some(pre.instantiate_async(&mut self.store).await?);
        }
        let exports = self.exports.as_ref().expect("made above");
        exports.hookfast_plugin_handler().call_handle(&mut self.store, event).await
    }

    fn may_go_on(&self) -> bool {
        self.events < self.grant.events_per_instance && self.store.data().is_clean()
    }
}

impl Waiting {
    /// An instance that waited under this grant, or a fresh one.
    pub(super) fn take(&self, engine: &Engine, grant: &Arc<Grant>, powers: Powers) -> Instance {
        let waited = if grant.events_per_instance > 1 { self.lock().pop() } else { None };
        match waited {
            Some(Idle { mut instance, .. }) if instance.grant == *grant => {
                guest::renew(&mut instance.store, &grant.limits, powers);
                instance
            }
            _ => Instance::fresh(engine, Arc::clone(grant), powers),
        }
    }

    /// Keeps an instance whose handler has returned, if its grant allows it and there is room; else it ends here.
    pub(super) fn keep(&self, engine: &Engine, mut instance: Instance) {
        if !instance.may_go_on() {
            return;
        }
        if let Ok(room) = Arc::clone(engine.waiting_room()).try_acquire_owned() {
            instance.store.data_mut().powers = None;
            self.lock().push(Idle { instance, since: Instant::now(), _room: room });
        }
    }

    /// Ends those that have waited for longer than `time`: their memory is of use to others.
    pub(super) fn dismiss(&self, time: Duration) {
        self.lock().retain(|idle| idle.since.elapsed() <= time);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Idle>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
