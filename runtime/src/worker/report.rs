//! The log lines of an attempt: the plugin's own, one per call, one for the outcome, all under one span that carries the ids.
//! Never a body, never a secret; a path without its query's values.

use tracing::{debug, info, info_span, warn};

use crate::domain::{AttemptRecord, CallRecord, FailureKind, Job, LogLevel, LogLine, Outcome};

pub(super) fn report(job: &Job, outcome: &Outcome, record: Option<&AttemptRecord>) {
    let Some(record) = record else {
        info!(lineage = %job.lineage, source = %job.source, plugin = %job.plugin, outcome = outcome.as_str(), detail = outcome.detail(), "job not run");
        return;
    };
    let span = info_span!(
        "attempt", event = %job.lineage.event, lineage = %job.lineage, attempt = job.attempt, source = %job.source,
        plugin = %job.plugin, digest = record.digest.short()
    );
    let _entered = span.entered();
    record.log.iter().for_each(plugin_line);
    record.calls.iter().for_each(call);
    let failure = record.failure.map(FailureKind::code);
    let ms = record.duration.as_secs_f64() * 1000.0;
    info!(outcome = outcome.as_str(), failure, detail = outcome.detail(), calls = record.calls.len(), ms, "settling");
}

fn plugin_line(line: &LogLine) {
    let LogLine { level, message, fields } = line;
    match level {
        LogLevel::Error | LogLevel::Warn => warn!(?fields, "plugin: {message}"),
        LogLevel::Info => info!(?fields, "plugin: {message}"),
        LogLevel::Debug | LogLevel::Trace => debug!(?fields, "plugin: {message}"),
    }
}

fn call(call: &CallRecord) {
    let CallRecord { upstream, method, path, step, idempotency_key, status, fault, ms } = call;
    info!(upstream, method, path, step, idempotency_key, status, fault, ms, "call");
}
