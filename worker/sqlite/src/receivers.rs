//! Unavailable receivers, and the callbacks that wait for them.

use std::time::Duration;

use serde_json::json;
use sqlx::{Row as _, SqlitePool};

use super::keys::{count, millis};
use super::operation::{Failure, Operation, Transaction};
use chargegate_storage::store::{
    MAX_UNAVAILABLE_RECEIVERS, MAX_WOKEN_CALLBACKS, UNAVAILABLE_RECEIVER_RETENTION, UnavailableReceiver,
};

/// Stores changes and returns the unavailable receivers.
pub(super) struct SyncReceivers {
    pub(super) unavailable: Vec<UnavailableReceiver>,
    pub(super) available: Vec<String>,
}

impl Operation for SyncReceivers {
    type Answer = Vec<UnavailableReceiver>;

    async fn apply(
        operations: &[Self],
        transaction: &mut Transaction<'_>,
    ) -> Result<Vec<Self::Answer>, Failure> {
        let mut all = Vec::with_capacity(operations.len());
        for operation in operations {
            all.push(operation.sync(transaction).await?);
        }
        Ok(all)
    }
}

impl SyncReceivers {
    async fn sync(&self, transaction: &mut Transaction<'_>) -> Result<Vec<UnavailableReceiver>, Failure> {
        let now = transaction.now;
        let oldest = millis(now.minus(UNAVAILABLE_RECEIVER_RETENTION));
        if !self.available.is_empty() {
            sqlx::query("DELETE FROM receiver WHERE receiver IN (SELECT value FROM json_each(?1))")
                .bind(json!(self.available).to_string())
                .execute(&mut *transaction.connection)
                .await?;
        }
        if !self.unavailable.is_empty() {
            let row = |found: &UnavailableReceiver| {
                json!([found.receiver, found.probes, millis(now.plus(found.probe_after))])
            };
            let rows: Vec<_> = self.unavailable.iter().map(row).collect();
            sqlx::query(
                "INSERT INTO receiver (receiver, probes, probe_at, updated_at) \
                 SELECT value ->> 0, value ->> 1, value ->> 2, ?2 FROM json_each(?1) WHERE true \
                 ON CONFLICT (receiver) DO UPDATE SET probes = max(receiver.probes, excluded.probes), \
                 probe_at = max(receiver.probe_at, excluded.probe_at), updated_at = excluded.updated_at",
            )
            .bind(json!(rows).to_string())
            .bind(millis(now))
            .execute(&mut *transaction.connection)
            .await?;
            sqlx::query("DELETE FROM receiver WHERE updated_at < ?1")
                .bind(oldest)
                .execute(&mut *transaction.connection)
                .await?;
        }
        let rows = sqlx::query(
            "SELECT receiver, probes, max(probe_at - ?1, 0) AS probe_after FROM receiver \
             WHERE updated_at >= ?2 ORDER BY receiver LIMIT ?3",
        )
        .bind(millis(now))
        .bind(oldest)
        .bind(i64::try_from(MAX_UNAVAILABLE_RECEIVERS).unwrap_or(i64::MAX))
        .fetch_all(&mut *transaction.connection)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(UnavailableReceiver {
                    receiver: row.try_get("receiver")?,
                    probes: u32::try_from(count(row, "probes")?).unwrap_or(u32::MAX),
                    probe_after: Duration::from_millis(count(row, "probe_after")?),
                })
            })
            .collect()
    }
}

/// Makes callbacks to hosts due that were put off before their first attempt. Others follow their own schedule, which a
/// receiver may have asked for.
pub(super) struct WakeCallbacks {
    pub(super) hosts: Vec<Box<str>>,
}

impl Operation for WakeCallbacks {
    type Answer = ();

    async fn apply(operations: &[Self], transaction: &mut Transaction<'_>) -> Result<Vec<()>, Failure> {
        for operation in operations {
            let mut remaining = u64::from(MAX_WOKEN_CALLBACKS);
            for host in &operation.hosts {
                let woken = sqlx::query(
                    "UPDATE callback SET due_at = ?2 WHERE request_id IN ( \
                         SELECT request_id FROM callback WHERE state = 'pending' AND host = ?1 AND due_at > ?2 \
                         AND leased = 0 AND retried_at IS NULL ORDER BY due_at LIMIT ?3)",
                )
                .bind(&**host)
                .bind(millis(transaction.now))
                .bind(i64::try_from(remaining).unwrap_or(i64::MAX))
                .execute(&mut *transaction.connection)
                .await?;
                remaining = remaining.saturating_sub(woken.rows_affected());
            }
        }
        Ok(vec![(); operations.len()])
    }
}

/// Returns the hosts to which more than `limit` callbacks are pending.
pub(super) async fn backlogged(
    readers: &SqlitePool,
    hosts: &[Box<str>],
    limit: u32,
) -> Result<Vec<Box<str>>, sqlx::Error> {
    let names: Vec<&str> = hosts.iter().map(|host| &**host).collect();
    let rows = sqlx::query(
        "SELECT value AS host FROM json_each(?1) WHERE EXISTS (SELECT 1 FROM callback \
         WHERE state = 'pending' AND callback.host = value LIMIT -1 OFFSET ?2)",
    )
    .bind(json!(names).to_string())
    .bind(i64::from(limit))
    .fetch_all(readers)
    .await?;
    rows.iter().map(|row| Ok(row.try_get::<String, _>("host")?.into())).collect()
}
