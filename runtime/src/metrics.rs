//! What is counted and timed, and its Prometheus text. One struct that every part is given; no global registry.
//! Labels come from configuration or from enums, never from what a sender wrote.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::domain::{PluginName, RunCounter, Runs, SourceName, Verdict};

/// All metrics of the process.
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    secret_uses: Family<SecretLabels, Counter>,
    commit: Histogram,
    commit_writes: Histogram,
    attempts: Family<AttemptLabels, Histogram>,
    /// The same for whoever watches: a histogram cannot be read.
    runs: RwLock<BTreeMap<PluginName, Arc<RunCounter>>>,
    upstream_calls: Family<UpstreamLabels, Histogram>,
    upstream_states: Family<UpstreamStateLabels, Gauge>,
    upstream_changes: Family<UpstreamStateLabels, Counter>,
    upstream_refusals: Family<UpstreamRefusalLabels, Counter>,
    upstream_calls_under_way: Family<UpstreamNameLabels, Gauge>,
    plugins: Family<PluginLabels, Gauge>,
    plugin_failures: Family<PluginFailureLabels, Counter>,
    jobs: Family<StateLabels, Gauge>,
    queue_depth: Gauge,
    queue_oldest: Gauge<f64, AtomicU64>,
    places_free: Gauge,
    epoch_ticks: Counter,
    alerts: Family<AlertLabels, Gauge>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    source: String,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SecretLabels {
    source: String,
    /// From 1, as mistakes name it.
    secret: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AttemptLabels {
    plugin: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct UpstreamLabels {
    upstream: String,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct UpstreamStateLabels {
    upstream: String,
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct UpstreamRefusalLabels {
    upstream: String,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct UpstreamNameLabels {
    upstream: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PluginLabels {
    plugin: String,
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PluginFailureLabels {
    plugin: String,
    stage: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AlertLabels {
    rule: &'static str,
}

/// How one upstream stands: counted elsewhere, told when somebody looks.
pub struct UpstreamFigures<'u> {
    /// Its name.
    pub upstream: &'u str,
    /// Each state that it can be in, whether it is, and how often it was entered.
    pub states: Vec<(&'static str, bool, u64)>,
    /// How often a call was refused, by the reason.
    pub refused: Vec<(&'static str, u64)>,
    /// Calls under way.
    pub in_flight: u32,
}

fn seconds_histogram() -> Histogram {
    // 100 µs to about 52 s.
    Histogram::new(exponential_buckets(0.0001, 2.0, 20))
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("hookfast"),
            requests: Family::default(),
            secret_uses: Family::default(),
            commit: seconds_histogram(),
            commit_writes: Histogram::new(exponential_buckets(1.0, 2.0, 10)),
            attempts: Family::new_with_constructor(seconds_histogram),
            runs: RwLock::default(),
            upstream_calls: Family::new_with_constructor(seconds_histogram),
            upstream_states: Family::default(),
            upstream_changes: Family::default(),
            upstream_refusals: Family::default(),
            upstream_calls_under_way: Family::default(),
            plugins: Family::default(),
            plugin_failures: Family::default(),
            jobs: Family::default(),
            queue_depth: Gauge::default(),
            queue_oldest: Gauge::default(),
            places_free: Gauge::default(),
            epoch_ticks: Counter::default(),
            alerts: Family::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("requests", "Requests to a source by what became of them", self.requests.clone());
        let help = "Requests that a secret proved, by its place in the source's list";
        registry.register("secret_uses", help, self.secret_uses.clone());
        registry.register_with_unit("commit", "From the start of a transaction to its sync", Unit::Seconds, self.commit.clone());
        registry.register("commit_writes", "Writes of one transaction", self.commit_writes.clone());
        registry.register_with_unit("attempt", "Runs of a plugin by outcome", Unit::Seconds, self.attempts.clone());
        registry.register_with_unit("upstream_call", "Outbound requests by result", Unit::Seconds, self.upstream_calls.clone());
        registry.register("upstream_state", "1 for the state an upstream is in", self.upstream_states.clone());
        registry.register("upstream_state_changes", "How often an upstream entered a state", self.upstream_changes.clone());
        registry.register("upstream_refusals", "Calls that were not made, by the reason", self.upstream_refusals.clone());
        registry.register("upstream_calls_under_way", "Outbound requests under way", self.upstream_calls_under_way.clone());
        registry.register("plugins", "1 for the load state a plugin is in", self.plugins.clone());
        registry.register("plugin_load_failures", "Loads that failed, by stage", self.plugin_failures.clone());
        registry.register("jobs", "Live jobs and dead letters by state", self.jobs.clone());
        registry.register("queue_depth", "Jobs that are due and not running", self.queue_depth.clone());
        registry.register_with_unit("queue_oldest", "Age of the oldest due job", Unit::Seconds, self.queue_oldest.clone());
        registry.register("worker_places_free", "Places in which a job of any source could start now", self.places_free.clone());
        registry.register("epoch_ticks", "Heartbeat of the thread that interrupts guests, every 10 ms", self.epoch_ticks.clone());
        registry.register("alerts_firing", "Alerts that fire on this node, by rule", self.alerts.clone());
    }

    /// A request to a source became this: `accepted`, `duplicate`, `handshake`, or a refusal's code. `None` for an unknown source.
    pub fn request(&self, source: Option<&SourceName>, result: &'static str) {
        let source = source.map_or_else(String::new, |source| source.to_string());
        self.requests.get_or_create(&RequestLabels { source, result }).inc();
    }

    /// So many requests the secret at this position, from 0, has proved: counted elsewhere, told when somebody looks.
    pub fn secret_uses(&self, source: &SourceName, position: usize, count: u64) {
        let labels = SecretLabels { source: source.to_string(), secret: position as u64 + 1 };
        self.secret_uses.get_or_create(&labels).inner().store(count, Ordering::Relaxed);
    }

    /// A transaction was synced.
    pub fn commit(&self, took: Duration, writes: usize) {
        self.commit.observe(took.as_secs_f64());
        #[expect(clippy::cast_precision_loss, reason = "a batch is some thousand writes at the very most")]
        self.commit_writes.observe(writes as f64);
    }

    /// A plugin ran.
    pub fn attempt(&self, plugin: &PluginName, verdict: &Verdict, took: Duration) {
        let outcome = match verdict {
            Verdict::Done(_) => "done",
            Verdict::Retry { kind, .. } => kind.code(),
            Verdict::Discard(_) => "discard",
            Verdict::DeadLetter(_) => "dead_letter",
        };
        self.attempts.get_or_create(&AttemptLabels { plugin: plugin.to_string(), outcome }).observe(took.as_secs_f64());
        self.run_counter(plugin).count(verdict);
    }

    fn run_counter(&self, plugin: &PluginName) -> Arc<RunCounter> {
        if let Some(counter) = self.runs.read().unwrap_or_else(PoisonError::into_inner).get(plugin) {
            return Arc::clone(counter);
        }
        Arc::clone(self.runs.write().unwrap_or_else(PoisonError::into_inner).entry(plugin.clone()).or_default())
    }

    /// How often each plugin ran and failed, since the start.
    pub fn runs(&self) -> BTreeMap<PluginName, Runs> {
        let runs = self.runs.read().unwrap_or_else(PoisonError::into_inner);
        runs.iter().map(|(plugin, counter)| (plugin.clone(), counter.read())).collect()
    }

    /// So many alerts of this rule fire now.
    pub fn alerts_firing(&self, rule: &'static str, count: usize) {
        self.alerts.get_or_create(&AlertLabels { rule }).set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// An outbound request ended: a status class such as `2xx`, or a fault's code.
    pub fn upstream_call(&self, upstream: &str, result: &'static str, took: Duration) {
        self.upstream_calls.get_or_create(&UpstreamLabels { upstream: upstream.to_owned(), result }).observe(took.as_secs_f64());
    }

    /// The upstreams as they stand, all of them: one that is not configured any more is in no state.
    pub fn upstreams<'u>(&self, all: impl Iterator<Item = UpstreamFigures<'u>>) {
        self.upstream_states.clear();
        self.upstream_calls_under_way.clear();
        for UpstreamFigures { upstream, states, refused, in_flight } in all {
            let upstream = upstream.to_owned();
            for (state, is_so, entered) in states {
                let labels = UpstreamStateLabels { upstream: upstream.clone(), state };
                self.upstream_states.get_or_create(&labels).set(i64::from(is_so));
                self.upstream_changes.get_or_create(&labels).inner().store(entered, Ordering::Relaxed);
            }
            for (reason, count) in refused {
                let labels = UpstreamRefusalLabels { upstream: upstream.clone(), reason };
                self.upstream_refusals.get_or_create(&labels).inner().store(count, Ordering::Relaxed);
            }
            self.upstream_calls_under_way.get_or_create(&UpstreamNameLabels { upstream }).set(i64::from(in_flight));
        }
    }

    /// A plugin's load state is now `state`, one of `states`.
    pub fn plugin_state(&self, plugin: &PluginName, state: &'static str, states: &[&'static str]) {
        for other in states {
            let labels = PluginLabels { plugin: plugin.to_string(), state: other };
            self.plugins.get_or_create(&labels).set(i64::from(*other == state));
        }
    }

    /// A plugin failed to load at this stage.
    pub fn plugin_failure(&self, plugin: &PluginName, stage: &'static str) {
        self.plugin_failures.get_or_create(&PluginFailureLabels { plugin: plugin.to_string(), stage }).inc();
    }

    /// The thread that interrupts guests is alive.
    pub fn epoch_tick(&self) {
        self.epoch_ticks.inc();
    }

    /// How often it has ticked.
    pub fn epoch_ticks(&self) -> u64 {
        self.epoch_ticks.get()
    }

    /// The queue as it stands, measured when somebody looks.
    pub fn queue(&self, by_state: &[(&'static str, u64)], due: u64, oldest: Duration, places_free: usize) {
        for (state, count) in by_state {
            self.jobs.get_or_create(&StateLabels { state }).set(i64::try_from(*count).unwrap_or(i64::MAX));
        }
        self.queue_depth.set(i64::try_from(due).unwrap_or(i64::MAX));
        self.queue_oldest.set(oldest.as_secs_f64());
        self.places_free.set(i64::try_from(places_free).unwrap_or(i64::MAX));
    }

    /// All metrics in the OpenMetrics text format, which Prometheus reads.
    pub fn text(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to a String does not fail");
        text
    }
}
