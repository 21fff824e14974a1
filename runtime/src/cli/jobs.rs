//! The jobs of an event as a person reads them: where each stands, what its journal knows of its steps, and what it delivers.

use serde::Deserialize;

use super::table::Table;
use super::time::{Times, measured};

/// One job, as far as it is shown.
#[derive(Deserialize)]
pub(super) struct Job {
    route: String,
    plugin: String,
    state: String,
    attempts: u32,
    due_at: Option<String>,
    reason: Option<String>,
    delivery: Option<Delivery>,
    #[serde(default)]
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Delivery {
    upstream: String,
    method: String,
    path: String,
    body_bytes: u64,
    replays: u32,
}

#[derive(Deserialize)]
struct Step {
    name: String,
    state: String,
    summary: Option<String>,
    status: Option<u16>,
    attempt: Option<u32>,
    ms: Option<u64>,
    replays: u32,
}

/// Writes jobs, and their steps and deliveries where they have any, each under a heading.
pub(super) fn write(jobs: &[Job], times: Times) -> String {
    let rows = jobs.iter().map(|job| job.row(times));
    let steps = jobs.iter().flat_map(|job| job.steps.iter().map(|step| step.row(&job.route)));
    let deliveries = jobs.iter().filter_map(|job| job.delivery.as_ref().map(|delivery| delivery.row(&job.route)));
    [
        section("JOBS", &Table::new(["ROUTE", "PLUGIN", "STATE", "ATTEMPTS", "NEXT", "NOTE"], rows)),
        section("STEPS", &Table::new(["ROUTE", "STEP", "STATE", "STATUS", "ATTEMPT", "REPLAYS", "TOOK", "CALL"], steps)),
        section("DELIVERIES", &Table::new(["ROUTE", "BYTES", "REPLAYS", "CALL"], deliveries)),
    ]
    .concat()
}

/// A table under its name; nothing where it has no rows.
fn section<const N: usize>(name: &str, table: &Table<N>) -> String {
    let lines = table.to_string().lines().map(|line| format!("  {line}\n")).collect::<String>();
    if lines.is_empty() { lines } else { format!("\n{name}\n{lines}") }
}

impl Job {
    fn row(&self, times: Times) -> [String; 6] {
        let due = self.due_at.as_ref().map(|due| times.write(due)).unwrap_or_default();
        let Self { route, plugin, state, attempts, reason, .. } = self;
        [route.clone(), plugin.clone(), state.clone(), attempts.to_string(), due, reason.clone().unwrap_or_default()]
    }
}

impl Step {
    fn row(&self, route: &str) -> [String; 8] {
        let Self { name, state, summary, status, attempt, ms, replays } = self;
        let number = |number: Option<u32>| number.map(|number| number.to_string()).unwrap_or_default();
        let took = ms.map(|ms| measured(ms * 1000)).unwrap_or_default();
        let call = summary.clone().unwrap_or_default();
        [route.into(), name.clone(), state.clone(), number(status.map(u32::from)), number(*attempt), replays.to_string(), took, call]
    }
}

impl Delivery {
    fn row(&self, route: &str) -> [String; 4] {
        let Self { upstream, method, path, body_bytes, replays } = self;
        [route.into(), body_bytes.to_string(), replays.to_string(), format!("{method} {upstream} {path}")]
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_job_is_shown_with_its_steps_and_what_it_delivers() {
        let jobs = json!([
            {
                "route": "order", "plugin": "order-sync", "state": "done", "attempts": 2,
                "steps": [
                    { "name": "payment", "state": "recorded", "summary": "POST payments /charges", "status": 201, "attempt": 1, "ms": 12, "replays": 1 },
                    { "name": "stock", "state": "begun", "attempt": 2, "replays": 0 },
                    { "name": "email", "state": "forgotten", "replays": 1 },
                ],
            },
            {
                "route": "order:0", "plugin": "order-sync", "state": "parked", "attempts": 1, "reason": "upstream_down: mail",
                "delivery": { "upstream": "mail", "method": "POST", "path": "/send", "body_bytes": 120, "replays": 0 },
            },
        ]);
        let jobs: Vec<Job> = serde_json::from_value(jobs).expect("jobs");
        expect![[r#"

            JOBS
              ROUTE    PLUGIN      STATE   ATTEMPTS  NEXT  NOTE
              order    order-sync  done    2         -     -
              order:0  order-sync  parked  1         -     upstream_down: mail

            STEPS
              ROUTE  STEP     STATE      STATUS  ATTEMPT  REPLAYS  TOOK   CALL
              order  payment  recorded   201     1        1        12 ms  POST payments /charges
              order  stock    begun      -       2        0        -      -
              order  email    forgotten  -       -        1        -      -

            DELIVERIES
              ROUTE    BYTES  REPLAYS  CALL
              order:0  120    0        POST mail /send
        "#]]
        .assert_eq(&write(&jobs, Times::Absolute));
    }
}
