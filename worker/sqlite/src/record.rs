//! Recording of outcomes: a decision and its callback in one transaction, once.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use chargegate_core::{CALLBACK_RESEND_INTERVAL, RequestId};
use sqlx::Row as _;

use super::keys::{StoredKey, millis, request_id};
use super::operation::{Failure, Operation, Transaction};
use super::pauses;
use super::rows::Rows;
use chargegate_storage::store::{DecidedMessage, Outcome, PoisonMessage, RecordVerdict};

static INSERT_DECISION: LazyLock<Rows> = LazyLock::new(|| {
    Rows::new(
        "INSERT INTO decision (request_id, message_key, station_id, driver_token, callback_url, status, reason, \
         accepted_at, decided_at, late, traceparent)",
        "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        "ON CONFLICT DO NOTHING RETURNING request_id",
    )
});

static INSERT_CALLBACK: LazyLock<Rows> = LazyLock::new(|| {
    Rows::new(
        "INSERT INTO callback (request_id, state, host, due_at, leased, attempt, round_first, round_started_at)",
        "(?, 'pending', ?, ?, 1, 1, 1, ?)",
        "",
    )
});

/// Records outcomes.
pub(super) struct Record {
    pub(super) outcomes: Vec<Outcome>,
}

impl Operation for Record {
    type Answer = Vec<RecordVerdict>;

    async fn apply(
        operations: &[Self],
        transaction: &mut Transaction<'_>,
    ) -> Result<Vec<Vec<RecordVerdict>>, Failure> {
        let outcomes = operations.iter().flat_map(|operation| &operation.outcomes);
        let mut known = put_aside(outcomes.clone().map(key), transaction).await?;
        let first = decide(outcomes.clone(), &known, transaction).await?;
        let paused = pauses::hold_callbacks(first.keys(), transaction).await?;
        let mut all = Vec::with_capacity(operations.len());
        for operation in operations {
            let mut verdicts = Vec::with_capacity(operation.outcomes.len());
            for outcome in &operation.outcomes {
                // A message has one outcome, however often it is delivered.
                let new = known.insert(key(outcome));
                verdicts.push(match outcome {
                    _ if !new => RecordVerdict::Redelivered,
                    Outcome::Poison(poison) => insert_poison(poison, transaction).await?,
                    Outcome::Decided(decided) if first.get(&decided.message.id) == Some(&key(outcome)) => {
                        if paused.contains(&decided.message.id) {
                            RecordVerdict::DecidedPaused
                        } else {
                            RecordVerdict::Decided
                        }
                    }
                    Outcome::Decided(decided) => repeat(decided, transaction).await?,
                });
            }
            all.push(verdicts);
        }
        Ok(all)
    }
}

fn key(outcome: &Outcome) -> StoredKey {
    match outcome {
        Outcome::Decided(decided) => (&decided.key).into(),
        Outcome::Poison(poison) => (&poison.key).into(),
    }
}

/// Those of the keys whose messages were put aside before, as duplicates or as poison.
async fn put_aside(
    keys: impl Iterator<Item = StoredKey>,
    transaction: &mut Transaction<'_>,
) -> Result<HashSet<StoredKey>, Failure> {
    let keys = keys.map(|key| match key {
        StoredKey::Number(number) => serde_json::Value::from(number),
        StoredKey::Text(text) => serde_json::Value::from(text),
    });
    let found = sqlx::query_scalar(
        "WITH asked AS (SELECT value AS message_key FROM json_each(?1)) \
         SELECT message_key FROM asked WHERE message_key IN (SELECT message_key FROM duplicate) \
         OR message_key IN (SELECT message_key FROM poison)",
    )
    .bind(serde_json::Value::Array(keys.collect()).to_string())
    .fetch_all(&mut *transaction.connection)
    .await?;
    Ok(found.into_iter().collect())
}

/// Inserts the decisions that are their request's first, with their callbacks; gives the message of each.
async fn decide<'a>(
    outcomes: impl Iterator<Item = &'a Outcome>,
    known: &HashSet<StoredKey>,
    transaction: &mut Transaction<'_>,
) -> Result<HashMap<RequestId, StoredKey>, Failure> {
    let mut seen = HashSet::new();
    let mut candidates = Vec::new();
    for outcome in outcomes {
        let Outcome::Decided(decided) = outcome else { continue };
        let key = StoredKey::from(&decided.key);
        if !known.contains(&key) && seen.insert(decided.message.id) {
            candidates.push((key, decided));
        }
    }
    let mut inserted = HashSet::new();
    for (sql, chunk) in INSERT_DECISION.chunks(&candidates) {
        let mut query = sqlx::query(sql);
        for (key, DecidedMessage { message, decision, decided_at, late, .. }) in chunk {
            query = query
                .bind(message.id.as_bytes().as_slice())
                .bind(key)
                .bind(message.station_id.as_str())
                .bind(message.driver_token.as_str())
                .bind(message.callback_url.as_str())
                .bind(decision.status.as_str())
                .bind(decision.reason.as_str())
                .bind(millis(message.accepted_at))
                .bind(millis(*decided_at))
                .bind(*late)
                .bind(message.traceparent.as_ref().map(chargegate_core::Traceparent::as_str));
        }
        for row in query.fetch_all(&mut *transaction.connection).await? {
            inserted.insert(request_id(&row)?);
        }
    }
    candidates.retain(|(_, decided)| inserted.contains(&decided.message.id));
    let now = millis(transaction.now);
    let lease_end = millis(transaction.now.plus(transaction.settings.callback_lease));
    for (sql, chunk) in INSERT_CALLBACK.chunks(&candidates) {
        let query = chunk.iter().fold(sqlx::query(sql), |query, (_, decided)| {
            query
                .bind(decided.message.id.as_bytes().as_slice())
                .bind(decided.message.callback_url.host_str())
                .bind(lease_end)
                .bind(now)
        });
        query.execute(&mut *transaction.connection).await?;
    }
    Ok(candidates.into_iter().map(|(key, decided)| (decided.message.id, key)).collect())
}

/// Records a repeat: its message or its request has a decision already.
async fn repeat(
    decided: &DecidedMessage,
    transaction: &mut Transaction<'_>,
) -> Result<RecordVerdict, Failure> {
    let key = StoredKey::from(&decided.key);
    let id = decided.message.id;
    let redelivered: bool = sqlx::query("SELECT EXISTS (SELECT 1 FROM decision WHERE message_key = ?1)")
        .bind(&key)
        .fetch_one(&mut *transaction.connection)
        .await?
        .try_get(0)?;
    if redelivered {
        return Ok(RecordVerdict::Redelivered);
    }
    sqlx::query("INSERT INTO duplicate (message_key, request_id, found_at) VALUES (?1, ?2, ?3)")
        .bind(&key)
        .bind(id.as_bytes().as_slice())
        .bind(millis(transaction.now))
        .execute(&mut *transaction.connection)
        .await?;
    // Without its token, which an operator erased, a callback has no body.
    let restarted = sqlx::query(
        "UPDATE callback SET state = 'pending', due_at = ?2, leased = 0, round_first = attempt + 1, \
         round_started_at = ?2, finished_at = NULL, give_up = NULL, retried_at = NULL \
         WHERE request_id = ?1 AND state <> 'pending' AND finished_at < ?3 \
         AND EXISTS (SELECT 1 FROM decision WHERE request_id = ?1 AND driver_token <> '')",
    )
    .bind(id.as_bytes().as_slice())
    .bind(millis(transaction.now))
    .bind(millis(transaction.now.minus(CALLBACK_RESEND_INTERVAL)))
    .execute(&mut *transaction.connection)
    .await?
    .rows_affected();
    // The client may have repaired its receiver: a callback that waits for its next attempt is due.
    let woken = sqlx::query(
        "UPDATE callback SET due_at = ?2 WHERE request_id = ?1 AND state = 'pending' AND leased = 0 AND due_at > ?2 \
         AND retried_at < ?3",
    )
    .bind(id.as_bytes().as_slice())
    .bind(millis(transaction.now))
    .bind(millis(transaction.now.minus(CALLBACK_RESEND_INTERVAL)))
    .execute(&mut *transaction.connection)
    .await?
    .rows_affected();
    Ok(RecordVerdict::Duplicate { resent: restarted + woken > 0 })
}

async fn insert_poison(
    poison: &PoisonMessage,
    transaction: &mut Transaction<'_>,
) -> Result<RecordVerdict, Failure> {
    let inserted = sqlx::query(
        "INSERT INTO poison (message_key, found_at, reason, body) SELECT ?1, ?2, ?3, ?4 \
         WHERE NOT EXISTS (SELECT 1 FROM decision WHERE message_key = ?1)",
    )
    .bind(StoredKey::from(&poison.key))
    .bind(millis(poison.found_at))
    .bind(poison.reason.as_str())
    .bind(poison.body.as_slice())
    .execute(&mut *transaction.connection)
    .await?
    .rows_affected();
    Ok(if inserted > 0 { RecordVerdict::Poison } else { RecordVerdict::Redelivered })
}
