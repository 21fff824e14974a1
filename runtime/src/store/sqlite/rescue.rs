//! At start: everything the last process left running is made ready again. Those jobs are suspects of its death; a suspect
//! that was running alone when the process died again is charged, and given up at three charges.

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::line;
use crate::domain::{DeadReason, Timestamp};
use crate::store::{CHARGES_MAX, CONDEMNED, Rescued};

/// Only a suspect that ran when the process died is charged. Ordinary jobs beside it become suspects uncharged: one of them
/// may be the culprit, and must run alone to be found out.
pub(super) fn rescue(connection: &mut Connection, now: Timestamp) -> Result<Rescued, rusqlite::Error> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // No index leads to them, since every job would pay for it: the table is gone through once.
    transaction.execute("CREATE TEMP TABLE left_running AS SELECT id FROM jobs WHERE state = 'running'", [])?;
    let charged = transaction.execute("UPDATE jobs SET charges = charges + 1 WHERE id IN left_running AND suspect = 1", [])?;
    let condemned = condemn(&transaction, now)?;
    let suspects = transaction.execute(
        "UPDATE jobs SET state = 'ready', owner = NULL, suspect = 1, due_at = ?1, attempts_before = attempts_before + 1 WHERE id IN left_running",
        params![now.as_millis()],
    )?;
    transaction.execute("DROP TABLE left_running", [])?;
    line::advance_all(&transaction, now)?;
    transaction.commit()?;
    Ok(Rescued { suspects: suspects as u64, charged: charged as u64, condemned })
}

fn condemn(transaction: &Transaction<'_>, now: Timestamp) -> Result<u64, rusqlite::Error> {
    let buried = transaction.execute(
        "INSERT INTO dead_letters (event_seq, source, route, plugin, attempts, cause, reason, died_at, line) \
         SELECT event_seq, source, route, plugin, attempt, ?1, ?2, ?3, CASE WHEN skip_after IS NULL THEN line END FROM jobs \
         WHERE id IN left_running AND charges >= ?4",
        params![DeadReason::ProcessCrash.code(), CONDEMNED, now.as_millis(), CHARGES_MAX],
    )?;
    transaction.execute("DELETE FROM jobs WHERE id IN left_running AND charges >= ?1", [CHARGES_MAX])?;
    Ok(buried as u64)
}
