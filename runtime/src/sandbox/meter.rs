//! Counting what an instance uses, and saying no at the bound: memory, tables, CPU ticks, bytes and calls through the host.

use wasmtime::{ResourceLimiter, UpdateDeadline};

use super::engine::TICK;
use crate::domain::Limits;

/// Calls into the host of one attempt.
const HOST_CALLS_MAX: u32 = 100_000;
/// Bytes that a guest may move into the host in one attempt.
const HOST_BYTES_MAX: usize = 64 << 20;
/// Bytes that a guest may move into the host in one call.
pub(super) const HOST_BYTES_PER_CALL: usize = 36 << 20;
const TABLE_ELEMENTS_MAX: usize = 100_000;
const INSTANCES_MAX: usize = 16;
const TABLES_MAX: usize = 32;
const MEMORIES_MAX: usize = 4;

/// What one attempt has used.
#[derive(Debug)]
pub(super) struct Meter {
    memory_bytes_max: usize,
    ticks_max: u64,
    ticks: u64,
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
        Self { memory_bytes_max: limits.memory_bytes, ticks_max, ticks: 0, host_calls: 0, host_bytes: 0, hit: None }
    }

    /// A tick found this guest running: about 10 ms of CPU. Over budget it is interrupted, else it lets others run.
    pub(super) fn tick(&mut self) -> UpdateDeadline {
        self.ticks += 1;
        if self.ticks > self.ticks_max {
            self.hit = Some(Bound::Cpu);
            return UpdateDeadline::Interrupt;
        }
        // tokio's own yield goes to the back of the queue; wasmtime's plain one would come right back.
        UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now()))
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
    fn memory_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let allowed = desired <= self.memory_bytes_max;
        if !allowed {
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
        INSTANCES_MAX
    }

    fn tables(&self) -> usize {
        TABLES_MAX
    }

    fn memories(&self) -> usize {
        MEMORIES_MAX
    }
}
