//! Sources that this node leaves to others for a while, since those run a plugin that it does not. So what is owed is run where it can be,
//! in place of waiting here, and this node does not take it again and again.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sqlx::types::Uuid;

use super::Postgres;
use crate::domain::{PluginName, SourceName};
use crate::store::StoreError;

/// For so long. Others may have ended meanwhile, or never run what else the source owes: then this node does its part.
const LEFT_FOR: Duration = Duration::from_secs(5);

// Who only receives runs nothing.
const ELSEWHERE: &str = "SELECT EXISTS (SELECT FROM nodes \
     WHERE id <> $1 AND lease_until > hookfast_now($2) AND role <> 'ingest' AND plugins::jsonb ? $3)";

/// What is left, and until when.
#[derive(Default)]
pub(super) struct LeftToOthers(Mutex<HashMap<SourceName, Instant>>);

impl LeftToOthers {
    /// The sources that are left to others now.
    pub(super) fn sources(&self) -> Vec<String> {
        let mut left = self.lock();
        left.retain(|_, until| *until > Instant::now());
        left.keys().map(|source| source.as_str().to_owned()).collect()
    }

    pub(super) fn has(&self, source: &SourceName) -> bool {
        self.lock().get(source).is_some_and(|until| *until > Instant::now())
    }

    fn add(&self, source: SourceName) {
        self.lock().insert(source, Instant::now() + LEFT_FOR);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SourceName, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Postgres {
    pub(in crate::store) async fn leave_to_others(&self, source: &SourceName, plugin: &PluginName) -> Result<bool, StoreError> {
        if self.node.left_to_others.has(source) {
            return Ok(true);
        }
        let (lease, given) = (self.node.lease(), self.node.given_now());
        let elsewhere = self.node.statements(async |connection| {
            let elsewhere = sqlx::query_scalar(ELSEWHERE).bind(Uuid::from_bytes(*lease.as_bytes())).bind(given);
            elsewhere.bind(plugin.as_str()).fetch_one(connection).await
        });
        let is_elsewhere: bool = elsewhere.await?;
        if is_elsewhere {
            self.node.left_to_others.add(source.clone());
        }
        Ok(is_elsewhere)
    }
}
