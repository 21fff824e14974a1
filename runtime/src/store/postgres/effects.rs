//! Committing attempts' ends together with what their handlers asked for: one synced transaction for a group, in which each stands
//! alone. Whether a settlement can commit is found out before anything of it is written.
//!
//! Locks are taken in one order: the lines of jobs that end and of events that are emitted; leases, then jobs by number; scopes of
//! state by name; dedupe keys by hash, all in one statement. Admissions, rescues, pruning and other nodes' settlements take theirs in
//! the same order, each as many of these kinds as it needs, so that no two of them wait for each other in turn.

use std::collections::HashSet;
use std::time::Duration;

use sqlx::types::Uuid;
use sqlx::{Connection, PgConnection, Row};

use super::read_events::count;
use super::settle::{Settlement, heads, move_jobs};
use super::{Node, Run, deliveries, emit, line, state};
use crate::domain::{Effects, JobId, NodeId};
use crate::store::SettleError;

// The lease first: from then on nobody takes the jobs over. A job is running if and only if it has an owner (a CHECK of its table).
const FENCE: &str = "WITH lease AS MATERIALIZED (SELECT id FROM nodes WHERE id = ANY($2) ORDER BY id FOR KEY SHARE) \
     SELECT id, owner, attempt FROM jobs WHERE id = ANY($1) AND owner IN (SELECT id FROM lease) ORDER BY id FOR UPDATE";

/// Commits the settlements that are still ours and whose state is what they relied on; of the others nothing. What became of each.
pub(super) async fn commit(
    connection: &mut PgConnection,
    node: &Node,
    group: &[&Settlement],
) -> Result<Vec<Result<(), SettleError>>, sqlx::Error> {
    let given = node.given_now();
    let mut transaction = connection.begin().await?;
    let heads = heads(group);
    let emitted = group.iter().flat_map(|settlement| &settlement.effects.events);
    let joined = emitted.filter_map(|new| Some(Uuid::from_bytes(new.ordering.as_ref()?.line.hash)));
    line::hold(&mut transaction, line::lines_of(&heads).into_iter().chain(joined).collect()).await?;
    let mut running = fence(&mut transaction, group).await?;
    // Of an end that was sent twice, the first one counts.
    let ours: Vec<&Settlement> = group.iter().copied().filter(|settlement| running.remove(&Run::of(&settlement.job))).collect();
    let decided = state::decide(&mut transaction, given, &ours).await?;
    let holding: Vec<&Settlement> = ours.iter().copied().filter(|settlement| !decided.conflicts.contains(&settlement.job.id)).collect();
    if !holding.is_empty() {
        move_jobs(&mut transaction, node, &holding).await?;
        state::write(&mut transaction, &decided.ledger).await?;
        emit::emit(&mut transaction, given, &holding).await?;
        deliveries::insert(&mut transaction, given, &holding).await?;
    }
    let advanced = line::advance(&mut transaction, &heads, given).await?;
    transaction.commit().await?;
    if advanced > 0 {
        node.becomes_due(node.clock.steady());
    }
    let verdict = |settlement: &&Settlement| {
        let is_among = |of: &[&Settlement]| of.iter().any(|one| std::ptr::eq(*one, *settlement));
        match (is_among(&ours), is_among(&holding)) {
            (_, true) => Ok(()),
            (true, false) => Err(SettleError::Conflict),
            (false, false) => Err(SettleError::Stale),
        }
    };
    Ok(group.iter().map(verdict).collect())
}

/// Locks those of the jobs that this node still runs; which runs those are.
async fn fence(connection: &mut PgConnection, group: &[&Settlement]) -> Result<HashSet<Run>, sqlx::Error> {
    let rows = sqlx::query(FENCE)
        .bind(group.iter().map(|settlement| settlement.job.id.0).collect::<Vec<_>>())
        .bind(group.iter().map(|settlement| Uuid::from_bytes(*settlement.job.owner.as_bytes())).collect::<Vec<_>>())
        .fetch_all(connection)
        .await?;
    let run = |row: &sqlx::postgres::PgRow| Run {
        job: JobId(row.get("id")),
        owner: NodeId::from_bytes(row.get::<Uuid, _>("owner").into_bytes()),
        attempt: count(row.get("attempt")),
    };
    Ok(rows.iter().map(run).collect())
}

/// How long after its commit the first of the jobs becomes due that it makes.
pub(super) fn soonest(effects: &Effects) -> Option<Duration> {
    let emitted = effects.events.iter().filter(|new| !new.routes.is_empty()).map(|new| new.delay);
    emitted.chain(effects.deliveries.iter().map(|delivery| delivery.delay)).min()
}
