//! Decisions that are not the first of their request: redelivered messages and repeated requests.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use chargegate_core::{CALLBACK_RESEND_INTERVAL, CallbackUrl};
use sqlx::{PgConnection, Row as _};
use uuid::Uuid;

use super::RecordContext;
use crate::failure::PostgresFailure;
use crate::rows::{duration, millis, uuid};
use chargegate_storage::store::{DecidedMessage, RecordVerdict};

/// Recorded columns of a repeated request.
struct RecordedRequest {
    recorded_at: i64,
    decided_at: i64,
    message_key: String,
    host: String,
    /// Set if an operator erased the token: without it, a callback has no body.
    erased: bool,
}

/// Records repeats and reopens the callbacks to resend. Returns the verdict on each.
///
/// A message is identified by its request and its key together: a queue that lost writes may assign a key twice.
pub(super) async fn repeat(
    transaction: &mut PgConnection,
    repeated: &[(usize, &DecidedMessage)],
    decided_now: &BTreeMap<Uuid, usize>,
    ours: &RecordContext,
) -> Result<HashMap<usize, RecordVerdict>, PostgresFailure> {
    let ids: BTreeSet<Uuid> = repeated.iter().map(|(_, decided)| uuid(&decided.message.id)).collect();
    let known = load(transaction, ids.into_iter().collect()).await?;
    let mut verdicts: HashMap<usize, RecordVerdict> =
        repeated.iter().map(|(at, _)| (*at, RecordVerdict::Redelivered)).collect();

    let mut asked_again: BTreeMap<(Uuid, &str), usize> = BTreeMap::new();
    let mut own: BTreeMap<Uuid, usize> = BTreeMap::new();
    for (at, decided) in repeated {
        let id = uuid(&decided.message.id);
        let first = known.get(&id).ok_or(PostgresFailure::Overtaken)?;
        if first.message_key != decided.key.as_str() {
            asked_again.entry((id, decided.key.as_str())).or_insert(*at);
        } else if ours.unconfirmed.contains(&id)
            && !decided_now.contains_key(&id)
            && first.decided_at == millis(decided.decided_at)
        {
            own.entry(id).or_insert(*at);
        }
    }
    for id in resume_own_leases(transaction, own.keys().copied().collect(), ours.lease).await? {
        verdicts.extend(own.get(&id).map(|at| (*at, RecordVerdict::Decided)));
    }
    if asked_again.is_empty() {
        return Ok(verdicts);
    }
    let new = insert_duplicates(transaction, &asked_again, &known).await?;
    // Only the first repeat in the batch causes a resend.
    let mut in_order: Vec<(usize, Uuid)> = new
        .iter()
        .filter_map(|(id, key)| asked_again.get(&(*id, key.as_str())).map(|at| (*at, *id)))
        .collect();
    in_order.sort_unstable();
    let mut opened = reopen_callbacks(transaction, &in_order, &known).await?;
    for (at, id) in in_order {
        verdicts.insert(at, RecordVerdict::Duplicate { resent: opened.remove(&id) });
    }
    Ok(verdicts)
}

/// Loads requests, and locks their partitions against retention and their decisions against the erasure of a token.
async fn load(
    transaction: &mut PgConnection,
    ids: Vec<Uuid>,
) -> Result<HashMap<Uuid, RecordedRequest>, PostgresFailure> {
    sqlx::query(
        "SELECT lock_partitions(ARRAY(SELECT recorded_at FROM request WHERE request_id = ANY ($1::uuid[])))",
    )
    .bind(&ids)
    .execute(&mut *transaction)
    .await?;
    let rows = sqlx::query(
        "SELECT request.request_id, request.recorded_at, decided_at, message_key, callback_url, \
         driver_token = '' AS erased \
         FROM unnest($1::uuid[]) AS asked (request_id) JOIN request USING (request_id) \
         JOIN decision ON decision.recorded_at = request.recorded_at AND decision.request_id = request.request_id \
         ORDER BY request.request_id FOR SHARE OF decision",
    )
    .bind(&ids)
    .fetch_all(&mut *transaction)
    .await?;
    let mut known = HashMap::with_capacity(rows.len());
    for row in rows {
        let url: &str = row.try_get("callback_url")?;
        let first = RecordedRequest {
            recorded_at: row.try_get("recorded_at")?,
            decided_at: row.try_get("decided_at")?,
            message_key: row.try_get("message_key")?,
            erased: row.try_get("erased")?,
            host: url.parse::<CallbackUrl>().map_or_else(|_| String::new(), |url| url.host_str().to_owned()),
        };
        known.insert(row.try_get("request_id")?, first);
    }
    Ok(known)
}

/// Renews the leases of first attempts whose record call committed although its response was lost. Returns their requests.
/// Only this caller knows of such an attempt; without this, it would start only after its lease expired.
async fn resume_own_leases(
    transaction: &mut PgConnection,
    ids: Vec<Uuid>,
    lease: Duration,
) -> Result<Vec<Uuid>, PostgresFailure> {
    if ids.is_empty() {
        return Ok(ids);
    }
    let taken = sqlx::query_scalar(
        "UPDATE callback SET due_at = (SELECT clock()) + $2 FROM unnest($1::uuid[]) AS own (request_id) \
         WHERE callback.request_id = own.request_id AND attempt = 1 AND round_first = 1 AND leased \
         RETURNING callback.request_id",
    )
    .bind(ids)
    .bind(duration(lease))
    .fetch_all(transaction)
    .await?;
    Ok(taken)
}

/// Inserts messages that repeated a request, and returns those that were new.
async fn insert_duplicates(
    transaction: &mut PgConnection,
    asked_again: &BTreeMap<(Uuid, &str), usize>,
    known: &HashMap<Uuid, RecordedRequest>,
) -> Result<Vec<(Uuid, String)>, PostgresFailure> {
    let recorded_at = |id: &Uuid| known.get(id).map_or(0, |known| known.recorded_at);
    let new = sqlx::query_as(
        "INSERT INTO duplicate (recorded_at, found_at, request_id, message_key) \
         SELECT new.recorded_at, (SELECT clock()), new.request_id, new.message_key \
         FROM unnest($1::bigint[], $2::uuid[], $3::text[]) AS new (recorded_at, request_id, message_key) \
         ON CONFLICT DO NOTHING RETURNING request_id, message_key",
    )
    .bind(asked_again.keys().map(|(id, _)| recorded_at(id)).collect::<Vec<_>>())
    .bind(asked_again.keys().map(|(id, _)| *id).collect::<Vec<_>>())
    .bind(asked_again.keys().map(|(_, key)| *key).collect::<Vec<_>>())
    .fetch_all(&mut *transaction)
    .await?;
    Ok(new)
}

/// Reopens callbacks that finished at least the resend interval ago, and makes those due whose last attempt began before
/// that. Returns their requests.
async fn reopen_callbacks(
    transaction: &mut PgConnection,
    new: &[(usize, Uuid)],
    known: &HashMap<Uuid, RecordedRequest>,
) -> Result<BTreeSet<Uuid>, PostgresFailure> {
    let has_body = |id: &Uuid| known.get(id).is_some_and(|known| !known.erased);
    let ids: BTreeSet<Uuid> = new.iter().map(|(_, id)| *id).filter(has_body).collect();
    let of = || ids.iter().filter_map(|id| known.get(id).map(|known| (id, known)));
    // A pending callback has no closed attempt and stays as it is. Of two transactions that reopen the same callback, the
    // second waits for the first and finds the attempt open.
    let opened: Vec<Uuid> = sqlx::query_scalar(
        "WITH opened AS ( \
             UPDATE attempt SET closed_at = NULL, give_up = NULL \
             FROM unnest($1::bigint[], $2::uuid[], $3::text[]) AS again (recorded_at, request_id, host) \
             WHERE attempt.recorded_at = again.recorded_at AND attempt.request_id = again.request_id \
             AND attempt.closed_at < (SELECT clock()) - $4 \
             RETURNING again.recorded_at, again.request_id, again.host, attempt.attempt) \
         INSERT INTO callback \
             (recorded_at, due_at, round_started_at, request_id, attempt, round_first, leased, host) \
         SELECT recorded_at, (SELECT clock()), (SELECT clock()), request_id, attempt, attempt + 1, false, host FROM opened \
         RETURNING request_id",
    )
    .bind(of().map(|(_, known)| known.recorded_at).collect::<Vec<_>>())
    .bind(of().map(|(id, _)| *id).collect::<Vec<_>>())
    .bind(of().map(|(_, known)| known.host.as_str()).collect::<Vec<_>>())
    .bind(duration(CALLBACK_RESEND_INTERVAL))
    .fetch_all(&mut *transaction)
    .await?;
    // The client may have repaired its receiver: a callback that waits for its next attempt is due. The difference keeps the
    // planner from an index by due time.
    let woken: Vec<Uuid> = sqlx::query_scalar(
        "UPDATE callback SET due_at = (SELECT clock()) \
         FROM unnest($1::uuid[]) AS again (request_id) \
         WHERE callback.request_id = again.request_id AND NOT leased AND due_at - (SELECT clock()) > 0 \
         AND retried_at < (SELECT clock()) - $2 \
         RETURNING callback.request_id",
    )
    .bind(of().map(|(id, _)| *id).collect::<Vec<_>>())
    .bind(duration(CALLBACK_RESEND_INTERVAL))
    .fetch_all(&mut *transaction)
    .await?;
    Ok(opened.into_iter().chain(woken).collect())
}
