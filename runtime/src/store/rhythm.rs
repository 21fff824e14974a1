//! How many writes go together and how long they wait for each other, on both databases: a statement or a transaction costs each of many
//! writes far less than one alone. They wait only while they follow each other; a lone write goes at once.

use std::time::Duration;

use crate::domain::{Job, Outcome};

/// The most writes of one transaction.
pub(super) const BATCH_MAX: usize = 512;
/// The most bytes of one transaction: bodies, calls and log lines.
pub(super) const BATCH_BYTES_MAX: usize = 4 << 20;
/// So many writes are not kept waiting for more.
pub(super) const BATCH_WAKE: usize = 256;

/// The longest that an admission waits from the start of the write before: a sender waits for its answer.
pub(super) const SPACING_OF_ADMISSIONS: Duration = Duration::from_millis(1);
/// The same where no sender waits, but a run for a step, a free place or an operator: a transaction for each millisecond would cost a plugin
/// with steps or deliveries a tenth to a quarter of its rate.
pub(super) const SPACING_OF_WORK: Duration = Duration::from_millis(2);
/// The same where only settlements wait that nobody waits for, but at a shutdown.
pub(super) const SPACING_OF_SETTLEMENTS: Duration = Duration::from_millis(8);

/// Whether somebody waits for a settlement: the next suspect, or the next of the job's line.
pub(super) fn is_waited_for(job: &Job, outcome: &Outcome) -> bool {
    job.is_suspect || (job.line.is_some() && matches!(outcome, Outcome::Done { .. } | Outcome::Discard { .. } | Outcome::Dead { .. }))
}

/// How many writes are worth waiting for: the largest group of late, fading. With 32 senders there is nobody left to wait for once 32
/// writes are here.
#[derive(Clone, Copy, Default)]
pub(super) struct Usual(usize);

impl Usual {
    /// As a number of writes.
    pub(super) fn get(self) -> usize {
        self.0
    }

    /// Notes a group.
    pub(super) fn note(&mut self, writes: usize) {
        self.0 = writes.max(self.0 - self.0.div_ceil(8));
    }
}
