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
const PARKED: &str = "SELECT plugin FROM unnest($1::text[]) AS plugin \
     WHERE EXISTS (SELECT FROM jobs WHERE state = 'parked' AND upstream IS NULL AND jobs.plugin = plugin.plugin)";

/// What is left, with the plugin that it is left for, and until when.
#[derive(Default)]
pub(super) struct LeftToOthers(Mutex<HashMap<(SourceName, PluginName), Instant>>);

impl LeftToOthers {
    /// The sources that are left to others now.
    pub(super) fn sources(&self) -> Vec<String> {
        let mut left = self.lock();
        left.retain(|_, until| *until > Instant::now());
        left.keys().map(|(source, _)| source.as_str().to_owned()).collect()
    }

    pub(super) fn has_source(&self, source: &SourceName) -> bool {
        let left = self.lock();
        // Most of the time nothing is left to others.
        !left.is_empty() && left.iter().any(|((own, _), until)| own == source && *until > Instant::now())
    }

    fn has(&self, what: &(SourceName, PluginName)) -> bool {
        self.lock().get(what).is_some_and(|until| *until > Instant::now())
    }

    fn add(&self, what: (SourceName, PluginName)) {
        self.lock().insert(what, Instant::now() + LEFT_FOR);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(SourceName, PluginName), Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Postgres {
    pub(in crate::store) async fn leave_to_others(&self, source: &SourceName, plugin: &PluginName) -> Result<bool, StoreError> {
        let what = (source.clone(), plugin.clone());
        if self.node.left_to_others.has(&what) {
            return Ok(true);
        }
        let (lease, given) = (self.node.lease(), self.node.given_now());
        let elsewhere = self.node.statements(async |connection| {
            let elsewhere = sqlx::query_scalar(ELSEWHERE).bind(Uuid::from_bytes(*lease.as_bytes())).bind(given);
            elsewhere.bind(plugin.as_str()).fetch_one(connection).await
        });
        let is_elsewhere: bool = elsewhere.await?;
        if is_elsewhere {
            self.node.left_to_others.add(what);
        }
        Ok(is_elsewhere)
    }

    pub(in crate::store) async fn plugins_with_parked(&self, plugins: &[PluginName]) -> Result<Vec<PluginName>, StoreError> {
        let names: Vec<&str> = plugins.iter().map(PluginName::as_str).collect();
        let parked = self.node.statements(async |connection| sqlx::query_scalar(PARKED).bind(names).fetch_all(connection).await);
        let parked: Vec<String> = parked.await?;
        Ok(plugins.iter().filter(|plugin| parked.iter().any(|parked| parked == plugin.as_str())).cloned().collect())
    }
}
