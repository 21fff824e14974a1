//! One request before a plugin that proves it: a fresh instance, a small budget, its ruling.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::SemaphorePermit;

use super::bindings::imports::types::Header;
use super::bindings::receiving::exports::hookfast::plugin::ingress;
use super::engine::Engine;
use super::failure::classify;
use super::guest::{self, Powers, Work};
use super::host::without_nul;
use super::plugin::Plugin;
use crate::domain::{
    Answer, Arrival, EVENTS_PER_REQUEST_MAX, Grant, Headers, KeyAnswer, KeyUse, KeyUseFault, Limits, LogLine, OutboundAnswer, RawRequest,
    Ruling, Timestamp,
};

/// Does what a plugin asks of its source's secrets.
pub type Keyring = Arc<dyn Fn(KeyUse) -> Result<KeyAnswer, KeyUseFault> + Send + Sync>;

/// The most CPU that a ruling may take, whatever is granted: the sender waits, and so do others.
const CPU_MAX: Duration = Duration::from_millis(50);
/// The same for all of the time, with that in which it waits for a place.
const WALL_MAX: Duration = Duration::from_secs(2);
/// The longest type, key or code, in bytes.
const TEXT_BYTES_MAX: usize = 256;
/// The longest body of an answer, in bytes.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// The most that an answer's headers may have, names and values, in bytes.
const HEADER_BYTES_MAX: usize = 8 << 10;
/// The most memory, whatever is granted: there may be several at once beside all attempts.
const MEMORY_BYTES_MAX: usize = 32 << 20;
/// The longest reason that is kept.
const REASON_CHARS: usize = 500;

/// What a ruling is made from.
pub struct Inquiry {
    /// The request.
    pub request: RawRequest,
    /// The URL as it is registered with the provider.
    pub public_url: Option<String>,
    /// What the guest's randomness is seeded with.
    pub seed: u64,
    /// What the operator allows.
    pub grant: Arc<Grant>,
    /// The source's secrets.
    pub keyring: Keyring,
}

/// A ruling, or how the plugin failed, with what it logged.
pub struct Ruled {
    /// The ruling; else a sentence for the operator that begins after the plugin's name.
    pub ruling: Result<Ruling, String>,
    /// Its log.
    pub log: Vec<LogLine>,
}

impl Plugin {
    /// Whether it proves requests.
    pub fn can_admit(&self) -> bool {
        self.description.admits && self.exports.receiving.is_some()
    }

    /// Asks it about a request. Holds one of the engine's places for this; `None` where none becomes free in time.
    pub async fn admit(&self, engine: &Engine, inquiry: Inquiry) -> Option<Ruled> {
        let limits = &inquiry.grant.limits;
        let memory_bytes = limits.memory_bytes.min(MEMORY_BYTES_MAX);
        let limits = Limits { cpu: limits.cpu.min(CPU_MAX), wall: limits.wall.min(WALL_MAX), memory_bytes, ..*limits };
        let until = tokio::time::Instant::now() + limits.wall;
        let _place: SemaphorePermit<'_> = tokio::time::timeout_at(until, engine.receiving_places().acquire()).await.ok()?.ok()?;
        let Some(receiving) = self.exports.receiving.as_ref().filter(|_| self.can_admit()) else {
            return Some(Ruled { ruling: Err("does not prove requests: it has no `admit`".into()), log: Vec::new() });
        };
        let Inquiry { request, public_url, seed, grant, keyring } = inquiry;
        let powers = Powers::new(grant, Work::Admit(keyring), request.received_at, limits.wall, seed);
        let mut store = guest::store(engine, &limits, Some(powers));
        let asked = tokio::time::timeout_at(until, async {
            let instance = receiving.instantiate_async(&mut store).await?;
            instance.hookfast_plugin_ingress().call_admit(&mut store, &guest_request(&request, public_url)).await
        });
        let ruling = match asked.await {
            Ok(Ok(admission)) => ruling(admission),
            Ok(Err(error)) => Err(classify(&error, store.data()).1),
            Err(_) => Err(format!("took longer than {} ms", limits.wall.as_millis())),
        };
        Some(Ruled { ruling, log: store.data_mut().finished_log() })
    }
}

fn guest_request(request: &RawRequest, public_url: Option<String>) -> ingress::Request {
    ingress::Request {
        method: request.method.clone(),
        target: request.target.clone(),
        public_url,
        headers: request.headers.iter().map(|(name, value)| Header { name: name.into(), value: value.into() }).collect(),
        body: request.body.to_vec(),
        received_at: Timestamp::as_millis(request.received_at).unsigned_abs(),
        attributes: Vec::new(),
    }
}

/// A plugin's word, within bounds.
fn ruling(admission: ingress::Admission) -> Result<Ruling, String> {
    Ok(match admission {
        ingress::Admission::Accept(ingress::Acceptance { events, receipt }) => {
            if !(1..=EVENTS_PER_REQUEST_MAX).contains(&events.len()) {
                return Err(format!("accepted {} events at once; it must be 1 to {EVENTS_PER_REQUEST_MAX}", events.len()));
            }
            let events = events.into_iter().map(arrival).collect::<Result<_, _>>()?;
            Ruling::Accept { events, answer: receipt.map(answer).transpose()? }
        }
        ingress::Admission::Respond(response) => Ruling::Respond(respond(response)?),
        ingress::Admission::Ignore(reason) => Ruling::Ignore(kept(&reason)),
        ingress::Admission::Reject(fault) => {
            Ruling::Reject { code: without_nul(fault.code.chars().take(64).collect()), message: kept(&fault.message) }
        }
    })
}

fn arrival(arrival: ingress::Arrival) -> Result<Arrival, String> {
    let text = |what: &str, text: Option<String>| {
        let is_fit = |text: &String| (1..=TEXT_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control);
        if text.as_ref().is_none_or(is_fit) {
            Ok(text)
        } else {
            Err(format!("gave an event a {what} that is empty, longer than {TEXT_BYTES_MAX} bytes or not printable"))
        }
    };
    let ingress::Arrival { facts, body } = arrival;
    Ok(Arrival {
        event_type: text("type", facts.event_type)?,
        dedupe_key: text("dedupe key", facts.dedupe_key)?,
        ordering_key: text("ordering key", facts.ordering_key)?,
        body: body.map(Into::into),
    })
}

fn answer(receipt: ingress::Receipt) -> Result<Answer, String> {
    let ingress::Receipt { status, body } = receipt;
    if !(200..300).contains(&status) || body.len() > ANSWER_BYTES_MAX {
        return Err(format!("told the sender of an event {status} in {} bytes; it must be 200 to 299 in at most 64 KiB", body.len()));
    }
    Ok(Answer { status, body: Some(body.into()) })
}

fn respond(response: ingress::Response) -> Result<OutboundAnswer, String> {
    let ingress::Response { status, headers: list, body, attributes: _ } = response;
    let header_bytes: usize = list.iter().map(|header| header.name.len() + header.value.len()).sum();
    if !(200..500).contains(&status) || body.len() > ANSWER_BYTES_MAX || list.len() > 32 || header_bytes > HEADER_BYTES_MAX {
        let told = "it must be 200 to 499 in at most 64 KiB, with 32 headers of 8 KiB together";
        return Err(format!("answered {status} in {} bytes with {} headers; {told}", body.len(), list.len()));
    }
    let mut headers = Headers::default();
    list.into_iter().for_each(|header| headers.push(&header.name.to_ascii_lowercase(), header.value));
    Ok(OutboundAnswer { status, headers, body: body.into(), stale_for: None })
}

fn kept(text: &str) -> String {
    without_nul(text.chars().take(REASON_CHARS).collect())
}
