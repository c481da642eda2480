//! Claims of due callbacks, fair between hosts.
//!
//! A search returns the hosts to serve next. Then up to a fair share of each host's rows is leased, skipping rows that
//! another worker is claiming. A search without due callbacks writes nothing.

mod index;

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::Duration;

use chargegate_core::{RequestId, UnixMillis};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row as _};

use self::index::PostgresDueIndex;
use super::failure::PostgresFailure;
use super::rows::{count, duration, moment, request_id, uuid};
use chargegate_storage::store::fair_share::{self, HostShare};
use chargegate_storage::store::row::{self, ClaimedCallback, DecisionRow, UnreadableColumn};
use chargegate_storage::store::{CallbackJob, ClaimLimits};

/// Leases the oldest due callbacks of the hosts in $1: for each host the number in $2 at most, and $4 in all. The lease is $3 ms long.
const LEASE: &str = "WITH picked AS MATERIALIZED ( \
        SELECT due.request_id FROM unnest($1::text[], $2::bigint[]) AS turn (host, share), \
        LATERAL ( \
            SELECT request_id FROM callback WHERE host = turn.host AND due_at <= (SELECT clock()) \
            ORDER BY due_at LIMIT turn.share FOR UPDATE SKIP LOCKED) AS due LIMIT $4) \
    UPDATE callback SET leased = true, attempt = attempt + 1, due_at = (SELECT clock()) + $3 \
    FROM picked WHERE callback.request_id = picked.request_id \
    RETURNING callback.request_id, recorded_at, host, attempt, round_first, \
        (SELECT clock()) - round_started_at AS round_age_ms";

/// A leased callback, with the time that locates the partition of its decision.
struct ClaimedRow {
    recorded_at: i64,
    claimed: ClaimedCallback,
}

/// Leases due callbacks. `last` is the host served last.
pub(super) async fn claim(
    connection: &mut PgConnection,
    limits: &ClaimLimits,
    lease: Duration,
    last: &mut String,
) -> Result<Vec<CallbackJob>, PostgresFailure> {
    if limits.allow_nothing() {
        return Ok(Vec::new());
    }
    let mut index = PostgresDueIndex { connection: &mut *connection, saturated: limits.saturated_hosts() };
    let found = fair_share::find_due_hosts(&mut index, last, limits).await?;
    let mut turns: Vec<HostShare> = found
        .hosts
        .into_iter()
        .map(|host| HostShare { free: limits.free(&host), share: 0, host })
        .filter(|turn| turn.free > 0)
        .collect();
    let mut claimed = Vec::new();
    let end = fair_share::assign_shares(&mut turns, limits.total).map(str::to_owned);
    if let Some(end) = end {
        lease_shares(connection, &mut turns, lease, limits.total, &mut claimed).await?;
        *last = end;
    }
    // An incomplete search continues where it ended, whichever hosts were served.
    if let Some(ended_at) = found.ended_at {
        *last = ended_at;
    }
    // Unused shares go to the other hosts.
    let left = limits.total.saturating_sub(claimed.len());
    if left > 0 && !turns.is_empty() {
        for turn in &mut turns {
            turn.share = turn.free.min(left);
        }
        lease_shares(connection, &mut turns, lease, left, &mut claimed).await?;
    }
    load_jobs(connection, claimed).await
}

async fn lease_shares(
    connection: &mut PgConnection,
    turns: &mut Vec<HostShare>,
    lease: Duration,
    most: usize,
    claimed: &mut Vec<ClaimedRow>,
) -> Result<(), PostgresFailure> {
    turns.retain(|turn| turn.share > 0);
    let rows = sqlx::query(LEASE)
        .bind(turns.iter().map(|turn| turn.host.as_str()).collect::<Vec<_>>())
        .bind(turns.iter().map(|turn| i64::try_from(turn.share).unwrap_or(i64::MAX)).collect::<Vec<_>>())
        .bind(duration(lease))
        .bind(i64::try_from(most).unwrap_or(i64::MAX))
        .fetch_all(&mut *connection)
        .await?;
    let mut got: HashMap<&str, usize> = HashMap::new();
    for row in &rows {
        *got.entry(row.try_get("host")?).or_default() += 1;
        claimed.push(read_claimed(row)?);
    }
    // A host with fewer rows than its share has no more due callbacks.
    turns.retain_mut(|turn| {
        let of_host = got.get(turn.host.as_str()).copied().unwrap_or(0);
        turn.free = turn.free.saturating_sub(of_host);
        of_host >= turn.share && turn.free > 0
    });
    Ok(())
}

fn read_claimed(row: &PgRow) -> Result<ClaimedRow, PostgresFailure> {
    let number = |number: i32| {
        u32::try_from(number).ok().and_then(NonZeroU32::new).ok_or_else(|| {
            PostgresFailure::Sql(sqlx::Error::Decode("an attempt has a number from 1 on".into()))
        })
    };
    let (attempt, first): (i32, i32) = (row.try_get("attempt")?, row.try_get("round_first")?);
    let claimed = ClaimedCallback {
        request_id: request_id(row)?,
        attempt: number(attempt)?,
        round_attempt: number(attempt.saturating_sub(first).saturating_add(1))?,
        // The clock of the server may have been set back.
        round_age: Duration::from_millis(count(row, "round_age_ms")?),
    };
    Ok(ClaimedRow { recorded_at: row.try_get("recorded_at")?, claimed })
}

/// Loads the decisions that claimed callbacks report.
async fn load_jobs(
    connection: &mut PgConnection,
    claimed: Vec<ClaimedRow>,
) -> Result<Vec<CallbackJob>, PostgresFailure> {
    if claimed.is_empty() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query(
        "SELECT decision.request_id, station_id, driver_token, callback_url, status, reason, accepted_at, decided_at, \
         traceparent FROM unnest($1::bigint[], $2::uuid[]) AS claimed (recorded_at, request_id) \
         JOIN decision ON decision.recorded_at = claimed.recorded_at AND decision.request_id = claimed.request_id",
    )
    .bind(claimed.iter().map(|placed| placed.recorded_at).collect::<Vec<_>>())
    .bind(claimed.iter().map(|placed| uuid(&placed.claimed.request_id)).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    let mut decisions: HashMap<RequestId, PostgresDecisionRow> = HashMap::with_capacity(rows.len());
    for row in rows {
        decisions.insert(request_id(&row)?, PostgresDecisionRow(row));
    }
    Ok(row::callback_jobs(claimed.into_iter().map(|placed| placed.claimed), &decisions))
}

/// A row of the table `decision`.
struct PostgresDecisionRow(PgRow);

impl DecisionRow for PostgresDecisionRow {
    fn text(&self, column: &'static str) -> Result<Option<&str>, UnreadableColumn> {
        let unreadable = |_| UnreadableColumn { column };
        if column != "driver_token" {
            return self.0.try_get(column).map_err(unreadable);
        }
        // The token of a malformed message need not be valid text in the database.
        let token: Option<&[u8]> = self.0.try_get(column).map_err(unreadable)?;
        token.map(std::str::from_utf8).transpose().map_err(|_| UnreadableColumn { column })
    }

    fn moment(&self, column: &'static str) -> Result<UnixMillis, UnreadableColumn> {
        moment(&self.0, column).map_err(|_| UnreadableColumn { column })
    }
}
