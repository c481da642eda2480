//! Watermark of the queue's history.

use async_trait::async_trait;
use sqlx::PgConnection;

use super::PostgresStore;
use super::failure::PostgresFailure;
use super::rows::count;
use super::sessions::until;
use chargegate_storage::EngineError;
use chargegate_storage::history::{Remember, Watermark};

#[async_trait]
impl Remember for PostgresStore {
    async fn watermark(&self) -> Result<Watermark, EngineError> {
        let mut session = self.shared.sessions.begin().await?;
        let ends = session.ends();
        let result = until(ends, read(session.connection())).await;
        session.finish(result)
    }

    async fn note(&self, was: Watermark, now: Watermark) -> Result<bool, EngineError> {
        let mut session = self.shared.sessions.begin().await?;
        let ends = session.ends();
        let result = until(ends, write(session.connection(), was, now)).await;
        session.finish(result)
    }
}

/// Reads the watermark.
pub(super) async fn read(connection: &mut PgConnection) -> Result<Watermark, PostgresFailure> {
    let row = sqlx::query("SELECT version, heartbeat, enqueued, forgotten FROM watermark")
        .fetch_one(connection)
        .await?;
    Ok(Watermark {
        version: count(&row, "version")?,
        beat: count(&row, "heartbeat")?,
        enqueued: count(&row, "enqueued")?,
        forgotten: count(&row, "forgotten")?,
    })
}

async fn write(
    connection: &mut PgConnection,
    was: Watermark,
    now: Watermark,
) -> Result<bool, PostgresFailure> {
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let written = sqlx::query(
        "UPDATE watermark SET version = $2, heartbeat = $3, enqueued = $4, forgotten = $5 WHERE version = $1",
    )
    .bind(number(was.version))
    .bind(number(now.version))
    .bind(number(now.beat))
    .bind(number(now.enqueued))
    .bind(number(now.forgotten))
    .execute(connection)
    .await?;
    Ok(written.rows_affected() == 1)
}
