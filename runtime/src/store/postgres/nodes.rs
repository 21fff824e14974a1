//! Looking at the nodes, this one among them.

use sqlx::Row;
use sqlx::types::Uuid;

use super::Postgres;
use crate::domain::{NodeId, Timestamp};
use crate::store::{NodeView, StoreError};

const NODES: &str = "SELECT id, host, role, version, started_at, lease_until - hookfast_now($1) AS left, running, configuration, plugins \
     FROM nodes ORDER BY started_at, id";

impl Postgres {
    pub(in crate::store) async fn nodes(&self) -> Result<Vec<NodeView>, StoreError> {
        let rows = sqlx::query(NODES).bind(self.node.given_now()).fetch_all(&self.node.views).await?;
        let node = |row: &sqlx::postgres::PgRow| {
            let plugins = serde_json::from_str(row.get("plugins"));
            Ok(NodeView {
                id: NodeId::from_bytes(row.get::<Uuid, _>("id").into_bytes()),
                host: row.get("host"),
                role: row.get("role"),
                version: row.get("version"),
                started_at: Timestamp::from_millis(row.get("started_at")),
                lease_ms_left: Some(row.get("left")),
                running: super::read_events::count(row.get("running")),
                configuration: row.get("configuration"),
                plugins: plugins.map_err(|_| StoreError::Damaged { table: "nodes", what: "plugins" })?,
            })
        };
        rows.iter().map(node).collect()
    }
}
