//! What the plugin emitted and handed over: of the current run, and of all runs that were done.

use super::{digest, fault};
use crate::bindings::hookfast::plugin::{effects, types};
use crate::event::find_header;
use crate::{Event, Header};
use serde::de::DeserializeOwned;
use std::time::Duration;

const EFFECTS_MAX: usize = 100;
const BYTES_MAX: usize = 4 << 20;
const DEPTH_MAX: u32 = 16;

#[derive(Debug, Default)]
pub(super) struct Outbox {
    pub(super) emitted: Vec<Emitted>,
    pub(super) delivered: Vec<Delivered>,
    run: Draft,
}

#[derive(Debug, Default)]
struct Draft {
    lineage: String,
    depth: u32,
    emitted: Vec<Emitted>,
    delivered: Vec<Delivered>,
    bytes: usize,
}

impl Outbox {
    pub(super) fn start_run(&mut self, lineage: &str, event: &Event) {
        self.run = Draft { lineage: lineage.to_owned(), depth: event.depth(), ..Draft::default() };
    }

    pub(super) fn commit(&mut self) {
        self.emitted.append(&mut self.run.emitted);
        self.delivered.append(&mut self.run.delivered);
    }

    pub(super) fn emit(&mut self, event: &effects::NewEvent) -> Result<String, types::Fault> {
        let Draft { lineage, depth, emitted, .. } = &self.run;
        if *depth >= DEPTH_MAX {
            return Err(fault("too_deep", format!("this event is the {DEPTH_MAX}th of a chain, each emitted for the one before")));
        }
        let position = emitted.len() + 1;
        let id = format!("evt_{:016x}{:016x}", digest(&(lineage, "emit", position)), digest(&(position, lineage)));
        let emitted = Emitted {
            id: id.clone(),
            target: event.target.clone(),
            event_type: event.event_type.clone(),
            headers: event.headers.iter().cloned().map(Header::from).collect(),
            body: event.body.clone(),
            dedupe_key: event.dedupe_key.clone(),
            delay: event.delay_ms.map(Duration::from_millis).unwrap_or_default(),
            parent: lineage.clone(),
            depth: depth + 1,
        };
        self.take_room(&event.headers, event.body.len())?;
        self.run.emitted.push(emitted);
        Ok(id)
    }

    pub(super) fn deliver(&mut self, request: &effects::Delivery) -> Result<String, types::Fault> {
        if !request.path.starts_with('/') {
            return Err(fault("invalid_request", format!("path `{}` does not start with `/`", request.path)));
        }
        self.take_room(&request.headers, request.body.len() + request.path.len())?;
        let id = format!("{}:{}", self.run.lineage, self.run.delivered.len() + 1);
        self.run.delivered.push(Delivered {
            id: id.clone(),
            upstream: request.upstream.clone(),
            method: request.method.clone(),
            path: request.path.clone(),
            headers: request.headers.iter().cloned().map(Header::from).collect(),
            body: request.body.clone(),
            delay: request.delay_ms.map(Duration::from_millis).unwrap_or_default(),
        });
        Ok(id)
    }

    fn take_room(&mut self, headers: &[types::Header], bytes: usize) -> Result<(), types::Fault> {
        let Draft { emitted, delivered, bytes: taken, .. } = &mut self.run;
        let bytes = *taken + bytes + headers.iter().map(|header| header.name.len() + header.value.len()).sum::<usize>();
        if emitted.len() + delivered.len() >= EFFECTS_MAX || bytes > BYTES_MAX {
            let message = format!("one run asks for at most {EFFECTS_MAX} events and deliveries of {} MiB together", BYTES_MAX >> 20);
            return Err(fault("too_many_effects", message));
        }
        *taken = bytes;
        Ok(())
    }
}

/// An event of a run that was done.
///
/// ```
/// use hookfast_sdk::prelude::*;
/// use hookfast_sdk::test::{Host, fixture};
///
/// hookfast_sdk::plugin! { name: "countdown", otherwise => count, }
///
/// fn count(event: Event<u32>, cx: &mut Context) -> Outcome {
///     match event.data {
///         0 => done("lift-off"),
///         number => done(cx.emit("countdown").json(&(number - 1)).send()?),
///     }
/// }
///
/// let mut host = Host::new(&PLUGIN);
/// assert!(host.run(&fixture("count", "1")).is_done());
/// let next = host.emitted()[0].to_event();
/// assert_eq!(next.depth(), 1);
/// assert_eq!(host.run(&next).text(), "lift-off");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Emitted {
    /// Its id, the same whenever the run is repeated.
    pub id: String,
    /// The source or topic.
    pub target: String,
    /// What happened.
    pub event_type: Option<String>,
    /// Its headers.
    pub headers: Vec<Header>,
    /// Its body.
    pub body: Vec<u8>,
    /// The key that the handler gave it.
    pub dedupe_key: Option<String>,
    /// How long its handlers wait.
    pub delay: Duration,
    parent: String,
    depth: u32,
}

impl Emitted {
    /// The event as its handlers see it, to be run by the host of another plugin.
    pub fn to_event(&self) -> Event {
        let mut event = super::fixture(self.event_type.as_deref().unwrap_or_default(), &self.body);
        event.id = self.id.clone();
        event.source = self.target.clone();
        event.event_type = self.event_type.clone();
        event.dedupe_key = Some(self.dedupe_key.clone().unwrap_or_else(|| self.id.clone()));
        event.headers = self.headers.clone();
        event.attributes = vec![("parent".to_owned(), self.parent.clone()), ("depth".to_owned(), self.depth.to_string())];
        event
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// The body is not a `T`.
    pub fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body).expect("the event's body is the JSON that the test expects")
    }
}

/// A request that was handed over by a run that was done.
///
/// ```
/// use hookfast_sdk::prelude::*;
/// use hookfast_sdk::test::{Host, fixture};
///
/// hookfast_sdk::plugin! { name: "notices", otherwise => tell, }
///
/// fn tell(event: Event, cx: &mut Context) -> Outcome {
///     cx.deliver("chat", "/messages").header("x-event", event.id).json(&json!({ "text": "hello" })).send()?;
///     done("told")
/// }
///
/// let mut host = Host::new(&PLUGIN);
/// let event = fixture("x", "");
/// assert!(host.run(&event).is_done());
/// let notice = host.delivered("chat")[0];
/// assert_eq!(notice.header("x-event"), Some(event.id.as_str()));
/// assert_eq!(notice.json::<Value>()["text"], "hello");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delivered {
    /// Its lineage, which is its idempotency key too.
    pub id: String,
    /// The upstream's name.
    pub upstream: String,
    /// The HTTP method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Its headers.
    pub headers: Vec<Header>,
    /// The bytes of the body.
    pub body: Vec<u8>,
    /// How long after the run it is sent.
    pub delay: Duration,
}

impl Delivered {
    /// The first header of that name (any case), if it is UTF-8.
    pub fn header(&self, name: &str) -> Option<&str> {
        find_header(&self.headers, name)
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// The body is not a `T`.
    pub fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body).expect("the request's body is the JSON that the test expects")
    }
}
