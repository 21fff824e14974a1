//! Plugins, so that every node runs the same. A version that nobody has seen goes live; one that is known from before does not
//! come back by lying in some node's directory, since that node may just be the last one to be updated.

use sqlx::Row;
use sqlx::types::Uuid;

use super::Postgres;
use crate::domain::{Digest, PluginName};
use crate::store::StoreError;

const PUBLISH: &str = "WITH fresh AS (INSERT INTO plugins (name, digest, wasm, published_at, published_by) \
       VALUES ($1, $2, $3, hookfast_now($4), $5) ON CONFLICT (name, digest) DO NOTHING RETURNING name, digest, published_at), \
     live AS (INSERT INTO live_plugins (name, digest, since) SELECT name, digest, published_at FROM fresh \
       ON CONFLICT (name) DO UPDATE SET digest = excluded.digest, since = excluded.since RETURNING digest) \
     SELECT digest FROM live UNION ALL SELECT digest FROM live_plugins WHERE name = $1 AND NOT EXISTS (SELECT FROM live)";
const LIVE: &str = "SELECT name, digest FROM live_plugins ORDER BY name";
const BYTES: &str = "SELECT wasm FROM plugins WHERE name = $1 AND digest = $2";

impl Postgres {
    pub(in crate::store) async fn publish_plugin(&self, name: &PluginName, digest: Digest, wasm: &[u8]) -> Result<Digest, StoreError> {
        let (given, lease) = (self.node.given_now(), self.node.lease());
        let live = self.node.statements(async |connection| {
            let publish = sqlx::query(PUBLISH).bind(name.as_str()).bind(&digest.as_bytes()[..]).bind(wasm).bind(given);
            publish.bind(Uuid::from_bytes(*lease.as_bytes())).fetch_one(connection).await
        });
        read(&live.await?.get::<Vec<u8>, _>(0))
    }

    pub(in crate::store) async fn live_plugins(&self) -> Result<Vec<(PluginName, Digest)>, StoreError> {
        let rows = self.node.statements(async |connection| sqlx::query(LIVE).fetch_all(connection).await).await?;
        let plugin = |row: &sqlx::postgres::PgRow| {
            let name = row.get::<&str, _>("name").parse().map_err(|_| StoreError::Damaged { table: "live_plugins", what: "name" })?;
            Ok((name, read(row.get("digest"))?))
        };
        rows.iter().map(plugin).collect()
    }

    pub(in crate::store) async fn plugin_bytes(&self, name: &PluginName, digest: Digest) -> Result<Option<Vec<u8>>, StoreError> {
        let row = self.node.statements(async |connection| {
            sqlx::query(BYTES).bind(name.as_str()).bind(&digest.as_bytes()[..]).fetch_optional(connection).await
        });
        Ok(row.await?.map(|row| row.get(0)))
    }
}

fn read(digest: &[u8]) -> Result<Digest, StoreError> {
    digest.try_into().map(Digest::from_bytes).map_err(|_| StoreError::Damaged { table: "live_plugins", what: "digest" })
}
