//! What a long queue costs: taking events behind it, starting on it after a crash, working it off. Each figure is compared with the same
//! of a store without a queue, or with a short one, in the same round: the machine is not the same a minute later.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use crate::bench::Bench;
use crate::databases::Kind;
use crate::ingest::{BODY_BYTES, at_a_standstill, send};
use crate::load::{Body, Pace};
use crate::patience::pass;
use crate::report::{Row, Section, millis};
use crate::server::Server;
use crate::site::{HOLD, PLACES, Site};

const CONNECTIONS: usize = 256;
/// Events before the first that are timed.
const WARM_UP: u64 = 1000;
const FIRST_CALL_MAX: Duration = Duration::from_mins(2);

pub(crate) fn measure(bench: &Bench, section: &mut Section) -> anyhow::Result<()> {
    section.remark(format!(
        "Events of 2 KB come in through the front door, 256 connections, while the worker is at a standstill. Once a queue is as long as it\n\
         says, more are taken, in turn with a store that is empty (`of empty`: the median of the rounds' ratios). Then the server is killed and\n\
         started anew, once a round. Dispatched: calls of `stripe-crm` that reach the upstream, {} s after the first (the worker starts with 4\n\
         places and has all 128 after 5 s), and as a ratio to those of the shortest queue in the same round. PSS: before the first kill.",
        bench.scale.slow_start.as_secs()
    ));
    for kind in Kind::ALL {
        let queues = bench.scale.backlogs.iter().map(|events| Queue::fill(bench, kind, *events));
        let mut queues = queues.collect::<anyhow::Result<Vec<_>>>()?;
        let mut empty = Row::of(format!("an empty store on {kind}"));
        for _ in 0..bench.scale.rounds {
            take_more(bench, kind, &mut empty, &mut queues)?;
        }
        queues.iter_mut().try_for_each(Queue::kill)?;
        for _ in 0..bench.scale.rounds {
            work_off(bench, &mut queues)?;
        }
        [empty].into_iter().chain(queues.into_iter().map(|queue| queue.row)).for_each(|row| section.push(row));
    }
    Ok(())
}

/// Events that wait in a store of their own.
struct Queue {
    site: Site,
    /// `None` once it is killed.
    server: Option<Server>,
    row: Row,
}

impl Queue {
    fn fill(bench: &Bench, kind: Kind, events: u64) -> anyhow::Result<Self> {
        let (site, server) = at_a_standstill(bench, kind)?;
        send(&server, &Body::of(BODY_BYTES), CONNECTIONS, Pace::Count(events))?;
        Ok(Self { site, server: Some(server), row: Row::of(format!("{events} waiting on {kind}")) })
    }

    fn kill(&mut self) -> anyhow::Result<()> {
        let server = self.server.take().context("the server is killed once")?;
        self.row.figure("PSS MiB", server.memory()?.pss_mib);
        let counted = Instant::now();
        ensure!(server.metrics()?.ready() > 0, "nothing waits");
        self.row.figure("ms for /metrics", millis(counted.elapsed()));
        server.kill()
    }

    /// From a start after a kill to the next kill.
    fn start_again(&mut self, bench: &Bench) -> anyhow::Result<()> {
        self.site.configure(PLACES, &[("stripe", "stripe-crm"), (HOLD, "forward")], &bench.upstreams);
        let before = bench.upstreams.answered();
        let server = self.site.start()?;
        bench.upstreams.until_more_than(before, FIRST_CALL_MAX)?;
        self.row.figure("start s", server.start.as_secs_f64());
        self.row.figure("to the first call s", server.begun.elapsed().as_secs_f64());
        self.row.figure("PSS MiB then", server.memory()?.pss_mib);
        pass(bench.scale.slow_start);
        let (first, cpu, started) = (bench.upstreams.answered(), server.cpu()?, Instant::now());
        pass(bench.scale.dispatch);
        let (calls, took) = (bench.upstreams.answered() - first, started.elapsed());
        self.row.figure("dispatched/s", calls as f64 / took.as_secs_f64());
        self.row.figure("server µs each", server.cpu()?.saturating_sub(cpu).as_secs_f64() * 1e6 / calls as f64);
        ensure!(server.metrics()?.ready() > 0, "the queue was worked off before its time");
        server.kill()
    }
}

/// The same burst to an empty store and behind each queue.
fn take_more(bench: &Bench, kind: Kind, empty: &mut Row, queues: &mut [Queue]) -> anyhow::Result<()> {
    let (_site, server) = at_a_standstill(bench, kind)?;
    let rate = |server: &Server| -> anyhow::Result<f64> {
        let body = Body::of(BODY_BYTES);
        send(server, &body, CONNECTIONS, Pace::Count(WARM_UP))?;
        Ok(send(server, &body, CONNECTIONS, Pace::For(bench.scale.load))?.rate())
    };
    empty.figure("taken/s", rate(&server)?);
    for queue in queues {
        let server = queue.server.as_ref().context("the server runs")?;
        queue.row.figure("taken/s", rate(server)?);
        queue.row.figure("of empty", queue.row.last("taken/s") / empty.last("taken/s"));
    }
    Ok(())
}

/// Each queue for a while.
fn work_off(bench: &Bench, queues: &mut [Queue]) -> anyhow::Result<()> {
    let mut shortest = None;
    for queue in queues {
        queue.start_again(bench)?;
        let dispatched = queue.row.last("dispatched/s");
        queue.row.figure("of the shortest", dispatched / *shortest.get_or_insert(dispatched));
    }
    Ok(())
}
