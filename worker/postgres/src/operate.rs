//! Changes by operators, each in one transaction with its entry in the audit trail.

mod callbacks;
mod forget;

use async_trait::async_trait;
use chargegate_storage::StoreError;
use chargegate_storage::operate::{
    AuditEntry, CallbackChange, DecisionPlace, ForgetOutcome, ForgottenToken, Operate,
};
use sqlx::{Connection as _, PgConnection};

pub(crate) use self::callbacks::closed_condition;
use super::failure::PostgresFailure;
use super::sessions::until;
use super::{PostgresStore, pauses};

/// Performs a change with its entry in the audit trail in one transaction, and returns its result. The change is an
/// expression over the transaction, with the number of changed rows and the result.
macro_rules! audited {
    ($store:expr, $audit:expr, |$transaction:ident| $change:expr) => {{
        let mut session = $store.shared.sessions.begin().await?;
        let ends = session.ends();
        let audit: &AuditEntry = $audit;
        let change = async {
            let mut begun = session.connection().begin().await?;
            let $transaction = &mut *begun;
            let (changed, result) = $change;
            write_audit($transaction, audit, changed).await?;
            begun.commit().await?;
            Ok(result)
        };
        let result = until(ends, change).await;
        session.finish(result)
    }};
}

/// Discards poison messages by their ids: the key of the message, a number sign, and 16 digits of the digest.
const DISCARD_POISON: &str = "UPDATE poison SET body = '', discarded_at = clock() \
    WHERE message_key = ANY (ARRAY(SELECT left(id, -17) FROM unnest($1::text[]) AS id)) \
    AND message_key || '#' || left(encode(digest, 'hex'), 16) = ANY ($1::text[]) AND discarded_at IS NULL";

#[async_trait]
impl Operate for PostgresStore {
    async fn change_callbacks(&self, change: &CallbackChange, audit: &AuditEntry) -> Result<u64, StoreError> {
        audited!(self, audit, |transaction| {
            let changed = callbacks::change(transaction, change).await?;
            (changed, changed)
        })
    }

    async fn pause_host(&self, host: &str, audit: &AuditEntry) -> Result<bool, StoreError> {
        audited!(self, audit, |transaction| {
            let changed = pauses::pause(transaction, host).await?;
            (changed, changed > 0)
        })
    }

    async fn resume_host(&self, host: &str, audit: &AuditEntry) -> Result<bool, StoreError> {
        audited!(self, audit, |transaction| {
            let changed = pauses::resume(transaction, host).await?;
            (changed, changed > 0)
        })
    }

    async fn discard_poison(&self, ids: &[String], audit: &AuditEntry) -> Result<u64, StoreError> {
        audited!(self, audit, |transaction| {
            let changed = sqlx::query(DISCARD_POISON).bind(ids).execute(&mut *transaction).await?;
            (changed.rows_affected(), changed.rows_affected())
        })
    }

    async fn forget(
        &self,
        token: &ForgottenToken,
        decisions: &[DecisionPlace],
        poison: &[String],
        audit: &AuditEntry,
    ) -> Result<ForgetOutcome, StoreError> {
        audited!(self, audit, |transaction| {
            let outcome = forget::forget(transaction, token, decisions, poison).await?;
            (outcome.decisions + outcome.poison, outcome)
        })
    }
}

async fn write_audit(
    transaction: &mut PgConnection,
    audit: &AuditEntry,
    changed: u64,
) -> Result<(), PostgresFailure> {
    let written = sqlx::query(
        "INSERT INTO operator_action (action_id, started_at, updated_at, operator, action, selection, changed) \
         VALUES ($1, clock(), clock(), $2, $3, $4, $5) ON CONFLICT (action_id) DO UPDATE SET \
         updated_at = excluded.updated_at, changed = operator_action.changed + excluded.changed \
         WHERE (operator_action.operator, operator_action.action, operator_action.selection) \
             = (excluded.operator, excluded.action, excluded.selection)",
    )
    .bind(audit.id.as_str())
    .bind(audit.operator.as_str())
    .bind(audit.action)
    .bind(&audit.selection)
    .bind(i64::try_from(changed).unwrap_or(i64::MAX))
    .execute(transaction)
    .await?;
    if written.rows_affected() == 0 {
        return Err(PostgresFailure::OtherAction);
    }
    Ok(())
}
