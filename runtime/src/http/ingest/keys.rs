//! What the front door asks of providers: the keys that they publish, before a request that needs them is judged, one fetch at a time for
//! each source; and the visits that confirm a subscription.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tracing::{debug, info};

use crate::config::Source;
use crate::domain::{RawRequest, RefusalCause, SourceName, Timestamp};
use crate::upstream::fetch_public;
use crate::verify::{HandshakeAnswer, WantedKeys};

/// How long a request waits for another one's fetch.
const TURN_MAX: Duration = Duration::from_secs(5);

/// Who fetches keys. Cheap to clone.
#[derive(Clone, Default)]
pub struct KeyFetcher(Arc<Mutex<HashMap<SourceName, Arc<tokio::sync::Mutex<()>>>>>);

impl KeyFetcher {
    /// Fetches what the source's verifier lacks for this request. What it could do without is fetched meanwhile.
    pub(super) async fn supply(&self, source: &Arc<Source>, request: &RawRequest, now: Timestamp) -> Result<(), RefusalCause> {
        let Some(WantedKeys { url, is_refresh }) = source.verifier.wanted_keys(request, now)? else { return Ok(()) };
        let turn = Arc::clone(self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(source.name.clone()).or_default());
        if is_refresh {
            if let Ok(turn) = turn.try_lock_owned() {
                let source = Arc::clone(source);
                tokio::spawn(async move {
                    // Told of where it fails: the request goes on with what there is.
                    let _ = fetch(&source, &url, now).await;
                    drop(turn);
                });
            }
            return Ok(());
        }
        let turn = tokio::time::timeout(TURN_MAX, turn.lock_owned()).await;
        let turn = turn.map_err(|_| RefusalCause::KeysUnavailable { url, reason: "others are being fetched".into() })?;
        // Whoever had the turn before may have fetched it.
        let Some(WantedKeys { url, .. }) = source.verifier.wanted_keys(request, now)? else { return Ok(()) };
        let (source, wanted) = (Arc::clone(source), url.clone());
        // Of its own, so that a sender that hangs up does not end it.
        let fetched = tokio::spawn(async move {
            let fetched = fetch(&source, &wanted, now).await;
            drop(turn);
            fetched
        });
        let fetched = fetched.await.unwrap_or_else(|_| Err("the fetch was given up".into()));
        fetched.map_err(|reason| RefusalCause::KeysUnavailable { url, reason })
    }
}

async fn fetch(source: &Source, url: &str, now: Timestamp) -> Result<(), String> {
    let verifier = &source.verifier;
    verifier.may_fetch(url, now).map_err(|wait| format!("fetched too often; the next time in {} s", wait.as_secs() + 1))?;
    let found = fetch_public(url, verifier.keys_token()).await;
    let failed = match found {
        Ok((200, document)) if verifier.learn(url, &document, now) => {
            info!(source = %source.name, url, "the provider's keys were fetched");
            return Ok(());
        }
        Ok((200, _)) => "there is no key of the provider's kind in it".to_owned(),
        Ok((status @ (404 | 410), _)) => {
            verifier.forget(url, now);
            format!("it answered {status}")
        }
        Ok((status, _)) => {
            verifier.miss(url, now);
            format!("it answered {status}")
        }
        Err(fault) => {
            verifier.miss(url, now);
            fault.message
        }
    };
    // Not louder: a stranger may have named the URL. The refusal says it, and what is there goes on being used.
    debug!(source = %source.name, url, failed, "the provider's keys could not be fetched");
    Err(failed)
}

/// Visits what a handshake asks for, if it does, before it is answered.
pub(super) async fn visit(source: &Source, answer: &HandshakeAnswer) -> Result<(), RefusalCause> {
    let Some(url) = &answer.visit else { return Ok(()) };
    let reason = match fetch_public(url, None).await {
        Ok((200..=299, _)) => {
            info!(source = %source.name, "a subscription is confirmed");
            return Ok(());
        }
        Ok((status, _)) => format!("it answered {status}"),
        Err(fault) => fault.message,
    };
    Err(RefusalCause::Unconfirmed { reason })
}
