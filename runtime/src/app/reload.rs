//! Reloading sources, upstreams and grants when the files change or on SIGHUP: all of it or nothing.

use std::path::PathBuf;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::clock::Clock;
use crate::config::{self, Current};
use crate::document::Severity;
use crate::domain::{Timestamp, UpstreamName};
use crate::upstream::Faults;

const INTERVAL: Duration = Duration::from_millis(500);

/// What is read, and what it is read with.
pub(super) struct Files {
    pub(super) path: PathBuf,
    /// What goes wrong on purpose, whatever the files say.
    pub(super) faults: Vec<(UpstreamName, Faults)>,
}

/// Watches until `closing`. `seen` is the fingerprint of what is in force: an edit made while the server started counts.
pub(super) async fn watch(files: Files, mut seen: u64, current: Current, clock: Clock, closing: CancellationToken) {
    let mut hangups = match signal(SignalKind::hangup()) {
        Ok(hangups) => Some(hangups),
        Err(error) => {
            warn!(%error, "SIGHUP cannot be heard; the configuration reloads on change only");
            None
        }
    };
    let mut changed_to = None;
    loop {
        let asked = async {
            match &mut hangups {
                Some(hangups) => hangups.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = closing.cancelled() => break,
            _ = asked => {}
            () = tokio::time::sleep(INTERVAL) => {
                // Only what two looks agree on: the first may have come while the file was being written.
                let now = config::fingerprint(&files.path);
                if now == seen || changed_to.replace(now) != Some(now) {
                    continue;
                }
            }
        }
        seen = config::fingerprint(&files.path);
        reload(&files, &current, clock.now());
    }
}

/// Reads the files and puts them in force; a mistake leaves the old configuration in force and says so.
fn reload(files: &Files, current: &Current, now: Timestamp) {
    let reading = config::read(&files.path).breaking(&files.faults);
    for mistake in &reading.mistakes {
        let place = format!("{}:{}:{}", mistake.file, mistake.line, mistake.column);
        match mistake.severity {
            Severity::Error => error!(place, help = mistake.help, "{}", mistake.message),
            Severity::Warning => warn!(place, help = mistake.help, "{}", mistake.message),
        }
    }
    let Some(settings) = reading.settings else {
        error!(path = %files.path.display(), "the configuration has mistakes; the old one stays in force");
        return;
    };
    let (sources, upstreams, grants) = (settings.live.sources.len(), settings.live.upstreams.len(), settings.live.grants.len());
    match current.replace(settings.live, now) {
        Ok(()) => info!(
            sources,
            upstreams, grants, "configuration reloaded; what changed in [server], [storage], [worker] or [plugins] needs a restart"
        ),
        Err(error) => error!(%error, "the upstreams cannot be used; the old configuration stays in force"),
    }
}
