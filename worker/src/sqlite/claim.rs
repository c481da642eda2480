//! Claiming due callbacks, hosts taking turns.
//!
//! A host with a long backlog must cost the others nothing: the search steps from host to host in the index of
//! due callbacks (a loose index scan), skips those that are at their limit, and reads no more of any host than
//! it may have. It runs on a reader; only the leases themselves are written.

use std::collections::{HashMap, VecDeque};
use std::num::NonZeroU32;

use chargegate_core::{Decision, RequestId, Traceparent, UnixMillis};
use serde_json::json;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqlitePool};

use super::batch::{Failure, Operation, Reply, Transaction};
use super::keys::{count, ids, millis, moment, request_id};
use super::writer::Command;
use crate::store::{CallbackJob, ClaimLimits};

/// Hosts with something due, the first after ?1 in the order of their names, round to it again.
///
/// ?2 is the time, ?3 a JSON array of hosts to skip, ?4 how many hosts at most.
pub(super) const HOSTS: &str = "WITH RECURSIVE \
    after (host) AS ( \
        SELECT min(host) FROM callback WHERE state = 'pending' AND host > ?1 \
        UNION ALL \
        SELECT (SELECT min(host) FROM callback WHERE state = 'pending' AND host > after.host) \
        FROM after WHERE after.host IS NOT NULL), \
    upto (host) AS ( \
        SELECT min(host) FROM callback WHERE state = 'pending' AND host <= ?1 \
        UNION ALL \
        SELECT (SELECT min(host) FROM callback WHERE state = 'pending' AND host > upto.host AND host <= ?1) \
        FROM upto WHERE upto.host IS NOT NULL) \
    SELECT host FROM (SELECT host FROM after UNION ALL SELECT host FROM upto) AS turn \
    WHERE host IS NOT NULL AND host NOT IN (SELECT value FROM json_each(?3)) \
    AND (SELECT min(due_at) FROM callback WHERE state = 'pending' AND host = turn.host) <= ?2 \
    LIMIT ?4";

/// The callbacks of the hosts in ?1, a JSON array, due at ?2, the oldest ?3 of each.
pub(super) const DUE: &str = "SELECT turn.value AS host, callback.request_id \
    FROM json_each(?1) AS turn CROSS JOIN callback \
    WHERE callback.request_id IN ( \
        SELECT request_id FROM callback WHERE state = 'pending' AND host = turn.value AND due_at <= ?2 \
        ORDER BY due_at LIMIT ?3)";

/// What a search found.
pub(super) struct Found {
    pub(super) ids: Vec<RequestId>,
    /// The host that had its turn last.
    pub(super) last: String,
}

/// Looks for due callbacks without leasing them.
pub(super) async fn search(
    readers: &SqlitePool,
    now: UnixMillis,
    limits: &ClaimLimits,
    last: &str,
) -> Result<Option<Found>, sqlx::Error> {
    let free = |host: &str| limits.per_host.saturating_sub(limits.under_way.get(host).copied().unwrap_or(0));
    let saturated: Vec<&str> =
        limits.under_way.keys().map(|host| &**host).filter(|host| free(host) == 0).collect();
    if limits.total == 0 || limits.per_host == 0 {
        return Ok(None);
    }
    let mut reader = readers.acquire().await?;
    let hosts: Vec<String> = sqlx::query_scalar(HOSTS)
        .bind(last)
        .bind(millis(now))
        .bind(json!(saturated).to_string())
        .bind(i64::try_from(limits.total).unwrap_or(i64::MAX))
        .fetch_all(&mut *reader)
        .await?;
    if hosts.is_empty() {
        return Ok(None);
    }
    let per_host = limits.per_host.min(limits.total);
    let rows = sqlx::query(DUE)
        .bind(json!(hosts).to_string())
        .bind(millis(now))
        .bind(i64::try_from(per_host).unwrap_or(i64::MAX))
        .fetch_all(&mut *reader)
        .await?;
    let mut due: HashMap<String, VecDeque<RequestId>> = HashMap::new();
    for row in &rows {
        let of_host = due.entry(row.try_get("host")?).or_default();
        let host_is_free = of_host.len() < free(row.try_get("host")?);
        if host_is_free {
            of_host.push_back(request_id(row)?);
        }
    }
    Ok(deal(&hosts, due, limits.total))
}

/// One callback of each host in turn, until there are `total`.
fn deal(hosts: &[String], mut due: HashMap<String, VecDeque<RequestId>>, total: usize) -> Option<Found> {
    let mut ids = Vec::new();
    let mut last = None;
    loop {
        let before = ids.len();
        for host in hosts {
            if ids.len() == total {
                break;
            }
            if let Some(id) = due.get_mut(host).and_then(VecDeque::pop_front) {
                ids.push(id);
                last = Some(host);
            }
        }
        if ids.len() == before {
            return last.map(|last| Found { ids, last: last.clone() });
        }
    }
}

/// Leases callbacks that a search found, where they are still due.
pub(super) struct Claim {
    pub(super) ids: Vec<RequestId>,
    pub(super) now: UnixMillis,
}

/// A callback that is the caller's now.
pub(super) struct Claimed {
    request_id: RequestId,
    attempt: NonZeroU32,
    round_attempt: NonZeroU32,
    round_started_at: UnixMillis,
}

impl Operation for Claim {
    type Outcome = Vec<Claimed>;
    type Answer = Vec<Claimed>;

    async fn apply(
        operations: &[Self],
        transaction: &mut Transaction<'_>,
    ) -> Result<Vec<Vec<Claimed>>, Failure> {
        let mut all = Vec::with_capacity(operations.len());
        for Self { ids: wanted, now } in operations {
            let rows = sqlx::query(
                "UPDATE callback SET leased = 1, attempt = attempt + 1, due_at = ?3 \
                 WHERE request_id IN (SELECT unhex(value, '-') FROM json_each(?1)) \
                 AND state = 'pending' AND due_at <= ?2 \
                 RETURNING request_id, attempt, attempt - round_first + 1 AS round_attempt, round_started_at",
            )
            .bind(ids(wanted))
            .bind(millis(*now))
            .bind(millis(now.plus(transaction.settings.callback_lease)))
            .fetch_all(&mut *transaction.connection)
            .await?;
            all.push(rows.iter().map(claimed).collect::<Result<Vec<_>, _>>()?);
        }
        Ok(all)
    }

    fn answer(self, outcome: Vec<Claimed>) -> Vec<Claimed> {
        outcome
    }

    fn into_command(self, reply: Reply<Vec<Claimed>>) -> Command {
        Command::Claim((self, reply))
    }
}

fn claimed(row: &SqliteRow) -> Result<Claimed, sqlx::Error> {
    Ok(Claimed {
        request_id: request_id(row)?,
        attempt: number(row, "attempt")?,
        round_attempt: number(row, "round_attempt")?,
        round_started_at: moment(row, "round_started_at")?,
    })
}

fn number(row: &SqliteRow, column: &'static str) -> Result<NonZeroU32, sqlx::Error> {
    let number = u32::try_from(count(row, column)?).unwrap_or(u32::MAX);
    Ok(NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN))
}

/// Reads what claimed callbacks are to say. It was written once and never changes.
///
/// One that this version cannot read is left out: its lease ends, and it is tried again.
pub(super) async fn load_jobs(
    readers: &SqlitePool,
    claimed: Vec<Claimed>,
) -> Result<Vec<CallbackJob>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT request_id, station_id, driver_token, callback_url, status, reason, accepted_at, decided_at, \
         traceparent FROM decision WHERE request_id IN (SELECT unhex(value, '-') FROM json_each(?1))",
    )
    .bind(ids(claimed.iter().map(|claimed| &claimed.request_id)))
    .fetch_all(readers)
    .await?;
    let mut contents = HashMap::with_capacity(rows.len());
    for row in rows {
        contents.insert(request_id(&row)?, row);
    }
    let mut jobs = Vec::with_capacity(claimed.len());
    for claimed in claimed {
        let Some(row) = contents.get(&claimed.request_id) else {
            tracing::error!(request.id = %claimed.request_id, "a callback has no decision");
            continue;
        };
        match job(&claimed, row) {
            Ok(job) => jobs.push(job),
            Err(error) => tracing::error!(
                request.id = %claimed.request_id,
                column = error.column,
                "a decision cannot be read by this version",
            ),
        }
    }
    Ok(jobs)
}

/// A column holds what this version does not know. Its text may be a secret and is not kept.
struct UnreadableColumn {
    column: &'static str,
}

fn job(claimed: &Claimed, row: &SqliteRow) -> Result<CallbackJob, UnreadableColumn> {
    let text = |column| row.try_get::<&str, _>(column).map_err(|_| UnreadableColumn { column });
    let time = |column| moment(row, column).map_err(|_| UnreadableColumn { column });
    let traceparent: Option<&str> =
        row.try_get("traceparent").map_err(|_| UnreadableColumn { column: "traceparent" })?;
    Ok(CallbackJob {
        request_id: claimed.request_id,
        attempt: claimed.attempt,
        round_attempt: claimed.round_attempt,
        round_started_at: claimed.round_started_at,
        callback_url: parse(text("callback_url")?, "callback_url")?,
        station_id: parse(text("station_id")?, "station_id")?,
        driver_token: text("driver_token")?.into(),
        decision: Decision {
            status: parse(text("status")?, "status")?,
            reason: parse(text("reason")?, "reason")?,
        },
        accepted_at: time("accepted_at")?,
        decided_at: time("decided_at")?,
        traceparent: traceparent.and_then(|text| Traceparent::from_header(text.as_bytes())),
    })
}

fn parse<T: std::str::FromStr>(text: &str, column: &'static str) -> Result<T, UnreadableColumn> {
    text.parse().map_err(|_| UnreadableColumn { column })
}
