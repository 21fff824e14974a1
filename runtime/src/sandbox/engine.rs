//! The wasmtime engine: its settings, and the thread whose ticks interrupt guests.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::Semaphore;
use tracing::warn;
use wasmtime::{Config, Enabled, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig};

use super::SandboxError;
use crate::metrics::Metrics;

/// How often running guests are looked at; CPU budgets are counted in these.
pub(super) const TICK: Duration = Duration::from_millis(10);
/// The most linear memory any grant can give.
pub(super) const MEMORY_BYTES_MAX: usize = 128 << 20;
/// A guest's stack; overflow is a trap.
const STACK_BYTES: usize = 512 << 10;

/// Of each instance's memory so much is wiped by hand for the next one, and its pages kept: returning them to the system and
/// faulting them in again costs twice as much as a run, where a plugin's stack is small (`hookfast plugin build` makes it so).
const MEMORY_KEPT_BYTES: usize = 512 << 10;
/// What all instances together keep at most.
const ALL_KEPT_BYTES: usize = 128 << 20;
const TABLE_KEPT_BYTES: usize = 16 << 10;
/// So many instances that do not run stay laid out for their plugin. Where more plugins than these take turns, memory is laid out anew for
/// most events, which costs as much as a short run.
const WARM_MAX: u32 = 128;

/// Instances of all plugins that wait for another event, where grants allow it.
const WAITING_MAX: u32 = 64;

/// How many requests are before plugins that prove them, at once: each may take all of its small budget.
const RECEIVING_PLACES: u32 = 8;

/// What one component may have at most.
pub(super) const CORE_INSTANCES: u32 = 8;
pub(super) const MEMORIES: u32 = 2;
pub(super) const TABLES: u32 = 8;

/// What the engine is made for.
#[derive(Debug, Clone, Copy)]
pub struct EngineSettings {
    /// How many instances may live at once: the worker's places.
    pub instances: u32,
}

/// The engine and its ticker. Dropping it stops the ticker.
pub struct Engine {
    engine: wasmtime::Engine,
    waiting_room: Arc<Semaphore>,
    receiving: Semaphore,
    stop: Option<mpsc::Sender<()>>,
    ticker: Option<JoinHandle<()>>,
}

impl Engine {
    /// Starts the engine with pooled instances, or without a pool where the address space is too small for one.
    pub fn start(settings: EngineSettings, metrics: Arc<Metrics>) -> Result<Self, SandboxError> {
        let engine = wasmtime::Engine::new(&pooled(settings.instances)).or_else(|error| {
            warn!(%error, "no instance pool: instances are made on demand, which is slower");
            wasmtime::Engine::new(&base())
        });
        let engine = engine.map_err(SandboxError::Engine)?;
        let (stop, stopped) = mpsc::channel();
        let weak = engine.weak();
        let tick = move || {
            // An operating-system thread, not a task: a guest that spins could starve a task, and with it every timeout.
            while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                let Some(engine) = weak.upgrade() else { break };
                engine.increment_epoch();
                metrics.epoch_tick();
            }
        };
        let ticker = std::thread::Builder::new().name("sandbox-ticker".into()).spawn(tick).map_err(SandboxError::Ticker)?;
        let waiting_room = Arc::new(Semaphore::new(waiting(settings.instances) as usize));
        let receiving = Semaphore::new(RECEIVING_PLACES as usize);
        Ok(Self { engine, waiting_room, receiving, stop: Some(stop), ticker: Some(ticker) })
    }

    pub(super) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.engine
    }

    /// A permit for each request that may be before a plugin.
    pub(super) fn receiving_places(&self) -> &Semaphore {
        &self.receiving
    }

    /// A permit for each instance that may wait for another event.
    pub(super) fn waiting_room(&self) -> &Arc<Semaphore> {
        &self.waiting_room
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(ticker) = self.ticker.take() {
            // It ends at once; a panic in it was logged by the panic hook.
            let _ = ticker.join();
        }
    }
}

/// How many instances may wait beside so many places.
fn waiting(places: u32) -> u32 {
    places.min(WAITING_MAX)
}

fn base() -> Config {
    let mut config = Config::new();
    config.cranelift_opt_level(OptLevel::Speed);
    config.epoch_interruption(true);
    config.max_wasm_stack(STACK_BYTES);
    config.wasm_backtrace_max_frames(NonZeroUsize::new(20));
    // Nobody looks at a guest's frames or for its symbols, and without these tables a plugin takes a third less memory.
    config.native_unwind_info(false).generate_address_map(false).debug_symbols(false);
    config
}

fn pooled(instances: u32) -> Config {
    let mut pool = PoolingAllocationConfig::default();
    // More than the places: instances wait for another event, others prove requests, and a plugin that is being loaded describes itself
    // while all places are busy. A Rust component is about three core modules with two tables and one memory; none gets more than a place's share.
    let instances = instances.saturating_add(waiting(instances)).saturating_add(RECEIVING_PLACES + 1);
    let kept = MEMORY_KEPT_BYTES.min(ALL_KEPT_BYTES / instances.saturating_add(WARM_MAX) as usize);
    pool.total_component_instances(instances)
        .total_core_instances(instances.saturating_mul(CORE_INSTANCES))
        .total_memories(instances.saturating_mul(MEMORIES))
        .total_tables(instances.saturating_mul(TABLES))
        .total_stacks(instances.saturating_mul(2))
        .max_core_instances_per_component(CORE_INSTANCES)
        .max_memories_per_component(MEMORIES)
        .max_tables_per_component(TABLES)
        .table_elements(100_000)
        .max_memory_size(MEMORY_BYTES_MAX)
        .linear_memory_keep_resident(kept)
        // Where the kernel tells which pages were written (Linux 6.7), only those are wiped, and the others never take memory.
        .pagemap_scan(Enabled::Auto)
        .table_keep_resident(TABLE_KEPT_BYTES)
        .max_unused_warm_slots(WARM_MAX);
    let mut config = base();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}
