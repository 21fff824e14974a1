//! What the front door asks of providers: the keys that they publish, before a request that needs them is judged, one fetch at a time for
//! each source; and the visits that confirm a subscription.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::{info, warn};

use crate::config::Source;
use crate::domain::{RawRequest, RefusalCause, SourceName, Timestamp};
use crate::upstream::fetch_public;
use crate::verify::{HandshakeAnswer, WantedKeys};

/// Who fetches keys. Cheap to clone.
#[derive(Clone, Default)]
pub struct KeyFetcher(Arc<Mutex<HashMap<SourceName, Arc<tokio::sync::Mutex<()>>>>>);

impl KeyFetcher {
    /// Fetches what the source's verifier lacks for this request.
    pub(super) async fn supply(&self, source: &Source, request: &RawRequest, now: Timestamp) -> Result<(), RefusalCause> {
        if !source.verifier.fetches() || source.verifier.wanted_keys(request, now)?.is_none() {
            return Ok(());
        }
        let turn = Arc::clone(self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(source.name.clone()).or_default());
        let _turn = turn.lock().await;
        // Whoever had the turn before may have fetched it.
        let Some(WantedKeys { url, is_refresh }) = source.verifier.wanted_keys(request, now)? else { return Ok(()) };
        match fetch(source, &url, now).await {
            Ok(()) => Ok(()),
            Err(reason) => {
                warn!(source = %source.name, url, reason, "the provider's keys could not be fetched");
                if is_refresh { Ok(()) } else { Err(RefusalCause::KeysUnavailable { url, reason }) }
            }
        }
    }
}

/// Visits what a handshake asks for, if it does, before it is answered.
pub(super) async fn visit(source: &Source, answer: &HandshakeAnswer) -> Result<(), RefusalCause> {
    let Some(url) = &answer.visit else { return Ok(()) };
    match fetch_public(url, None).await {
        Ok(_) => info!(source = %source.name, "a subscription is confirmed"),
        Err(fault) => return Err(RefusalCause::Unconfirmed { reason: fault.message }),
    }
    Ok(())
}

async fn fetch(source: &Source, url: &str, now: Timestamp) -> Result<(), String> {
    source.verifier.may_fetch(now).map_err(|wait| format!("fetched too often; the next time in {} s", wait.as_secs() + 1))?;
    let found = fetch_public(url, source.verifier.keys_token()).await.map_err(|fault| fault.message)?;
    if !source.verifier.learn(url, &found, now) {
        return Err("there is no key of the provider's kind in it".into());
    }
    info!(source = %source.name, url, "the provider's keys were fetched");
    Ok(())
}
