//! Write [Hookfast](https://github.com/hookfast) plugins in Rust: webhook handlers as small functions.
//!
//! This crate owns what a plugin's author sees: the [`plugin!`] table, [`Event`], [`Context`], [`Outcome`] and the
//! native [`test::Host`]. It never decides policy: addresses, credentials, timeouts and the number of attempts are
//! the operator's.
//!
//! ```
//! use hookfast_sdk::prelude::*;
//!
//! #[derive(Deserialize, Serialize)]
//! struct Invoice { id: String, customer: String, amount_paid: u64 }
//!
//! hookfast_sdk::plugin! {
//!     name: "stripe-crm",
//!     upstreams: ["crm"],
//!     on "invoice.paid" at "/data/object" => paid,
//! }
//!
//! fn paid(event: Event<Invoice>, cx: &mut Context) -> Outcome {
//!     cx.post("crm", "/invoices").step("crm").json(&event.data).send()?.success()?;
//!     done("synced")
//! }
//!
//! // In a `#[test]`, under plain `cargo test`:
//! use hookfast_sdk::test::{Host, fixture};
//! let mut host = Host::new(&PLUGIN).on_post("crm", "/invoices", [503, 201]);
//! let event = fixture("invoice.paid", r#"{"data":{"object":{"id":"in_1","customer":"cus_1","amount_paid":900}}}"#);
//! assert!(host.run(&event).is_retry());
//! assert!(host.run(&event).is_done());
//! ```
//!
//! **`?` decides.** Every error knows its [class](FaultClass), so a handler rarely names one:
//!
//! | what went wrong | class | outcome |
//! | --- | --- | --- |
//! | the payload is not the JSON it should be | | dead letter |
//! | no connection, an open breaker (`connect`, `tls`, `breaker_open`, unknown codes) | transient | retry |
//! | the request was sent and no answer came (`timeout`, `reset`) | ambiguous | retry |
//! | the upstream's limits leave no room (`rate_limited`) | rate-limited | retry |
//! | credentials or certificates are refused (`auth_failed`, `tls_failed`) | auth | retry; the host parks the job |
//! | the call was refused (`unknown_upstream`, `not_granted`, `private_address`, `invalid_request`, `response_too_large`, `too_many_calls`, `too_many_redirects`, `step_changed`) | permanent | dead letter |
//! | status 408, 425, and from 500 | transient | retry |
//! | status 429 | rate-limited | retry |
//! | status 401, 403 | auth | retry; after three in a row the host parks the job |
//! | any other status that is not 2xx | permanent | dead letter |
//! | HTML where JSON was promised, or JSON that is cut off | malformed | retry; of a step dead letter, since its response is durable, unless it was sent with `expect_json()` |
//! | JSON of another shape | malformed | dead letter |
//! | state cannot be read now, or is full (`unavailable`, `quota_exceeded`) | transient | retry |
//! | any other refusal of state or an effect | permanent | dead letter |
//! | a panic | | retry; the message, file and line are logged |
//!
//! A retry waits as long as `Retry-After`, or the host, asks for.
//!
//! Where that is wrong, [`OrFailure`] overrides it: `.or_discard("customer was deleted")?`.
//!
//! **What runs again.** A handler that is not done runs again from its start. Calls with a [`step`](Request::step) are then not made
//! again; what it wrote to [`state`](Context::state), [emitted](Context::emit) and [handed over](Context::deliver) is dropped with the
//! failed run, and commits together with the outcome of the one that is done. When all attempts have failed, `compensate => FUNCTION` in
//! the table takes back what they did. The guide `docs/guides/reliable-handlers.md` teaches it with an example.
//!
//! A plugin can also prove the requests of a provider that no file of the catalogue describes: `admit => FUNCTION` in its table, and
//! `provider = "plugin:NAME"` in the source; see [`Incoming`].
//!
//! Build with `hookfast plugin build` and `crate-type = ["cdylib"]`; plain `cargo build --release --target wasm32-wasip2` does too,
//! with a stack eight times as large, which makes each run dearer. A plugin that derives
//! `Deserialize` needs `serde` among its own dependencies, too.

#![warn(missing_docs)]

mod admit;
mod call;
mod checked;
mod content;
mod context;
mod effects;
mod event;
mod fallback;
mod fault;
mod host;
mod outcome;
mod panic;
mod payload;
mod pointer;
mod plugin;
mod retry_after;
mod secret;
mod state;

#[cfg(not(target_arch = "wasm32"))]
pub mod test;

// Generated; the command stands at the top of the file.
#[doc(hidden)]
#[rustfmt::skip]
#[expect(clippy::allow_attributes, clippy::unwrap_used, reason = "generated code")]
#[expect(unsafe_code, unused_qualifications, unreachable_pub, reason = "generated code crosses the component boundary")]
pub mod bindings;

pub use admit::{Admission, Arrival, Incoming, OrReject, Rejection, Ruling, accept, accept_all, ignore, reject, respond};
pub use call::{Request, Response};
pub use checked::{Checked, CheckedRequest};
pub use context::Context;
pub use effects::{Delivery, Emission};
pub use event::{Event, Header};
pub use fallback::Fallback;
pub use fault::{Fault, FaultClass};
pub use outcome::{Done, Failure, OrFailure, Outcome, dead_letter, discard, done, retry, retry_after};
pub use payload::{Payload, PayloadError, Raw};
pub use plugin::{Fixture, Plugin, Route, compensate_typed, run_typed};
pub use secret::Secret;
pub use serde_json;
pub use state::{Item, State};

/// Everything a handler usually needs: `use hookfast_sdk::prelude::*;`.
pub mod prelude {
    pub use crate::{Arrival, Incoming, OrReject, Rejection, Ruling, accept, accept_all, ignore, reject, respond};
    pub use crate::{Checked, Context, Done, Event, Failure, Fallback, Fault, FaultClass, OrFailure, Outcome, Response};
    pub use crate::{dead_letter, discard, done, retry, retry_after};
    pub use serde::{Deserialize, Serialize};
    pub use serde_json::{Value, json};
}
