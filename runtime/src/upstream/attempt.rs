//! Exactly one try of a call: token, credentials, exchange, redirects, and one more time with another token where the first was refused.
//! Knows nothing of the upstream's state, and never tries again because something failed.

use http::Method;
use tokio::time::timeout_at;

use super::credentials::Credentials;
use super::exchange::{self, Bounds};
use super::fault::Broken;
use super::redirect::{Way, way};
use super::request::Hop;
use super::{CallContext, Upstream};
use crate::domain::{CallFault, CallFaultKind, OutboundAnswer, OutboundRequest};

impl Upstream {
    /// Exactly one try, in all within the call's total time.
    pub(super) async fn attempt(&self, asked: &OutboundRequest, context: &CallContext) -> Result<OutboundAnswer, CallFault> {
        let bounds = self.bounds(asked);
        let Some(tokens) = &self.tokens else { return self.follow(asked, &self.credentials, context, bounds).await };
        let in_time = |token| async move { timeout_at(bounds.deadline, token).await.unwrap_or_else(|_| Err(self.no_token(bounds))) };
        let token = in_time(tokens.token(context.now)).await?;
        let answer = self.follow(asked, &token.credentials, context, bounds).await?;
        if answer.status != 401 {
            return Ok(answer);
        }
        // It may have been withdrawn before its time.
        tokens.refused(&token);
        // Without redirects the upstream did nothing but look at the token; with them a POST may have had its effect before the 401.
        if self.settings.redirects_max > 0 && !matches!(&*asked.method, "GET" | "HEAD" | "OPTIONS") {
            return Ok(answer);
        }
        let token = in_time(tokens.token(context.now)).await?;
        self.follow(asked, &token.credentials, context, bounds).await
    }

    /// One exchange, and those that redirects ask for.
    async fn follow(
        &self,
        asked: &OutboundRequest,
        credentials: &Credentials,
        context: &CallContext,
        bounds: Bounds,
    ) -> Result<OutboundAnswer, CallFault> {
        let invalid = |message: String| CallFault::new(CallFaultKind::InvalidRequest, message);
        let mut hop = Hop::first(asked, &self.settings.base).map_err(|message| invalid(message.into()))?;
        // Whether a request that was answered by "see there" has had its effect.
        let mut happened = false;
        for redirects in 0.. {
            let request = hop.prepare(asked, credentials, context).map_err(invalid)?;
            // By far the largest part of a call, and there is room for one only.
            let exchanging = Box::pin(exchange::exchange(&self.client, request, bounds));
            let answer = match &self.mischief {
                Some(mischief) => mischief.befall(exchanging, bounds).await,
                None => exchanging.await,
            };
            // A GET that was sent has happened to no effect (RFC 9110 §9.2.1).
            let is_effective = !hop.method.is_safe();
            let answer = answer.map_err(|broken| {
                let fault = self.fault(broken);
                CallFault { may_have_happened: happened || is_effective && fault.may_have_happened, ..fault }
            })?;
            hop = match way(&hop, &answer, &self.settings.base) {
                _ if self.settings.redirects_max == 0 => return Ok(answer),
                Way::Arrived => return Ok(answer),
                Way::Away => return Err(self.too_many("redirects to another origin, or out of its base URL", happened)),
                Way::On(_) if redirects == self.settings.redirects_max => {
                    let more = format!("redirects more often than the {redirects} times that are followed");
                    return Err(self.too_many(&more, happened));
                }
                Way::On(next) => {
                    happened |= is_effective && next.method == Method::GET;
                    next
                }
            };
        }
        unreachable!("the loop ends with an answer or a fault")
    }

    pub(super) fn bounds(&self, asked: &OutboundRequest) -> Bounds {
        let timeouts = &self.settings.timeouts;
        let total = asked.timeout.map_or(timeouts.total, |own| own.min(timeouts.total));
        Bounds::from_now(timeouts.read, total, self.settings.response_bytes_max)
    }

    fn fault(&self, broken: Broken) -> CallFault {
        broken.fault(&format!("upstream `{}`", self.settings.name), &self.settings.how_to_allow())
    }

    fn too_many(&self, what: &str, may_have_happened: bool) -> CallFault {
        let message = format!("upstream `{}` {what}", self.settings.name);
        CallFault { may_have_happened, ..CallFault::new(CallFaultKind::TooManyRedirects, message) }
    }

    fn no_token(&self, bounds: Bounds) -> CallFault {
        let message = format!("the token endpoint of upstream `{}` gave no token within {:?}", self.settings.name, bounds.total);
        CallFault::new(CallFaultKind::Timeout, message)
    }
}
