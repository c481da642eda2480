//! Recording of attempts, fenced: only the lease of a callback's newest attempt may report.

use std::collections::HashSet;

use chargegate_core::{RequestId, UnixMillis};
use serde_json::{Value, json};

use super::keys::{millis, request_id};
use super::operation::{Failure, Operation, Transaction};
use chargegate_storage::store::{AfterAttempt, AttemptReport, ReleasedCallback};

/// Records the results of attempts.
pub(super) struct Report {
    pub(super) reports: Vec<AttemptReport>,
}

impl Operation for Report {
    type Answer = ();

    async fn apply(operations: &[Self], transaction: &mut Transaction<'_>) -> Result<Vec<()>, Failure> {
        // The fence alone would let a second report of the same attempt pass, since both are compared with the row before
        // the update.
        let reports = operations.iter().flat_map(|operation| &operation.reports);
        let reports: Vec<_> = AttemptReport::first_of_each(reports).collect();
        let accepted: HashSet<RequestId> = update(&reports, transaction).await?;
        let logged = reports.iter().filter(|report| accepted.contains(&report.request_id));
        log(logged.copied(), transaction).await?;
        Ok(vec![(); operations.len()])
    }
}

/// Updates the callbacks and returns those whose report was accepted.
async fn update(
    reports: &[&AttemptReport],
    transaction: &mut Transaction<'_>,
) -> Result<HashSet<RequestId>, Failure> {
    let rows: Vec<Value> = reports.iter().map(|report| next_state(report, transaction.now)).collect();
    let rows = sqlx::query(
        "UPDATE callback SET state = new.state, due_at = coalesce(new.due_at, callback.due_at), leased = 0, \
         finished_at = new.finished_at, give_up = new.give_up, retried_at = ?2 \
         FROM (SELECT unhex(value ->> 0, '-') AS request_id, value ->> 1 AS attempt, value ->> 2 AS state, \
         value ->> 3 AS due_at, value ->> 4 AS finished_at, value ->> 5 AS give_up FROM json_each(?1)) AS new \
         WHERE callback.request_id = new.request_id AND callback.attempt = new.attempt \
         AND callback.leased = 1 AND callback.state = 'pending' \
         RETURNING request_id",
    )
    .bind(Value::Array(rows).to_string())
    .bind(millis(transaction.now))
    .fetch_all(&mut *transaction.connection)
    .await?;
    rows.iter().map(|row| request_id(row).map_err(Failure::from)).collect()
}

/// Returns the id, attempt, state, due time, finish time and give-up reason as a JSON array.
fn next_state(report: &AttemptReport, now: UnixMillis) -> Value {
    let id = report.request_id.to_string();
    let attempt = report.attempt.get();
    match report.next {
        AfterAttempt::Delivered => json!([id, attempt, "delivered", null, millis(now), null]),
        AfterAttempt::Retry { after } => json!([id, attempt, "pending", millis(now.plus(after)), null, null]),
        AfterAttempt::Dead { reason } => json!([id, attempt, "dead", null, millis(now), reason.as_str()]),
    }
}

async fn log(
    reports: impl Iterator<Item = &AttemptReport>,
    transaction: &mut Transaction<'_>,
) -> Result<(), Failure> {
    let rows: Vec<Value> = reports.map(log_entry).collect();
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO attempt (request_id, attempt, started_at, took_ms, result, http_status) \
         SELECT unhex(value ->> 0, '-'), value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5 \
         FROM json_each(?1) WHERE true ON CONFLICT DO NOTHING",
    )
    .bind(Value::Array(rows).to_string())
    .execute(&mut *transaction.connection)
    .await?;
    Ok(())
}

fn log_entry(report: &AttemptReport) -> Value {
    let took = u64::try_from(report.took.as_millis()).unwrap_or(u64::MAX);
    json!([
        report.request_id.to_string(),
        report.attempt.get(),
        millis(report.started_at),
        i64::try_from(took).unwrap_or(i64::MAX),
        report.result.as_str(),
        report.result.http_status(),
    ])
}

/// Releases the leases of callbacks that were not attempted.
pub(super) struct ReleaseCallbacks {
    pub(super) released: Vec<ReleasedCallback>,
}

impl Operation for ReleaseCallbacks {
    type Answer = ();

    async fn apply(operations: &[Self], transaction: &mut Transaction<'_>) -> Result<Vec<()>, Failure> {
        let row = |released: &ReleasedCallback| {
            let due_at = millis(transaction.now.plus(released.after));
            json!([released.request_id.to_string(), released.attempt.get(), due_at])
        };
        let released = operations.iter().flat_map(|operation| &operation.released);
        let rows: Vec<Value> = released.map(row).collect();
        sqlx::query(
            "UPDATE callback SET due_at = held.due_at, leased = 0, attempt = callback.attempt - 1 \
             FROM (SELECT unhex(value ->> 0, '-') AS request_id, value ->> 1 AS attempt, value ->> 2 AS due_at \
             FROM json_each(?1)) AS held \
             WHERE callback.request_id = held.request_id AND callback.attempt = held.attempt \
             AND callback.leased = 1 AND callback.state = 'pending'",
        )
        .bind(Value::Array(rows).to_string())
        .execute(&mut *transaction.connection)
        .await?;
        Ok(vec![(); operations.len()])
    }
}
