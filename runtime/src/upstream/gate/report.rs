//! What an answer or a fault says of its upstream. Pure.

use std::time::Duration;

use super::breaker::Finding;
use super::condition::Report;
use super::marks::Sign;
use crate::domain::{CallFault, CallFaultClass, CallFaultKind, OutboundAnswer, Timestamp};

/// The longest pause that an upstream can ask for.
const PAUSE_MAX: Duration = Duration::from_mins(5);

impl Report {
    /// Of one try. Whoever brings credentials of its own shows nothing of ours, so 401 and 403 count only where the host's were sent.
    pub(super) fn of(result: &Result<OutboundAnswer, CallFault>, took: Duration, has_credentials: bool, now: Timestamp) -> Self {
        match result {
            Ok(answer) => Self::of_answer(answer, took, has_credentials, now),
            Err(fault) => Self::of_fault(fault, took),
        }
    }

    fn of_answer(answer: &OutboundAnswer, took: Duration, has_credentials: bool, now: Timestamp) -> Self {
        let is_refused = matches!(answer.status, 401 | 403) && has_credentials;
        let sign = match answer.status {
            _ if is_refused => Sign::Refused,
            _ if answer.is_final() => Sign::LetIn,
            _ => Sign::Answered,
        };
        // A 429 is a matter of how often, not of whether.
        let is_limited = answer.status == 429;
        let finding = (!is_limited).then_some(Finding { failed: answer.status >= 500, took });
        let pause = is_limited.then(|| answer.retry_after(now)).flatten();
        let pause = pause.filter(|pause| !pause.is_zero()).map(|pause| pause.min(PAUSE_MAX));
        Self { finding, sign, pause }
    }

    fn of_fault(fault: &CallFault, took: Duration) -> Self {
        let served = |failed| Some(Finding { failed, took });
        let finding = match (fault.class(), fault.kind) {
            (CallFaultClass::Transient | CallFaultClass::Ambiguous, _) => served(true),
            // It answered, with more than is wanted.
            (_, CallFaultKind::ResponseTooLarge | CallFaultKind::TooManyRedirects) => served(false),
            _ => None,
        };
        let sign = match fault.kind {
            CallFaultKind::Tls => Sign::NoTls,
            CallFaultKind::AuthFailed => Sign::Refused,
            CallFaultKind::ResponseTooLarge | CallFaultKind::TooManyRedirects => Sign::Answered,
            _ => Sign::Nothing,
        };
        Self { finding, sign, pause: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Headers;

    const NOW: Timestamp = Timestamp::from_millis(1_445_412_480_000); // Wed, 21 Oct 2015 07:28:00 GMT

    fn answer(status: u16, retry_after: Option<&'static str>) -> Report {
        let mut headers = Headers::default();
        if let Some(text) = retry_after {
            headers.push("retry-after", text);
        }
        let answer = OutboundAnswer { status, headers, body: bytes::Bytes::new(), stale_for: None };
        Report::of(&Ok(answer), Duration::ZERO, true, NOW)
    }

    fn fault(kind: CallFaultKind) -> Report {
        Report::of(&Err(CallFault::new(kind, "")), Duration::ZERO, true, NOW)
    }

    fn failed(report: Report) -> Option<bool> {
        report.finding.map(|finding| finding.failed)
    }

    #[test]
    fn statuses_say_whether_the_upstream_serves_and_lets_us_in() {
        for (status, served, sign) in [
            (200, Some(false), Sign::LetIn),
            (302, Some(false), Sign::LetIn),
            (404, Some(false), Sign::LetIn),
            (401, Some(false), Sign::Refused),
            (403, Some(false), Sign::Refused),
            (408, Some(false), Sign::Answered),
            (429, None, Sign::Answered),
            (500, Some(true), Sign::Answered),
            (503, Some(true), Sign::Answered),
        ] {
            assert_eq!((failed(answer(status, None)), answer(status, None).sign), (served, sign), "{status}");
        }
    }

    #[test]
    fn a_refusal_of_credentials_that_are_not_ours_is_an_answer() {
        let refused = OutboundAnswer { status: 401, headers: Headers::default(), body: bytes::Bytes::new(), stale_for: None };
        assert_eq!(Report::of(&Ok(refused), Duration::ZERO, false, NOW).sign, Sign::Answered);
    }

    #[test]
    fn a_429_asks_for_a_pause_in_seconds_or_by_a_date_and_not_for_ever() {
        let pause = |status, text| answer(status, Some(text)).pause.map(|pause| pause.as_secs());
        assert_eq!(pause(429, "7"), Some(7));
        assert_eq!(pause(429, "Wed, 21 Oct 2015 07:28:09 GMT"), Some(9));
        assert_eq!(pause(429, "Wed, 21 Oct 2015 07:00:00 GMT"), None, "it is over");
        assert_eq!(pause(429, "86400"), Some(300));
        assert_eq!((pause(429, "soon"), pause(503, "7"), pause(200, "7")), (None, None, None));
    }

    #[test]
    fn faults_say_whether_the_upstream_serves() {
        use CallFaultKind::*;
        for (kind, served, sign) in [
            (Timeout, Some(true), Sign::Nothing),
            (Connect, Some(true), Sign::Nothing),
            (Reset, Some(true), Sign::Nothing),
            (Tls, Some(true), Sign::NoTls),
            (ResponseTooLarge, Some(false), Sign::Answered),
            (TooManyRedirects, Some(false), Sign::Answered),
            (AuthFailed, None, Sign::Refused),
            (InvalidRequest, None, Sign::Nothing),
            (PrivateAddress, None, Sign::Nothing),
        ] {
            assert_eq!((failed(fault(kind)), fault(kind).sign), (served, sign), "{kind:?}");
        }
    }
}
