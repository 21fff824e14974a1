//! What it costs to take a webhook: verified, stored with its job and synced before the 202, while the worker is at a standstill.

use std::time::Duration;

use anyhow::{Context, ensure};
use hookfast_tests::SlowDisk;

use crate::bench::Bench;
use crate::databases::Kind;
use crate::floor::Plain;
use crate::load::{Body, Load, Pace, Requests, Tally, What};
use crate::patience::wait_until;
use crate::report::{Row, Section};
use crate::server::Server;
use crate::site::{HOLD, Site};

/// Enough for the server's core to have no rest.
const MANY: usize = 256;
const CONNECTIONS: [usize; 3] = [1, 32, MANY];
pub(crate) const BODY_BYTES: usize = 2 << 10;

/// Small bodies, by connections, and at half of what it can do.
pub(crate) fn measure(bench: &Bench, section: &mut Section) -> anyhow::Result<()> {
    let body = Body::of(BODY_BYTES);
    section.remark(format!(
        "Bodies of {} bytes, Stripe's signature, each event under its own id, with a route; the worker's only place is taken by a job whose upstream does not\n\
         answer, so that each event is stored with a ready job and nothing else happens. Axum, which reads the body and answers 202, is\n\
         measured beside it in each round. Plain: axum that verifies, finds the id and stores the event, one row in a group's commit,\n\
         before it answers, and does nothing else. Open loop: constant arrivals, latency from the moment a request was due.\n\
         PostgreSQL's own processor time is not in the server's.",
        body.bytes()
    ));
    for kind in Kind::ALL {
        let (_site, server) = at_a_standstill(bench, kind)?;
        let mut contests = CONNECTIONS.map(|count| Contest::new(kind, &format!("{count} connection(s)")));
        if let (Kind::Sqlite, [.., many]) = (kind, &mut contests) {
            many.enter_plain(&body)?;
        }
        let mut half = Row::of(format!("Hookfast on {kind}, open loop at half its capacity"));
        send(&server, &body, 32, Pace::For(Duration::from_millis(500)))?;
        for _ in 0..bench.scale.rounds {
            let mut capacity = 0.0;
            for (contest, connections) in contests.iter_mut().zip(CONNECTIONS) {
                contest.round(bench, &server, &body, connections)?;
                capacity = contest.own.last("requests/s");
            }
            let pace = Pace::Rate(capacity / 2.0, bench.scale.open);
            note(&mut half, &server, || send(&server, &body, MANY, pace))?;
        }
        contests.into_iter().flat_map(Contest::rows).chain([half]).for_each(|row| section.push(row));
    }
    Ok(())
}

/// Larger bodies, at 32 connections.
pub(crate) fn measure_sizes(bench: &Bench, section: &mut Section) -> anyhow::Result<()> {
    section.remark("As above, at 32 connections.");
    for kind in Kind::ALL {
        let (_site, server) = at_a_standstill(bench, kind)?;
        for (bytes, size) in bench.scale.body_sizes {
            let body = Body::of(*bytes);
            let mut contest = Contest::new(kind, size);
            for _ in 0..bench.scale.rounds {
                contest.round(bench, &server, &body, 32)?;
            }
            contest.rows().for_each(|row| section.push(row));
        }
    }
    Ok(())
}

/// A server with an empty database whose worker does nothing.
pub(crate) fn at_a_standstill(bench: &Bench, kind: Kind) -> anyhow::Result<(Site, Server)> {
    at_a_standstill_with(bench, kind, &["stripe"], None)
}

/// The same with these sources, and perhaps on another disk.
pub(crate) fn at_a_standstill_with(bench: &Bench, kind: Kind, sources: &[&str], disk: Option<&SlowDisk>) -> anyhow::Result<(Site, Server)> {
    let site = Site::new(bench.databases.empty(kind));
    site.guests(&["stripe-crm", "forward"]);
    let routes: Vec<_> = sources.iter().map(|source| (*source, "stripe-crm")).chain([(HOLD, "forward")]).collect();
    site.configure(1, &routes, &bench.upstreams);
    let server = site.start_with("info", disk)?;
    let held = bench.upstreams.held();
    let what = What::Fresh(Requests::new(Body::of(BODY_BYTES), &[HOLD]));
    Load { to: server.ingest, connections: 1, what, pace: Pace::Count(1) }.run()?;
    let is_held = wait_until(Duration::from_secs(10), || Ok(bench.upstreams.held() > held))?;
    ensure!(is_held, "the job that is to take the worker's only place did not begin");
    Ok((site, server))
}

/// Requests to the source `stripe`. All must be accepted.
pub(crate) fn send(server: &Server, body: &Body, connections: usize, pace: Pace) -> anyhow::Result<Tally> {
    send_to(server, body, &["stripe"], connections, pace)
}

/// Requests to these sources in turn. All must be accepted.
pub(crate) fn send_to(server: &Server, body: &Body, sources: &[&str], connections: usize, pace: Pace) -> anyhow::Result<Tally> {
    let what = What::Fresh(Requests::new(body.clone(), sources));
    let tally = Load { to: server.ingest, connections, what, pace }.run()?;
    ensure!(tally.refused() == 0, "{} of {} requests were not accepted: {}", tally.refused(), tally.accepted(), tally.refusals());
    Ok(tally)
}

/// Hookfast and what it is measured against, in turns.
struct Contest {
    axum: Row,
    plain: Option<(Plain, Row)>,
    own: Row,
}

impl Contest {
    fn new(kind: Kind, what: &str) -> Self {
        let row = |who: &str| Row::of(format!("{who} {kind}, {what}"));
        Self { axum: row("axum beside"), plain: None, own: row("Hookfast on") }
    }

    /// From now on, also against a plain server.
    fn enter_plain(&mut self, body: &Body) -> anyhow::Result<()> {
        let plain = Plain::start()?;
        plain.load(body.clone(), 32, Duration::from_millis(500))?;
        self.plain = Some((plain, Row::of(format!("plain on {}, {MANY} connection(s)", Kind::Sqlite))));
        Ok(())
    }

    fn round(&mut self, bench: &Bench, server: &Server, body: &Body, connections: usize) -> anyhow::Result<()> {
        let Self { axum, plain, own } = self;
        let echoed = bench.axum.load(body.clone(), connections, bench.scale.floor)?;
        figures(axum, &echoed);
        note(own, server, || send(server, body, connections, Pace::For(bench.scale.load)))?;
        own.figure("of axum", own.last("requests/s") / echoed.rate());
        if let Some((plain, row)) = plain {
            let stored = plain.load(body.clone(), connections, bench.scale.load)?;
            figures(row, &stored);
            row.figure("of axum", stored.rate() / echoed.rate());
            own.figure("of plain", own.last("requests/s") / stored.rate());
        }
        Ok(())
    }

    fn rows(self) -> impl Iterator<Item = Row> {
        [Some(self.axum), self.plain.map(|(_, row)| row), Some(self.own)].into_iter().flatten()
    }
}

/// One round of Hookfast, with what it used of its core.
pub(crate) fn note(row: &mut Row, server: &Server, load: impl FnOnce() -> anyhow::Result<Tally>) -> anyhow::Result<()> {
    let before = server.cpu()?;
    let tally = load()?;
    let cpu = server.cpu()?.checked_sub(before).context("processor time does not shrink")?;
    figures(row, &tally);
    row.figure("server µs each", cpu.as_secs_f64() * 1e6 / tally.accepted() as f64);
    Ok(())
}

fn figures(row: &mut Row, tally: &Tally) {
    row.figure("requests/s", tally.rate());
    for (column, share) in [("p50 ms", 0.5), ("p99 ms", 0.99), ("p99.9 ms", 0.999)] {
        row.figure(column, tally.quantile_ms(share));
    }
    row.figure("sender's core %", 100.0 * tally.sender_cpu.as_secs_f64() / tally.took.as_secs_f64());
}
