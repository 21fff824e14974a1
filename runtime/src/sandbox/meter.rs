//! Counting what an instance uses, and saying no at the bound: memory, tables, CPU ticks, bytes and calls through the host.

use wasmtime::{ResourceLimiter, UpdateDeadline};

use super::engine::{CORE_INSTANCES, MEMORIES, TABLES, TICK};
use crate::domain::Limits;

/// Calls into the host of one attempt.
const HOST_CALLS_MAX: u32 = 100_000;
/// Bytes that a guest may move into the host in one attempt.
const HOST_BYTES_MAX: usize = 64 << 20;
/// Bytes that a guest may move into the host in one call.
pub(super) const HOST_BYTES_PER_CALL: usize = 36 << 20;
const TABLE_ELEMENTS_MAX: usize = 100_000;

/// What one attempt has used.
#[derive(Debug)]
pub(super) struct Meter {
    memory_bytes_max: usize,
    memory_bytes: usize,
    ticks_max: u64,
    ticks: u64,
    /// Whether the guest waited for the host since the last tick: the next tick then says nothing of its CPU.
    waited: bool,
    host_calls: u32,
    host_bytes: usize,
    /// The bound that was hit, if one was.
    pub(super) hit: Option<Bound>,
}

/// The bounds that end an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bound {
    Cpu,
    Memory,
    HostCalls,
}

/// A guest went past a bound of its host calls.
#[derive(Debug, thiserror::Error)]
#[error("the plugin moved too much through the host")]
pub(super) struct TooManyHostCalls;

impl Meter {
    pub(super) fn new(limits: &Limits) -> Self {
        let ticks_max = u64::try_from(limits.cpu.as_millis().div_ceil(TICK.as_millis())).unwrap_or(u64::MAX);
        Self {
            memory_bytes_max: limits.memory_bytes,
            memory_bytes: 0,
            ticks_max,
            ticks: 0,
            waited: false,
            host_calls: 0,
            host_bytes: 0,
            hit: None,
        }
    }

    /// The meter of the same instance for another event: its memory is what it has grown to.
    pub(super) fn renewed(&self, limits: &Limits) -> Self {
        Self { memory_bytes: self.memory_bytes, ..Self::new(limits) }
    }

    /// A tick found this guest running: about 10 ms of CPU. Over budget it is interrupted, else it lets others run.
    pub(super) fn tick(&mut self) -> UpdateDeadline {
        self.ticks += u64::from(!std::mem::take(&mut self.waited));
        if self.ticks > self.ticks_max {
            self.hit = Some(Bound::Cpu);
            return UpdateDeadline::Interrupt;
        }
        // tokio's own yield goes to the back of the queue; wasmtime's plain one would come right back.
        UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now()))
    }

    /// The guest was parked in a host call, in which no CPU of its own went by.
    pub(super) fn waited(&mut self) {
        self.waited = true;
    }

    /// The same where it is not sure that there was anything to wait for.
    pub(super) fn waited_if(&mut self, has_waited: bool) {
        self.waited |= has_waited;
    }

    /// A call into the host that carries so many bytes.
    pub(super) fn host_call(&mut self, bytes: usize) -> Result<(), TooManyHostCalls> {
        self.host_calls += 1;
        self.host_bytes = self.host_bytes.saturating_add(bytes);
        if self.host_calls <= HOST_CALLS_MAX && self.host_bytes <= HOST_BYTES_MAX {
            return Ok(());
        }
        self.hit = Some(Bound::HostCalls);
        Err(TooManyHostCalls)
    }
}

impl ResourceLimiter for Meter {
    /// The grant is for all memories of the instance together.
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let in_all = self.memory_bytes.saturating_add(desired.saturating_sub(current));
        let allowed = in_all <= self.memory_bytes_max;
        if allowed {
            self.memory_bytes = in_all;
        } else {
            self.hit = Some(Bound::Memory);
        }
        Ok(allowed)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let allowed = desired <= TABLE_ELEMENTS_MAX;
        if !allowed {
            self.hit = Some(Bound::Memory);
        }
        Ok(allowed)
    }

    fn instances(&self) -> usize {
        CORE_INSTANCES as usize
    }

    fn tables(&self) -> usize {
        TABLES as usize
    }

    fn memories(&self) -> usize {
        MEMORIES as usize
    }
}
