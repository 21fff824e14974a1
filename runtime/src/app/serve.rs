//! `hookfast serve`: from a configuration file to an exit code.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};

use super::{App, Role, World};
use crate::clock::Clock;
use crate::config;
use crate::domain::UpstreamName;
use crate::random::Random;
use crate::store::Rush;
use crate::upstream::Faults;

/// The exit code of a configuration that cannot be used (`EX_CONFIG` of sysexits.h).
pub(crate) const EXIT_CONFIGURATION: u8 = 78;

/// What `serve` is told.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// The configuration file.
    pub config: PathBuf,
    /// What of it this process does.
    pub role: Role,
    /// What goes wrong at upstreams on purpose.
    pub faults: Vec<(UpstreamName, Faults)>,
}

/// Serves until SIGTERM or SIGINT; a second signal ends the process at once.
pub fn serve(options: ServeOptions) -> anyhow::Result<ExitCode> {
    let reading = config::read(&options.config).breaking(&options.faults);
    for mistake in &reading.mistakes {
        eprintln!("{mistake}");
    }
    let Some(settings) = reading.settings else {
        return Ok(ExitCode::from(EXIT_CONFIGURATION));
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let rush = Rush::new(threads);
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(threads).enable_all().thread_name("ingest");
    let (sleeper, waker) = (rush.clone(), rush.clone());
    builder.on_thread_park(move || sleeper.falls_asleep()).on_thread_unpark(move || waker.wakes());
    builder.build().context("the server's threads cannot start")?.block_on(async {
        let mut stop = Stop::listen()?;
        let world = World { clock: Clock::system(), random: Random::system(), role: options.role, rush, faults: options.faults };
        // It may have to wait for others that change the database's tables.
        let app = tokio::select! {
            app = App::start(settings, options.config, world) => app?,
            () = stop.asked() => {
                info!("stopped before it served");
                return Ok(ExitCode::SUCCESS);
            }
        };
        stop.asked().await;
        info!("stopping; once more to end at once");
        tokio::spawn(async move {
            stop.asked().await;
            warn!("ended at once; what was running will be rescued at the next start");
            std::process::exit(1);
        });
        app.shutdown().await;
        Ok(ExitCode::SUCCESS)
    })
}

/// The signals that ask the server to stop.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    fn listen() -> anyhow::Result<Self> {
        let heard = |kind| signal(kind).context("signals cannot be heard");
        Ok(Self { terminate: heard(SignalKind::terminate())?, interrupt: heard(SignalKind::interrupt())? })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
