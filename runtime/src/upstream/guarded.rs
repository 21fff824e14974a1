//! A call within its upstream's policies: each try passes the gate, and one that failed is made again at once where that is safe.
//! What a try is, this does not know.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{CallContext, Upstream};
use crate::domain::{CallFault, CallFaultKind, OutboundAnswer, OutboundRequest};

/// Before the first repetition at most so long, twice as long before each further one.
const PAUSE: Duration = Duration::from_millis(100);

/// When a call has to be over.
#[derive(Clone, Copy)]
struct Deadline {
    at: Instant,
    /// The caller gives it less time than the operator does.
    is_callers: bool,
}

impl Deadline {
    fn left(self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }

    /// Whether it is the caller who has no more time: that says nothing of the upstream but how long it took. Other bounds, such as the
    /// time for a connection, are the operator's.
    fn has_cut_short(self) -> bool {
        // Timers are as exact as a millisecond.
        self.is_callers && self.left() <= Duration::from_millis(2)
    }
}

type Answered = Result<OutboundAnswer, CallFault>;

impl Upstream {
    /// The call within the upstream's policies, all of it within its total timeout.
    pub(super) async fn guarded(&self, mut asked: OutboundRequest, context: &CallContext) -> Answered {
        let is_callers = asked.timeout.is_some_and(|own| own < self.settings.timeouts.total);
        let until = Deadline { at: Instant::now() + self.bounds(&asked).total, is_callers };
        let mut result = self.pass(&mut asked, context, until).await;
        for number in 0..self.settings.policies.retries {
            let pause = self.pause(number);
            if !self.may_repeat(&asked, context, &result) || until.left() <= pause {
                break;
            }
            sleep(pause).await;
            self.gate.repeat();
            let again = self.pass(&mut asked, context, until).await;
            // Why the first try failed says more than that there will be no other.
            if again.as_ref().is_err_and(|fault| fault.kind.is_upstream_down()) {
                break;
            }
            result = followed(&result, again);
        }
        result
    }

    /// One try through the gate, with what is left of the time.
    async fn pass(&self, asked: &mut OutboundRequest, context: &CallContext, until: Deadline) -> Answered {
        let ticket = self.gate.enter(until.left(), context.now).await?;
        let left = until.left();
        if left + Duration::from_millis(1) < self.bounds(asked).total {
            asked.timeout = Some(Duration::from_millis(left.as_millis().try_into().unwrap_or(u64::MAX)));
        }
        let result = self.attempt(asked, context).await;
        match &result {
            Err(fault) if fault.kind == CallFaultKind::Timeout && until.has_cut_short() => drop(ticket),
            result => ticket.report(result),
        }
        result
    }

    /// Whether the call may be made again at once: it failed in a way that may pass, and nothing was sent or doing it twice does no harm.
    fn may_repeat(&self, asked: &OutboundRequest, context: &CallContext, result: &Answered) -> bool {
        match result {
            Ok(answer) => {
                let may_pass = matches!(answer.status, 502..=504) && answer.headers.text("retry-after").is_none();
                may_pass && self.is_repeatable(asked, context)
            }
            Err(fault) if !matches!(fault.kind, CallFaultKind::Timeout | CallFaultKind::Connect | CallFaultKind::Reset) => false,
            Err(fault) => !fault.may_have_happened || self.is_repeatable(asked, context),
        }
    }

    /// Whether doing it twice does no more than doing it once: by its method (RFC 9110 §9.2.2), or because the upstream knows it again.
    fn is_repeatable(&self, asked: &OutboundRequest, context: &CallContext) -> bool {
        let is_idempotent = matches!(&*asked.method, "GET" | "HEAD" | "OPTIONS" | "PUT" | "DELETE");
        is_idempotent || self.settings.policies.idempotent && context.idempotency_key(asked.step.as_ref()).is_some()
    }

    /// Between half and all of the time, so that calls that failed together do not come again together.
    fn pause(&self, number: u32) -> Duration {
        PAUSE * 2_u32.pow(number.min(5)) / 2 + (PAUSE * 2_u32.pow(number.min(5)) / 2).mul_f64(self.gate.draw())
    }
}

/// The last word, with what an earlier try may have done.
fn followed(before: &Answered, mut last: Answered) -> Answered {
    let may_have_happened = before.as_ref().map_or_else(|fault| fault.may_have_happened, |_| true);
    if let Err(fault) = &mut last {
        fault.may_have_happened |= may_have_happened;
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_earlier_try_may_have_done_is_not_forgotten() {
        let fault = |may_have_happened| Err(CallFault { may_have_happened, ..CallFault::new(CallFaultKind::Connect, "") });
        let answer =
            Ok(OutboundAnswer { status: 502, headers: crate::domain::Headers::default(), body: bytes::Bytes::new(), stale_for: None });
        let told = |before: &Answered, last| followed(before, last).map_err(|fault| fault.may_have_happened).expect_err("a fault");
        assert!(!told(&fault(false), fault(false)));
        assert!(told(&fault(true), fault(false)) && told(&fault(false), fault(true)) && told(&answer, fault(false)));
    }
}
