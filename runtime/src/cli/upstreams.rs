//! `hookfast upstreams`: whether the upstreams of a running server take calls, why not and since when; and letting calls through again.
//! What a node has found out since its start is all that it knows.

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::json;

use super::arguments::Connection;
use super::client::{self, Client, Page};
use super::output::{Output, count, plain};
use super::table::Table;
use super::time::{Times, measured};
use crate::domain::UpstreamName;

const FOUND_OUT: &str = "found out by this node since it started; calls, failed and slow are those that its breaker looks at now";

#[derive(Debug, Subcommand)]
pub(super) enum Upstreams {
    /// List the upstreams, whether they take calls, and what became of the latest
    #[command(after_help = "Each node finds out for itself; this one's view is shown.\n\nExample:\n  hookfast upstreams list")]
    List(List),
    /// Show one upstream: its state and how it came about, its policies, and its latest changes
    #[command(after_help = "Each node finds out for itself; this one's view is shown.\n\nExample:\n  hookfast upstreams show crm")]
    Show(Named),
    /// Forget what is held against an upstream: its next calls are made, and the jobs that wait for it run
    #[command(after_help = "Only the node that answers forgets; name another with --url.\n\nExample:\n  hookfast upstreams reset crm")]
    Reset(Named),
}

#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
pub(super) struct Named {
    /// The upstream, as the configuration names it
    name: UpstreamName,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Deserialize)]
struct Upstream {
    name: String,
    url: String,
    auth: String,
    state: String,
    since: String,
    why: Option<String>,
    next_probe_ms: Option<u64>,
    window: Window,
    in_flight: u64,
    refused: Refused,
    repeated: u64,
    faults: Option<String>,
    policies: Policies,
    changes: Vec<Change>,
}

#[derive(Deserialize)]
struct Window {
    calls: u64,
    failed: u64,
    slow: u64,
}

#[derive(Deserialize)]
struct Refused {
    breaker_open: u64,
    auth_failed: u64,
    tls_failed: u64,
    rate_limited: u64,
}

#[derive(Deserialize)]
struct Policies {
    connect_ms: u64,
    read_ms: u64,
    total_ms: u64,
    concurrency: Option<u64>,
    rate: Option<Rate>,
    wait_ms: u64,
    idempotent: bool,
    retries: u64,
    breaker: Option<Breaker>,
}

#[derive(Deserialize)]
struct Rate {
    per_second: f64,
    burst: u64,
}

#[derive(Deserialize)]
struct Breaker {
    failure_rate: f64,
    slow_rate: f64,
    slow_after_ms: u64,
    window_ms: u64,
    minimum_calls: u64,
    open_ms: u64,
    open_max_ms: u64,
    probes: u64,
}

#[derive(Deserialize)]
struct Change {
    at: String,
    from: String,
    to: String,
    why: String,
}

pub(super) async fn run(command: Upstreams) -> anyhow::Result<()> {
    match command {
        Upstreams::List(arguments) => list(&arguments.connection).await,
        Upstreams::Show(arguments) => show(&arguments).await,
        Upstreams::Reset(arguments) => reset(&arguments).await,
    }
}

async fn list(connection: &Connection) -> anyhow::Result<()> {
    let document = Client::open(connection)?.get("/upstreams", &[]).await?;
    let Page { data, .. } = client::read::<Page<Upstream>>(&document)?;
    let output = Output::new(connection.json);
    output.show(&document, |times| table(&data, times))?;
    output.hint(if data.is_empty() { "no upstreams; add [upstreams.NAME] to the configuration" } else { FOUND_OUT });
    data.iter().for_each(|upstream| upstream.hint_at_faults(&output));
    for upstream in data.iter().filter(|upstream| upstream.state != "closed") {
        output.hint(&format!("{}: {}", plain(&upstream.name), plain(upstream.why.as_deref().unwrap_or_default())));
    }
    Ok(())
}

async fn show(arguments: &Named) -> anyhow::Result<()> {
    let document = Client::open(&arguments.connection)?.get(&format!("/upstreams/{}", arguments.name), &[]).await?;
    let upstream = client::read::<Upstream>(&document)?;
    let output = Output::new(arguments.connection.json);
    output.show(&document, |times| upstream.write(times))?;
    upstream.hint_at_faults(&output);
    output.hint(FOUND_OUT);
    Ok(())
}

async fn reset(arguments: &Named) -> anyhow::Result<()> {
    let document = Client::open(&arguments.connection)?.post(&format!("/upstreams/{}/reset", arguments.name), &json!({})).await?;
    let upstream = client::read::<Upstream>(&document)?;
    let output = Output::new(arguments.connection.json);
    output.show(&document, |times| table(std::slice::from_ref(&upstream), times))?;
    output.hint("the jobs that wait for it run within a second or two");
    Ok(())
}

fn table(upstreams: &[Upstream], times: Times) -> String {
    let row = |upstream: &Upstream| {
        let Window { calls, failed, slow } = upstream.window;
        let numbers = [calls, failed, slow, upstream.in_flight, upstream.refused.all()].map(|number| number.to_string());
        let [calls, failed, slow, in_flight, refused] = numbers;
        let (state, since) = (upstream.state.replace('_', " "), times.write(&upstream.since));
        [upstream.name.clone(), state, since, calls, failed, slow, in_flight, refused, upstream.url.clone()]
    };
    let heading = ["UPSTREAM", "STATE", "SINCE", "CALLS", "FAILED", "SLOW", "UNDER WAY", "REFUSED", "URL"];
    Table::new(heading, upstreams.iter().map(row)).to_string()
}

impl Upstream {
    fn hint_at_faults(&self, output: &Output) {
        if let Some(faults) = &self.faults {
            output.hint(&format!("{}: calls fail on purpose: {}", plain(&self.name), plain(faults)));
        }
    }

    fn write(&self, times: Times) -> String {
        let Window { calls, failed, slow } = self.window;
        let Refused { breaker_open, auth_failed, tls_failed, rate_limited } = self.refused;
        let since = format!("{} since {}", self.state.replace('_', " "), times.write(&self.since));
        let facts = [
            ("URL", self.url.clone()),
            ("auth", self.auth.replace('_', " ")),
            ("state", since),
            ("why", self.why.clone().unwrap_or_else(|| "-".into())),
            ("next call", self.next_probe_ms.map_or_else(|| "-".into(), |after| format!("in {}", time(after)))),
            ("lately", format!("{}, {failed} failed, {slow} slow; {} under way", count(calls, "call"), self.in_flight)),
            (
                "refused",
                format!("{breaker_open} breaker open, {auth_failed} auth failed, {tls_failed} tls failed, {rate_limited} rate limited"),
            ),
            ("repeated", count(self.repeated, "call")),
        ];
        let facts = facts.into_iter().chain(self.policies.facts());
        let facts: String = facts.map(|(name, value)| format!("  {name:12}{}\n", plain(&value))).collect();
        let changes = self
            .changes
            .iter()
            .map(|change| [times.write(&change.at), change.from.replace('_', " "), change.to.replace('_', " "), change.why.clone()]);
        let changes = Table::new(["AT", "FROM", "TO", "WHY"], changes).to_string();
        let gap = if changes.is_empty() { "" } else { "\n" };
        format!("{}\n{facts}{gap}{changes}", plain(&self.name))
    }
}

impl Refused {
    fn all(&self) -> u64 {
        self.breaker_open + self.auth_failed + self.tls_failed + self.rate_limited
    }
}

impl Policies {
    fn facts(&self) -> [(&'static str, String); 4] {
        let concurrency = self.concurrency.map_or_else(|| "any number at once".into(), |most| format!("{most} at once"));
        let rate = self.rate.as_ref().map_or_else(
            || "at any rate".into(),
            |Rate { per_second, burst }| format!("{per_second:.3} a second with {burst} at once after a silence"),
        );
        let again = if self.idempotent { "also what has a key" } else { "by method" };
        [
            ("timeouts", format!("connect {}, read {}, total {}", time(self.connect_ms), time(self.read_ms), time(self.total_ms))),
            ("limits", format!("{concurrency}, {rate}; waits {}", time(self.wait_ms))),
            ("retries", format!("{} within an attempt, {again}", self.retries)),
            ("breaker", self.breaker.as_ref().map_or_else(|| "none".into(), Breaker::write)),
        ]
    }
}

impl Breaker {
    fn write(&self) -> String {
        let percent = |rate: f64| format!("{:.0} %", rate * 100.0);
        format!(
            "opens at {} failed or {} slower than {} of at least {} calls in {}, for {} to {}; {}",
            percent(self.failure_rate),
            percent(self.slow_rate),
            time(self.slow_after_ms),
            self.minimum_calls,
            time(self.window_ms),
            time(self.open_ms),
            time(self.open_max_ms),
            count(self.probes, "probe"),
        )
    }
}

fn time(milliseconds: u64) -> String {
    measured(milliseconds.saturating_mul(1000))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_upstream_is_shown_with_what_is_held_against_it_and_what_happened() {
        let document = json!({
            "name": "crm", "url": "https://crm.example.com/api", "auth": "standard_webhooks",
            "state": "auth_failed", "since": "2026-01-01T00:00:05.000Z", "why": "it refused its credentials 3 times in a row",
            "next_probe_ms": 29_500, "window": { "calls": 12, "failed": 0, "slow": 1 }, "in_flight": 2,
            "refused": { "breaker_open": 0, "auth_failed": 7, "tls_failed": 0, "rate_limited": 1 }, "repeated": 1,
            "policies": {
                "connect_ms": 3000, "read_ms": 10_000, "total_ms": 30_000, "response_bytes_max": 1_048_576, "allow_private": false,
                "concurrency": 32, "rate": { "per_second": 100.0, "burst": 100 }, "wait_ms": 1000, "idempotent": true, "retries": 1,
                "breaker": {
                    "failure_rate": 0.5, "slow_rate": 0.9, "slow_after_ms": 15_000, "window_ms": 30_000, "minimum_calls": 20,
                    "open_ms": 5000, "growth": 2.0, "open_max_ms": 300_000, "probes": 3,
                },
            },
            "changes": [
                { "number": 1, "at": "2026-01-01T00:00:05.000Z", "from": "closed", "to": "auth_failed", "why": "it refused its credentials 3 times in a row" },
            ],
        });
        let upstream = client::read::<Upstream>(&document).expect("an upstream");
        let expected = "crm
  URL         https://crm.example.com/api
  auth        standard webhooks
  state       auth failed since 2026-01-01T00:00:05.000Z
  why         it refused its credentials 3 times in a row
  next call   in 29.50 s
  lately      12 calls, 0 failed, 1 slow; 2 under way
  refused     0 breaker open, 7 auth failed, 0 tls failed, 1 rate limited
  repeated    1 call
  timeouts    connect 3.00 s, read 10.00 s, total 30.00 s
  limits      32 at once, 100.000 a second with 100 at once after a silence; waits 1.00 s
  retries     1 within an attempt, also what has a key
  breaker     opens at 50 % failed or 90 % slower than 15.00 s of at least 20 calls in 30.00 s, for 5.00 s to 300.00 s; 3 probes

AT                        FROM    TO           WHY
2026-01-01T00:00:05.000Z  closed  auth failed  it refused its credentials 3 times in a row
";
        assert_eq!(upstream.write(Times::Absolute), expected);
        let listed = "UPSTREAM  STATE        SINCE                     CALLS  FAILED  SLOW  UNDER WAY  REFUSED  URL
crm       auth failed  2026-01-01T00:00:05.000Z  12     0       1     2          8        https://crm.example.com/api
";
        assert_eq!(table(&[upstream], Times::Absolute), listed);
    }
}
