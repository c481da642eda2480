//! Write operations of the queue.

use std::sync::LazyLock;

use chargegate_core::UnixMillis;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::keys::{count, millis, numbers};
use super::operation::{Failure, Operation, Transaction};
use super::rows::Rows;
use chargegate_storage::queue::{LeasedMessage, MessageKey};

/// `visible_at` of a message without a lease: long past, and as wide in the file as a present time. If a row grew when
/// it is leased, it would need space, and a full database could not be drained.
pub(super) const NOT_HELD: i64 = 1 << 32;

static INSERT: LazyLock<Rows> = LazyLock::new(|| {
    let head = "INSERT INTO queue (enqueued_at, visible_at, deliveries, body)";
    Rows::new(head, &format!("(?, {NOT_HELD}, 0, ?)"), "")
});

/// Enqueues a message unless the queue is full; returns whether it did.
pub(super) struct Enqueue {
    pub(super) body: String,
}

impl Operation for Enqueue {
    type Answer = bool;

    async fn apply(operations: &[Self], transaction: &mut Transaction<'_>) -> Result<Vec<bool>, Failure> {
        let room = transaction.settings.depth_limit.saturating_sub(transaction.depth);
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        let taken = operations.get(..room).unwrap_or(operations);
        let now = millis(transaction.now);
        for (sql, chunk) in INSERT.chunks(taken) {
            let query =
                chunk.iter().fold(sqlx::query(sql), |query, message| query.bind(now).bind(&message.body));
            query.execute(&mut *transaction.connection).await?;
        }
        transaction.depth += u64::try_from(taken.len()).unwrap_or_default();
        transaction.arrivals |= !taken.is_empty();
        Ok((0..operations.len()).map(|at| at < taken.len()).collect())
    }
}

/// Leases the oldest visible messages.
pub(super) struct Lease {
    pub(super) max: i64,
}

/// Result of a [`Lease`].
pub(super) struct Leased {
    pub(super) messages: Vec<LeasedMessage>,
    /// End of the first lease, if no message was visible.
    pub(super) next_end: Option<UnixMillis>,
}

impl Operation for Lease {
    type Answer = Leased;

    async fn apply(operations: &[Self], transaction: &mut Transaction<'_>) -> Result<Vec<Leased>, Failure> {
        let mut all = Vec::with_capacity(operations.len());
        let end = transaction.now.plus(transaction.settings.message_lease);
        for Self { max } in operations {
            let rows = sqlx::query(
                "UPDATE queue SET visible_at = ?1, deliveries = deliveries + 1 \
                 WHERE seq IN (SELECT seq FROM queue WHERE visible_at <= ?2 ORDER BY seq LIMIT ?3) \
                 RETURNING seq, deliveries, body",
            )
            .bind(millis(end))
            .bind(millis(transaction.now))
            .bind(max)
            .fetch_all(&mut *transaction.connection)
            .await?;
            let next_end = if rows.is_empty() { next_end(transaction).await? } else { None };
            let mut messages = rows.iter().map(leased).collect::<Result<Vec<_>, _>>()?;
            // RETURNING promises no order.
            messages.sort_unstable_by_key(|(sequence, _)| *sequence);
            let messages = messages.into_iter().map(|(_, message)| message).collect();
            all.push(Leased { messages, next_end });
        }
        Ok(all)
    }
}

async fn next_end(transaction: &mut Transaction<'_>) -> Result<Option<UnixMillis>, Failure> {
    // No message is visible, so every message in the table is leased.
    let at: Option<i64> = sqlx::query_scalar("SELECT min(visible_at) FROM queue")
        .fetch_one(&mut *transaction.connection)
        .await?;
    Ok(at.and_then(|at| u64::try_from(at).ok()).map(UnixMillis))
}

fn leased(row: &SqliteRow) -> Result<(i64, LeasedMessage), sqlx::Error> {
    let sequence: i64 = row.try_get("seq")?;
    let message = LeasedMessage {
        key: MessageKey::from(sequence.to_string()),
        body: row.try_get("body")?,
        // Edge and engine share one clock: the difference is the duration of the commit, which counts as age.
        enqueued_at: None,
        deliveries: u32::try_from(count(row, "deliveries")?).unwrap_or(u32::MAX),
    };
    Ok((sequence, message))
}

/// Deletes messages.
pub(super) struct Acknowledge {
    pub(super) sequences: Vec<i64>,
}

impl Operation for Acknowledge {
    type Answer = ();

    async fn apply(operations: &[Self], transaction: &mut Transaction<'_>) -> Result<Vec<()>, Failure> {
        let sequences = numbers(operations.iter().flat_map(|operation| &operation.sequences).copied());
        let deleted = sqlx::query("DELETE FROM queue WHERE seq IN (SELECT value FROM json_each(?1))")
            .bind(sequences)
            .execute(&mut *transaction.connection)
            .await?
            .rows_affected();
        transaction.depth = transaction.depth.saturating_sub(deleted);
        Ok(vec![(); operations.len()])
    }
}

/// Makes messages visible again; this delivery does not count.
pub(super) struct Release {
    pub(super) sequences: Vec<i64>,
}

impl Operation for Release {
    type Answer = ();

    async fn apply(operations: &[Self], transaction: &mut Transaction<'_>) -> Result<Vec<()>, Failure> {
        let sequences = numbers(operations.iter().flat_map(|operation| &operation.sequences).copied());
        sqlx::query(
            "UPDATE queue SET visible_at = ?2, deliveries = max(deliveries - 1, 0) \
             WHERE visible_at <> ?2 AND seq IN (SELECT value FROM json_each(?1))",
        )
        .bind(sequences)
        .bind(NOT_HELD)
        .execute(&mut *transaction.connection)
        .await?;
        transaction.arrivals = true;
        Ok(vec![(); operations.len()])
    }
}
