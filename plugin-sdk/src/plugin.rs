//! What a plugin is: its description and the table from event types to handlers. It runs one event through that
//! table; it never calls out by itself.

use crate::bindings::exports::hookfast::plugin::ingress;
use crate::bindings::{exports::hookfast::plugin::handler as wire, hookfast::plugin::types};
use crate::{Context, Event, Failure, Incoming, Outcome, Payload, Ruling, admit, discard, panic, reject};
use serde::Serialize;

type Handler = fn(Event, &mut Context) -> Outcome;
type Compensate = fn(Event, &str, &mut Context) -> Outcome;
type Admit = fn(Incoming, &mut Context) -> Ruling;

/// A plugin, as declared by [`plugin!`](crate::plugin!).
#[derive(Debug)]
pub struct Plugin {
    name: &'static str,
    version: &'static str,
    description: &'static str,
    upstreams: &'static [&'static str],
    fixtures: &'static [Fixture],
    routes: &'static [Route],
    admit: Option<Admit>,
    compensate: Option<Compensate>,
}

impl Plugin {
    #[doc(hidden)]
    pub const fn new(
        name: &'static str,
        version: &'static str,
        description: &'static str,
        upstreams: &'static [&'static str],
        fixtures: &'static [Fixture],
        routes: &'static [Route],
    ) -> Self {
        assert!(!name.is_empty(), "a plugin needs a name");
        Self { name, version, description, upstreams, fixtures, routes, admit: None, compensate: None }
    }

    /// The same, and it proves requests.
    #[doc(hidden)]
    pub const fn admitting(self, admit: Admit) -> Self {
        Self { admit: Some(admit), ..self }
    }

    /// The same, and it takes back what was done for a dead letter.
    #[doc(hidden)]
    pub const fn compensating(self, compensate: Compensate) -> Self {
        Self { compensate: Some(compensate), ..self }
    }

    /// The name under which the operator grants and routes to this plugin.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The upstreams that the plugin says it calls.
    pub fn upstreams(&self) -> &'static [&'static str] {
        self.upstreams
    }

    /// Whether it takes back what was done for a dead letter.
    pub fn compensates(&self) -> bool {
        self.compensate.is_some()
    }

    /// The JSON that `metadata.describe` answers: name, version, description, upstreams and events.
    ///
    /// ```
    /// # use hookfast_sdk::prelude::*;
    /// hookfast_sdk::plugin! { name: "audit", upstreams: ["log"], on "user.*" => note, }
    /// fn note(event: Event, _: &mut Context) -> Outcome { done(event.id) }
    ///
    /// let description: Value = serde_json::from_str(&PLUGIN.describe()).unwrap();
    /// assert_eq!(description["events"], json!(["user.*"]));
    /// ```
    pub fn describe(&self) -> String {
        let events: Vec<&str> = self.routes.iter().map(|route| route.pattern).collect();
        let Self { name, version, description, upstreams, fixtures, .. } = self;
        let (admits, compensates) = (self.admit.is_some(), self.compensates());
        serde_json::to_string(&Description { name, version, description, upstreams, fixtures, events, admits, compensates })
            .expect("a description is strings and lists")
    }

    /// Answers `handler.handle`.
    #[doc(hidden)]
    pub fn handle(&self, event: types::Event) -> Result<Option<String>, wire::Failure> {
        panic::report_to_log();
        self.run(event.into()).map(|done| done.0).map_err(Failure::into)
    }

    /// Answers `compensation.exhausted`.
    #[doc(hidden)]
    pub fn exhausted(&self, event: types::Event, last_error: &str) -> Result<Option<String>, types::Fault> {
        panic::report_to_log();
        self.compensate(event.into(), last_error).map(|done| done.0).map_err(Failure::into)
    }

    /// Answers `ingress.admit`.
    #[doc(hidden)]
    pub fn admit(&self, request: ingress::Request) -> ingress::Admission {
        panic::report_to_log();
        admit::to_wire(self.rule(request.into()))
    }

    /// Asks the plugin about a request.
    pub(crate) fn rule(&self, request: Incoming) -> Ruling {
        match self.admit {
            Some(admit) => admit(request, &mut Context::new()),
            None => reject("no_admit", "the plugin has no `admit`"),
        }
    }

    /// Takes back what was done for an event.
    pub(crate) fn compensate(&self, event: Event, last_error: &str) -> Outcome {
        match self.compensate {
            Some(compensate) => compensate(event, last_error, &mut Context::new()),
            None => discard("the plugin has no `compensate`"),
        }
    }

    /// Runs the first route that takes the event's type.
    pub(crate) fn run(&self, event: Event) -> Outcome {
        let event_type = event.event_type.as_deref();
        match self.routes.iter().find(|route| route.takes(event_type)) {
            Some(route) => (route.handler)(event, &mut Context::new()),
            None => discard(format!("not handled: {}", event_type.unwrap_or("an event without a type"))),
        }
    }
}

#[derive(Serialize)]
struct Description<'a> {
    name: &'a str,
    version: &'a str,
    description: &'a str,
    upstreams: &'a [&'a str],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    fixtures: &'a [Fixture],
    events: Vec<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    admits: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    compensates: bool,
}

/// An event that this version must handle before it may serve.
#[derive(Debug, Serialize)]
pub struct Fixture {
    #[serde(rename = "type")]
    event_type: &'static str,
    body: &'static str,
}

impl Fixture {
    #[doc(hidden)]
    pub const fn new(event_type: &'static str, body: &'static str) -> Self {
        Self { event_type, body }
    }
}

/// One line of the table in [`plugin!`](crate::plugin!).
#[derive(Debug)]
pub struct Route {
    pattern: &'static str,
    handler: Handler,
}

impl Route {
    #[doc(hidden)]
    pub const fn new(pattern: &'static str, handler: Handler) -> Self {
        assert!(is_pattern(pattern.as_bytes()), "an event type is exact, or ends in `.*`");
        Self { pattern, handler }
    }

    fn takes(&self, event_type: Option<&str>) -> bool {
        match (self.pattern.strip_suffix('*'), event_type) {
            (Some(prefix), event_type) => event_type.unwrap_or_default().starts_with(prefix),
            (None, Some(event_type)) => event_type == self.pattern,
            (None, None) => false,
        }
    }
}

/// `*`, `prefix.*`, or a name without a star; checked while the author's crate compiles.
const fn is_pattern(pattern: &[u8]) -> bool {
    match pattern {
        [] => false,
        [b'*'] => true,
        [prefix @ .., b'.', b'*'] | prefix => !prefix.is_empty() && !has_star(prefix),
    }
}

const fn has_star(mut text: &[u8]) -> bool {
    while let [first, rest @ ..] = text {
        if *first == b'*' {
            return true;
        }
        text = rest;
    }
    false
}

/// Parses the payload where the route says it sits, then runs the author's function.
#[doc(hidden)]
pub fn run_typed<T: Payload>(
    handler: fn(Event<T>, &mut Context) -> Outcome,
    pointer: &str,
    event: Event,
    context: &mut Context,
) -> Outcome {
    handler(event.parse(pointer)?, context)
}

/// Parses the payload as [`run_typed`] does, then runs the author's compensation.
#[doc(hidden)]
pub fn compensate_typed<T: Payload>(
    compensation: fn(Event<T>, &str, &mut Context) -> Outcome,
    pointer: &str,
    event: Event,
    last_error: &str,
    context: &mut Context,
) -> Outcome {
    compensation(event.parse(pointer)?, last_error, context)
}

/// Declares the crate's plugin, `PLUGIN`, and exports it when the target is WebAssembly.
///
/// - `name`: the plugin's name. Version and description come from the crate's `Cargo.toml`.
/// - `upstreams`: the upstreams it calls; may be left out.
/// - `fixtures`: `TYPE => BODY` pairs. The host runs each before it lets a new version serve, with every upstream answering
///   200 and nothing sent; one that does not end as done keeps the version out. May be left out.
/// - `admit => FUNCTION`: proves the requests of sources with `provider = "plugin:NAME"`; a `fn(Incoming, &mut Context) -> Ruling`. May be
///   left out, and mostly is: see [`Incoming`](crate::Incoming).
/// - `compensate at POINTER => FUNCTION`: takes back what the attempts of an event did, before it becomes a dead letter; a
///   `fn(Event<T>, &str, &mut Context) -> Outcome` whose text is the last error. The host calls it once for a dead letter, and commits its
///   effects with it; if it fails there are none, and the dead letter is one all the same. POINTER as below; may be left out, all of it.
/// - `on TYPE at POINTER => HANDLER,`: TYPE is exact or ends in `.*`; POINTER (JSON Pointer, RFC 6901) says where the
///   payload sits, and without it the whole body is the payload. The first line that fits an event runs.
/// - `otherwise => HANDLER,`: every other event. Without this line they are discarded as `not handled: TYPE`.
///
/// A handler is a `fn(Event<T>, &mut Context) -> Outcome`; with a plain `Event` nothing is parsed.
///
/// ```
/// use hookfast_sdk::prelude::*;
/// use hookfast_sdk::test::{Host, fixture};
///
/// #[derive(Deserialize)]
/// struct User { email: String }
///
/// hookfast_sdk::plugin! {
///     name: "welcome",
///     upstreams: ["mail"],
///     on "user.created" at "/data/user" => created,
///     on "user.*" => other_user_event,
/// }
///
/// fn created(event: Event<User>, cx: &mut Context) -> Outcome {
///     cx.post("mail", "/send").step("welcome").json(&json!({ "to": event.data.email })).send()?.success()?;
///     done(format!("welcomed {}", event.data.email))
/// }
///
/// fn other_user_event(event: Event, cx: &mut Context) -> Outcome {
///     cx.info("seen", &[("bytes", &event.body.len())]);
///     done("seen")
/// }
///
/// let mut host = Host::new(&PLUGIN).on_post("mail", "/send", 202);
/// assert!(host.run(&fixture("user.created", r#"{"data":{"user":{"email":"a@example.com"}}}"#)).is_done());
/// assert!(host.run(&fixture("user.deleted", "")).is_done());
/// assert!(host.run(&fixture("order.created", "")).is_discard());
/// ```
#[macro_export]
macro_rules! plugin {
    (
        name: $name:literal,
        $(upstreams: [$($upstream:literal),* $(,)?],)?
        $(fixtures: [$($fixture_type:literal => $fixture:expr),* $(,)?],)?
        $(admit => $admit:path,)?
        $(compensate $(at $compensation_pointer:literal)? => $compensation:path,)?
        $(on $event_type:literal $(at $pointer:literal)? => $handler:path,)*
        $(otherwise => $fallback:path,)?
    ) => {
        /// This crate's plugin.
        pub static PLUGIN: $crate::Plugin = $crate::Plugin::new(
            $name,
            env!("CARGO_PKG_VERSION"),
            env!("CARGO_PKG_DESCRIPTION"),
            &[$($($upstream),*)?],
            &[$($($crate::Fixture::new($fixture_type, $fixture)),*)?],
            &[
                $($crate::Route::new($event_type, |event, cx| {
                    $crate::run_typed($handler, concat!($($pointer)?), event, cx)
                }),)*
                $($crate::Route::new("*", |event, cx| $crate::run_typed($fallback, "", event, cx)),)?
            ],
        )$(.admitting($admit))?$(.compensating(|event, last_error, cx| {
            $crate::compensate_typed($compensation, concat!($($compensation_pointer)?), event, last_error, cx)
        }))?;

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            use $crate::bindings::exports::hookfast::plugin::{compensation, handler, ingress, metadata};

            struct Component;

            impl metadata::Guest for Component {
                fn describe() -> ::std::string::String {
                    PLUGIN.describe()
                }
            }

            impl handler::Guest for Component {
                fn handle(
                    event: handler::Event,
                ) -> ::core::result::Result<::core::option::Option<::std::string::String>, handler::Failure> {
                    PLUGIN.handle(event)
                }
            }

            impl compensation::Guest for Component {
                fn exhausted(
                    event: compensation::Event,
                    last_error: ::std::string::String,
                ) -> ::core::result::Result<::core::option::Option<::std::string::String>, compensation::Fault> {
                    PLUGIN.exhausted(event, &last_error)
                }
            }

            impl ingress::Guest for Component {
                fn admit(request: ingress::Request) -> ingress::Admission {
                    PLUGIN.admit(request)
                }
            }

            $crate::bindings::export!(Component with_types_in $crate::bindings);
        };
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_alone_or_at_the_end_of_a_prefix() {
        let check = |patterns: &[&str], expected: bool| {
            for pattern in patterns {
                assert_eq!(is_pattern(pattern.as_bytes()), expected, "{pattern:?}");
            }
        };
        check(&["*", "push", "invoice.*", "a.b.*", "invoice.paid"], true);
        check(&["", ".*", "**", "*.paid", "in*", "a.*.b", "a.**"], false);
    }
}
