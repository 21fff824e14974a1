//! The log lines of an attempt: the plugin's own, one per call, one for the outcome, each with the ids by which it is found.
//! Never a body, never a secret; a path without its query's values. The outcome's reason stays in the attempt's row: it may quote
//! what a sender or an upstream wrote.

use tracing::{debug, info, warn};

use crate::domain::{AttemptRecord, CallRecord, FailureKind, Job, LogLevel, Outcome};

/// A line with the ids of its attempt. Fields, not a span: a span's fields are parsed again for every JSON line.
macro_rules! line {
    ($level:ident, $of:expr, $($rest:tt)*) => {
        $level!(
            event = $of.event, lineage = $of.lineage, attempt = $of.job.attempt, source = $of.job.source.as_str(),
            plugin = $of.job.plugin.as_str(), digest = $of.digest, $($rest)*
        )
    };
}

/// What all lines of an attempt share.
struct Attempt<'j> {
    job: &'j Job,
    event: &'j str,
    lineage: &'j str,
    digest: &'j str,
}

pub(super) fn report(job: &Job, outcome: &Outcome, record: Option<&AttemptRecord>) {
    let (event, lineage) = (job.lineage.event.to_string(), job.lineage.to_string());
    let digest = record.map(|record| record.digest.short()).unwrap_or_default();
    let attempt = Attempt { job, event: &event, lineage: &lineage, digest: &digest };
    let Some(record) = record else {
        line!(info, attempt, outcome = outcome.as_str(), "job not run");
        return;
    };
    for logged in &record.log {
        let (fields, message) = (&logged.fields, &logged.message);
        match logged.level {
            LogLevel::Error | LogLevel::Warn => line!(warn, attempt, ?fields, "plugin: {message}"),
            LogLevel::Info => line!(info, attempt, ?fields, "plugin: {message}"),
            LogLevel::Debug | LogLevel::Trace => line!(debug, attempt, ?fields, "plugin: {message}"),
        }
    }
    for call in &record.calls {
        let CallRecord { upstream, method, path, step, idempotency_key, status, fault, recorded, ms } = call;
        line!(info, attempt, upstream, method, path, step, idempotency_key, status, fault, recorded, ms, "call");
    }
    let failure = record.failure.map(FailureKind::code);
    let ms = record.duration.as_secs_f64() * 1000.0;
    line!(info, attempt, outcome = outcome.as_str(), failure, calls = record.calls.len(), ms, "settling");
}
