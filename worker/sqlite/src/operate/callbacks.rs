//! Retries and discards of callbacks.

use chargegate_storage::operate::{BulkAction, CallbackChange, CallbackState, DISCARDED};
use sqlx::AssertSqlSafe;

use crate::keys::{ids, millis};
use crate::operation::{Failure, Transaction};

/// Changes callbacks without an attempt in flight; returns their number.
pub(super) async fn change(
    change: &CallbackChange,
    transaction: &mut Transaction<'_>,
) -> Result<u64, Failure> {
    let ids = ids(&change.ids);
    let of_state = state_condition(change.state);
    match change.action {
        BulkAction::Retry => retry(&ids, of_state, transaction).await,
        BulkAction::Discard => {
            let given_up = give_up_pending(&ids, of_state, transaction).await?;
            Ok(given_up + discard_dead(&ids, of_state, transaction).await?)
        }
    }
}

/// Returns the condition of a state, on a row of `callback`.
pub(crate) fn state_condition(state: Option<CallbackState>) -> &'static str {
    match state {
        None => "true",
        Some(CallbackState::Pending) => "state = 'pending'",
        Some(CallbackState::Delivered) => "state = 'delivered'",
        Some(CallbackState::Dead) => "state = 'dead' AND give_up <> 'discarded'",
        Some(CallbackState::Discarded) => "state = 'dead' AND give_up = 'discarded'",
    }
}

/// Begins a new round of attempts. A callback whose token was erased has no body and stays as it is.
async fn retry(ids: &str, of_state: &str, transaction: &mut Transaction<'_>) -> Result<u64, Failure> {
    let retried = sqlx::query(AssertSqlSafe(format!(
        "UPDATE callback SET state = 'pending', due_at = ?2, leased = 0, round_first = attempt + 1, \
         round_started_at = ?2, finished_at = NULL, give_up = NULL, retried_at = NULL \
         WHERE request_id IN (SELECT unhex(value, '-') FROM json_each(?1)) AND {of_state} \
         AND (state <> 'pending' OR leased = 0 AND due_at > ?2) \
         AND EXISTS (SELECT 1 FROM decision WHERE request_id = callback.request_id AND driver_token <> '')"
    )))
    .bind(ids)
    .bind(millis(transaction.now))
    .execute(&mut *transaction.connection)
    .await?;
    Ok(retried.rows_affected())
}

/// Gives up pending callbacks. The log of attempts gets an entry, and later reports of earlier attempts do not count.
pub(super) async fn give_up_pending(
    ids: &str,
    of_state: &str,
    transaction: &mut Transaction<'_>,
) -> Result<u64, Failure> {
    let discarded: Vec<(Vec<u8>, i64)> = sqlx::query_as(AssertSqlSafe(format!(
        "UPDATE callback SET state = 'dead', leased = 0, attempt = attempt + 1, finished_at = ?2, give_up = ?3 \
         WHERE request_id IN (SELECT unhex(value, '-') FROM json_each(?1)) AND {of_state} \
         AND state = 'pending' AND (leased = 0 OR due_at <= ?2) RETURNING request_id, attempt"
    )))
    .bind(ids)
    .bind(millis(transaction.now))
    .bind(DISCARDED)
    .fetch_all(&mut *transaction.connection)
    .await?;
    for (request_id, attempt) in &discarded {
        sqlx::query(
            "INSERT INTO attempt (request_id, attempt, started_at, took_ms, result) VALUES (?1, ?2, ?3, 0, ?4) \
             ON CONFLICT DO NOTHING",
        )
        .bind(request_id.as_slice())
        .bind(attempt)
        .bind(millis(transaction.now))
        .bind(DISCARDED)
        .execute(&mut *transaction.connection)
        .await?;
    }
    Ok(u64::try_from(discarded.len()).unwrap_or(u64::MAX))
}

async fn discard_dead(ids: &str, of_state: &str, transaction: &mut Transaction<'_>) -> Result<u64, Failure> {
    let discarded = sqlx::query(AssertSqlSafe(format!(
        "UPDATE callback SET give_up = ?2 WHERE request_id IN (SELECT unhex(value, '-') FROM json_each(?1)) \
         AND {of_state} AND state = 'dead' AND give_up <> ?2"
    )))
    .bind(ids)
    .bind(DISCARDED)
    .execute(&mut *transaction.connection)
    .await?;
    Ok(discarded.rows_affected())
}
