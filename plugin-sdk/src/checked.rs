//! Check, then act: calls of upstreams that know no idempotency keys, so that the plugin has to look whether an earlier attempt's call had
//! its effect.

use crate::{Fault, Request, Response, host};
use serde::de::DeserializeOwned;

/// A call that is made once in effect; made by [`Request::checked_step`].
///
/// ```
/// use hookfast_sdk::prelude::*;
/// use hookfast_sdk::test::{Host, fixture};
///
/// hookfast_sdk::plugin! { name: "users", upstreams: ["crm"], on "user.created" => create, }
///
/// fn create(_: Event, cx: &mut Context) -> Outcome {
///     let created = cx.post("crm", "/users").json(&json!({ "id": 7 })).checked_step("create", || exists(cx)).send()?;
///     match created {
///         Checked::Found(()) => done("an earlier attempt had created it"),
///         Checked::Answered(answer) => done(format!("answered {}", answer.success()?.status)),
///     }
/// }
///
/// fn exists(cx: &Context) -> Result<Option<()>, Fault> {
///     let answer = cx.get("crm", "/users/7").send()?;
///     if answer.status == 404 { Ok(None) } else { answer.success().map(|_| Some(())) }
/// }
///
/// let mut host = Host::new(&PLUGIN).on_post("crm", "/users", [504, 201]).on_get("crm", "/users/7", 404);
/// let event = fixture("user.created", "");
/// assert!(host.run(&event).is_retry());
/// assert_eq!(host.run(&event).text(), "answered 201");
/// ```
#[derive(Debug)]
#[must_use = "nothing goes out before `send`"]
pub struct CheckedRequest<'a, F> {
    pub(crate) request: Request,
    pub(crate) step: &'a str,
    pub(crate) check: F,
}

impl<F> CheckedRequest<'_, F> {
    /// Makes the call. If an earlier attempt was about to and nothing is known of what came of it, the check runs first, and the call is
    /// made only if that finds nothing. A response that is recorded is given without a check or a request.
    ///
    /// # Errors
    /// There is no response, the host refused, or the check failed.
    pub fn send<T, E>(self) -> Result<Checked<T>, E>
    where
        F: FnOnce() -> Result<Option<T>, E>,
        E: From<Fault>,
    {
        let prepared = self.request.prepare()?;
        let standing = host::begin(self.step).map_err(|fault| Fault::of_call(prepared.subject.clone(), &fault))?;
        // A word that is not known is one more reason to look.
        if !matches!(standing.as_str(), "fresh" | "recorded")
            && let Some(found) = (self.check)()?
        {
            return Ok(Checked::Found(found));
        }
        Ok(Checked::Answered(prepared.send()?))
    }
}

/// How a checked call had its effect.
///
/// ```
/// use hookfast_sdk::prelude::*;
/// use hookfast_sdk::test::{Answer, Host, fixture};
///
/// #[derive(Deserialize)]
/// struct Payment { id: String }
///
/// hookfast_sdk::plugin! { name: "payments", upstreams: ["bank"], on "order.placed" => pay, }
///
/// fn pay(_: Event, cx: &mut Context) -> Outcome {
///     let payment = cx.post("bank", "/payments").json(&json!({ "order": 7 })).checked_step("pay", || find(cx)).send()?;
///     let Payment { id } = payment.json()?;
///     done(id)
/// }
///
/// fn find(cx: &Context) -> Result<Option<Payment>, Fault> {
///     let payments: Vec<Payment> = cx.get("bank", "/payments?order=7").send()?.success()?.json()?;
///     Ok(payments.into_iter().next())
/// }
///
/// let mut host = Host::new(&PLUGIN)
///     .on_post("bank", "/payments", Answer::fault("timeout"))
///     .on_get("bank", "/payments?order=7", (200, r#"[{"id":"p_1"}]"#));
/// let event = fixture("order.placed", "");
/// assert!(host.run(&event).is_retry(), "nobody knows what became of it");
/// assert_eq!(host.run(&event).text(), "p_1", "it was found, and is not made twice");
/// ```
#[derive(Debug, Clone)]
pub enum Checked<T> {
    /// The upstream answered the call, whatever the status.
    Answered(Response),
    /// The check found the effect of an earlier attempt's call.
    Found(T),
}

impl<T: DeserializeOwned> Checked<T> {
    /// What the check found, else the answer's body, which must be a success.
    ///
    /// # Errors
    /// As [`Response::success`] and [`Response::json`].
    pub fn json(self) -> Result<T, Fault> {
        match self {
            Self::Found(found) => Ok(found),
            Self::Answered(response) => response.success()?.json(),
        }
    }
}
