//! How much is measured: enough for figures to be quoted, or so little that every change can afford it.

use std::time::Duration;

pub(crate) struct Scale {
    /// Each rate is measured so often.
    pub(crate) rounds: usize,
    /// One round of a floor.
    pub(crate) floor: Duration,
    /// One round of a load.
    pub(crate) load: Duration,
    /// One round of the open loop.
    pub(crate) open: Duration,
    pub(crate) syncs: usize,
    pub(crate) body_sizes: &'static [(usize, &'static str)],
    /// How much longer a sync takes on slow disks.
    pub(crate) slow_syncs: &'static [Duration],
    /// How many sources send.
    pub(crate) sources: &'static [usize],
    /// Events of one round from end to end.
    pub(crate) events: u64,
    pub(crate) calls: u32,
    /// How many plugins are loaded.
    pub(crate) plugins: &'static [usize],
    /// How many events wait: few, and many.
    pub(crate) backlogs: &'static [u64],
    /// Events behind them, of one round.
    pub(crate) burst: u64,
    /// Until the worker has all its places after a crash: 4, and twice as many each second.
    pub(crate) slow_start: Duration,
    /// How long the dispatch of a backlog is watched then.
    pub(crate) dispatch: Duration,
    /// How long a server is watched at rest.
    pub(crate) rest: Duration,
}

impl Scale {
    pub(crate) const FULL: Self = Self {
        rounds: 3,
        floor: Duration::from_millis(1500),
        load: Duration::from_secs(3),
        open: Duration::from_secs(5),
        syncs: 2000,
        body_sizes: &[(10 << 10, "10 KB"), (256 << 10, "256 KB")],
        slow_syncs: &[Duration::from_millis(2), Duration::from_millis(10)],
        sources: &[1, 10, 100],
        events: 20_000,
        calls: 20_000,
        plugins: &[1, 10, 100, 500],
        backlogs: &[150_000, 1_000_000],
        burst: 40_000,
        slow_start: Duration::from_secs(6),
        dispatch: Duration::from_secs(5),
        rest: Duration::from_secs(2),
    };

    /// At most a minute.
    pub(crate) const QUICK: Self = Self {
        rounds: 1,
        floor: Duration::from_millis(500),
        load: Duration::from_secs(1),
        open: Duration::from_secs(1),
        syncs: 300,
        body_sizes: &[(256 << 10, "256 KB")],
        slow_syncs: &[Duration::from_millis(5)],
        sources: &[20],
        events: 3000,
        calls: 3000,
        plugins: &[1, 20],
        backlogs: &[30_000],
        burst: 5_000,
        slow_start: Duration::from_secs(1),
        dispatch: Duration::from_secs(1),
        rest: Duration::from_millis(500),
    };
}
