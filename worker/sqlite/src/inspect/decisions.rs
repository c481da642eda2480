//! Decisions for operators: the token is masked, and only the host of the callback URL is shown.

use std::num::NonZeroU32;
use std::time::Duration;

use async_trait::async_trait;
use chargegate_core::{RequestId, UnixMillis};
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row as _, Sqlite};

use super::SqliteInspector;
use crate::keys::{StoredKey, count, millis, moment, request_id};
use crate::store::read_failure;
use chargegate_storage::StoreError;
use chargegate_storage::inspect::{
    AttemptRecord, CallbackSummary, DecisionDetail, DecisionFilter, DecisionPage, DecisionSummary, Inspect,
    MaskedToken, PageCursor,
};
use chargegate_storage::operate::{
    AuditPage, CallbackPage, CallbackState, DecisionPlace, DecisionPlaces, ForgottenToken, PoisonEntry,
    PoisonPage, ReceiverHostSummary,
};

/// Columns of a [`DecisionSummary`], from `decision` and `callback`.
macro_rules! summary_columns {
    () => {
        "decision.request_id, station_id, driver_token, status, reason, accepted_at, decided_at, late, \
         coalesce(callback.state, 'missing') AS state, coalesce(host, '') AS host, coalesce(attempt, 0) AS attempts, \
         due_at, coalesce(leased, 0) AS leased, finished_at, give_up"
    };
}
pub(super) use summary_columns;

const SELECT: &str = concat!(
    "SELECT decision.id, message_key, traceparent, ",
    summary_columns!(),
    " FROM decision LEFT JOIN callback USING (request_id) WHERE "
);

#[async_trait]
impl Inspect for SqliteInspector {
    async fn decisions(
        &self,
        filter: &DecisionFilter,
        limit: u32,
        cursor: Option<PageCursor>,
    ) -> Result<DecisionPage, StoreError> {
        let before = read_cursor(cursor.as_ref())?;
        let mut query = QueryBuilder::<Sqlite>::new(SELECT);
        query.push("decision.id < ").push_bind(before);
        for (column, wanted) in [
            (" AND station_id = ", &filter.station_id),
            (" AND status = ", &filter.status),
            (" AND callback.state = ", &filter.callback),
            (" AND reason = ", &filter.reason),
            (" AND driver_token = ", &filter.driver_token),
        ] {
            if let Some(wanted) = wanted {
                query.push(column).push_bind(wanted);
            }
        }
        if let Some(since) = filter.since {
            query.push(" AND decided_at >= ").push_bind(millis(since));
        }
        query.push(" ORDER BY decision.id DESC LIMIT ").push_bind(i64::from(limit));
        let rows = query.build().fetch_all(&self.readers).await.map_err(read_failure)?;
        let full = rows.len() == usize::try_from(limit).unwrap_or(usize::MAX);
        let next = match rows.last() {
            Some(row) if full => {
                let id: i64 = row.try_get("id").map_err(read_failure)?;
                Some(PageCursor::from(id.to_string()))
            }
            _ => None,
        };
        let decisions = rows.iter().map(line).collect::<Result<_, _>>().map_err(read_failure)?;
        Ok(DecisionPage { decisions, next })
    }

    async fn decisions_with_token(
        &self,
        token: &ForgottenToken,
        limit: u32,
        cursor: Option<PageCursor>,
    ) -> Result<DecisionPlaces, StoreError> {
        let rows = sqlx::query(
            "SELECT id, request_id FROM decision WHERE id < ?1 AND driver_token = ?2 \
             AND (?3 IS NULL OR station_id = ?3) ORDER BY id DESC LIMIT ?4",
        )
        .bind(read_cursor(cursor.as_ref())?)
        .bind(&*token.driver_token)
        .bind(token.station_id.as_deref())
        .bind(i64::from(limit))
        .fetch_all(&self.readers)
        .await
        .map_err(read_failure)?;
        let place = |row| Ok(DecisionPlace { request_id: request_id(row)?, position: row.try_get("id")? });
        let decisions: Vec<DecisionPlace> =
            rows.iter().map(place).collect::<Result<_, _>>().map_err(read_failure)?;
        let full = decisions.len() == usize::try_from(limit).unwrap_or(usize::MAX);
        let last = decisions.last().filter(|_| full);
        let next = last.map(|last| PageCursor::from(last.position.to_string()));
        Ok(DecisionPlaces { decisions, next })
    }

    async fn poison_with_token(&self, token: &ForgottenToken) -> Result<Vec<String>, StoreError> {
        self.find_poison(token).await.map_err(read_failure)
    }

    async fn decision(&self, id: &RequestId) -> Result<Option<DecisionDetail>, StoreError> {
        self.read_decision(id).await.map_err(read_failure)
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
        self.read_hosts().await.map_err(read_failure)
    }

    async fn poison(&self, limit: u32, cursor: Option<&PageCursor>) -> Result<PoisonPage, StoreError> {
        self.read_poison(limit, cursor).await
    }

    async fn poison_message(&self, id: &str) -> Result<Option<PoisonEntry>, StoreError> {
        self.read_poison_message(id).await.map_err(read_failure)
    }

    async fn audit(&self, limit: u32, cursor: Option<&PageCursor>) -> Result<AuditPage, StoreError> {
        self.read_audit(limit, cursor).await
    }
}

/// Parses a cursor: the number of the last decision of the previous page.
fn read_cursor(cursor: Option<&PageCursor>) -> Result<i64, StoreError> {
    let number = cursor.map(|cursor| cursor.as_str().parse()).transpose();
    Ok(number.map_err(|_| StoreError::ForeignCursor)?.unwrap_or(i64::MAX))
}

impl SqliteInspector {
    async fn read_decision(&self, id: &RequestId) -> Result<Option<DecisionDetail>, sqlx::Error> {
        let mut snapshot = self.readers.begin().await?;
        let bytes = id.as_bytes().as_slice();
        let mut query = QueryBuilder::<Sqlite>::new(SELECT);
        query.push("decision.request_id = ").push_bind(bytes);
        let Some(row) = query.build().fetch_optional(&mut *snapshot).await? else { return Ok(None) };
        let duplicates = sqlx::query("SELECT count(*) AS duplicates FROM duplicate WHERE request_id = ?1")
            .bind(bytes)
            .fetch_one(&mut *snapshot)
            .await?;
        let attempts = sqlx::query(
            "SELECT attempt, started_at, took_ms, result, http_status FROM attempt \
             WHERE request_id = ?1 ORDER BY attempt",
        )
        .bind(bytes)
        .fetch_all(&mut *snapshot)
        .await?;
        Ok(Some(DecisionDetail {
            decision: line(&row)?,
            traceparent: row.try_get("traceparent")?,
            message_key: row.try_get::<StoredKey, _>("message_key")?.to_string(),
            duplicates: count(&duplicates, "duplicates")?,
            attempts: attempts.iter().map(attempt).collect::<Result<_, _>>()?,
        }))
    }
}

pub(super) fn line(row: &SqliteRow) -> Result<DecisionSummary, sqlx::Error> {
    let state: String = row.try_get("state")?;
    let optional = |column| {
        let at: Option<i64> = row.try_get(column)?;
        Ok::<_, sqlx::Error>(at.and_then(|at| u64::try_from(at).ok()).map(UnixMillis))
    };
    Ok(DecisionSummary {
        request_id: request_id(row)?,
        station_id: row.try_get("station_id")?,
        driver_token: MaskedToken::new(row.try_get("driver_token")?),
        status: row.try_get("status")?,
        reason: row.try_get("reason")?,
        accepted_at: moment(row, "accepted_at")?,
        decided_at: moment(row, "decided_at")?,
        late: row.try_get("late")?,
        callback: CallbackSummary {
            host: row.try_get("host")?,
            attempts: count(row, "attempts")?,
            due_at: if state == "pending" { optional("due_at")? } else { None },
            leased: row.try_get("leased")?,
            finished_at: optional("finished_at")?,
            give_up: row.try_get("give_up")?,
            state,
        },
    })
}

fn attempt(row: &SqliteRow) -> Result<AttemptRecord, sqlx::Error> {
    let number = u32::try_from(count(row, "attempt")?).ok().and_then(NonZeroU32::new);
    Ok(AttemptRecord {
        number: number.unwrap_or(NonZeroU32::MIN),
        started_at: moment(row, "started_at")?,
        took: Duration::from_millis(count(row, "took_ms")?),
        result: row.try_get("result")?,
        http_status: row.try_get("http_status")?,
    })
}
