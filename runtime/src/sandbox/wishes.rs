//! The imports `state` and `effects`: what a handler wants to be true once it is done. Checked here, kept in its draft.

use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

use super::bindings::imports::{effects, state, types};
use super::draft::{Draft, Refused};
use super::guest::{Guest, Handling, Powers, Work};
use super::host::{from_guest, short, without_nul};
use super::outside::Outside;
use crate::domain::{DEPTH_MAX, Delivery, Emission, EventId, Headers, StateGrant};

type Answer<T> = Result<T, types::Fault>;

impl state::Host for Guest {
    async fn get(&mut self, key: String) -> wasmtime::Result<Answer<Option<state::Item>>> {
        let (draft, outside, _) = match stateful(self.powers(key.len())?) {
            Ok(parts) => parts,
            Err(refused) => return Ok(Err(refused.into())),
        };
        let (item, has_waited) = waiting(draft.get(outside, &key)).await;
        self.meter.waited_if(has_waited);
        self.meter.host_call(item.as_ref().map_or(0, |item| item.as_ref().map_or(0, |(value, _)| value.len())))?;
        Ok(item.map(|item| item.map(|(value, version)| state::Item { value: value.into(), version })).map_err(Into::into))
    }

    async fn set(&mut self, key: String, value: Vec<u8>, ttl_ms: Option<u64>) -> wasmtime::Result<Answer<()>> {
        let (draft, outside, grant) = match stateful(self.powers(key.len() + value.len())?) {
            Ok(parts) => parts,
            Err(refused) => return Ok(Err(refused.into())),
        };
        let (set, has_waited) = waiting(draft.set(outside, grant, &key, value.into(), ttl_ms.map(duration))).await;
        self.meter.waited_if(has_waited);
        Ok(set.map_err(Into::into))
    }

    async fn delete(&mut self, key: String) -> wasmtime::Result<Answer<()>> {
        let (draft, outside, grant) = match stateful(self.powers(key.len())?) {
            Ok(parts) => parts,
            Err(refused) => return Ok(Err(refused.into())),
        };
        let (deleted, has_waited) = waiting(draft.delete(outside, grant, &key)).await;
        self.meter.waited_if(has_waited);
        Ok(deleted.map_err(Into::into))
    }

    fn expect_version(&mut self, key: String, version: Option<u64>) -> wasmtime::Result<Answer<()>> {
        let expected = stateful(self.powers(key.len())?).and_then(|(draft, ..)| draft.expect(&key, version));
        Ok(expected.map_err(Into::into))
    }

    async fn increment(&mut self, key: String, by: i64) -> wasmtime::Result<Answer<i64>> {
        let (draft, outside, grant) = match stateful(self.powers(key.len())?) {
            Ok(parts) => parts,
            Err(refused) => return Ok(Err(refused.into())),
        };
        let (sum, has_waited) = waiting(draft.increment(outside, grant, &key, by)).await;
        self.meter.waited_if(has_waited);
        Ok(sum.map_err(Into::into))
    }
}

impl effects::Host for Guest {
    fn emit(&mut self, event: effects::NewEvent) -> wasmtime::Result<Answer<String>> {
        let powers = self.powers(event.body.len() + header_bytes(&event.headers))?;
        Ok(emit(powers, event).map(|id| id.to_string()).map_err(Into::into))
    }

    fn deliver(&mut self, request: effects::Delivery) -> wasmtime::Result<Answer<String>> {
        let powers = self.powers(request.body.len() + request.path.len() + header_bytes(&request.headers))?;
        Ok(deliver(powers, request).map_err(Into::into))
    }
}

/// Awaits, and tells whether there was anything to wait for: what is known already costs the guest its own time.
async fn waiting<T>(future: impl Future<Output = T>) -> (T, bool) {
    let mut future = pin!(future);
    let mut has_waited = false;
    let output = poll_fn(|context| {
        let polled = future.as_mut().poll(context);
        has_waited |= polled.is_pending();
        polled
    });
    let output = output.await;
    (output, has_waited)
}

/// What a plugin with state works with.
fn stateful(powers: &mut Powers) -> Result<(&mut Draft, &dyn Outside, StateGrant), Refused> {
    let not_granted = "this plugin is granted no state; its operator allows it with `state = { quota = \"1 MiB\" }`";
    let grant = powers.grant.state.ok_or_else(|| Refused::new("not_granted", not_granted))?;
    let Handling { outside, draft, .. } = handling(&mut powers.work)?;
    Ok((draft, &**outside, grant))
}

fn handling(work: &mut Work) -> Result<&mut Handling, Refused> {
    match work {
        Work::Handle(handling) => Ok(handling),
        Work::Admit(_) => Err(Refused::new("not_granted", "state and effects are not there while a request waits for its answer")),
    }
}

fn emit(powers: &mut Powers, event: effects::NewEvent) -> Result<EventId, Refused> {
    let Handling { draft, depth, .. } = handling(&mut powers.work)?;
    let Some(target) = powers.grant.emits.get(event.target.as_str()) else {
        let name = short(&event.target, 64);
        return Err(Refused::new(
            "not_granted",
            format!("emitting to `{name}` is not granted to this plugin; its operator allows it with `emits`"),
        ));
    };
    if *depth >= DEPTH_MAX {
        let message =
            format!("this event is the {DEPTH_MAX}th of a chain, each emitted for the one before; it looks like a loop and ends here");
        return Err(Refused::new("too_deep", message));
    }
    let headers = checked(event.headers)?;
    draft.room(event.body.len() + headers.as_bytes().len())?;
    let id = EventId::derived(&draft.lineage, draft.next_emission());
    let text = |text: String| short(&without_nul(text), 512);
    draft.emit(Emission {
        id,
        target: target.clone(),
        event_type: event.event_type.map(text),
        headers,
        body: event.body.into(),
        dedupe_key: event.dedupe_key.map(text),
        delay: event.delay_ms.map(duration).unwrap_or_default(),
    });
    Ok(id)
}

fn deliver(powers: &mut Powers, request: effects::Delivery) -> Result<String, Refused> {
    let Handling { draft, .. } = handling(&mut powers.work)?;
    let Some(upstream) = powers.grant.upstreams.get(request.upstream.as_str()) else {
        let name = short(&request.upstream, 64);
        return Err(Refused::new("not_granted", format!("upstream `{name}` is not granted to this plugin")));
    };
    if !request.path.starts_with('/') || request.path.contains('\0') || request.method.contains('\0') {
        return Err(Refused::new("invalid_request", "a path starts with `/`, and neither path nor method has NUL in it"));
    }
    let headers = checked(request.headers)?;
    draft.room(request.body.len() + request.path.len() + headers.as_bytes().len())?;
    let mut lineage = draft.lineage.clone();
    lineage.route = lineage.route.of_delivery(draft.next_delivery());
    let id = lineage.to_string();
    draft.deliver(Delivery {
        lineage,
        digest: draft.digest,
        upstream: upstream.clone(),
        method: short(&request.method, 16),
        path: request.path,
        headers,
        body: request.body.into(),
        delay: request.delay_ms.map(duration).unwrap_or_default(),
        replays: 0,
    });
    Ok(id)
}

/// Headers with names that can be stored; whether they can be sent is the upstream's to say.
fn checked(headers: Vec<types::Header>) -> Result<Headers, Refused> {
    if headers.len() > 100 || headers.iter().any(|header| header.name.len() > 1 << 10) {
        return Err(Refused::new("invalid_request", "there are at most 100 headers, with names of at most 1 KiB"));
    }
    Ok(from_guest(headers))
}

fn header_bytes(headers: &[types::Header]) -> usize {
    headers.iter().map(|header| header.name.len() + header.value.len()).sum()
}

/// No delay and no time to live is longer than a year.
fn duration(ms: u64) -> Duration {
    Duration::from_millis(ms).min(Duration::from_hours(365 * 24))
}

impl From<Refused> for types::Fault {
    fn from(Refused { code, message }: Refused) -> Self {
        let class = if matches!(code, "unavailable" | "quota_exceeded") { "transient" } else { "permanent" };
        Self { code: code.into(), message, attributes: vec![("class".into(), class.into())] }
    }
}
