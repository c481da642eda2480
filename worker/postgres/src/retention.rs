//! Retention: partitions cut ahead of time, and dropped when all in them is finished and old.

use std::time::Duration;

use chargegate_core::UnixMillis;
use sqlx::PgConnection;
use tokio::time::Instant;

use super::Engine;
use super::failure::Failure;
use super::rows::duration;
use super::sessions::until;
use chargegate_storage::EngineError;

/// A partition is so much of the retention wide.
const SLICES: u32 = 8;
const NARROWEST: Duration = Duration::from_secs(2);
/// Decisions, and poison messages, passed at once.
const AT_ONCE: i32 = 2000;

impl Engine {
    /// How much time a partition holds.
    fn width(&self) -> Duration {
        (self.shared.settings.retention / SLICES).max(NARROWEST)
    }

    /// Cuts partitions ahead, where less than a width of time is left.
    pub(super) async fn cut_slices(&self) -> Result<(), EngineError> {
        let mut session = self.shared.sessions.begin().await?;
        let ends = session.ends();
        let result = until(ends, cut(session.connection(), self.width())).await;
        session.settle(result)?;
        *self.shared.cut.lock().await = Some(Instant::now());
        Ok(())
    }

    /// Cuts partitions when that was last done half a width ago; otherwise it asks nobody.
    pub(super) async fn keep_slices_ahead(&self) -> Result<(), EngineError> {
        let last = *self.shared.cut.lock().await;
        if last.is_some_and(|last| last.elapsed() < self.width() / 2) {
            return Ok(());
        }
        // Whether or not it succeeds: who waits for a lock in vain does so once in a while.
        *self.shared.cut.lock().await = Some(Instant::now());
        self.cut_slices().await
    }

    /// Passes what is older than `before`, and drops one table of what was passed; says whether more is left.
    pub(super) async fn retain(&self, before: UnixMillis) -> Result<bool, EngineError> {
        self.cut_slices().await?;
        let kept = self.shared.effects.clock.now().since(before);
        let mut session = self.shared.sessions.begin().await?;
        let ends = session.ends();
        let result = until(ends, pass(session.connection(), kept)).await;
        session.settle(result)
    }
}

async fn cut(connection: &mut PgConnection, width: Duration) -> Result<(), Failure> {
    sqlx::query("SELECT cut_slices($1)").bind(duration(width)).execute(connection).await?;
    Ok(())
}

/// Each step commits by itself.
async fn pass(connection: &mut PgConnection, kept: Duration) -> Result<bool, Failure> {
    let step = async |connection: &mut PgConnection, sql: &'static str| {
        sqlx::query_scalar::<_, i32>(sql).bind(duration(kept)).bind(AT_ONCE).fetch_one(connection).await
    };
    let poison = step(connection, "SELECT pass_poison(clock() - $1, $2)").await?;
    let decisions = step(connection, "SELECT pass_decisions(clock() - $1, $2)").await?;
    let dropped: bool = sqlx::query_scalar("SELECT drop_passed()").fetch_one(connection).await?;
    Ok(poison >= AT_ONCE || decisions >= AT_ONCE || dropped)
}
