//! The jobs of nodes whose lease ran out: made ready again as suspects, as after any death. Any node does it for any other.

use sqlx::types::Uuid;
use sqlx::{Connection, PgConnection, Row};

use super::line;
use crate::domain::{DeadReason, NodeId};
use crate::store::{CHARGES_MAX, CONDEMNED, Rescued};

// Locked for good: no settle under this lease can slip in behind the takeover.
const EXPIRED: &str = "SELECT id FROM nodes WHERE lease_until < hookfast_now($1) AND id <> $2 ORDER BY id FOR UPDATE SKIP LOCKED";
const CHARGE: &str = "UPDATE jobs SET charges = charges + 1 WHERE state = 'running' AND owner = ANY($1) AND suspect";
// Where a line may lose its head, that line is held before any lease is: in this order everywhere.
const LINES: &str = "SELECT DISTINCT line FROM jobs WHERE state = 'running' AND line IS NOT NULL AND suspect AND charges + 1 >= $3 \
     AND owner IN (SELECT id FROM nodes WHERE lease_until < hookfast_now($1) AND id <> $2)";
const CONDEMN: &str = "WITH condemned AS (DELETE FROM jobs WHERE state = 'running' AND owner = ANY($1) AND charges >= $2 \
       AND (line IS NULL OR line = ANY($6)) RETURNING event_id, source, route, plugin, attempt, line, skip_after), \
     buried AS (INSERT INTO dead_letters (event_id, source, route, plugin, attempts, cause, reason, died_at, line) \
     SELECT event_id, source, route, plugin, attempt, $3, $4, hookfast_now($5), CASE WHEN skip_after IS NULL THEN line END FROM condemned) \
     SELECT line, route FROM condemned";
const SUSPECT: &str = "UPDATE jobs SET state = 'ready', owner = NULL, suspect = true, due_at = hookfast_now($2), attempts_before = attempts_before + 1 \
     WHERE state = 'running' AND owner = ANY($1)";
// Taken by a statement that was committed after its node had gone.
const ORPHANS: &str = "UPDATE jobs j SET state = 'ready', owner = NULL, suspect = true, due_at = hookfast_now($1), attempts_before = attempts_before + 1 \
     WHERE state = 'running' AND NOT EXISTS (SELECT FROM nodes n WHERE n.id = j.owner)";
const FORGET: &str = "DELETE FROM nodes WHERE id = ANY($1)";
const LEAVE: &str = "DELETE FROM nodes n WHERE id = $1 AND NOT EXISTS (SELECT FROM jobs WHERE state = 'running' AND owner = n.id)";
const EXPIRE: &str = "UPDATE nodes SET lease_until = 0 WHERE id = $1";

/// Takes over from every other node whose lease ran out.
pub(super) async fn rescue(connection: &mut PgConnection, own: NodeId, given: Option<i64>) -> Result<Rescued, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    let own = Uuid::from_bytes(*own.as_bytes());
    let lines = sqlx::query(LINES).bind(given).bind(own).bind(i64::from(CHARGES_MAX)).fetch_all(&mut *transaction).await?;
    let lines: Vec<Uuid> = lines.iter().map(|row| row.get(0)).collect();
    line::hold(&mut transaction, lines.clone()).await?;
    let orphans = sqlx::query(ORPHANS).bind(given).execute(&mut *transaction).await?.rows_affected();
    let expired = sqlx::query(EXPIRED).bind(given).bind(own).fetch_all(&mut *transaction).await?;
    if expired.is_empty() {
        transaction.commit().await?;
        return Ok(Rescued { suspects: orphans, ..Rescued::default() });
    }
    let nodes: Vec<Uuid> = expired.iter().map(|row| row.get(0)).collect();
    let charged = sqlx::query(CHARGE).bind(&nodes).execute(&mut *transaction).await?.rows_affected();
    let condemn = sqlx::query(CONDEMN)
        .bind(&nodes)
        .bind(i64::from(CHARGES_MAX))
        .bind(DeadReason::ProcessCrash.code())
        .bind(CONDEMNED)
        .bind(given)
        .bind(lines);
    let condemned = condemn.fetch_all(&mut *transaction).await?;
    let places: Vec<line::Place> = condemned.iter().filter_map(|row| Some((row.get::<Option<_>, _>("line")?, row.get("route")))).collect();
    line::advance(&mut transaction, &places, given).await?;
    let condemned = condemned.len() as u64;
    let suspects = sqlx::query(SUSPECT).bind(&nodes).bind(given).execute(&mut *transaction).await?.rows_affected();
    sqlx::query(FORGET).bind(&nodes).execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(Rescued { suspects: suspects + orphans, charged, condemned })
}

/// Ends a node's own lease. What it still runs was not given back, and is rescued by whoever looks next.
pub(super) async fn retire(connection: &mut PgConnection, node: NodeId) -> Result<(), sqlx::Error> {
    let node = Uuid::from_bytes(*node.as_bytes());
    sqlx::query(LEAVE).bind(node).execute(&mut *connection).await?;
    sqlx::query(EXPIRE).bind(node).execute(connection).await.map(drop)
}
