//! Changes by operators, each in one transaction with its entry in the audit trail.

mod callbacks;
mod forget;

use async_trait::async_trait;
use chargegate_storage::StoreError;
use chargegate_storage::operate::{
    AuditEntry, CallbackChange, DecisionPlace, ForgetOutcome, ForgottenToken, Operate,
};

pub(crate) use self::callbacks::state_condition;
use self::forget::Forgetting;
use super::SqliteEngine;
use super::keys::millis;
use super::operation::{Failure, Operation, Transaction};
use super::{pauses, purge};

/// A change by an operator.
pub(super) struct OperatorChange {
    kind: ChangeKind,
    audit: AuditEntry,
}

enum ChangeKind {
    Callbacks(CallbackChange),
    PauseHost(String),
    ResumeHost(String),
    DiscardPoison(Vec<String>),
    Forget(Forgetting),
}

/// The rows that a change found.
#[derive(Clone, Copy, Default)]
pub(super) struct ChangedRows {
    changed: u64,
    forgotten: ForgetOutcome,
}

impl Operation for OperatorChange {
    /// `None` if the entry for the audit trail has the id of another action.
    type Answer = Option<ChangedRows>;

    async fn apply(
        operations: &[Self],
        transaction: &mut Transaction<'_>,
    ) -> Result<Vec<Option<ChangedRows>>, Failure> {
        let mut all = Vec::with_capacity(operations.len());
        for Self { kind, audit } in operations {
            if is_other_action(audit, transaction).await? {
                all.push(None);
                continue;
            }
            let mut rows = ChangedRows::default();
            rows.changed = match kind {
                ChangeKind::Callbacks(change) => callbacks::change(change, transaction).await?,
                ChangeKind::PauseHost(host) => pauses::pause(host, transaction).await?,
                ChangeKind::ResumeHost(host) => pauses::resume(host, transaction).await?,
                ChangeKind::DiscardPoison(ids) => purge::discard_poison(ids, transaction).await?,
                ChangeKind::Forget(forgetting) => {
                    rows.forgotten = forget::forget(forgetting, transaction).await?;
                    rows.forgotten.decisions + rows.forgotten.poison
                }
            };
            write_audit(audit, rows.changed, transaction).await?;
            all.push(Some(rows));
        }
        Ok(all)
    }
}

/// Returns whether the audit trail holds an action with this id and another operator, name or selection.
async fn is_other_action(audit: &AuditEntry, transaction: &mut Transaction<'_>) -> Result<bool, Failure> {
    let other = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM operator_action WHERE action_id = ?1 \
         AND (operator, action, selection) <> (?2, ?3, ?4))",
    )
    .bind(audit.id.as_str())
    .bind(audit.operator.as_str())
    .bind(audit.action)
    .bind(&audit.selection)
    .fetch_one(&mut *transaction.connection)
    .await?;
    Ok(other)
}

async fn write_audit(
    audit: &AuditEntry,
    changed: u64,
    transaction: &mut Transaction<'_>,
) -> Result<(), Failure> {
    sqlx::query(
        "INSERT INTO operator_action (action_id, started_at, updated_at, operator, action, selection, changed) \
         VALUES (?1, ?2, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (action_id) DO UPDATE SET \
         updated_at = excluded.updated_at, changed = changed + excluded.changed",
    )
    .bind(audit.id.as_str())
    .bind(millis(transaction.now))
    .bind(audit.operator.as_str())
    .bind(audit.action)
    .bind(&audit.selection)
    .bind(i64::try_from(changed).unwrap_or(i64::MAX))
    .execute(&mut *transaction.connection)
    .await?;
    Ok(())
}

#[async_trait]
impl Operate for SqliteEngine {
    async fn change_callbacks(&self, change: &CallbackChange, audit: &AuditEntry) -> Result<u64, StoreError> {
        Ok(self.operate(ChangeKind::Callbacks(change.clone()), audit).await?.changed)
    }

    async fn pause_host(&self, host: &str, audit: &AuditEntry) -> Result<bool, StoreError> {
        Ok(self.operate(ChangeKind::PauseHost(host.to_owned()), audit).await?.changed > 0)
    }

    async fn resume_host(&self, host: &str, audit: &AuditEntry) -> Result<bool, StoreError> {
        Ok(self.operate(ChangeKind::ResumeHost(host.to_owned()), audit).await?.changed > 0)
    }

    async fn discard_poison(&self, ids: &[String], audit: &AuditEntry) -> Result<u64, StoreError> {
        Ok(self.operate(ChangeKind::DiscardPoison(ids.to_vec()), audit).await?.changed)
    }

    async fn forget(
        &self,
        token: &ForgottenToken,
        decisions: &[DecisionPlace],
        poison: &[String],
        audit: &AuditEntry,
    ) -> Result<ForgetOutcome, StoreError> {
        let (token, decisions, poison) = (token.clone(), decisions.to_vec(), poison.to_vec());
        let kind = ChangeKind::Forget(Forgetting { token, decisions, poison });
        Ok(self.operate(kind, audit).await?.forgotten)
    }
}

impl SqliteEngine {
    async fn operate(&self, kind: ChangeKind, audit: &AuditEntry) -> Result<ChangedRows, StoreError> {
        let changed = self.write(OperatorChange { kind, audit: audit.clone() }).await?;
        changed.ok_or(StoreError::OtherAction)
    }
}
