//! Watermark of the queue's history.

use async_trait::async_trait;
use sqlx::PgConnection;

use super::PostgresStore;
use super::failure::PostgresFailure;
use super::rows::count;
use super::sessions::until;
use chargegate_storage::StoreError;
use chargegate_storage::history::{HistoryStore, HistoryWatermark};

#[async_trait]
impl HistoryStore for PostgresStore {
    async fn watermark(&self) -> Result<HistoryWatermark, StoreError> {
        let mut session = self.shared.sessions.begin().await?;
        let ends = session.ends();
        let result = until(ends, read(session.connection())).await;
        session.finish(result)
    }

    async fn replace_watermark(
        &self,
        was: HistoryWatermark,
        now: HistoryWatermark,
    ) -> Result<bool, StoreError> {
        let mut session = self.shared.sessions.begin().await?;
        let ends = session.ends();
        let result = until(ends, write(session.connection(), was, now)).await;
        session.finish(result)
    }
}

/// Reads the watermark.
pub(super) async fn read(connection: &mut PgConnection) -> Result<HistoryWatermark, PostgresFailure> {
    let row = sqlx::query("SELECT version, heartbeat, enqueued, forgotten FROM watermark")
        .fetch_one(connection)
        .await?;
    Ok(HistoryWatermark {
        version: count(&row, "version")?,
        heartbeat: count(&row, "heartbeat")?,
        enqueued: count(&row, "enqueued")?,
        forgotten: count(&row, "forgotten")?,
    })
}

async fn write(
    connection: &mut PgConnection,
    was: HistoryWatermark,
    now: HistoryWatermark,
) -> Result<bool, PostgresFailure> {
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let written = sqlx::query(
        "UPDATE watermark SET version = $2, heartbeat = $3, enqueued = $4, forgotten = $5 WHERE version = $1",
    )
    .bind(number(was.version))
    .bind(number(now.version))
    .bind(number(now.heartbeat))
    .bind(number(now.enqueued))
    .bind(number(now.forgotten))
    .execute(connection)
    .await?;
    Ok(written.rows_affected() == 1)
}
