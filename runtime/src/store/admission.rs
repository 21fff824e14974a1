//! A request's events on their way to a driver.

use tokio::sync::oneshot;

use super::{AdmitError, Admitted};
use crate::domain::NewEvent;

/// The most admissions that wait; further ones are refused with 503.
pub(super) const ADMISSIONS_MAX: usize = 8192;
/// The most bytes of waiting admissions.
pub(super) const ADMISSION_BYTES_MAX: usize = 64 << 20;

/// Events that are stored together or not at all.
pub(super) struct Admission {
    pub(super) events: Vec<NewEvent>,
    reply: oneshot::Sender<Result<Vec<Admitted>, AdmitError>>,
}

impl Admission {
    /// With where its answer will be.
    pub(super) fn new(events: Vec<NewEvent>) -> (Self, oneshot::Receiver<Result<Vec<Admitted>, AdmitError>>) {
        let (reply, answer) = oneshot::channel();
        (Self { events, reply }, answer)
    }

    /// About how many bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        self.events.iter().map(NewEvent::bytes).sum()
    }

    /// Answers. A sender that no longer waits has lost nothing: what the answer says is committed.
    pub(super) fn answer(self, result: Result<Vec<Admitted>, AdmitError>) {
        let _ = self.reply.send(result);
    }
}
