//! What belongs to one instance: its meter, its empty WASI context, what it may ask for, what it has logged and called.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use wasmtime::Store;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::p2::pipe::MemoryOutputPipe;
use wasmtime_wasi::{HostWallClock, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::admit::Keyring;
use super::draft::Draft;
use super::engine::Engine;
use super::meter::{HOST_BYTES_PER_CALL, Meter};
use super::outside::Outside;
use super::wasi_http::WasiHttp;
use crate::domain::{CallRecord, Grant, Limits, LogLevel, LogLine, Timestamp, Wishes};

const STDERR_BYTES_MAX: usize = 4 << 10;
const RANDOM_BYTES_MAX: u64 = 64 << 10;
const RESOURCES_MAX: usize = 256;

/// The data of one store.
pub(super) struct Guest {
    pub(super) meter: Meter,
    wasi: WasiCtx,
    table: ResourceTable,
    stderr: MemoryOutputPipe,
    http_ctx: WasiHttpCtx,
    pub(super) http: WasiHttp,
    /// `None` while the plugin only describes itself: then every import is refused.
    pub(super) powers: Option<Powers>,
    pub(super) log: Log,
    pub(super) calls: Vec<CallRecord>,
}

/// What a running handler may use.
pub(super) struct Powers {
    pub(super) grant: Arc<Grant>,
    pub(super) work: Work,
    pub(super) now: Timestamp,
    pub(super) ends_at: Instant,
    pub(super) random: SmallRng,
}

/// What a plugin is run for, with what that alone may use.
pub(super) enum Work {
    /// An event: upstreams may be called, and state and effects are there.
    Handle(Handling),
    /// A request that waits for its answer: the source's secrets may be used.
    Admit(Keyring),
}

/// What a handler works with.
pub(super) struct Handling {
    pub(super) outside: Arc<dyn Outside>,
    pub(super) draft: Draft,
    /// How many emitted events the chain has up to the one that is handled; 0 where that came from outside.
    pub(super) depth: u32,
}

/// The lines of one attempt, up to a number of bytes.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) lines: Vec<LogLine>,
    bytes_left: usize,
    dropped: u64,
}

impl Powers {
    pub(super) fn new(grant: Arc<Grant>, work: Work, now: Timestamp, wall: Duration, seed: u64) -> Self {
        Self { grant, work, now, ends_at: Instant::now() + wall, random: SmallRng::seed_from_u64(seed) }
    }
}

impl Guest {
    fn new(limits: &Limits, powers: Option<Powers>) -> Self {
        let stderr = MemoryOutputPipe::new(STDERR_BYTES_MAX);
        let mut table = ResourceTable::new();
        table.set_max_capacity(RESOURCES_MAX);
        let seed = powers.as_ref().map_or(0, |powers| powers.random.clone().random());
        let now = powers.as_ref().map_or(Timestamp::from_millis(0), |powers| powers.now);
        Self {
            meter: Meter::new(limits),
            wasi: empty_wasi(stderr.clone(), seed, now),
            table,
            stderr,
            http_ctx: WasiHttpCtx::new(),
            http: WasiHttp::of(powers.as_ref()),
            powers,
            log: Log { bytes_left: limits.log_bytes, ..Log::default() },
            calls: Vec::new(),
        }
    }

    /// For another event: every bound and every power anew. What its memory takes, its open handles and its stderr stay.
    fn renew(&mut self, limits: &Limits, powers: Powers) {
        self.wasi = empty_wasi(self.stderr.clone(), powers.random.clone().random(), powers.now);
        self.meter = self.meter.renewed(limits);
        self.log = Log { bytes_left: limits.log_bytes, ..Log::default() };
        self.http = WasiHttp::of(Some(&powers));
        self.powers = Some(powers);
    }

    /// Whether nothing went to stderr, whose bytes count for the life of an instance, and nothing of the system's is held open.
    pub(super) fn is_clean(&self) -> bool {
        self.stderr.contents().is_empty() && self.table.is_empty()
    }

    /// The calls it has made, in order; those by WASI's HTTP come last.
    pub(super) fn finished_calls(&mut self) -> Vec<CallRecord> {
        let mut calls = std::mem::take(&mut self.calls);
        calls.extend(self.http.calls());
        calls
    }

    /// What the handler wants to be true, taken out for the commit.
    pub(super) fn wishes(&mut self) -> Wishes {
        match self.powers.take() {
            Some(Powers { work: Work::Handle(Handling { draft, .. }), grant, .. }) => draft.finish(&grant),
            _ => Wishes::default(),
        }
    }

    /// All that was logged, with what went to stderr and a word on what was dropped.
    pub(super) fn finished_log(&mut self) -> Vec<LogLine> {
        let stderr = self.stderr.contents();
        let level = LogLevel::Warn;
        for line in String::from_utf8_lossy(&stderr).lines() {
            self.log.push(LogLine { level, message: line.replace('\0', ""), fields: Vec::new() });
        }
        for message in std::mem::take(&mut self.http.refusals) {
            self.log.push(LogLine { level, message, fields: Vec::new() });
        }
        let mut lines = std::mem::take(&mut self.log.lines);
        if self.log.dropped > 0 {
            let message = format!("{} log lines dropped: over the plugin's log limit", self.log.dropped);
            lines.push(LogLine { level, message, fields: Vec::new() });
        }
        lines
    }
}

impl Log {
    pub(super) fn push(&mut self, line: LogLine) {
        let fields: usize = line.fields.iter().map(|(key, value)| key.len() + value.len()).sum();
        match self.bytes_left.checked_sub(line.message.len() + fields + 16) {
            Some(left) => {
                self.bytes_left = left;
                self.lines.push(line);
            }
            None => self.dropped += 1,
        }
    }
}

/// A store with every bound set: the one way to make one.
pub(super) fn store(engine: &Engine, limits: &Limits, powers: Option<Powers>) -> Store<Guest> {
    let mut store = Store::new(engine.wasmtime(), Guest::new(limits, powers));
    store.limiter(|guest| &mut guest.meter);
    store.set_hostcall_fuel(HOST_BYTES_PER_CALL);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|mut context| Ok(context.data_mut().meter.tick()));
    store
}

/// Prepares the store of an instance for another event.
pub(super) fn renew(store: &mut Store<Guest>, limits: &Limits, powers: Powers) {
    store.data_mut().renew(limits, powers);
    store.set_epoch_deadline(1);
}

/// No files, no environment, no arguments, no sockets; a clock that stands still; seeded randomness; stderr into the log.
fn empty_wasi(stderr: MemoryOutputPipe, seed: u64, now: Timestamp) -> WasiCtx {
    let mut builder = WasiCtxBuilder::new();
    builder.allow_tcp(false).allow_udp(false).allow_ip_name_lookup(false);
    builder.stderr(stderr).max_random_size(RANDOM_BYTES_MAX);
    builder.secure_random(SmallRng::seed_from_u64(seed)).insecure_random(SmallRng::seed_from_u64(seed));
    builder.insecure_random_seed(u128::from(seed)).wall_clock(Still(now)).build()
}

struct Still(Timestamp);

impl HostWallClock for Still {
    fn resolution(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn now(&self) -> Duration {
        Duration::from_millis(self.0.as_millis().unsigned_abs())
    }
}

impl WasiHttpView for Guest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.http, table: &mut self.table, ctx: &mut self.http_ctx }
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}
