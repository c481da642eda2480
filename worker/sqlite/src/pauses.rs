//! Pauses of receiver hosts.

use std::collections::HashSet;

use chargegate_core::{RequestId, UnixMillis};
use chargegate_storage::operate::{HostPause, HostPauses, PAUSE_RETENTION};
use sqlx::{Row as _, SqlitePool};

use super::keys::{ids, millis, moment, request_id};
use super::operation::{Failure, Transaction};

/// Loads the pauses.
pub(super) async fn load(readers: &SqlitePool, now: UnixMillis) -> Result<HostPauses, sqlx::Error> {
    let rows = sqlx::query("SELECT host, paused_at, resumed_at FROM host_pause").fetch_all(readers).await?;
    let pauses = rows.iter().map(|row| {
        let resumed_at: Option<i64> = row.try_get("resumed_at")?;
        let ended_ago = match resumed_at {
            Some(_) => Some(now.since(moment(row, "resumed_at")?)),
            None => None,
        };
        Ok(HostPause {
            host: row.try_get("host")?,
            began_ago: now.since(moment(row, "paused_at")?),
            ended_ago,
        })
    });
    pauses.collect::<Result<_, sqlx::Error>>().map(HostPauses)
}

/// Ends the leases of new callbacks to paused hosts before their first attempt. Returns their requests.
pub(super) async fn hold_callbacks(
    new: impl Iterator<Item = &RequestId>,
    transaction: &mut Transaction<'_>,
) -> Result<HashSet<RequestId>, Failure> {
    let any_pause: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM host_pause WHERE resumed_at IS NULL)")
            .fetch_one(&mut *transaction.connection)
            .await?;
    if !any_pause {
        return Ok(HashSet::new());
    }
    let rows = sqlx::query(
        "UPDATE callback SET leased = 0, attempt = 0, due_at = ?2 \
         WHERE request_id IN (SELECT unhex(value, '-') FROM json_each(?1)) \
         AND host IN (SELECT host FROM host_pause WHERE resumed_at IS NULL) RETURNING request_id",
    )
    .bind(ids(new))
    .bind(millis(transaction.now))
    .fetch_all(&mut *transaction.connection)
    .await?;
    rows.iter().map(|row| request_id(row).map_err(Failure::from)).collect()
}

/// Pauses a host; returns the number of new pauses.
pub(super) async fn pause(host: &str, transaction: &mut Transaction<'_>) -> Result<u64, Failure> {
    // A pause that begins in the millisecond in which another ended continues it.
    let changed = sqlx::query(
        "INSERT INTO host_pause (host, paused_at) SELECT ?1, ?2 \
         WHERE NOT EXISTS (SELECT 1 FROM host_pause WHERE host = ?1 AND resumed_at IS NULL) \
         ON CONFLICT (host, paused_at) DO UPDATE SET resumed_at = NULL",
    )
    .bind(host)
    .bind(millis(transaction.now))
    .execute(&mut *transaction.connection)
    .await?
    .rows_affected();
    // A pause counts for the callbacks that were pending during it.
    sqlx::query(
        "DELETE FROM host_pause WHERE resumed_at < ?1 \
         AND NOT EXISTS (SELECT 1 FROM callback WHERE state = 'pending' AND callback.host = host_pause.host)",
    )
    .bind(millis(transaction.now.minus(PAUSE_RETENTION)))
    .execute(&mut *transaction.connection)
    .await?;
    Ok(changed)
}

/// Ends the pause of a host; returns the number of pauses ended.
pub(super) async fn resume(host: &str, transaction: &mut Transaction<'_>) -> Result<u64, Failure> {
    let resumed = sqlx::query("UPDATE host_pause SET resumed_at = ?2 WHERE host = ?1 AND resumed_at IS NULL")
        .bind(host)
        .bind(millis(transaction.now))
        .execute(&mut *transaction.connection)
        .await?;
    Ok(resumed.rows_affected())
}
