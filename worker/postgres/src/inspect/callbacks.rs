//! Callbacks in one state.

use chargegate_core::RequestId;
use chargegate_storage::StoreError;
use chargegate_storage::inspect::PageCursor;
use chargegate_storage::operate::{CallbackPage, CallbackState, ListedCallback};
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Row as _};
use uuid::Uuid;

use super::PostgresInspector;
use super::decisions::{line, summary_columns, summary_joins};
use crate::failure::PostgresFailure;
use crate::operate::closed_condition;
use crate::rows::uuid;
use crate::sessions::until;

impl PostgresInspector {
    pub(super) async fn read_callbacks(
        &self,
        state: CallbackState,
        limit: u32,
        cursor: Option<&PageCursor>,
    ) -> Result<CallbackPage, StoreError> {
        let (number, id) = match cursor.map(PageCursor::position).transpose()? {
            Some((number, id)) => (number, id.parse::<RequestId>().map_err(|_| StoreError::ForeignCursor)?),
            None => (i64::MAX, RequestId::from_bytes([0xff; 16])),
        };
        let mut session = self.sessions.begin().await?;
        let ends = session.ends();
        let query = sqlx::query(AssertSqlSafe(page_query(state)))
            .bind(number)
            .bind::<Uuid>(uuid(&id))
            .bind(i64::from(limit));
        let connection = session.connection();
        let read = async {
            let rows = query.fetch_all(connection).await?;
            let callbacks = rows.iter().map(listed).collect::<Result<Vec<_>, sqlx::Error>>()?;
            Ok::<_, PostgresFailure>(callbacks)
        };
        let result = until(ends, read).await;
        let callbacks = session.finish(result)?;
        let full = callbacks.len() == usize::try_from(limit).unwrap_or(usize::MAX);
        let next = callbacks.last().filter(|_| full).map(|last| last.cursor.clone());
        Ok(CallbackPage { callbacks, next })
    }
}

/// Returns the query of the $3 callbacks in a state before the position $1, $2.
fn page_query(state: CallbackState) -> String {
    let page = match closed_condition(Some(state)) {
        None => "SELECT due_at AS position, recorded_at, request_id, \
                 NOT leased AND due_at = round_started_at AS due_since_start FROM callback \
                 WHERE (due_at, request_id) < ($1, $2) ORDER BY due_at DESC, request_id DESC LIMIT $3"
            .to_owned(),
        Some(condition) => format!(
            "SELECT recorded_at AS position, recorded_at, request_id, false AS due_since_start FROM attempt \
             WHERE closed_at IS NOT NULL AND {condition} AND (recorded_at, request_id) < ($1, $2) \
             AND NOT EXISTS (SELECT FROM time_partition WHERE attempt.recorded_at >= begins_at \
                 AND attempt.recorded_at < ends_at \
                 AND (attempt.recorded_at, attempt.request_id) <= (expired_until, expired_until_id)) \
             ORDER BY recorded_at DESC, request_id DESC LIMIT $3"
        ),
    };
    let (columns, joins) = (summary_columns!(), summary_joins!());
    format!(
        "SELECT page.position, page.due_since_start, {columns} FROM ({page}) AS page \
         JOIN decision ON decision.recorded_at = page.recorded_at AND decision.request_id = page.request_id \
         {joins} ORDER BY page.position DESC, page.request_id DESC"
    )
}

fn listed(row: &PgRow) -> Result<ListedCallback, sqlx::Error> {
    let decision = line(row)?;
    let cursor = PageCursor::after(row.try_get("position")?, &decision.request_id.to_string());
    Ok(ListedCallback { cursor, due_since_start: row.try_get("due_since_start")?, decision })
}
