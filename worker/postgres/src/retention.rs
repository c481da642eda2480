//! Retention: partitions are created ahead of time, and dropped when all their rows are finished and old.

use std::time::Duration;

use sqlx::PgConnection;
use tokio::time::Instant;

use super::PostgresStore;
use super::failure::PostgresFailure;
use super::rows::duration;
use super::sessions::until;
use chargegate_storage::StoreError;

/// Number of partitions in one retention period.
const PARTITIONS_PER_RETENTION: u32 = 8;
const MIN_PARTITION_WIDTH: Duration = Duration::from_secs(2);
/// Most decisions, and most poison messages, expired in one step.
const MAX_EXPIRED_ROWS: i32 = 2000;

impl PostgresStore {
    /// Returns the time range of one partition.
    fn partition_width(&self) -> Duration {
        (self.shared.settings.retention / PARTITIONS_PER_RETENTION).max(MIN_PARTITION_WIDTH)
    }

    /// Creates partitions when less than one width lies ahead.
    pub(super) async fn create_partitions(&self) -> Result<(), StoreError> {
        let mut session = self.shared.sessions.begin().await?;
        let ends = session.ends();
        let result = until(ends, create(session.connection(), self.partition_width())).await;
        session.finish(result)?;
        *self.shared.partitions_created_at.lock().await = Some(Instant::now());
        Ok(())
    }

    /// Creates partitions when half a width has passed since the last time; otherwise makes no call.
    pub(super) async fn ensure_partitions(&self) -> Result<(), StoreError> {
        let last = *self.shared.partitions_created_at.lock().await;
        if last.is_some_and(|last| last.elapsed() < self.partition_width() / 2) {
            return Ok(());
        }
        // Noted before the call: a failed wait for a lock is not repeated at once.
        *self.shared.partitions_created_at.lock().await = Some(Instant::now());
        self.create_partitions().await
    }

    /// Expires rows that are older than `older_than`, and drops one expired table. Returns whether more is left.
    pub(super) async fn retain(&self, older_than: Duration) -> Result<bool, StoreError> {
        self.create_partitions().await?;
        let mut session = self.shared.sessions.begin().await?;
        let ends = session.ends();
        let result = until(ends, expire(session.connection(), older_than)).await;
        session.finish(result)
    }
}

async fn create(connection: &mut PgConnection, width: Duration) -> Result<(), PostgresFailure> {
    sqlx::query("SELECT create_partitions($1)").bind(duration(width)).execute(connection).await?;
    Ok(())
}

/// Expires a bounded number of rows; each step is a transaction of its own.
async fn expire(connection: &mut PgConnection, older_than: Duration) -> Result<bool, PostgresFailure> {
    let step = async |connection: &mut PgConnection, sql: &'static str| {
        sqlx::query_scalar::<_, i32>(sql)
            .bind(duration(older_than))
            .bind(MAX_EXPIRED_ROWS)
            .fetch_one(connection)
            .await
    };
    let poison = step(connection, "SELECT expire_poison(clock() - $1, $2)").await?;
    let decisions = step(connection, "SELECT expire_decisions(clock() - $1, $2)").await?;
    let dropped: bool = sqlx::query_scalar("SELECT drop_expired()").fetch_one(connection).await?;
    Ok(poison >= MAX_EXPIRED_ROWS || decisions >= MAX_EXPIRED_ROWS || dropped)
}
