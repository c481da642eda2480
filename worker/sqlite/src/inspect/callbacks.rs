//! Callbacks in one state.

use chargegate_core::RequestId;
use chargegate_storage::StoreError;
use chargegate_storage::inspect::PageCursor;
use chargegate_storage::operate::{CallbackPage, CallbackState, ListedCallback};
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Row as _};

use super::SqliteInspector;
use super::decisions::{line, summary_columns};
use crate::operate::state_condition;
use crate::store::read_failure;

impl SqliteInspector {
    pub(super) async fn read_callbacks(
        &self,
        state: CallbackState,
        limit: u32,
        cursor: Option<&PageCursor>,
    ) -> Result<CallbackPage, StoreError> {
        let (number, id) = match cursor.map(PageCursor::position).transpose()? {
            Some((number, id)) => (number, id.parse().map_err(|_| StoreError::ForeignCursor)?),
            None => (i64::MAX, RequestId::from_bytes([0xff; 16])),
        };
        let rows = sqlx::query(AssertSqlSafe(page_query(state)))
            .bind(number)
            .bind(id.as_bytes().as_slice())
            .bind(i64::from(limit))
            .fetch_all(&self.readers)
            .await
            .map_err(read_failure)?;
        let callbacks: Vec<ListedCallback> =
            rows.iter().map(listed).collect::<Result<_, _>>().map_err(read_failure)?;
        let full = callbacks.len() == usize::try_from(limit).unwrap_or(usize::MAX);
        let next = callbacks.last().filter(|_| full).map(|last| last.cursor.clone());
        Ok(CallbackPage { callbacks, next })
    }
}

/// Returns the query of the ?3 callbacks in a state before the position ?1, ?2.
pub(crate) fn page_query(state: CallbackState) -> String {
    let time = if state == CallbackState::Pending { "due_at" } else { "finished_at" };
    let condition = state_condition(Some(state));
    let columns = summary_columns!();
    format!(
        "SELECT page.position, page.due_since_start, {columns} FROM ( \
             SELECT request_id, {time} AS position, \
                 state = 'pending' AND leased = 0 AND due_at = round_started_at AS due_since_start FROM callback \
             WHERE {condition} AND {time} IS NOT NULL AND ({time}, request_id) < (?1, ?2) \
             ORDER BY {time} DESC, request_id DESC LIMIT ?3) AS page \
         CROSS JOIN decision USING (request_id) CROSS JOIN callback USING (request_id) \
         ORDER BY page.position DESC, page.request_id DESC"
    )
}

fn listed(row: &SqliteRow) -> Result<ListedCallback, sqlx::Error> {
    let decision = line(row)?;
    let cursor = PageCursor::after(row.try_get("position")?, &decision.request_id.to_string());
    Ok(ListedCallback { cursor, due_since_start: row.try_get("due_since_start")?, decision })
}
