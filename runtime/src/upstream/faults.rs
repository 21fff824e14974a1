//! Faults on purpose, to see how everything else bears them: which of an upstream's exchanges go wrong, and how. Everything above takes
//! them for real. Off unless the operator allows them; the same seed gives the same faults for the same exchanges.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::sleep;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::exchange::Bounds;
use super::fault::{Break, Broken};
use crate::document::parse_duration;
use crate::domain::{Headers, OutboundAnswer, UpstreamName};

/// What goes wrong on purpose at one upstream; by default nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults {
    /// Draws the exchanges that are hit by a share.
    seed: u64,
    /// At most one of them hits an exchange, the first that is due in the order of [`KINDS`]; but for latency, which comes on top.
    planned: Vec<PlannedFault>,
}

/// One kind of fault, and when it comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlannedFault {
    /// What goes wrong.
    pub kind: InjectedFault,
    /// Which exchanges it hits.
    pub when: When,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InjectedFault {
    /// The connection is refused: nothing is sent.
    Refuse,
    /// The request is sent and the connection then reset: what the upstream answers is lost.
    Reset,
    /// The exchange begins so much later.
    Latency(Duration),
    /// The request is sent and no answer comes, until a timeout ends the wait.
    Hang,
    /// Nothing is sent: 429 with this `Retry-After`, in whole seconds.
    TooMany(Duration),
    /// Nothing is sent: this 5xx.
    ServerError(u16),
    /// The request is sent and the connection breaks in the middle of the answer.
    Truncate,
    /// Nothing is sent: something on the way answers 200 with a page of HTML.
    Html,
    /// The request is sent and the answer comes in ten pieces, with this pause before each.
    Drip(Duration),
}

/// Which exchanges of an upstream a fault hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// So many of a million, drawn by the seed.
    Share(u32),
    /// The first so many since the upstream was configured so.
    First(u64),
    /// All.
    Always,
}

const MILLION: u32 = 1_000_000;

/// The kinds by name, each with what it is where the operator names no value.
const KINDS: [(&str, InjectedFault); 9] = [
    ("refuse", InjectedFault::Refuse),
    ("reset", InjectedFault::Reset),
    ("latency", InjectedFault::Latency(Duration::from_millis(300))),
    ("hang", InjectedFault::Hang),
    ("too_many", InjectedFault::TooMany(Duration::from_secs(1))),
    ("server_error", InjectedFault::ServerError(503)),
    ("truncate", InjectedFault::Truncate),
    ("html", InjectedFault::Html),
    ("drip", InjectedFault::Drip(Duration::from_millis(300))),
];

impl Faults {
    /// These faults, drawn by this seed.
    ///
    /// # Errors
    /// A kind that stands there twice, or shares that are over 1 together: one sentence for the operator.
    pub fn new(seed: u64, mut planned: Vec<PlannedFault>) -> Result<Self, String> {
        planned.sort_by_key(|fault| fault.kind.rank());
        if let Some(twice) = planned.windows(2).find(|two| two[0].kind.rank() == two[1].kind.rank()) {
            return Err(format!("`{}` stands there twice", twice[0].kind.name()));
        }
        let exclusive = planned.iter().filter(|fault| !matches!(fault.kind, InjectedFault::Latency(_)));
        let shares: u32 = exclusive.map(|fault| fault.when.share()).sum();
        if shares > MILLION { Err("the shares of the faults are over 1 together".into()) } else { Ok(Self { seed, planned }) }
    }

    /// Whether nothing goes wrong.
    pub fn is_empty(&self) -> bool {
        self.planned.is_empty()
    }

    /// Reads what the command line says of one upstream: `crm:refuse=0.1,reset=first:3,latency=0.2@300ms,too_many=always@2s`.
    ///
    /// # Errors
    /// One sentence on what cannot be read.
    pub fn parse(text: &str, seed: u64) -> Result<(UpstreamName, Self), String> {
        let (name, planned) = text.split_once(':').ok_or("faults are UPSTREAM:KIND=WHEN, as in crm:refuse=0.1")?;
        let name = name.parse().map_err(|error| format!("{error}"))?;
        let planned = planned.split(',').map(|each| {
            let (kind, when) = each.split_once('=').ok_or_else(|| format!("`{each}` is not KIND=WHEN, as in refuse=0.1"))?;
            PlannedFault::parse(kind.trim(), when)
        });
        let faults = Self::new(seed, planned.collect::<Result<_, _>>()?)?;
        Ok((name, faults))
    }

    /// What hits the exchange of this number, from 0: how much later it begins, and what goes wrong.
    fn of(&self, upstream: &UpstreamName, number: u64) -> (Option<Duration>, Option<InjectedFault>) {
        let draw = |what: &str| {
            let drawn = xxh3_64_with_seed(format!("{upstream}/{what}/{number}").as_bytes(), self.seed);
            // The remainder is even enough: 2^64 is far more than a million.
            u32::try_from(drawn % u64::from(MILLION)).expect("less than a million")
        };
        let (drawn, mut shares) = (draw("fault"), 0);
        let (mut latency, mut hit) = (None, None);
        for PlannedFault { kind, when } in &self.planned {
            if let InjectedFault::Latency(time) = kind {
                latency = Some(*time).filter(|_| when.is_due(number, draw("latency"), 0));
                continue;
            }
            if hit.is_none() && when.is_due(number, drawn, shares) {
                hit = Some(*kind);
            }
            shares += when.share();
        }
        (latency, hit)
    }
}

impl PlannedFault {
    /// Reads a kind and what it is given: `0.1`, `first:3` or `always`, and for some kinds a value behind `@`: `0.2@300ms`.
    ///
    /// # Errors
    /// One sentence on what cannot be read.
    pub fn parse(kind: &str, text: &str) -> Result<Self, String> {
        let (when, value) = text.split_once('@').map_or((text, None), |(when, value)| (when, Some(value.trim())));
        Ok(Self { kind: InjectedFault::parse(kind, value)?, when: When::parse(when.trim())? })
    }
}

impl InjectedFault {
    fn parse(kind: &str, value: Option<&str>) -> Result<Self, String> {
        let known = || KINDS.map(|(name, _)| name).join(", ");
        let (_, default) =
            KINDS.into_iter().find(|(name, _)| *name == kind).ok_or_else(|| format!("`{kind}` is no fault; there are {}", known()))?;
        let Some(value) = value else { return Ok(default) };
        match default {
            Self::Latency(_) => Ok(Self::Latency(parse_duration(value)?)),
            Self::TooMany(_) => Ok(Self::TooMany(parse_duration(value)?)),
            Self::Drip(_) => Ok(Self::Drip(parse_duration(value)?)),
            Self::ServerError(_) => {
                let status = value.parse().ok().filter(|status| (500..600).contains(status));
                status.map(Self::ServerError).ok_or_else(|| format!("`{value}` is no status from 500 to 599"))
            }
            _ => Err(format!("`{kind}` takes no value behind `@`")),
        }
    }

    /// As it is configured.
    pub fn name(self) -> &'static str {
        KINDS[self.rank()].0
    }

    /// Its place among [`KINDS`].
    fn rank(self) -> usize {
        let is_same = |other: &Self| std::mem::discriminant(other) == std::mem::discriminant(&self);
        KINDS.iter().position(|(_, kind)| is_same(kind)).expect("all kinds are listed")
    }
}

impl When {
    fn parse(text: &str) -> Result<Self, String> {
        let unreadable = || format!("`{text}` is none of a share from 0 to 1, `first:N` and `always`");
        if let Some(count) = text.strip_prefix("first:") {
            return count.trim().parse().map(Self::First).map_err(|_| unreadable());
        }
        if text == "always" {
            return Ok(Self::Always);
        }
        let share = text.parse::<f64>().ok().filter(|share| (0.0..=1.0).contains(share)).ok_or_else(unreadable)?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to a million")]
        Ok(Self::Share((share * f64::from(MILLION)).round() as u32))
    }

    /// Of a million.
    fn share(self) -> u32 {
        if let Self::Share(share) = self { share } else { 0 }
    }

    /// `drawn` is less than a million; the share begins at `from`.
    fn is_due(self, number: u64, drawn: u32, from: u32) -> bool {
        match self {
            Self::Share(share) => (from..from + share).contains(&drawn),
            Self::First(count) => number < count,
            Self::Always => true,
        }
    }
}

impl fmt::Display for Faults {
    /// As the command line takes it, without the upstream.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, PlannedFault { kind, when }) in self.planned.iter().enumerate() {
            write!(f, "{}{}={when}", if place == 0 { "" } else { "," }, kind.name())?;
            match kind {
                InjectedFault::Latency(time) | InjectedFault::TooMany(time) | InjectedFault::Drip(time) => write!(f, "@{time:?}")?,
                InjectedFault::ServerError(status) => write!(f, "@{status}")?,
                _ => {}
            }
        }
        Ok(())
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Share(share) => write!(f, "{}", f64::from(*share) / f64::from(MILLION)),
            Self::First(count) => write!(f, "first:{count}"),
            Self::Always => f.write_str("always"),
        }
    }
}

/// The faults of one upstream, at work: at each exchange with it, and with the token endpoint that it has.
pub(super) struct Mischief {
    faults: Faults,
    upstream: UpstreamName,
    exchanges: AtomicU64,
}

impl Mischief {
    /// `None` where nothing goes wrong.
    pub(super) fn new(faults: &Faults, upstream: &UpstreamName) -> Option<Self> {
        let mischief = || Self { faults: faults.clone(), upstream: upstream.clone(), exchanges: AtomicU64::new(0) };
        (!faults.is_empty()).then(mischief)
    }

    /// Lets an exchange happen, or go wrong.
    pub(super) async fn befall(
        &self,
        exchanging: impl Future<Output = Result<OutboundAnswer, Broken>>,
        bounds: Bounds,
    ) -> Result<OutboundAnswer, Broken> {
        let number = self.exchanges.fetch_add(1, Ordering::Relaxed);
        let (latency, fault) = self.faults.of(&self.upstream, number);
        if let Some(latency) = latency {
            bounds.within(pause(latency)).await.map_err(unsent)?;
        }
        match fault {
            None | Some(InjectedFault::Latency(_)) => exchanging.await,
            Some(InjectedFault::Refuse) => Err(unsent(Break::NoConnection)),
            Some(InjectedFault::TooMany(after)) => Ok(too_many(after)),
            Some(InjectedFault::ServerError(status)) => Ok(answer(status, Headers::default(), "")),
            Some(InjectedFault::Html) => Ok(page()),
            Some(InjectedFault::Reset | InjectedFault::Truncate) => exchanging.await.and(Err(sent(Break::Broken))),
            Some(InjectedFault::Hang) => {
                exchanging.await?;
                bounds.within(silence(bounds)).await.map_err(sent)
            }
            Some(InjectedFault::Drip(time)) => {
                let answer = exchanging.await?;
                let dripping = async { if time < bounds.read { pause(time * PIECES).await } else { silence(bounds).await } };
                bounds.within(dripping).await.map(|()| answer).map_err(sent)
            }
        }
    }
}

const PIECES: u32 = 10;

async fn pause(time: Duration) -> Result<(), Break> {
    sleep(time).await;
    Ok(())
}

async fn silence<T>(bounds: Bounds) -> Result<T, Break> {
    sleep(bounds.read).await;
    Err(Break::Silent(bounds.read))
}

fn unsent(cause: Break) -> Broken {
    Broken { cause, was_sent: false }
}

fn sent(cause: Break) -> Broken {
    Broken { cause, was_sent: true }
}

fn answer(status: u16, headers: Headers, body: &'static str) -> OutboundAnswer {
    OutboundAnswer { status, headers, body: Bytes::from_static(body.as_bytes()), stale_for: None }
}

fn too_many(after: Duration) -> OutboundAnswer {
    let mut headers = Headers::default();
    headers.push("retry-after", after.as_millis().div_ceil(1000).to_string());
    answer(429, headers, "")
}

fn page() -> OutboundAnswer {
    let mut headers = Headers::default();
    headers.push("content-type", "text/html; charset=utf-8");
    answer(200, headers, "<!doctype html><title>Sign in</title><p>This page stands in an answer's place on purpose.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Faults {
        Faults::parse(&format!("crm:{text}"), 7).expect("faults").1
    }

    /// How often each fault hits the first `exchanges`.
    fn hits(faults: &Faults, exchanges: u64) -> Vec<(&'static str, usize)> {
        let upstream = "crm".parse().expect("a name");
        let hit: Vec<_> = (0..exchanges).map(|number| faults.of(&upstream, number)).collect();
        let count = |planned: &PlannedFault| {
            let is_hit = |(latency, fault): &&(Option<Duration>, Option<InjectedFault>)| match planned.kind {
                InjectedFault::Latency(time) => *latency == Some(time),
                kind => *fault == Some(kind),
            };
            (planned.kind.name(), hit.iter().filter(is_hit).count())
        };
        faults.planned.iter().map(count).collect()
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        let text = "refuse=0.1,reset=first:3,latency=0.25@250ms,hang=0,too_many=always@2s,server_error=0.2@502,truncate=0.000001,html=0.05,drip=0.5@1s";
        let (upstream, faults) = Faults::parse(&format!("crm:{text}"), 7).expect("faults");
        assert_eq!((upstream.as_str(), faults.planned.len(), &*faults.to_string()), ("crm", 9, text));
        assert_eq!(self::faults("latency=0.5,server_error=always").to_string(), "latency=0.5@300ms,server_error=always@503");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for text in [
            "",
            "crm",
            "crm:",
            "crm:refuse",
            "crm:refuse=",
            "crm:refuse=1.1",
            "crm:refuse=-0.1",
            "crm:refuse=NaN",
            "crm:refuse=first:x",
            "crm:refuse=sometimes",
            "crm:refuse=0.1@3s",
            "crm:sulk=0.1",
            "crm:latency=0.1@soon",
            "crm:server_error=0.1@404",
            "crm:refuse=0.1,refuse=0.2",
            "crm:refuse=0.6,reset=0.6",
            "C R M:refuse=0.1",
        ] {
            assert!(Faults::parse(text, 0).is_err(), "{text} was taken");
        }
        assert!(Faults::parse("crm:refuse=0.6,latency=0.6,reset=0.4", 0).is_ok());
    }

    #[test]
    fn shares_are_kept_each_beside_the_others_and_the_seed_decides_which() {
        let some = faults("refuse=0.1,reset=0.2,latency=0.5,html=0.7");
        for (name, share) in [("refuse", 1000_usize), ("reset", 2000), ("latency", 5000), ("html", 7000)] {
            let count = hits(&some, 10_000).into_iter().find(|(own, _)| *own == name).expect("planned").1;
            assert!(count.abs_diff(share) < 200, "{name}: {count} of 10000");
        }
        assert_eq!(hits(&faults("refuse=0,reset=1"), 1000), [("refuse", 0), ("reset", 1000)]);
        let of = |seed| {
            let (name, faults) = Faults::parse("crm:refuse=0.5", seed).expect("faults");
            (0..64).map(|number| faults.of(&name, number).1.is_some()).collect::<Vec<_>>()
        };
        assert_eq!(of(7), of(7));
        assert_ne!(of(7), of(8));
    }

    #[test]
    fn the_first_ones_fail_and_then_no_more() {
        assert_eq!(hits(&faults("refuse=first:3"), 100), [("refuse", 3)]);
        assert_eq!(hits(&faults("hang=first:5,refuse=first:2,html=always"), 100), [("refuse", 2), ("hang", 3), ("html", 95)]);
    }
}
