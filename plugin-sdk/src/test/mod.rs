//! A native stand-in for the host, so that plugins are tested with plain `cargo test` and no WebAssembly tools.
//!
//! It follows the real host where handlers can tell: attempts are counted, idempotency keys are set, the final response of a step is
//! replayed to later attempts, state and effects count only if the run is done, time stands still. A call that nobody scripted fails the
//! test.
//!
//! ```
//! use hookfast_sdk::prelude::*;
//! use hookfast_sdk::test::{Answer, Host, fixture};
//!
//! hookfast_sdk::plugin! { name: "shipping", upstreams: ["stock", "post"], on "order.paid" => ship, }
//!
//! fn ship(event: Event, cx: &mut Context) -> Outcome {
//!     cx.post("stock", "/reserve").step("reserve").body(event.body).send()?.success()?;
//!     cx.post("post", "/labels").step("label").send()?.success()?;
//!     done("shipped")
//! }
//!
//! let busy = Answer::status(429).header("retry-after", "30");
//! let mut host = Host::new(&PLUGIN).on_post("stock", "/reserve", 200).on_post("post", "/labels", [busy, 201.into()]);
//! let event = fixture("order.paid", "7 apples");
//!
//! let first = host.run(&event);
//! assert!(first.is_retry());
//! assert_eq!(first.after(), Some(std::time::Duration::from_secs(30)));
//! assert!(host.run(&event).is_done());
//!
//! assert_eq!(host.sent("stock").len(), 1, "the reservation was remembered, not repeated");
//! assert_eq!(host.sent("post")[1].header("idempotency-key").unwrap(), format!("{}.shipping/label", event.id));
//! ```

mod answer;
mod journal;
mod kept;
mod keys;
mod outbox;
pub(crate) mod imports;
mod run;
mod world;

pub use answer::{Answer, Answers};
pub use outbox::{Delivered, Emitted};
pub use run::Run;
pub use world::{LogLine, Sent};

use crate::bindings::hookfast::plugin::types;
use crate::{Event, Failure, Header, Incoming, Outcome, Plugin, Ruling, panic};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;
use world::World;

/// So often a run is repeated at once because of state that changed.
const CONFLICTS_MAX: u32 = 8;

/// An event of that type with that body, a fresh id and a JSON content type. Change its fields where a test needs to.
///
/// ```
/// let mut event = hookfast_sdk::test::fixture("push", r#"{"ref":"refs/heads/main"}"#);
/// event.event_type = None;
/// ```
pub fn fixture(event_type: &str, body: impl AsRef<[u8]>) -> Event {
    static COUNT: AtomicU64 = AtomicU64::new(1);
    let id = format!("evt_{:032x}", COUNT.fetch_add(1, Ordering::Relaxed));
    Event::from(types::Event {
        dedupe_key: Some(id.clone()),
        id,
        source: "test".to_owned(),
        event_type: Some(event_type.to_owned()),
        attempt: 1,
        max_attempts: 16,
        received_at: world::NOW_MS,
        headers: vec![types::Header { name: "content-type".to_owned(), value: b"application/json".to_vec() }],
        body: body.as_ref().to_vec(),
        attributes: Vec::new(),
    })
}

/// A `POST` with this body to `/in/test`, and a JSON content type. Change its fields where a test needs to.
///
/// ```
/// let mut request = hookfast_sdk::test::incoming("{}");
/// request.target = "/in/test?challenge=7".into();
/// ```
pub fn incoming(body: impl AsRef<[u8]>) -> Incoming {
    Incoming {
        method: "POST".to_owned(),
        target: "/in/test".to_owned(),
        public_url: None,
        headers: vec![Header::new("content-type", "application/json")],
        body: body.as_ref().to_vec(),
        received_at_ms: world::NOW_MS,
        attributes: Vec::new(),
    }
}

/// Runs a plugin's events natively and answers its calls from a script.
#[derive(Debug)]
pub struct Host {
    plugin: &'static Plugin,
    world: World,
    attempts: HashMap<String, u32>,
}

impl Host {
    /// A host that has loaded this plugin and granted what it asks for, of calls the upstreams it declares.
    pub fn new(plugin: &'static Plugin) -> Self {
        Self { plugin, world: World::new(plugin), attempts: HashMap::new() }
    }

    /// Answers requests like this one, one answer each, in order: `200`, `(200, "body")`, an [`Answer`], or an array.
    #[must_use]
    pub fn on(mut self, method: &str, upstream: &str, path: &str, answers: impl Into<Answers>) -> Self {
        self.world.script(method, upstream, path, answers.into().0);
        self
    }

    /// Answers `GET` requests to this path and query.
    #[must_use]
    pub fn on_get(self, upstream: &str, path: &str, answers: impl Into<Answers>) -> Self {
        self.on("GET", upstream, path, answers)
    }

    /// Answers `POST` requests to this path.
    #[must_use]
    pub fn on_post(self, upstream: &str, path: &str, answers: impl Into<Answers>) -> Self {
        self.on("POST", upstream, path, answers)
    }

    /// Sets a value of the operator's `[grants.NAME] config`.
    #[must_use]
    pub fn config(mut self, key: &str, value: &str) -> Self {
        self.world.config.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Gives the source a secret of this name; several may share one. HMACs and tokens only: what a test can sign.
    #[must_use]
    pub fn secret(mut self, name: &str, text: &str) -> Self {
        self.world.secrets.push((name.to_owned(), text.to_owned()));
        self
    }

    /// Keeps this under a key of the plugin's state, as an earlier event would have.
    #[must_use]
    pub fn seed(mut self, key: &str, value: impl Into<Vec<u8>>) -> Self {
        self.world.kept().seed(key, value.into());
        self
    }

    /// Takes back a grant: an upstream or a target by its name, or `state`. All that the plugin asks for is granted otherwise.
    ///
    /// ```
    /// # use hookfast_sdk::prelude::*;
    /// # use hookfast_sdk::test::{Host, fixture};
    /// hookfast_sdk::plugin! { name: "counter", otherwise => count, }
    /// fn count(_: Event, cx: &mut Context) -> Outcome { done(cx.state().increment("events", 1)?.to_string()) }
    ///
    /// assert!(Host::new(&PLUGIN).without_grant("state").run(&fixture("x", "")).is_dead_letter());
    /// ```
    #[must_use]
    pub fn without_grant(mut self, name: &str) -> Self {
        self.world.refused.insert(name.to_owned());
        self
    }

    /// Sets the clock, in Unix milliseconds; it stands at the start of 2026 otherwise.
    #[must_use]
    pub fn now_ms(mut self, now_ms: u64) -> Self {
        self.world.now_ms = now_ms;
        self
    }

    /// Sets what is left of the attempt's wall-clock budget; 30 s otherwise.
    #[must_use]
    pub fn remaining(mut self, remaining: Duration) -> Self {
        self.world.remaining = remaining;
        self
    }

    /// Runs the next attempt of this event, as the worker would: what it wrote, emitted and handed over counts only if it is done, and if
    /// state that it relied on has changed by then, it runs again at once.
    ///
    /// # Panics
    /// The plugin made a call that is not scripted, or of an upstream that it does not declare.
    pub fn run(&mut self, event: &Event) -> Run {
        let attempt = self.attempts.entry(event.id.clone()).and_modify(|attempt| *attempt += 1).or_insert(event.attempt);
        let event = Event { attempt: *attempt, ..event.clone() };
        let plugin = self.plugin;
        self.settle(&event, |event| plugin.run(event))
    }

    /// Runs the plugin's `compensate`, as the worker would before this event becomes a dead letter. It has the journal and the number of
    /// the last attempt.
    ///
    /// ```
    /// # use hookfast_sdk::prelude::*;
    /// # use hookfast_sdk::test::{Host, fixture};
    /// hookfast_sdk::plugin! { name: "rooms", upstreams: ["hotel"], compensate => cancel, on "room.booked" => book, }
    ///
    /// fn book(_: Event, cx: &mut Context) -> Outcome {
    ///     cx.post("hotel", "/rooms/7").step("book").send()?.success()?;
    ///     done("booked")
    /// }
    ///
    /// fn cancel(_: Event, last_error: &str, cx: &mut Context) -> Outcome {
    ///     cx.deliver("hotel", "/rooms/7").method("DELETE").send()?;
    ///     done(format!("cancelled, since {last_error}"))
    /// }
    ///
    /// let mut host = Host::new(&PLUGIN).on_post("hotel", "/rooms/7", 503);
    /// let event = fixture("room.booked", "");
    /// assert!(host.run(&event).is_retry());
    /// assert_eq!(host.exhaust(&event, "the hotel is closed").text(), "cancelled, since the hotel is closed");
    /// assert_eq!(host.delivered("hotel")[0].method, "DELETE");
    /// ```
    ///
    /// # Panics
    /// The plugin has no `compensate`; and as [`Host::run`].
    pub fn exhaust(&mut self, event: &Event, last_error: &str) -> Run {
        assert!(self.plugin.compensates(), "the plugin has no `compensate`");
        let attempt = self.attempts.get(&event.id).copied().unwrap_or(event.attempt);
        let event = Event { attempt, ..event.clone() };
        let plugin = self.plugin;
        self.settle(&event, |event| plugin.compensate(event, last_error))
    }

    /// Asks the plugin about a request, as the front door would.
    ///
    /// # Errors
    /// The plugin turns it away.
    pub fn admit(&mut self, request: &Incoming) -> Ruling {
        self.world.start_admitting();
        let plugin = self.plugin;
        self.lend(|| plugin.rule(request.clone())).unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// Lets another run commit this value between the next run and its commit, once.
    ///
    /// ```
    /// # use hookfast_sdk::prelude::*;
    /// # use hookfast_sdk::test::{Host, fixture};
    /// hookfast_sdk::plugin! { name: "largest", on "bid" => bid, }
    ///
    /// fn bid(event: Event<u64>, cx: &mut Context) -> Outcome {
    ///     let largest: u64 = cx.state().get_json("largest")?.unwrap_or_default();
    ///     cx.state().set_json("largest", &event.data.max(largest))?;
    ///     done("noted")
    /// }
    ///
    /// let mut host = Host::new(&PLUGIN);
    /// host.race("largest", "9");
    /// assert!(host.run(&fixture("bid", "7")).is_done());
    /// assert_eq!(host.state("largest"), Some("9"), "it ran again, and saw the 9");
    /// ```
    pub fn race(&mut self, key: &str, value: impl Into<Vec<u8>>) {
        self.world.kept().race(key, value.into());
    }

    /// What is kept under a key of the plugin's state, as text; `None`: nothing.
    ///
    /// # Panics
    /// It is not UTF-8.
    pub fn state(&self, key: &str) -> Option<&str> {
        self.world.committed_state(key).map(|bytes| str::from_utf8(bytes).expect("the state is the text that the test expects"))
    }

    /// The events that were emitted, in order.
    pub fn emitted(&self) -> &[Emitted] {
        &self.world.outbox.emitted
    }

    /// What was handed over for this upstream, in order.
    pub fn delivered(&self, upstream: &str) -> Vec<&Delivered> {
        self.world.outbox.delivered.iter().filter(|delivered| delivered.upstream == upstream).collect()
    }

    /// What this upstream got, in order. A step that was replayed from the journal was not sent again.
    pub fn sent(&self, upstream: &str) -> Vec<&Sent> {
        self.world.sent.iter().filter(|sent| sent.upstream == upstream).collect()
    }

    /// What the plugin logged, in order; a panic is a line at level 1.
    pub fn logs(&self) -> &[LogLine] {
        &self.world.logs
    }

    fn settle(&mut self, event: &Event, handle: impl Fn(Event) -> Outcome) -> Run {
        for _ in 0..=CONFLICTS_MAX {
            self.world.start_run(event);
            let run = match self.lend(|| handle(event.clone())) {
                Ok(outcome) => Run::from_outcome(outcome),
                Err(panic) => Run::from_panic(panic.as_ref()),
            };
            assert!(self.world.unexpected.is_empty(), "{}", self.world.unexpected.join("; "));
            if !run.is_done() || self.world.commit().is_ok() {
                return run;
            }
        }
        Run::Failed(Failure::Retry { after: None, reason: "state that the handler relied on changed, again and again".to_owned() })
    }

    fn lend<T>(&mut self, guest: impl FnOnce() -> T) -> thread::Result<T> {
        panic::report_to_log();
        let world = mem::replace(&mut self.world, World::new(self.plugin));
        let (result, world) = imports::with_world(world, || catch_unwind(AssertUnwindSafe(guest)));
        self.world = world;
        result
    }
}

fn fault(code: &str, message: String) -> types::Fault {
    types::Fault { code: code.to_owned(), message, attributes: Vec::new() }
}

/// The same for the same value.
fn digest(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
