//! Totals for reconciliation: accounts for every decision, and for every message whose key is given.

use async_trait::async_trait;
use chargegate_core::RequestId;
use sqlx::postgres::PgRow;
use sqlx::{Connection as _, PgConnection};

use super::PostgresInspector;
use crate::failure::PostgresFailure;
use crate::rows::{count, request_id};
use crate::sessions::until;
use crate::watermark;
use chargegate_storage::StoreError;
use chargegate_storage::history::HistoryWatermark;
use chargegate_storage::queue::MessageKey;
use chargegate_storage::reconcile::{CountedStore, StoreTotals};

/// Most ids listed.
const MAX_LISTED_IDS: i64 = 100;

/// Rows of a partitioned table that retention has not expired.
macro_rules! live {
    ($table:literal) => {
        concat!(
            "time_partition CROSS JOIN LATERAL (SELECT * FROM ",
            $table,
            " WHERE ",
            $table,
            ".recorded_at >= begins_at AND ",
            $table,
            ".recorded_at < ends_at AND (",
            $table,
            ".recorded_at, ",
            $table,
            ".request_id) > (expired_until, expired_until_id)) AS ",
            $table
        )
    };
}

/// All counts, partition by partition.
const COUNTS: &str = concat!(
    "SELECT ledger.decided + (SELECT count(*) FROM ",
    live!("decision"),
    ") AS decided, ledger.duplicates + (SELECT count(*) FROM ",
    live!("duplicate"),
    ") AS duplicates, ledger.poison + (SELECT count(*) FROM poison) AS poison, ledger.delivered + closed.delivered \
     AS delivered, ledger.dead + closed.dead AS dead, (SELECT count(*) FROM callback) AS in_flight \
     FROM ledger, (SELECT count(*) FILTER (WHERE give_up IS NULL) AS delivered, \
     count(*) FILTER (WHERE give_up IS NOT NULL) AS dead FROM ",
    live!("attempt"),
    " WHERE closed_at IS NOT NULL) AS closed"
);

/// Counts the keys in $1 without a decision, duplicate or poison row. A message is recorded after it was enqueued; where
/// every key contains that time, older partitions are skipped, with an hour of tolerance between the clocks.
const UNRECORDED: &str = "WITH waiting AS MATERIALIZED (SELECT DISTINCT unnest($1::text[]) AS message_key), \
    recorded (message_key) AS ( \
        SELECT message_key FROM decision WHERE recorded_at >= $2 \
        UNION ALL SELECT message_key FROM duplicate \
        UNION ALL SELECT message_key FROM poison) \
    SELECT count(*) AS unrecorded FROM waiting \
    WHERE NOT EXISTS (SELECT FROM recorded WHERE recorded.message_key = waiting.message_key)";

/// Counts messages recorded in the last hour whose number is above the newest of their stream, $1 to $3.
const NEWER: &str = "WITH newest AS MATERIALIZED ( \
        SELECT * FROM unnest($1::text[], $2::text[]::numeric[], $3::text[]::numeric[]) AS newest (stream, ms, seq)), \
    recorded (message_key) AS ( \
        SELECT message_key FROM decision WHERE recorded_at >= clock() - 3600000 \
        UNION ALL SELECT message_key FROM duplicate WHERE found_at >= clock() - 3600000 \
        UNION ALL SELECT message_key FROM poison WHERE recorded_at >= clock() - 3600000), \
    named AS ( \
        SELECT regexp_match(message_key, '^(.*)/([0-9]{1,20})-([0-9]{1,20})$') AS part FROM recorded) \
    SELECT count(*) AS newer FROM named JOIN newest ON part[1] = stream \
    WHERE (part[2]::numeric, part[3]::numeric) > (newest.ms, newest.seq)";

/// Decisions with neither a pending callback nor an attempt that closed one.
const WITHOUT_CALLBACK: &str = concat!(
    "SELECT decision.request_id FROM ",
    live!("decision"),
    " WHERE NOT EXISTS (SELECT FROM callback WHERE callback.request_id = decision.request_id) \
     AND NOT EXISTS (SELECT FROM attempt WHERE attempt.recorded_at = decision.recorded_at \
         AND attempt.request_id = decision.request_id AND closed_at IS NOT NULL) LIMIT $1"
);

/// Pending callbacks, and attempts that closed one, without a decision.
const WITHOUT_DECISION: &str = concat!(
    "SELECT callback.request_id FROM callback WHERE NOT EXISTS (SELECT FROM decision \
         WHERE decision.recorded_at = callback.recorded_at AND decision.request_id = callback.request_id) \
     UNION SELECT attempt.request_id FROM ",
    live!("attempt"),
    " WHERE closed_at IS NOT NULL AND NOT EXISTS (SELECT FROM decision \
         WHERE decision.recorded_at = attempt.recorded_at AND decision.request_id = attempt.request_id) LIMIT $1"
);

#[async_trait]
impl CountedStore for PostgresInspector {
    async fn watermark(&self) -> Result<HistoryWatermark, StoreError> {
        let mut session = self.sessions.begin().await?;
        let ends = session.ends();
        let result = until(ends, watermark::read(session.connection())).await;
        session.finish(result)
    }

    /// Reads the totals in one transaction, so that they are exact at any moment. `waiting` are the keys of the messages
    /// in the queue, `newest` the key of the newest message of each stream.
    ///
    /// The query reads every retained row, which takes seconds for some millions.
    ///
    /// # Errors
    /// [`StoreError`]; a standby is refused, because what it has not heard of yet would look like a loss.
    async fn totals(&self, waiting: &[MessageKey], newest: &[MessageKey]) -> Result<StoreTotals, StoreError> {
        let mut session = self.sessions.begin().await?;
        let ends = session.ends();
        let result = until(ends, read(session.connection(), waiting, newest)).await;
        session.finish(result)
    }
}

async fn read(
    connection: &mut PgConnection,
    waiting: &[MessageKey],
    newest: &[MessageKey],
) -> Result<StoreTotals, PostgresFailure> {
    if sqlx::query_scalar("SELECT pg_is_in_recovery()").fetch_one(&mut *connection).await? {
        return Err(PostgresFailure::Standby);
    }
    let mut snapshot = connection.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    // Before the snapshot, so that no partition in it is dropped while it is read.
    sqlx::query("LOCK TABLE decision, attempt, duplicate IN ACCESS SHARE MODE")
        .execute(&mut *snapshot)
        .await?;
    let counts = sqlx::query(COUNTS).fetch_one(&mut *snapshot).await?;
    let books = StoreTotals {
        decided: count(&counts, "decided")?,
        duplicates: count(&counts, "duplicates")?,
        poison: count(&counts, "poison")?,
        delivered: count(&counts, "delivered")?,
        dead: count(&counts, "dead")?,
        in_flight: count(&counts, "in_flight")?,
        unrecorded: unrecorded(&mut snapshot, waiting).await?,
        newer: newer(&mut snapshot, newest).await?,
        watermark: watermark::read(&mut snapshot).await?,
        decisions_without_callback: named(&mut snapshot, WITHOUT_CALLBACK).await?,
        callbacks_without_decision: named(&mut snapshot, WITHOUT_DECISION).await?,
    };
    snapshot.rollback().await?;
    Ok(books)
}

async fn unrecorded(snapshot: &mut PgConnection, waiting: &[MessageKey]) -> Result<u64, PostgresFailure> {
    const HOUR: i64 = 3_600_000;
    if waiting.is_empty() {
        return Ok(0);
    }
    let times = waiting.iter().map(|key| Some(numbered(key)?.1.parse::<i64>().unwrap_or(0)));
    let oldest = times.collect::<Option<Vec<_>>>().and_then(|times| times.into_iter().min()).unwrap_or(0);
    let row = sqlx::query(UNRECORDED)
        .bind(waiting.iter().map(MessageKey::as_str).collect::<Vec<_>>())
        .bind(oldest.saturating_sub(HOUR))
        .fetch_one(snapshot)
        .await?;
    Ok(count(&row, "unrecorded")?)
}

async fn newer(snapshot: &mut PgConnection, newest: &[MessageKey]) -> Result<u64, PostgresFailure> {
    let newest: Vec<(&str, &str, &str)> = newest.iter().filter_map(numbered).collect();
    if newest.is_empty() {
        return Ok(0);
    }
    let row = sqlx::query(NEWER)
        .bind(newest.iter().map(|(stream, ..)| *stream).collect::<Vec<_>>())
        .bind(newest.iter().map(|(_, ms, _)| *ms).collect::<Vec<_>>())
        .bind(newest.iter().map(|(.., seq)| *seq).collect::<Vec<_>>())
        .fetch_one(snapshot)
        .await?;
    Ok(count(&row, "newer")?)
}

/// Returns the stream, the milliseconds and the sequence of a key of the form `{stream}/{ms}-{seq}`.
fn numbered(key: &MessageKey) -> Option<(&str, &str, &str)> {
    let (stream, number) = key.as_str().rsplit_once('/')?;
    let (ms, seq) = number.split_once('-')?;
    let digits =
        |text: &str| (1..=20).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    (digits(ms) && digits(seq)).then_some((stream, ms, seq))
}

async fn named(snapshot: &mut PgConnection, sql: &'static str) -> Result<Vec<RequestId>, PostgresFailure> {
    let rows: Vec<PgRow> = sqlx::query(sql).bind(MAX_LISTED_IDS).fetch_all(snapshot).await?;
    rows.iter().map(|row| request_id(row).map_err(PostgresFailure::from)).collect()
}
