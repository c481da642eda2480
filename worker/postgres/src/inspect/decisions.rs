//! Decisions for operators: tokens are masked, and only the host of a callback URL is shown.

use std::num::NonZeroU32;
use std::time::Duration;

use async_trait::async_trait;
use chargegate_core::{CallbackUrl, RequestId, UnixMillis};
use sqlx::postgres::PgRow;
use sqlx::{Connection as _, PgConnection, Postgres, QueryBuilder, Row as _};
use uuid::Uuid;

use super::{PostgresInspector, actions, hosts, poison};
use crate::failure::PostgresFailure;
use crate::rows::{count, millis, moment, request_id, uuid};
use crate::sessions::until;
use chargegate_storage::StoreError;
use chargegate_storage::inspect::{
    AttemptRecord, CallbackSummary, DecisionDetail, DecisionFilter, DecisionPage, DecisionSummary, Inspect,
    MaskedToken, PageCursor,
};
use chargegate_storage::operate::{
    AuditPage, CallbackPage, CallbackState, DecisionPlace, DecisionPlaces, ForgottenToken, PoisonEntry,
    PoisonPage, ReceiverHostSummary,
};

const HOUR: Duration = Duration::from_hours(1);

/// Columns of a [`DecisionSummary`], from the tables of [`summary_joins`].
macro_rules! summary_columns {
    () => {
        "decision.recorded_at, decision.request_id, station_id, driver_token, callback_url, status, reason, accepted_at, \
         decided_at, late, \
         CASE WHEN callback.request_id IS NOT NULL THEN 'pending' WHEN closed.attempt IS NULL THEN 'missing' \
             WHEN closed.give_up IS NULL THEN 'delivered' ELSE 'dead' END AS state, \
         coalesce(callback.attempt, closed.attempt, 0)::bigint AS attempts, due_at, coalesce(leased, false) AS leased, \
         finished_at, give_up"
    };
}
pub(super) use summary_columns;

/// Joins each decision with its pending callback, or the attempt that closed it, without those that retention expired.
macro_rules! summary_joins {
    () => {
        "LEFT JOIN callback ON callback.request_id = decision.request_id \
         LEFT JOIN LATERAL (SELECT attempt, started_at + took_ms AS finished_at, give_up FROM attempt \
             WHERE attempt.recorded_at = decision.recorded_at AND attempt.request_id = decision.request_id \
             AND closed_at IS NOT NULL) AS closed ON true \
         WHERE NOT EXISTS (SELECT FROM time_partition \
             WHERE decision.recorded_at >= begins_at AND decision.recorded_at < ends_at \
             AND (decision.recorded_at, decision.request_id) <= (expired_until, expired_until_id))"
    };
}
pub(super) use summary_joins;

const SELECT: &str =
    concat!("SELECT message_key, traceparent, ", summary_columns!(), " FROM decision ", summary_joins!());

#[async_trait]
impl Inspect for PostgresInspector {
    async fn decisions(
        &self,
        filter: &DecisionFilter,
        limit: u32,
        cursor: Option<PageCursor>,
    ) -> Result<DecisionPage, StoreError> {
        let before = cursor.as_ref().map(read_cursor).transpose()?;
        let mut session = self.sessions.begin().await?;
        let ends = session.ends();
        let result = until(ends, list(session.connection(), filter, limit, before)).await;
        session.finish(result)
    }

    async fn decisions_with_token(
        &self,
        token: &ForgottenToken,
        limit: u32,
        cursor: Option<PageCursor>,
    ) -> Result<DecisionPlaces, StoreError> {
        let before = cursor.as_ref().map(read_cursor).transpose()?;
        let mut session = self.sessions.begin().await?;
        let ends = session.ends();
        let result = until(ends, with_token(session.connection(), token, limit, before)).await;
        session.finish(result)
    }

    async fn poison_with_token(&self, token: &ForgottenToken) -> Result<Vec<String>, StoreError> {
        let mut session = self.sessions.begin().await?;
        let ends = session.ends();
        let result = until(ends, poison::with_token(session.connection(), token)).await;
        session.finish(result)
    }

    async fn decision(&self, id: &RequestId) -> Result<Option<DecisionDetail>, StoreError> {
        let mut session = self.sessions.begin().await?;
        let ends = session.ends();
        let result = until(ends, detail(session.connection(), id)).await;
        session.finish(result)
    }

    async fn callbacks(
        &self,
        state: CallbackState,
        limit: u32,
        cursor: Option<&PageCursor>,
    ) -> Result<CallbackPage, StoreError> {
        self.read_callbacks(state, limit, cursor).await
    }

    async fn hosts(&self) -> Result<Vec<ReceiverHostSummary>, StoreError> {
        let mut session = self.sessions.begin().await?;
        let ends = session.ends();
        let result = until(ends, hosts::read(session.connection())).await;
        session.finish(result)
    }

    async fn poison(&self, limit: u32, cursor: Option<&PageCursor>) -> Result<PoisonPage, StoreError> {
        let before = cursor.map(PageCursor::position).transpose()?.unwrap_or((i64::MAX, ""));
        let mut session = self.sessions.begin().await?;
        let ends = session.ends();
        let result = until(ends, poison::list(session.connection(), limit, before)).await;
        session.finish(result)
    }

    async fn poison_message(&self, id: &str) -> Result<Option<PoisonEntry>, StoreError> {
        let mut session = self.sessions.begin().await?;
        let ends = session.ends();
        let result = until(ends, poison::one(session.connection(), id)).await;
        session.finish(result)
    }

    async fn audit(&self, limit: u32, cursor: Option<&PageCursor>) -> Result<AuditPage, StoreError> {
        let before = cursor.map(PageCursor::position).transpose()?.map_or(i64::MAX, |(number, _)| number);
        let mut session = self.sessions.begin().await?;
        let ends = session.ends();
        let result = until(ends, actions::list(session.connection(), limit, before)).await;
        session.finish(result)
    }
}

/// Parses a cursor: the time and the id of the last decision of the previous page.
fn read_cursor(cursor: &PageCursor) -> Result<(i64, Uuid), StoreError> {
    let read = || {
        let (recorded_at, id) = cursor.as_str().split_once('.')?;
        Some((recorded_at.parse().ok()?, id.parse().ok()?))
    };
    read().ok_or(StoreError::ForeignCursor)
}

async fn list(
    connection: &mut PgConnection,
    filter: &DecisionFilter,
    limit: u32,
    before: Option<(i64, Uuid)>,
) -> Result<DecisionPage, PostgresFailure> {
    let mut query = QueryBuilder::<Postgres>::new(SELECT);
    if let Some((recorded_at, id)) = before {
        query.push(" AND (decision.recorded_at, decision.request_id) < (").push_bind(recorded_at);
        query.push(", ").push_bind(id).push(")");
    }
    for (column, wanted) in [
        (" AND station_id = ", &filter.station_id),
        (" AND status = ", &filter.status),
        (" AND reason = ", &filter.reason),
    ] {
        if let Some(wanted) = wanted {
            query.push(column).push_bind(wanted);
        }
    }
    if let Some(token) = &filter.driver_token {
        query.push(" AND driver_token = ").push_bind(token.as_bytes());
    }
    match filter.callback.as_deref() {
        None => {}
        Some("pending") => drop(query.push(" AND callback.request_id IS NOT NULL")),
        Some("delivered") => drop(query.push(" AND closed.attempt IS NOT NULL AND closed.give_up IS NULL")),
        Some("dead") => drop(query.push(" AND closed.give_up IS NOT NULL")),
        Some(_) => drop(query.push(" AND false")),
    }
    if let Some(since) = filter.since {
        query.push(" AND decided_at >= ").push_bind(millis(since));
        // A decision is recorded after it was made, so older partitions are skipped, with an hour of clock tolerance.
        query.push(" AND decision.recorded_at >= ").push_bind(millis(since.minus(HOUR)));
    }
    query
        .push(" ORDER BY decision.recorded_at DESC, decision.request_id DESC LIMIT ")
        .push_bind(i64::from(limit));
    let rows = query.build().fetch_all(connection).await?;
    let full = rows.len() == usize::try_from(limit).unwrap_or(usize::MAX);
    let next = match rows.last() {
        Some(row) if full => {
            let recorded_at: i64 = row.try_get("recorded_at")?;
            Some(PageCursor::from(format!("{recorded_at}.{}", request_id(row)?)))
        }
        _ => None,
    };
    let decisions = rows.iter().map(line).collect::<Result<_, _>>()?;
    Ok(DecisionPage { decisions, next })
}

/// Lists decisions that hold a token, by their times of recording.
async fn with_token(
    connection: &mut PgConnection,
    token: &ForgottenToken,
    limit: u32,
    before: Option<(i64, Uuid)>,
) -> Result<DecisionPlaces, PostgresFailure> {
    let (recorded_at, id) = before.unwrap_or((i64::MAX, Uuid::max()));
    let rows = sqlx::query(
        "SELECT recorded_at, request_id FROM decision \
         WHERE driver_token = $1 AND ($2::text IS NULL OR station_id = $2) AND (recorded_at, request_id) < ($3, $4) \
         ORDER BY recorded_at DESC, request_id DESC LIMIT $5",
    )
    .bind(token.driver_token.as_bytes())
    .bind(token.station_id.as_deref())
    .bind(recorded_at)
    .bind(id)
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await?;
    let place =
        |row| Ok(DecisionPlace { request_id: request_id(row)?, position: row.try_get("recorded_at")? });
    let decisions: Vec<DecisionPlace> = rows.iter().map(place).collect::<Result<_, sqlx::Error>>()?;
    let full = decisions.len() == usize::try_from(limit).unwrap_or(usize::MAX);
    let last = decisions.last().filter(|_| full);
    let next = last.map(|last| PageCursor::after(last.position, &last.request_id.to_string()));
    Ok(DecisionPlaces { decisions, next })
}

async fn detail(
    connection: &mut PgConnection,
    id: &RequestId,
) -> Result<Option<DecisionDetail>, PostgresFailure> {
    let mut snapshot = connection.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let mut query = QueryBuilder::<Postgres>::new(SELECT);
    query.push(" AND decision.recorded_at = (SELECT recorded_at FROM request WHERE request_id = ");
    query.push_bind(uuid(id)).push(") AND decision.request_id = ").push_bind(uuid(id));
    let Some(row) = query.build().fetch_optional(&mut *snapshot).await? else {
        snapshot.rollback().await?;
        return Ok(None);
    };
    let recorded_at: i64 = row.try_get("recorded_at")?;
    let duplicates = sqlx::query(
        "SELECT count(*) AS duplicates FROM duplicate WHERE recorded_at = $1 AND request_id = $2",
    )
    .bind(recorded_at)
    .bind(uuid(id))
    .fetch_one(&mut *snapshot)
    .await?;
    let attempts = sqlx::query(
        "SELECT attempt, started_at, took_ms, result, http_status FROM attempt \
         WHERE recorded_at = $1 AND request_id = $2 ORDER BY attempt",
    )
    .bind(recorded_at)
    .bind(uuid(id))
    .fetch_all(&mut *snapshot)
    .await?;
    snapshot.rollback().await?;
    Ok(Some(DecisionDetail {
        decision: line(&row)?,
        traceparent: row.try_get("traceparent")?,
        message_key: row.try_get("message_key")?,
        duplicates: count(&duplicates, "duplicates")?,
        attempts: attempts.iter().map(attempt).collect::<Result<_, _>>()?,
    }))
}

pub(super) fn line(row: &PgRow) -> Result<DecisionSummary, sqlx::Error> {
    let optional = |column| {
        let at: Option<i64> = row.try_get(column)?;
        Ok::<_, sqlx::Error>(at.and_then(|at| u64::try_from(at).ok()).map(UnixMillis))
    };
    let url: &str = row.try_get("callback_url")?;
    Ok(DecisionSummary {
        request_id: request_id(row)?,
        station_id: row.try_get("station_id")?,
        driver_token: MaskedToken::new(&String::from_utf8_lossy(row.try_get("driver_token")?)),
        status: row.try_get("status")?,
        reason: row.try_get("reason")?,
        accepted_at: moment(row, "accepted_at")?,
        decided_at: moment(row, "decided_at")?,
        late: row.try_get("late")?,
        callback: CallbackSummary {
            state: row.try_get("state")?,
            host: url.parse::<CallbackUrl>().map_or_else(|_| String::new(), |url| url.host_str().to_owned()),
            attempts: count(row, "attempts")?,
            due_at: optional("due_at")?,
            leased: row.try_get("leased")?,
            finished_at: optional("finished_at")?,
            give_up: row.try_get("give_up")?,
        },
    })
}

fn attempt(row: &PgRow) -> Result<AttemptRecord, sqlx::Error> {
    let number = u32::try_from(row.try_get::<i32, _>("attempt")?).ok().and_then(NonZeroU32::new);
    let status: Option<i16> = row.try_get("http_status")?;
    Ok(AttemptRecord {
        number: number.unwrap_or(NonZeroU32::MIN),
        started_at: moment(row, "started_at")?,
        took: Duration::from_millis(count(row, "took_ms")?),
        result: row.try_get("result")?,
        http_status: status.and_then(|status| u16::try_from(status).ok()),
    })
}
