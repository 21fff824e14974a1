//! Whether the process lives, whether it should get traffic, and what it counts.

use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::Admin;
use super::problem::Problem;
use crate::metrics::Metrics;
use crate::upstream::UpstreamView;

/// The process answers.
pub(super) async fn livez() -> &'static str {
    "ok\n"
}

/// The node takes webhooks: it is not shutting down, and its disk takes writes.
pub(super) async fn readyz(State(admin): State<Admin>) -> (StatusCode, &'static str) {
    if admin.draining.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining\n");
    }
    if !admin.store.is_writable() {
        return (StatusCode::SERVICE_UNAVAILABLE, "the store's disk refuses writes\n");
    }
    if !ticks(&admin.metrics).await {
        return (StatusCode::SERVICE_UNAVAILABLE, "the thread that interrupts plugins has stopped\n");
    }
    (StatusCode::OK, "ok\n")
}

/// Whether guests can still be interrupted: the ticker's count, every 10 ms, must move.
async fn ticks(metrics: &Metrics) -> bool {
    const LOOKS: u32 = 20;
    let before = metrics.epoch_ticks();
    for _ in 0..LOOKS {
        tokio::time::sleep(Duration::from_millis(10)).await;
        if metrics.epoch_ticks() != before {
            return true;
        }
    }
    false
}

/// All metrics as text; the queue is measured now.
pub(super) async fn metrics(State(admin): State<Admin>) -> Result<Response, Problem> {
    let counts = admin.store.job_counts().await?;
    let oldest = counts.oldest_due.map(|due| admin.clock.steady().since(due)).unwrap_or_default();
    let by_state = [
        ("ready", counts.ready),
        ("running", counts.running),
        ("waiting", counts.waiting),
        ("parked", counts.parked),
        ("dead", counts.dead),
    ];
    admin.metrics.queue(&by_state, counts.due, oldest, admin.slots.free());
    let in_force = admin.current.load();
    for source in in_force.settings.sources.values() {
        let usages = in_force.usage(&source.name).into_iter().flat_map(|usage| usage.secrets());
        usages.enumerate().for_each(|(position, usage)| admin.metrics.secret_uses(&source.name, position, usage.count()));
    }
    let upstreams = in_force.upstreams.views(admin.clock.now());
    admin.metrics.upstreams(upstreams.iter().map(UpstreamView::figures));
    let mut response = admin.metrics.text().into_response();
    let content_type = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    Ok(response)
}
