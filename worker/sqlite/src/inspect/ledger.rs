//! Reconciliation: every enqueued message and every decision is accounted for.

use chargegate_core::RequestId;
use sqlx::sqlite::SqliteRow;
use sqlx::{Connection as _, SqliteConnection};

use super::SqliteInspector;
use crate::keys::{count, request_id};
use crate::store::read_failure;
use chargegate_storage::StoreError;
use chargegate_storage::reconcile::{Reconciliation, SequenceRange};

/// Maximum number of gaps and of ids in a report.
const NAMED: i64 = 100;

/// All counts, including the rows that retention deleted. AUTOINCREMENT keeps its counter through deletions and
/// restarts.
const COUNTS: &str = "SELECT \
    coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'queue'), 0) AS enqueued, \
    ledger.decided + (SELECT count(*) FROM decision) AS decided, \
    ledger.duplicates + (SELECT count(*) FROM duplicate) AS duplicates, \
    ledger.poison + (SELECT count(*) FROM poison) AS poison, \
    (SELECT count(*) FROM queue \
        WHERE NOT EXISTS (SELECT 1 FROM decision WHERE message_key = queue.seq) \
        AND NOT EXISTS (SELECT 1 FROM duplicate WHERE message_key = queue.seq) \
        AND NOT EXISTS (SELECT 1 FROM poison WHERE message_key = queue.seq)) AS waiting, \
    ledger.delivered + (SELECT count(*) FROM callback WHERE state = 'delivered') AS delivered, \
    ledger.dead + (SELECT count(*) FROM callback WHERE state = 'dead') AS dead, \
    (SELECT count(*) FROM callback WHERE state = 'pending') AS in_flight \
    FROM ledger";

/// Numbers from 1 to the counter that are neither waiting, nor recorded, nor purged.
const GAPS: &str = "WITH accounted (first, last) AS ( \
        SELECT seq, seq FROM queue \
        UNION ALL SELECT message_key, message_key FROM decision WHERE typeof(message_key) = 'integer' \
        UNION ALL SELECT message_key, message_key FROM duplicate WHERE typeof(message_key) = 'integer' \
        UNION ALL SELECT message_key, message_key FROM poison WHERE typeof(message_key) = 'integer' \
        UNION ALL SELECT first, last FROM purged \
        UNION ALL SELECT seq + 1, seq + 1 FROM sqlite_sequence WHERE name = 'queue'), \
    neighbours (first, before) AS ( \
        SELECT first, lag(last, 1, 0) OVER (ORDER BY first) FROM accounted) \
    SELECT before + 1 AS first, first - 1 AS last FROM neighbours WHERE first - before > 1 \
    ORDER BY first LIMIT ?1";

impl SqliteInspector {
    /// Reconciles in one read transaction, so that the result is exact at any moment.
    ///
    /// It reads an index entry of every stored row: about one second per million rows.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn reconcile(&self) -> Result<Reconciliation, StoreError> {
        let mut reader = self.readers.acquire().await.map_err(read_failure)?;
        let mut snapshot = reader.begin().await.map_err(read_failure)?;
        let books = read(&mut snapshot).await.map_err(read_failure)?;
        snapshot.rollback().await.map_err(read_failure)?;
        Ok(books)
    }
}

async fn read(snapshot: &mut SqliteConnection) -> Result<Reconciliation, sqlx::Error> {
    let counts = sqlx::query(COUNTS).fetch_one(&mut *snapshot).await?;
    let gaps = sqlx::query(GAPS).bind(NAMED).fetch_all(&mut *snapshot).await?;
    let decisions_without_callback =
        orphans("SELECT request_id FROM decision EXCEPT SELECT request_id FROM callback LIMIT ?1", snapshot)
            .await?;
    let callbacks_without_decision =
        orphans("SELECT request_id FROM callback EXCEPT SELECT request_id FROM decision LIMIT ?1", snapshot)
            .await?;
    Ok(Reconciliation {
        forgotten: 0,
        enqueued: Some(count(&counts, "enqueued")?),
        decided: count(&counts, "decided")?,
        duplicates: count(&counts, "duplicates")?,
        poison: count(&counts, "poison")?,
        waiting: count(&counts, "waiting")?,
        delivered: count(&counts, "delivered")?,
        dead: count(&counts, "dead")?,
        in_flight: count(&counts, "in_flight")?,
        missing: gaps.iter().map(range).collect::<Result<_, _>>()?,
        decisions_without_callback,
        callbacks_without_decision,
    })
}

fn range(row: &SqliteRow) -> Result<SequenceRange, sqlx::Error> {
    Ok(SequenceRange { first: count(row, "first")?, last: count(row, "last")? })
}

async fn orphans(sql: &'static str, snapshot: &mut SqliteConnection) -> Result<Vec<RequestId>, sqlx::Error> {
    let rows = sqlx::query(sql).bind(NAMED).fetch_all(snapshot).await?;
    rows.iter().map(request_id).collect()
}
