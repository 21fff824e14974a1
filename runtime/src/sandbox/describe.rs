//! Asking a plugin what it is, on an instance that is thrown away and may use nothing.

use std::time::Duration;

use super::engine::Engine;
use super::guest::{self, Guest};
use super::load::{LoadFailure, LoadStage};
use super::plugin::{Description, Exports};
use crate::domain::Limits;

const CPU: Duration = Duration::from_millis(100);
const WALL: Duration = Duration::from_secs(5);
/// Fixtures included.
const DESCRIPTION_BYTES_MAX: usize = 1 << 20;

/// Loading refuses such components before.
#[derive(Debug, thiserror::Error)]
#[error("exports neither `handler` nor `ingress`")]
struct NoExports;

pub(super) async fn describe(engine: &Engine, exports: &Exports<Guest>) -> Result<Description, LoadFailure> {
    let limits = Limits { cpu: CPU, wall: WALL, ..Limits::default() };
    let mut store = guest::store(engine, &limits, None);
    let asked = tokio::time::timeout(WALL, async {
        match exports {
            Exports { handling: Some(pre), .. } => {
                pre.instantiate_async(&mut store).await?.hookfast_plugin_metadata().call_describe(&mut store).await
            }
            Exports { receiving: Some(pre), .. } => {
                pre.instantiate_async(&mut store).await?.hookfast_plugin_metadata().call_describe(&mut store).await
            }
            Exports { handling: None, receiving: None, .. } => Err(NoExports.into()),
        }
    });
    let failure = |message| LoadFailure::new(LoadStage::Describe, message);
    let text = match asked.await {
        Ok(Ok(text)) => text,
        Ok(Err(error)) => {
            let (_, reason) = super::failure::classify(&error, store.data());
            return Err(failure(format!("describe() {reason}")));
        }
        Err(_) => return Err(failure("describe() did not return within 5 s".into())),
    };
    if text.len() > DESCRIPTION_BYTES_MAX {
        return Err(failure(format!("describe() returned {} bytes; at most 1 MiB is read", text.len())));
    }
    let mut json = serde_json::Deserializer::from_str(&text);
    serde_path_to_error::deserialize(&mut json).map_err(|error| {
        failure(format!("describe() must return JSON with `name` and `version`: at `{}`: {}", error.path(), error.inner()))
    })
}
