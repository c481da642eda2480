//! The audit trail.

use chargegate_storage::StoreError;
use chargegate_storage::inspect::PageCursor;
use chargegate_storage::operate::{AuditPage, AuditRecord};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::SqliteInspector;
use crate::keys::{count, moment};
use crate::store::read_failure;

impl SqliteInspector {
    pub(super) async fn read_audit(
        &self,
        limit: u32,
        cursor: Option<&PageCursor>,
    ) -> Result<AuditPage, StoreError> {
        let before = cursor.map(PageCursor::position).transpose()?.map_or(i64::MAX, |(number, _)| number);
        let rows = sqlx::query("SELECT * FROM operator_action WHERE id < ?1 ORDER BY id DESC LIMIT ?2")
            .bind(before)
            .bind(i64::from(limit))
            .fetch_all(&self.readers)
            .await
            .map_err(read_failure)?;
        let full = rows.len() == usize::try_from(limit).unwrap_or(usize::MAX);
        let last = rows.last().filter(|_| full).map(|row| row.try_get("id")).transpose();
        let next = last.map_err(read_failure)?.map(|id| PageCursor::after(id, ""));
        let actions = rows.iter().map(record).collect::<Result<_, _>>().map_err(read_failure)?;
        Ok(AuditPage { actions, next })
    }
}

fn record(row: &SqliteRow) -> Result<AuditRecord, sqlx::Error> {
    Ok(AuditRecord {
        action_id: row.try_get("action_id")?,
        started_at: moment(row, "started_at")?,
        updated_at: moment(row, "updated_at")?,
        operator: row.try_get("operator")?,
        action: row.try_get("action")?,
        selection: row.try_get("selection")?,
        changed: count(row, "changed")?,
    })
}
