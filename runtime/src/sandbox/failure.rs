//! What ended a guest, decided by wasmtime's types and the meter, never by text.

use wasmtime::{PoolConcurrencyLimitError, Trap};

use super::guest::Guest;
use super::meter::Bound;
use crate::domain::{FailureKind, LogLevel};

const OUTSIDE: &str = "reached outside its memory; most often its stack overflowed, and `hookfast plugin build --stack` gives it more";

/// The kind of a guest's failure and one sentence for the record.
pub(super) fn classify(error: &wasmtime::Error, guest: &Guest) -> (FailureKind, String) {
    if error.is::<PoolConcurrencyLimitError>() {
        return (FailureKind::Host, "the host had no free instance".into());
    }
    let trap = error.downcast_ref::<Trap>();
    match (guest.meter.hit, trap) {
        (Some(Bound::Cpu), _) | (_, Some(Trap::Interrupt)) => (FailureKind::CpuLimit, "used up its CPU budget".into()),
        (_, Some(Trap::StackOverflow)) => (FailureKind::StackOverflow, "overflowed its stack".into()),
        (Some(Bound::HostCalls), _) => (FailureKind::HostCallLimit, "made too many calls into the host, or too large ones".into()),
        (Some(Bound::Memory), _) => (FailureKind::MemoryLimit, "wanted more memory than it is granted".into()),
        // The linker puts the stack first, so that one which overflows reaches below address 0. Safe code has no other way to do so.
        (None, Some(Trap::MemoryOutOfBounds)) => (FailureKind::OutOfBounds, OUTSIDE.into()),
        (None, Some(trap)) => (FailureKind::Trap, format!("trapped: {}", panic_message(guest).unwrap_or_else(|| trap.to_string()))),
        (None, None) => (FailureKind::Trap, format!("failed: {}", error.root_cause())),
    }
}

/// A panic arrives as a bare `unreachable`; its message was logged just before.
fn panic_message(guest: &Guest) -> Option<String> {
    let last = guest.log.lines.iter().rev().find(|line| line.level == LogLevel::Error)?;
    Some(last.message.chars().take(500).collect())
}
