//! Reports of attempts, fenced: only the report of a callback's newest attempt counts.

use std::num::NonZeroU32;

use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use super::failure::PostgresFailure;
use super::rows::{duration, millis, uuid};
use chargegate_storage::store::{AfterAttempt, AttemptReport, ReleasedCallback};

/// Ends callbacks: moves rows from the hot table into the history.
const CLOSE: &str = "WITH closed AS ( \
        DELETE FROM callback USING unnest($1::uuid[], $2::integer[], $3::bigint[], $4::bigint[], $5::text[], \
        $6::smallint[], $7::text[]) \
        AS report (request_id, attempt, started_at, took_ms, result, http_status, give_up) \
        WHERE callback.request_id = report.request_id AND callback.attempt = report.attempt AND callback.leased \
        RETURNING callback.recorded_at, report.*) \
    INSERT INTO attempt (recorded_at, started_at, took_ms, closed_at, request_id, attempt, http_status, result, give_up) \
    SELECT recorded_at, started_at, took_ms, (SELECT clock()), request_id, attempt, http_status, result, give_up \
    FROM closed ON CONFLICT DO NOTHING";

/// Schedules the next attempts.
const RETRY: &str = "WITH retried AS ( \
        UPDATE callback SET due_at = (SELECT clock()) + report.delay, retried_at = (SELECT clock()), leased = false \
        FROM unnest($1::uuid[], $2::integer[], $3::bigint[], $4::bigint[], $5::text[], $6::smallint[], $7::bigint[]) \
        AS report (request_id, attempt, started_at, took_ms, result, http_status, delay) \
        WHERE callback.request_id = report.request_id AND callback.attempt = report.attempt AND callback.leased \
        RETURNING callback.recorded_at, report.*) \
    INSERT INTO attempt (recorded_at, started_at, took_ms, request_id, attempt, http_status, result) \
    SELECT recorded_at, started_at, took_ms, request_id, attempt, http_status, result FROM retried \
    ON CONFLICT DO NOTHING";

/// Reports as arrays of columns.
#[derive(Default)]
struct ReportColumns {
    ids: Vec<Uuid>,
    attempts: Vec<i32>,
    started_at: Vec<i64>,
    took: Vec<i64>,
    results: Vec<&'static str>,
    statuses: Vec<Option<i16>>,
}

/// Records the results of attempts.
pub(super) async fn report(
    connection: &mut PgConnection,
    reports: &[AttemptReport],
) -> Result<(), PostgresFailure> {
    // Of two reports of one attempt the statement alone would pick either.
    let mut reports: Vec<&AttemptReport> = AttemptReport::first_of_each(reports).collect();
    // In the order of ids, so that two batches cannot deadlock.
    reports.sort_unstable_by_key(|report| report.request_id);
    let (mut closed, mut give_up) = (ReportColumns::default(), Vec::new());
    let (mut retried, mut delays) = (ReportColumns::default(), Vec::new());
    for report in reports {
        match report.next {
            AfterAttempt::Delivered => {
                closed.push(report);
                give_up.push(None);
            }
            AfterAttempt::Dead { reason } => {
                closed.push(report);
                give_up.push(Some(reason.as_str()));
            }
            AfterAttempt::Retry { after } => {
                retried.push(report);
                delays.push(duration(after));
            }
        }
    }
    match (closed.ids.is_empty(), retried.ids.is_empty()) {
        (true, true) => Ok(()),
        (false, true) => close(connection, closed, give_up).await,
        (true, false) => retry(connection, retried, delays).await,
        (false, false) => {
            let mut transaction = connection.begin().await?;
            close(&mut transaction, closed, give_up).await?;
            retry(&mut transaction, retried, delays).await?;
            transaction.commit().await?;
            Ok(())
        }
    }
}

impl ReportColumns {
    fn push(&mut self, report: &AttemptReport) {
        self.ids.push(uuid(&report.request_id));
        self.attempts.push(number(report.attempt));
        self.started_at.push(millis(report.started_at));
        self.took.push(duration(report.took));
        self.results.push(report.result.as_str());
        self.statuses.push(report.result.http_status().and_then(|status| i16::try_from(status).ok()));
    }
}

async fn close(
    connection: &mut PgConnection,
    columns: ReportColumns,
    give_up: Vec<Option<&'static str>>,
) -> Result<(), PostgresFailure> {
    let ReportColumns { ids, attempts, started_at, took, results, statuses } = columns;
    sqlx::query(CLOSE)
        .bind(ids)
        .bind(attempts)
        .bind(started_at)
        .bind(took)
        .bind(results)
        .bind(statuses)
        .bind(give_up)
        .execute(connection)
        .await?;
    Ok(())
}

async fn retry(
    connection: &mut PgConnection,
    columns: ReportColumns,
    delays: Vec<i64>,
) -> Result<(), PostgresFailure> {
    let ReportColumns { ids, attempts, started_at, took, results, statuses } = columns;
    sqlx::query(RETRY)
        .bind(ids)
        .bind(attempts)
        .bind(started_at)
        .bind(took)
        .bind(results)
        .bind(statuses)
        .bind(delays)
        .execute(connection)
        .await?;
    Ok(())
}

/// Releases callbacks that were not attempted.
pub(super) async fn release(
    connection: &mut PgConnection,
    released: &[ReleasedCallback],
) -> Result<(), PostgresFailure> {
    let mut released = released.to_vec();
    released.sort_unstable_by_key(|released| released.request_id);
    sqlx::query(
        "UPDATE callback SET due_at = (SELECT clock()) + released.delay, leased = false, \
         attempt = callback.attempt - 1 \
         FROM unnest($1::uuid[], $2::integer[], $3::bigint[]) AS released (request_id, attempt, delay) \
         WHERE callback.request_id = released.request_id AND callback.attempt = released.attempt AND callback.leased",
    )
    .bind(released.iter().map(|released| uuid(&released.request_id)).collect::<Vec<_>>())
    .bind(released.iter().map(|released| number(released.attempt)).collect::<Vec<_>>())
    .bind(released.iter().map(|released| duration(released.after)).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

fn number(attempt: NonZeroU32) -> i32 {
    i32::try_from(attempt.get()).unwrap_or(i32::MAX)
}
