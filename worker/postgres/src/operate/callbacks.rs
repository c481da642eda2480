//! Retries and discards of callbacks.

use chargegate_storage::operate::{BulkAction, CallbackChange, CallbackState, DISCARDED};
use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

use crate::failure::PostgresFailure;
use crate::rows::uuid;

/// Changes callbacks without an attempt in flight; returns their number.
pub(super) async fn change(
    transaction: &mut PgConnection,
    change: &CallbackChange,
) -> Result<u64, PostgresFailure> {
    // In the order of ids, so that two operators cannot deadlock.
    let mut ids: Vec<Uuid> = change.ids.iter().map(uuid).collect();
    ids.sort_unstable();
    let pending = matches!(change.state, None | Some(CallbackState::Pending));
    let closed = closed_condition(change.state);
    let mut changed = 0;
    match change.action {
        BulkAction::Retry => {
            if closed.is_some() {
                lock_decisions(transaction, &ids).await?;
            }
            // First those that wait, since those that are reopened wait as well.
            if pending {
                changed += retry_pending(transaction, &ids).await?;
            }
            if let Some(condition) = closed {
                changed += reopen(transaction, &ids, condition).await?;
            }
        }
        BulkAction::Discard => {
            if let Some(condition) = closed {
                changed += discard_dead(transaction, &ids, condition).await?;
            }
            if pending {
                changed += give_up_pending(transaction, &ids).await?;
            }
        }
    }
    Ok(changed)
}

/// Returns the condition of a state on the attempt that closed a callback, or `None` for pending callbacks.
pub(crate) fn closed_condition(state: Option<CallbackState>) -> Option<&'static str> {
    match state {
        None => Some("true"),
        Some(CallbackState::Pending) => None,
        Some(CallbackState::Delivered) => Some("give_up IS NULL"),
        Some(CallbackState::Dead) => Some("give_up <> 'discarded'"),
        Some(CallbackState::Discarded) => Some("give_up = 'discarded'"),
    }
}

/// Begins a new round for callbacks that wait for an attempt. The difference keeps the planner from an index by due time.
async fn retry_pending(transaction: &mut PgConnection, ids: &[Uuid]) -> Result<u64, PostgresFailure> {
    let retried = sqlx::query(
        "UPDATE callback SET due_at = (SELECT clock()), round_started_at = (SELECT clock()), \
         round_first = attempt + 1, retried_at = NULL FROM unnest($1::uuid[]) AS asked (request_id) \
         WHERE callback.request_id = asked.request_id AND NOT leased AND due_at - (SELECT clock()) > 0",
    )
    .bind(ids)
    .execute(transaction)
    .await?;
    Ok(retried.rows_affected())
}

/// Locks the partitions of requests against retention, and then their decisions against an erasure, which locks a
/// decision before its callback as well.
async fn lock_decisions(transaction: &mut PgConnection, ids: &[Uuid]) -> Result<(), PostgresFailure> {
    sqlx::query(
        "SELECT lock_partitions(ARRAY(SELECT recorded_at FROM request WHERE request_id = ANY ($1::uuid[])))",
    )
    .bind(ids)
    .execute(&mut *transaction)
    .await?;
    sqlx::query(
        "SELECT FROM unnest($1::uuid[]) AS asked (request_id) JOIN request USING (request_id) \
         JOIN decision ON decision.recorded_at = request.recorded_at AND decision.request_id = request.request_id \
         ORDER BY decision.request_id FOR SHARE OF decision",
    )
    .bind(ids)
    .execute(transaction)
    .await?;
    Ok(())
}

/// Begins a new round for finished callbacks, whose decisions are locked. One whose token was erased has no body and stays
/// as it is.
async fn reopen(
    transaction: &mut PgConnection,
    ids: &[Uuid],
    condition: &str,
) -> Result<u64, PostgresFailure> {
    let reopened = sqlx::query(AssertSqlSafe(format!(
        "WITH again AS MATERIALIZED ( \
             SELECT request.recorded_at, request.request_id, callback_host(callback_url) AS host \
             FROM unnest($1::uuid[]) AS asked (request_id) JOIN request USING (request_id) \
             JOIN decision ON decision.recorded_at = request.recorded_at AND decision.request_id = request.request_id \
             WHERE driver_token <> ''), \
         opened AS ( \
             UPDATE attempt SET closed_at = NULL, give_up = NULL FROM again \
             WHERE attempt.recorded_at = again.recorded_at AND attempt.request_id = again.request_id \
             AND closed_at IS NOT NULL AND {condition} \
             RETURNING again.recorded_at, again.request_id, again.host, attempt.attempt) \
         INSERT INTO callback \
             (recorded_at, due_at, round_started_at, request_id, attempt, round_first, leased, host) \
         SELECT recorded_at, (SELECT clock()), (SELECT clock()), request_id, attempt, attempt + 1, false, host FROM opened"
    )))
    .bind(ids)
    .execute(transaction)
    .await?;
    Ok(reopened.rows_affected())
}

/// Gives up pending callbacks. The log of attempts gets an entry, and later reports of earlier attempts do not count.
pub(super) async fn give_up_pending(
    transaction: &mut PgConnection,
    ids: &[Uuid],
) -> Result<u64, PostgresFailure> {
    let discarded = sqlx::query(
        "WITH given_up AS ( \
             DELETE FROM callback USING unnest($1::uuid[]) AS asked (request_id) \
             WHERE callback.request_id = asked.request_id AND (NOT leased OR due_at - (SELECT clock()) <= 0) \
             RETURNING recorded_at, callback.request_id, attempt) \
         INSERT INTO attempt (recorded_at, started_at, took_ms, closed_at, request_id, attempt, result, give_up) \
         SELECT recorded_at, (SELECT clock()), 0, (SELECT clock()), request_id, attempt + 1, $2, $2 FROM given_up",
    )
    .bind(ids)
    .bind(DISCARDED)
    .execute(transaction)
    .await?;
    Ok(discarded.rows_affected())
}

async fn discard_dead(
    transaction: &mut PgConnection,
    ids: &[Uuid],
    condition: &str,
) -> Result<u64, PostgresFailure> {
    let discarded = sqlx::query(AssertSqlSafe(format!(
        "UPDATE attempt SET give_up = $2 \
         FROM unnest($1::uuid[]) AS asked (request_id) JOIN request USING (request_id) \
         WHERE attempt.recorded_at = request.recorded_at AND attempt.request_id = request.request_id \
         AND closed_at IS NOT NULL AND {condition} AND give_up <> $2"
    )))
    .bind(ids)
    .bind(DISCARDED)
    .execute(transaction)
    .await?;
    Ok(discarded.rows_affected())
}
