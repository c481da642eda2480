//! Erasure of a driver token.

use chargegate_storage::operate::{DecisionPlace, ForgetOutcome, ForgottenToken};
use sqlx::{PgConnection, Row as _};
use uuid::Uuid;

use super::callbacks::give_up_pending;
use crate::failure::PostgresFailure;
use crate::rows::uuid;

/// Locks the decisions at $1, $2 that hold the token $3, in the order of ids. The lock comes before those of callbacks, as
/// where a callback is reopened, so that a reopening waits and then finds no token, or the erasure waits and then finds
/// the callback. A decision that retention has expired is not the current one of its request.
const LOCK: &str = "SELECT decision.recorded_at, decision.request_id, EXISTS (SELECT FROM request \
        WHERE request.request_id = decision.request_id AND request.recorded_at = decision.recorded_at) AS current \
    FROM unnest($1::bigint[], $2::uuid[]) AS asked (recorded_at, request_id) \
    JOIN decision ON decision.recorded_at = asked.recorded_at AND decision.request_id = asked.request_id \
    WHERE driver_token = $3 ORDER BY decision.request_id, decision.recorded_at FOR UPDATE OF decision";

/// Erases the tokens of locked decisions without a pending callback.
const ERASE: &str = "UPDATE decision SET driver_token = '' \
    FROM unnest($1::bigint[], $2::uuid[]) AS locked (recorded_at, request_id) \
    WHERE decision.recorded_at = locked.recorded_at AND decision.request_id = locked.request_id \
    AND NOT EXISTS (SELECT FROM callback WHERE callback.request_id = decision.request_id \
        AND callback.recorded_at = decision.recorded_at)";

/// Erases a token from decisions without an attempt in flight, and the bodies of poison messages.
pub(super) async fn forget(
    transaction: &mut PgConnection,
    token: &ForgottenToken,
    decisions: &[DecisionPlace],
    poison: &[String],
) -> Result<ForgetOutcome, PostgresFailure> {
    let rows = sqlx::query(LOCK)
        .bind(decisions.iter().map(|decision| decision.position).collect::<Vec<_>>())
        .bind(decisions.iter().map(|decision| uuid(&decision.request_id)).collect::<Vec<_>>())
        .bind(token.driver_token.as_bytes())
        .fetch_all(&mut *transaction)
        .await?;
    let (mut times, mut ids, mut current) = (Vec::<i64>::new(), Vec::<Uuid>::new(), Vec::<Uuid>::new());
    for row in &rows {
        times.push(row.try_get("recorded_at")?);
        ids.push(row.try_get("request_id")?);
        if row.try_get("current")? {
            current.push(row.try_get("request_id")?);
        }
    }
    let callbacks_discarded = give_up_pending(transaction, &current).await?;
    let erased = sqlx::query(ERASE).bind(times).bind(ids).execute(&mut *transaction).await?.rows_affected();
    let in_flight = u64::try_from(rows.len()).unwrap_or(u64::MAX).saturating_sub(erased);
    let poison = sqlx::query(
        "UPDATE poison SET body = '' WHERE message_key = ANY (ARRAY(SELECT left(id, -17) FROM unnest($1::text[]) AS id)) \
         AND message_key || '#' || left(encode(digest, 'hex'), 16) = ANY ($1::text[]) AND body <> ''",
    )
    .bind(poison)
    .execute(transaction)
    .await?;
    let poison = poison.rows_affected();
    Ok(ForgetOutcome { decisions: erased, callbacks_discarded, poison, in_flight })
}
