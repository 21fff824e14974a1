//! What a long queue costs: taking events behind it, starting on it after a crash, working it off. The rates are compared with those of a
//! store without a queue, or with a short one, in the same round: the machine is not the same a minute later.

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
/// So often the stores take turns in a round: one burst each would mostly compare one moment of the machine with another.
const SLICES: u64 = 8;
/// Events before those that are timed, in each slice.
const WARM_UP: u64 = 500;
const FIRST_CALL_MAX: Duration = Duration::from_mins(2);

pub(crate) fn measure(bench: &Bench, section: &mut Section) -> anyhow::Result<()> {
    section.remark(format!(
        "Events of 2 KB come in through the front door, 256 connections, while the worker is at a standstill. Once the queues are as long as\n\
         they say, each takes {} more in each of {} rounds, in {SLICES} parts with {WARM_UP} that are not timed before each, in turn with a store\n\
         that was empty before the first round (`of empty`: the median of the rounds' ratios). Then the servers are killed and started anew, one at a time, as often. Dispatched: calls of\n\
         `stripe-crm` that reach the upstream, {} s after the first (the worker starts with 4 places and has all 128 after 5 s), and as a\n\
         ratio to those of the shortest queue in the same round. Anonymous memory: before the first kill, and after each start's first call.\n\
         The empty store is started before it has had an event.",
        bench.scale.burst,
        bench.scale.rounds,
        bench.scale.slow_start.as_secs()
    ));
    for kind in Kind::ALL {
        // Made first, since a database that is made has PostgreSQL write down all that it has.
        let mut empty = Queue::of(bench, kind, format!("an empty store on {kind}"))?;
        start_empty(bench, kind, &mut empty.row)?;
        let queues = bench.scale.backlogs.iter().map(|events| {
            let mut queue = Queue::of(bench, kind, format!("{events} waiting on {kind}"))?;
            queue.take(*events)?;
            Ok(queue)
        });
        let mut queues = queues.collect::<anyhow::Result<Vec<_>>>()?;
        let measured = compare(bench, &mut empty, &mut queues);
        [empty].into_iter().chain(queues).for_each(|queue| section.push(queue.row));
        measured?;
    }
    Ok(())
}

/// A store that has never had an event, started after a kill as often as the others.
fn start_empty(bench: &Bench, kind: Kind, row: &mut Row) -> anyhow::Result<()> {
    let site = Site::new(bench.databases.empty(kind));
    site.guests(&["stripe-crm", "forward"]);
    site.configure(PLACES, &[("stripe", "stripe-crm"), (HOLD, "forward")], &bench.upstreams);
    // The first start compiles the plugins.
    site.start()?.kill()?;
    for _ in 0..bench.scale.rounds {
        let server = site.start()?;
        row.figure("start s", server.start.as_secs_f64());
        server.kill()?;
    }
    Ok(())
}

fn compare(bench: &Bench, empty: &mut Queue, queues: &mut [Queue]) -> anyhow::Result<()> {
    for _ in 0..bench.scale.rounds {
        for slice in 0..SLICES {
            // Whoever comes first in one turn is the last in the next.
            let mut turns: Vec<&mut Queue> = [&mut *empty].into_iter().chain(&mut *queues).collect();
            if slice % 2 == 1 {
                turns.reverse();
            }
            turns.into_iter().try_for_each(|queue| queue.take_slice(bench.scale.burst / SLICES))?;
        }
        [&mut *empty].into_iter().chain(&mut *queues).for_each(|queue| queue.end_of_round(bench.scale.burst / SLICES * SLICES));
        let taken = empty.row.last("taken/s");
        queues.iter_mut().for_each(|queue| queue.row.figure("of empty", queue.row.last("taken/s") / taken));
    }
    [&mut *empty].into_iter().chain(&mut *queues).try_for_each(Queue::kill)?;
    for _ in 0..bench.scale.rounds {
        queues.iter_mut().try_for_each(|queue| queue.start_again(bench))?;
        let shortest = queues.first().context("there is a queue")?.row.last("dispatched/s");
        queues.iter_mut().for_each(|queue| queue.row.figure("of the shortest", queue.row.last("dispatched/s") / shortest));
    }
    Ok(())
}

/// Events that wait in a store of their own.
struct Queue {
    site: Site,
    /// `None` once it is killed.
    server: Option<Server>,
    /// How many were accepted.
    accepted: u64,
    /// How long it has taken events in this round, without warming up.
    seconds: f64,
    row: Row,
}

impl Queue {
    fn of(bench: &Bench, kind: Kind, what: String) -> anyhow::Result<Self> {
        let (site, server) = at_a_standstill(bench, kind)?;
        Ok(Self { site, server: Some(server), accepted: 0, seconds: 0.0, row: Row::of(what) })
    }

    /// Takes so many events; how many a second.
    fn take(&mut self, events: u64) -> anyhow::Result<f64> {
        let server = self.server.as_ref().context("the server runs")?;
        let tally = send(server, &Body::of(BODY_BYTES), CONNECTIONS, Pace::Count(events))?;
        self.accepted += tally.accepted();
        Ok(tally.rate())
    }

    fn take_slice(&mut self, events: u64) -> anyhow::Result<()> {
        self.take(WARM_UP)?;
        self.seconds += events as f64 / self.take(events)?;
        Ok(())
    }

    fn end_of_round(&mut self, taken: u64) {
        self.row.figure("taken/s", taken as f64 / std::mem::take(&mut self.seconds));
    }

    fn kill(&mut self) -> anyhow::Result<()> {
        let server = self.server.take().context("the server is killed once")?;
        self.row.figure("anonymous MiB", server.memory()?.anonymous_mib);
        let counted = Instant::now();
        let waiting = server.metrics()?.ready();
        self.row.figure("ms for /metrics", millis(counted.elapsed()));
        ensure!(waiting == self.accepted, "of {} events {waiting} have a job that is ready", self.accepted);
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
        self.row.figure("anonymous MiB then", server.memory()?.anonymous_mib);
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
