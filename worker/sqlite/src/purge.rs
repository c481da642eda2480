//! Retention: deletion of finished requests, with their counts kept for reconciliation.

use std::time::Duration;

use chargegate_core::UnixMillis;
use sqlx::Row as _;

use super::keys::{StoredKey, ids, millis, request_id};
use super::operation::{Failure, Operation, Transaction};
use chargegate_storage::queue::MessageKey;

/// Maximum number of decisions, of duplicates and of poison messages that one transaction deletes: other writes wait
/// meanwhile.
const MAX_PURGE_BATCH: i64 = 500;

/// Deletes requests finished longer than `older_than` ago; returns whether more are left.
pub(super) struct Purge {
    pub(super) older_than: Duration,
}

impl Operation for Purge {
    type Answer = bool;

    async fn apply(operations: &[Self], transaction: &mut Transaction<'_>) -> Result<Vec<bool>, Failure> {
        let mut all = Vec::with_capacity(operations.len());
        for Self { older_than } in operations {
            let before = transaction.now.minus(*older_than);
            let mut gone = PurgedRows::default();
            let decisions = purge_decisions(before, transaction, &mut gone).await?;
            let poison = purge_poison(before, transaction, &mut gone).await?;
            gone.enter(transaction).await?;
            all.push(decisions >= MAX_PURGE_BATCH || poison >= MAX_PURGE_BATCH);
        }
        Ok(all)
    }
}

/// The rows that a purge deleted.
#[derive(Default)]
struct PurgedRows {
    decided: i64,
    duplicates: i64,
    poison: i64,
    delivered: i64,
    dead: i64,
    sequences: Vec<i64>,
}

async fn purge_decisions(
    before: UnixMillis,
    transaction: &mut Transaction<'_>,
    gone: &mut PurgedRows,
) -> Result<i64, Failure> {
    // A message that was not acknowledged is delivered again: without its decision it would get a second one.
    let rows = sqlx::query(
        "SELECT callback.request_id, callback.state, decision.message_key \
         FROM callback JOIN decision USING (request_id) \
         WHERE callback.finished_at < ?1 \
         AND NOT EXISTS (SELECT 1 FROM queue WHERE seq = decision.message_key) \
         ORDER BY callback.finished_at LIMIT ?2",
    )
    .bind(millis(before))
    .bind(MAX_PURGE_BATCH)
    .fetch_all(&mut *transaction.connection)
    .await?;
    let finished = rows.iter().map(request_id).collect::<Result<Vec<_>, _>>()?;
    let finished = ids(&finished);
    let duplicates: Vec<StoredKey> = sqlx::query_scalar(
        "DELETE FROM duplicate WHERE message_key IN ( \
             SELECT message_key FROM duplicate \
             WHERE request_id IN (SELECT unhex(value, '-') FROM json_each(?1)) LIMIT ?2) \
         RETURNING message_key",
    )
    .bind(&finished)
    .bind(MAX_PURGE_BATCH)
    .fetch_all(&mut *transaction.connection)
    .await?;
    let deleted = i64::try_from(duplicates.len()).unwrap_or(i64::MAX);
    gone.duplicates += deleted;
    gone.sequences.extend(duplicates.iter().filter_map(own_sequence));
    if deleted == MAX_PURGE_BATCH {
        // There may be more duplicates; their decisions are kept until all are deleted.
        return Ok(deleted);
    }
    for row in &rows {
        gone.sequences.extend(own_sequence(&row.try_get("message_key")?));
        gone.decided += 1;
        match row.try_get("state")? {
            "delivered" => gone.delivered += 1,
            _ => gone.dead += 1,
        }
    }
    for delete in [
        "DELETE FROM attempt WHERE request_id IN (SELECT unhex(value, '-') FROM json_each(?1))",
        "DELETE FROM callback WHERE request_id IN (SELECT unhex(value, '-') FROM json_each(?1))",
        "DELETE FROM decision WHERE request_id IN (SELECT unhex(value, '-') FROM json_each(?1))",
    ] {
        sqlx::query(delete).bind(&finished).execute(&mut *transaction.connection).await?;
    }
    Ok(i64::try_from(rows.len()).unwrap_or(i64::MAX))
}

async fn purge_poison(
    before: UnixMillis,
    transaction: &mut Transaction<'_>,
    gone: &mut PurgedRows,
) -> Result<i64, Failure> {
    let keys: Vec<StoredKey> = sqlx::query_scalar(
        "DELETE FROM poison WHERE message_key IN ( \
             SELECT message_key FROM poison WHERE found_at < ?1 \
             AND NOT EXISTS (SELECT 1 FROM queue WHERE seq = message_key) ORDER BY found_at LIMIT ?2) \
         RETURNING message_key",
    )
    .bind(millis(before))
    .bind(MAX_PURGE_BATCH)
    .fetch_all(&mut *transaction.connection)
    .await?;
    let deleted = i64::try_from(keys.len()).unwrap_or(i64::MAX);
    gone.poison += deleted;
    gone.sequences.extend(keys.iter().filter_map(own_sequence));
    Ok(deleted)
}

/// Deletes poison messages by their keys, and adds them to the ledger. A message that is still in the queue would be found
/// again, so it is kept.
pub(super) async fn discard_poison(
    keys: &[String],
    transaction: &mut Transaction<'_>,
) -> Result<u64, Failure> {
    let mut gone = PurgedRows::default();
    for key in keys {
        let deleted: Option<StoredKey> = sqlx::query_scalar(
            "DELETE FROM poison WHERE message_key = ?1 AND NOT EXISTS (SELECT 1 FROM queue WHERE seq = message_key) \
             RETURNING message_key",
        )
        .bind(StoredKey::from(&MessageKey::from(key.clone())))
        .fetch_optional(&mut *transaction.connection)
        .await?;
        gone.poison += i64::from(deleted.is_some());
        gone.sequences.extend(deleted.as_ref().and_then(own_sequence));
    }
    let deleted = gone.poison;
    gone.enter(transaction).await?;
    Ok(u64::try_from(deleted).unwrap_or_default())
}

fn own_sequence(key: &StoredKey) -> Option<i64> {
    match key {
        StoredKey::Number(number) => Some(*number),
        StoredKey::Text(_) => None,
    }
}

impl PurgedRows {
    /// Adds the deleted rows to the ledger.
    async fn enter(mut self, transaction: &mut Transaction<'_>) -> Result<(), Failure> {
        if self.decided + self.duplicates + self.poison == 0 {
            return Ok(());
        }
        sqlx::query(
            "UPDATE ledger SET decided = decided + ?1, duplicates = duplicates + ?2, poison = poison + ?3, \
             delivered = delivered + ?4, dead = dead + ?5",
        )
        .bind(self.decided)
        .bind(self.duplicates)
        .bind(self.poison)
        .bind(self.delivered)
        .bind(self.dead)
        .execute(&mut *transaction.connection)
        .await?;
        self.sequences.sort_unstable();
        self.sequences.dedup();
        for (first, last) in ranges(&self.sequences) {
            enter_range(first, last, transaction).await?;
        }
        Ok(())
    }
}

/// Merges sorted numbers into ranges.
pub(super) fn ranges(numbers: &[i64]) -> Vec<(i64, i64)> {
    let mut ranges: Vec<(i64, i64)> = Vec::new();
    for number in numbers.iter().copied() {
        match ranges.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(number) => *last = number,
            _ => ranges.push((number, number)),
        }
    }
    ranges
}

/// Adds a range to the purged ranges and merges it with adjacent ones.
async fn enter_range(first: i64, last: i64, transaction: &mut Transaction<'_>) -> Result<(), Failure> {
    let before: Option<i64> = sqlx::query_scalar("DELETE FROM purged WHERE last = ?1 RETURNING first")
        .bind(first - 1)
        .fetch_optional(&mut *transaction.connection)
        .await?;
    let after: Option<i64> = sqlx::query_scalar("DELETE FROM purged WHERE first = ?1 RETURNING last")
        .bind(last + 1)
        .fetch_optional(&mut *transaction.connection)
        .await?;
    sqlx::query("INSERT INTO purged (first, last) VALUES (?1, ?2)")
        .bind(before.unwrap_or(first))
        .bind(after.unwrap_or(last))
        .execute(&mut *transaction.connection)
        .await?;
    Ok(())
}
