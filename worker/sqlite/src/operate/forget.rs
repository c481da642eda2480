//! Erasure of a driver token.

use chargegate_storage::operate::{DecisionPlace, ForgetOutcome, ForgottenToken};
use chargegate_storage::queue::MessageKey;

use super::callbacks::give_up_pending;
use crate::keys::{StoredKey, count, ids, millis};
use crate::operation::{Failure, Transaction};

/// The rows of one batch of an erasure.
pub(super) struct Forgetting {
    pub(super) token: ForgottenToken,
    pub(super) decisions: Vec<DecisionPlace>,
    /// Keys of poison messages.
    pub(super) poison: Vec<String>,
}

/// Erases a token from decisions without an attempt in flight, and the bodies of poison messages.
pub(super) async fn forget(
    Forgetting { token, decisions, poison }: &Forgetting,
    transaction: &mut Transaction<'_>,
) -> Result<ForgetOutcome, Failure> {
    let ids = ids(decisions.iter().map(|decision| &decision.request_id));
    let callbacks_discarded = give_up_pending(&ids, "true", transaction).await?;
    let erased = sqlx::query(
        "UPDATE decision SET driver_token = '' WHERE request_id IN (SELECT unhex(value, '-') FROM json_each(?1)) \
         AND driver_token = ?2 AND NOT EXISTS ( \
             SELECT 1 FROM callback WHERE request_id = decision.request_id AND state = 'pending')",
    )
    .bind(&ids)
    .bind(&*token.driver_token)
    .execute(&mut *transaction.connection)
    .await?;
    let in_flight = sqlx::query(
        "SELECT count(*) AS in_flight FROM callback WHERE request_id IN (SELECT unhex(value, '-') FROM json_each(?1)) \
         AND state = 'pending' AND due_at > ?2",
    )
    .bind(&ids)
    .bind(millis(transaction.now))
    .fetch_one(&mut *transaction.connection)
    .await?;
    let mut erased_poison = 0;
    for key in poison {
        let erased = sqlx::query("UPDATE poison SET body = x'' WHERE message_key = ?1 AND body <> x''")
            .bind(StoredKey::from(&MessageKey::from(key.clone())))
            .execute(&mut *transaction.connection)
            .await?;
        erased_poison += erased.rows_affected();
    }
    Ok(ForgetOutcome {
        decisions: erased.rows_affected(),
        callbacks_discarded,
        poison: erased_poison,
        in_flight: count(&in_flight, "in_flight")?,
    })
}
