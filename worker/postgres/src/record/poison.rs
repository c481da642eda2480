//! Putting aside what nobody can read.

use std::collections::{BTreeMap, HashSet};

use sqlx::{PgConnection, Row as _};

use crate::failure::PostgresFailure;
use crate::rows::millis;
use chargegate_storage::store::{Outcome, PoisonMessage};

/// Which outcomes were put aside.
#[derive(Default)]
pub(super) struct PutAside {
    /// For the first time.
    pub(super) new: HashSet<usize>,
    /// Before.
    pub(super) redelivered: HashSet<usize>,
}

/// Inserts poison messages. The same key with the same body is the same message.
pub(super) async fn put_aside(
    transaction: &mut PgConnection,
    outcomes: &[Outcome],
) -> Result<PutAside, PostgresFailure> {
    let mut aside = PutAside::default();
    let mut first: BTreeMap<(&str, &[u8]), (usize, &PoisonMessage)> = BTreeMap::new();
    for (at, outcome) in outcomes.iter().enumerate() {
        if let Outcome::Poison(poison) = outcome {
            first.entry((poison.key.as_str(), &poison.body)).or_insert((at, poison));
            aside.redelivered.insert(at);
        }
    }
    if first.is_empty() {
        return Ok(aside);
    }
    let poison = || first.values().map(|(_, poison)| poison);
    let rows = sqlx::query(
        "INSERT INTO poison (recorded_at, found_at, message_key, digest, reason, body) \
         SELECT (SELECT clock()), found_at, message_key, sha256(body), reason, body \
         FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bytea[]) AS new (found_at, message_key, reason, body) \
         ON CONFLICT DO NOTHING RETURNING message_key, body",
    )
    .bind(poison().map(|poison| millis(poison.found_at)).collect::<Vec<_>>())
    .bind(poison().map(|poison| poison.key.as_str()).collect::<Vec<_>>())
    .bind(poison().map(|poison| poison.reason.as_str()).collect::<Vec<_>>())
    .bind(poison().map(|poison| poison.body.as_slice()).collect::<Vec<_>>())
    .fetch_all(&mut *transaction)
    .await?;
    for row in &rows {
        let message: (&str, &[u8]) = (row.try_get("message_key")?, row.try_get("body")?);
        if let Some((at, _)) = first.get(&message) {
            aside.redelivered.remove(at);
            aside.new.insert(*at);
        }
    }
    Ok(aside)
}
