//! Record of outcomes: a decision and its callback in one transaction, once per request.
//!
//! The first insert into `request` makes a decision the first of its request; a concurrent second insert waits for the first
//! to commit and then is a repeat. Rows are inserted in the order of their ids, so that two batches with the same ids wait
//! for each other without a deadlock.

mod poison;
mod repeats;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use chargegate_core::Traceparent;
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use super::failure::PostgresFailure;
use super::rows::{duration, millis, uuid};
use chargegate_storage::store::{DecidedMessage, Outcome, RecordVerdict};

/// Context of one record call.
pub(super) struct RecordContext {
    /// Requests that an earlier, failed call may have recorded.
    pub(super) unconfirmed: HashSet<Uuid>,
    /// Lease of a new callback to the caller.
    pub(super) lease: Duration,
}

/// Records outcomes and returns the verdict on each, in the same order.
pub(super) async fn record(
    connection: &mut PgConnection,
    outcomes: &[Outcome],
    ours: &RecordContext,
) -> Result<Vec<RecordVerdict>, PostgresFailure> {
    let mut transaction = connection.begin().await?;
    let (first, paused) = decide(&mut transaction, outcomes, ours.lease).await?;
    let repeated: Vec<(usize, &DecidedMessage)> = outcomes
        .iter()
        .enumerate()
        .filter_map(|(at, outcome)| match outcome {
            Outcome::Decided(decided) if first.get(&uuid(&decided.message.id)) != Some(&at) => {
                Some((at, decided))
            }
            _ => None,
        })
        .collect();
    let mut repeats: HashMap<usize, RecordVerdict> = HashMap::new();
    if !repeated.is_empty() {
        repeats = repeats::repeat(&mut transaction, &repeated, &first, ours).await?;
    }
    let poisoned = poison::put_aside(&mut transaction, outcomes).await?;
    transaction.commit().await?;
    Ok((0..outcomes.len())
        .map(|at| match repeats.get(&at) {
            Some(verdict) => *verdict,
            None if poisoned.redelivered.contains(&at) => RecordVerdict::Redelivered,
            None if poisoned.new.contains(&at) => RecordVerdict::Poison,
            None if paused.contains(&at) => RecordVerdict::DecidedPaused,
            None => RecordVerdict::Decided,
        })
        .collect())
}

/// Inserts the first decision of each request with its callback. Returns the index of its outcome by request, and the
/// indexes of those whose host is paused.
async fn decide(
    transaction: &mut PgConnection,
    outcomes: &[Outcome],
    lease: Duration,
) -> Result<(BTreeMap<Uuid, usize>, HashSet<usize>), PostgresFailure> {
    let mut first: BTreeMap<Uuid, usize> = BTreeMap::new();
    for (at, outcome) in outcomes.iter().enumerate() {
        if let Outcome::Decided(decided) = outcome {
            first.entry(uuid(&decided.message.id)).or_insert(at);
        }
    }
    if first.is_empty() {
        return Ok((first, HashSet::new()));
    }
    let ids: Vec<Uuid> = first.keys().copied().collect();
    let new: Vec<Uuid> = sqlx::query_scalar(
        "INSERT INTO request (recorded_at, request_id) \
         SELECT (SELECT clock()), new.request_id FROM unnest($1::uuid[]) AS new (request_id) \
         ON CONFLICT DO NOTHING RETURNING request_id",
    )
    .bind(&ids)
    .fetch_all(&mut *transaction)
    .await?;
    if new.len() < ids.len() {
        let new: HashSet<Uuid> = new.into_iter().collect();
        first.retain(|id, _| new.contains(id));
    }
    let decided: Vec<&DecidedMessage> = first
        .values()
        .filter_map(|at| match outcomes.get(*at) {
            Some(Outcome::Decided(decided)) => Some(decided),
            _ => None,
        })
        .collect();
    let mut paused = Vec::new();
    if !decided.is_empty() {
        paused = insert(transaction, first.keys().copied().collect(), &decided, lease).await?;
    }
    let paused = paused.iter().filter_map(|id| first.get(id).copied()).collect();
    Ok((first, paused))
}

/// Inserts decisions with their callbacks, and leases these to the caller. Returns the requests whose callback waits,
/// because its host is paused.
async fn insert(
    transaction: &mut PgConnection,
    ids: Vec<Uuid>,
    decided: &[&DecidedMessage],
    lease: Duration,
) -> Result<Vec<Uuid>, PostgresFailure> {
    let messages = || decided.iter().map(|decided| &decided.message);
    sqlx::query(
        "INSERT INTO decision (recorded_at, accepted_at, decided_at, request_id, late, status, reason, station_id, \
         message_key, driver_token, callback_url, traceparent) \
         SELECT (SELECT clock()), * FROM unnest($1::bigint[], $2::bigint[], $3::uuid[], $4::boolean[], $5::text[], \
         $6::text[], $7::text[], $8::text[], $9::bytea[], $10::text[], $11::text[])",
    )
    .bind(messages().map(|message| millis(message.accepted_at)).collect::<Vec<_>>())
    .bind(decided.iter().map(|decided| millis(decided.decided_at)).collect::<Vec<_>>())
    .bind(&ids)
    .bind(decided.iter().map(|decided| decided.late).collect::<Vec<_>>())
    .bind(decided.iter().map(|decided| decided.decision.status.as_str()).collect::<Vec<_>>())
    .bind(decided.iter().map(|decided| decided.decision.reason.as_str()).collect::<Vec<_>>())
    .bind(messages().map(|message| message.station_id.as_str()).collect::<Vec<_>>())
    .bind(decided.iter().map(|decided| decided.key.as_str()).collect::<Vec<_>>())
    .bind(messages().map(|message| message.driver_token.as_str().as_bytes()).collect::<Vec<_>>())
    .bind(messages().map(|message| message.callback_url.as_str()).collect::<Vec<_>>())
    .bind(messages().map(|message| message.traceparent.as_ref().map(Traceparent::as_str)).collect::<Vec<_>>())
    .execute(&mut *transaction)
    .await?;
    let paused = sqlx::query_scalar(
        "WITH inserted AS ( \
             INSERT INTO callback (recorded_at, due_at, round_started_at, request_id, attempt, round_first, leased, host) \
             SELECT moment, CASE WHEN paused THEN moment ELSE moment + $1 END, moment, request_id, \
                 CASE WHEN paused THEN 0 ELSE 1 END, 1, NOT paused, host \
             FROM (SELECT clock() AS moment OFFSET 0) AS clock, \
             (SELECT request_id, host, EXISTS (SELECT FROM host_pause \
                 WHERE host_pause.host = unnested.host AND resumed_at IS NULL) AS paused \
                 FROM unnest($2::uuid[], $3::text[]) AS unnested (request_id, host) OFFSET 0) AS new \
             RETURNING request_id, leased) \
         SELECT request_id FROM inserted WHERE NOT leased",
    )
    .bind(duration(lease))
    .bind(ids)
    .bind(messages().map(|message| message.callback_url.host_str()).collect::<Vec<_>>())
    .fetch_all(&mut *transaction)
    .await?;
    Ok(paused)
}
