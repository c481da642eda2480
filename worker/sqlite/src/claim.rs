//! Claiming of due callbacks, with a fair share for each host.
//!
//! A search returns due callbacks within the limits of each host. It runs on a read connection; only the leases
//! themselves are written.

mod index;

use std::collections::HashMap;
use std::num::NonZeroU32;

use chargegate_core::{RequestId, UnixMillis};
use serde_json::json;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqlitePool};

use self::index::SqliteDueIndex;
#[cfg(test)]
pub(super) use self::index::{OLDEST, STEP};
use super::keys::{count, ids, millis, moment, request_id};
use super::operation::{Failure, Operation, Transaction};
use chargegate_storage::store::fair_share::{self, HostShare};
use chargegate_storage::store::row::{self, ClaimedCallback, DecisionRow, UnreadableColumn};
use chargegate_storage::store::{CallbackJob, ClaimLimits};

/// The callbacks of the hosts in ?1, a JSON array, due at ?2, the oldest ?3 of each.
pub(super) const DUE: &str = "SELECT turn.value AS host, callback.request_id \
    FROM json_each(?1) AS turn CROSS JOIN callback \
    WHERE callback.request_id IN ( \
        SELECT request_id FROM callback WHERE state = 'pending' AND host = turn.value AND due_at <= ?2 \
        ORDER BY due_at LIMIT ?3)";

/// Result of a search for due callbacks.
#[derive(Default)]
pub(super) struct DueCallbacks {
    pub(super) ids: Vec<RequestId>,
    /// The host after which the next search begins, if it differs from the previous one.
    pub(super) last: Option<String>,
}

/// Finds due callbacks without leasing them.
pub(super) async fn search(
    readers: &SqlitePool,
    now: UnixMillis,
    limits: &ClaimLimits,
    last: &str,
) -> Result<DueCallbacks, sqlx::Error> {
    if limits.allow_nothing() {
        return Ok(DueCallbacks::default());
    }
    let mut reader = readers.acquire().await?;
    let saturated = json!(limits.saturated_hosts()).to_string();
    let mut index = SqliteDueIndex { connection: &mut reader, now, saturated };
    let fair_share::DueHosts { mut hosts, ended_at } =
        fair_share::find_due_hosts(&mut index, last, limits).await?;
    hosts.retain(|host| limits.free(host) > 0);
    hosts.truncate(limits.total);
    let per_host = limits.per_host.min(limits.total);
    let rows = sqlx::query(DUE)
        .bind(json!(hosts).to_string())
        .bind(millis(now))
        .bind(i64::try_from(per_host).unwrap_or(i64::MAX))
        .fetch_all(&mut *reader)
        .await?;
    let mut due: HashMap<String, Vec<RequestId>> = HashMap::new();
    for row in &rows {
        due.entry(row.try_get("host")?).or_default().push(request_id(row)?);
    }
    let found = |host: &str| due.get(host).map_or(0, Vec::len).min(limits.free(host));
    let mut turns: Vec<HostShare> =
        hosts.into_iter().map(|host| HostShare { free: found(&host), share: 0, host }).collect();
    let last = fair_share::assign_shares(&mut turns, limits.total).map(str::to_owned);
    let ids = turns.iter().flat_map(|turn| due.get(&turn.host).into_iter().flatten().take(turn.share));
    // The next search continues where an incomplete scan ended, not at the host that was served last.
    Ok(DueCallbacks { ids: ids.copied().collect(), last: ended_at.or(last) })
}

/// Leases the callbacks that a search found, if they are still due.
pub(super) struct Claim {
    pub(super) ids: Vec<RequestId>,
}

impl Operation for Claim {
    type Answer = Vec<ClaimedCallback>;

    async fn apply(
        operations: &[Self],
        transaction: &mut Transaction<'_>,
    ) -> Result<Vec<Vec<ClaimedCallback>>, Failure> {
        let mut all = Vec::with_capacity(operations.len());
        let now = transaction.now;
        for Self { ids: wanted } in operations {
            let rows = sqlx::query(
                "UPDATE callback SET leased = 1, attempt = attempt + 1, due_at = ?3 \
                 WHERE request_id IN (SELECT unhex(value, '-') FROM json_each(?1)) \
                 AND state = 'pending' AND due_at <= ?2 \
                 RETURNING request_id, attempt, attempt - round_first + 1 AS round_attempt, round_started_at",
            )
            .bind(ids(wanted))
            .bind(millis(now))
            .bind(millis(now.plus(transaction.settings.callback_lease)))
            .fetch_all(&mut *transaction.connection)
            .await?;
            all.push(rows.iter().map(|row| claimed(row, now)).collect::<Result<Vec<_>, _>>()?);
        }
        Ok(all)
    }
}

fn claimed(row: &SqliteRow, now: UnixMillis) -> Result<ClaimedCallback, sqlx::Error> {
    Ok(ClaimedCallback {
        request_id: request_id(row)?,
        attempt: number(row, "attempt")?,
        round_attempt: number(row, "round_attempt")?,
        round_age: now.since(moment(row, "round_started_at")?),
    })
}

fn number(row: &SqliteRow, column: &'static str) -> Result<NonZeroU32, sqlx::Error> {
    let number = u32::try_from(count(row, column)?).unwrap_or(u32::MAX);
    Ok(NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN))
}

/// Reads the decisions of claimed callbacks. A decision never changes once written.
pub(super) async fn load_jobs(
    readers: &SqlitePool,
    claimed: Vec<ClaimedCallback>,
) -> Result<Vec<CallbackJob>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT request_id, station_id, driver_token, callback_url, status, reason, accepted_at, decided_at, \
         traceparent FROM decision WHERE request_id IN (SELECT unhex(value, '-') FROM json_each(?1))",
    )
    .bind(ids(claimed.iter().map(|claimed| &claimed.request_id)))
    .fetch_all(readers)
    .await?;
    let mut decisions = HashMap::with_capacity(rows.len());
    for row in rows {
        decisions.insert(request_id(&row)?, SqliteDecisionRow(row));
    }
    Ok(row::callback_jobs(claimed, &decisions))
}

/// A row of the table `decision`.
struct SqliteDecisionRow(SqliteRow);

impl DecisionRow for SqliteDecisionRow {
    fn text(&self, column: &'static str) -> Result<Option<&str>, UnreadableColumn> {
        self.0.try_get(column).map_err(|_| UnreadableColumn { column })
    }

    fn moment(&self, column: &'static str) -> Result<UnixMillis, UnreadableColumn> {
        moment(&self.0, column).map_err(|_| UnreadableColumn { column })
    }
}
