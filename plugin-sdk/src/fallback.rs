//! Graceful degradation: going on without what an upstream does not give now.

use crate::{Fault, FaultClass, host};

/// A default in place of what did not come.
///
/// ```
/// use hookfast_sdk::prelude::*;
/// use hookfast_sdk::test::{Host, fixture};
///
/// hookfast_sdk::plugin! { name: "greeter", upstreams: ["profiles", "chat"], otherwise => greet, }
///
/// fn greet(_: Event, cx: &mut Context) -> Outcome {
///     let name = name(cx).fallback(FaultClass::OUTAGE, |_| "there".to_owned())?;
///     cx.post("chat", "/messages").json(&json!({ "text": format!("Hello {name}") })).send()?.success()?;
///     done(name)
/// }
///
/// fn name(cx: &Context) -> Result<String, Fault> {
///     cx.get("profiles", "/name").send()?.success()?.json()
/// }
///
/// let host = || Host::new(&PLUGIN).on_post("chat", "/messages", 200);
/// assert_eq!(host().on_get("profiles", "/name", (200, "\"Ada\"")).run(&fixture("login", "")).text(), "Ada");
/// assert_eq!(host().on_get("profiles", "/name", 503).run(&fixture("login", "")).text(), "there");
/// assert!(host().on_get("profiles", "/name", 404).run(&fixture("login", "")).is_dead_letter());
/// ```
pub trait Fallback<T> {
    /// The value; of a fault of one of these classes the default, and the fault is logged as a warning.
    ///
    /// Another attempt may get the real value: do not send it with a step that comes later, since a step's request must not change.
    ///
    /// # Errors
    /// The fault is of another class.
    fn fallback(self, classes: &[FaultClass], default: impl FnOnce(&Fault) -> T) -> Result<T, Fault>;
}

impl<T> Fallback<T> for Result<T, Fault> {
    fn fallback(self, classes: &[FaultClass], default: impl FnOnce(&Fault) -> T) -> Result<T, Fault> {
        match self {
            Err(fault) if classes.contains(&fault.class) => {
                host::log(2, &format!("going on without an answer: {fault}"), &[("class".to_owned(), fault.class.to_string())]);
                Ok(default(&fault))
            }
            result => result,
        }
    }
}
