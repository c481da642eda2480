//! The audit trail.

use chargegate_storage::inspect::PageCursor;
use chargegate_storage::operate::{AuditPage, AuditRecord};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row as _};

use crate::failure::PostgresFailure;
use crate::rows::{count, moment};

pub(super) async fn list(
    connection: &mut PgConnection,
    limit: u32,
    before: i64,
) -> Result<AuditPage, PostgresFailure> {
    let rows = sqlx::query("SELECT * FROM operator_action WHERE id < $1 ORDER BY id DESC LIMIT $2")
        .bind(before)
        .bind(i64::from(limit))
        .fetch_all(connection)
        .await?;
    let full = rows.len() == usize::try_from(limit).unwrap_or(usize::MAX);
    let next = match rows.last() {
        Some(row) if full => Some(PageCursor::after(row.try_get("id")?, "")),
        _ => None,
    };
    let actions = rows.iter().map(record).collect::<Result<_, _>>()?;
    Ok(AuditPage { actions, next })
}

fn record(row: &PgRow) -> Result<AuditRecord, sqlx::Error> {
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
