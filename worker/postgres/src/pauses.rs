//! Pauses of receiver hosts.

use std::time::Duration;

use chargegate_storage::operate::{HostPause, HostPauses, PAUSE_RETENTION};
use sqlx::{PgConnection, Row as _};

use super::failure::PostgresFailure;
use super::rows::{count, duration};

/// Loads the pauses. The order makes the planner choose the index.
pub(super) async fn load(connection: &mut PgConnection) -> Result<HostPauses, PostgresFailure> {
    let rows = sqlx::query(
        "SELECT host, (SELECT clock()) - paused_at AS began_ago, (SELECT clock()) - resumed_at AS ended_ago \
         FROM host_pause ORDER BY host, paused_at",
    )
    .fetch_all(connection)
    .await?;
    let pauses = rows.iter().map(|row| {
        let ended_ago: Option<i64> = row.try_get("ended_ago")?;
        Ok(HostPause {
            host: row.try_get("host")?,
            began_ago: Duration::from_millis(count(row, "began_ago")?),
            ended_ago: ended_ago.map(|ago| Duration::from_millis(u64::try_from(ago).unwrap_or_default())),
        })
    });
    pauses.collect::<Result<_, PostgresFailure>>().map(HostPauses)
}

/// Pauses a host; returns the number of new pauses.
pub(super) async fn pause(transaction: &mut PgConnection, host: &str) -> Result<u64, PostgresFailure> {
    // Of two operators who pause the same host, the second waits for the first and finds the pause.
    let paused = sqlx::query(
        "INSERT INTO host_pause (host, paused_at) SELECT $1, (SELECT clock()) \
         WHERE NOT EXISTS (SELECT FROM host_pause WHERE host = $1 AND resumed_at IS NULL) \
         ON CONFLICT DO NOTHING",
    )
    .bind(host)
    .execute(&mut *transaction)
    .await?;
    // A pause counts for the callbacks that were pending during it.
    sqlx::query(
        "DELETE FROM host_pause WHERE resumed_at < (SELECT clock()) - $1 \
         AND NOT EXISTS (SELECT FROM callback WHERE callback.host = host_pause.host)",
    )
    .bind(duration(PAUSE_RETENTION))
    .execute(transaction)
    .await?;
    Ok(paused.rows_affected())
}

/// Ends the pause of a host; returns the number of pauses ended.
pub(super) async fn resume(transaction: &mut PgConnection, host: &str) -> Result<u64, PostgresFailure> {
    let resumed = sqlx::query(
        "UPDATE host_pause SET resumed_at = (SELECT clock()) WHERE host = $1 AND resumed_at IS NULL",
    )
    .bind(host)
    .execute(transaction)
    .await?;
    Ok(resumed.rows_affected())
}
