//! Unavailable receivers, and the callbacks that wait for them.

use std::time::Duration;

use sqlx::{PgConnection, Row as _};

use super::failure::PostgresFailure;
use super::rows::{count, duration};
use chargegate_storage::store::{
    MAX_UNAVAILABLE_RECEIVERS, MAX_WOKEN_CALLBACKS, UNAVAILABLE_RECEIVER_RETENTION, UnavailableReceiver,
};

/// Stores changes and returns the unavailable receivers.
pub(super) async fn sync(
    connection: &mut PgConnection,
    unavailable: &[UnavailableReceiver],
    available: &[String],
) -> Result<Vec<UnavailableReceiver>, PostgresFailure> {
    if !available.is_empty() {
        sqlx::query("DELETE FROM receiver WHERE receiver = ANY ($1::text[])")
            .bind(available)
            .execute(&mut *connection)
            .await?;
    }
    if !unavailable.is_empty() {
        // In the order of names, so that two workers that store the same ones cannot deadlock.
        let mut unavailable: Vec<&UnavailableReceiver> = unavailable.iter().collect();
        unavailable.sort_unstable_by(|one, other| one.receiver.cmp(&other.receiver));
        sqlx::query(
            "INSERT INTO receiver (receiver, probes, probe_at, updated_at) \
             SELECT name, probes, moment + probe_after, moment FROM (SELECT clock() AS moment OFFSET 0) AS clock, \
             unnest($1::text[], $2::integer[], $3::bigint[]) AS new (name, probes, probe_after) \
             ON CONFLICT (receiver) DO UPDATE SET probes = greatest(receiver.probes, excluded.probes), \
             probe_at = greatest(receiver.probe_at, excluded.probe_at), updated_at = excluded.updated_at",
        )
        .bind(unavailable.iter().map(|receiver| receiver.receiver.as_str()).collect::<Vec<_>>())
        .bind(unavailable.iter().map(|found| i32::try_from(found.probes).unwrap_or(i32::MAX)).collect::<Vec<_>>())
        .bind(unavailable.iter().map(|receiver| duration(receiver.probe_after)).collect::<Vec<_>>())
        .execute(&mut *connection)
        .await?;
        sqlx::query("DELETE FROM receiver WHERE updated_at < (SELECT clock()) - $1")
            .bind(duration(UNAVAILABLE_RECEIVER_RETENTION))
            .execute(&mut *connection)
            .await?;
    }
    let rows = sqlx::query(
        "SELECT receiver, probes::bigint AS probes, greatest(probe_at - (SELECT clock()), 0) AS probe_after \
         FROM receiver WHERE updated_at >= (SELECT clock()) - $1 ORDER BY receiver LIMIT $2",
    )
    .bind(duration(UNAVAILABLE_RECEIVER_RETENTION))
    .bind(i64::try_from(MAX_UNAVAILABLE_RECEIVERS).unwrap_or(i64::MAX))
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(UnavailableReceiver {
                receiver: row.try_get("receiver")?,
                probes: u32::try_from(count(row, "probes")?).unwrap_or(u32::MAX),
                probe_after: Duration::from_millis(count(row, "probe_after")?),
            })
        })
        .collect()
}

/// Makes callbacks to hosts due that were put off before their first attempt. Others follow their own schedule, which a
/// receiver may have asked for.
pub(super) async fn wake(connection: &mut PgConnection, hosts: &[Box<str>]) -> Result<(), PostgresFailure> {
    // Each host by itself, so that the index by host serves it.
    sqlx::query(
        "UPDATE callback SET due_at = (SELECT clock()) WHERE request_id IN ( \
             SELECT waiting.request_id FROM unnest($1::text[]) AS available (host) CROSS JOIN LATERAL ( \
                 SELECT request_id FROM callback WHERE callback.host = available.host \
                 AND due_at > (SELECT clock()) AND NOT leased AND retried_at IS NULL \
                 ORDER BY due_at LIMIT $2 FOR UPDATE SKIP LOCKED) AS waiting LIMIT $2)",
    )
    .bind(hosts.iter().map(|host| &**host).collect::<Vec<&str>>())
    .bind(i64::from(MAX_WOKEN_CALLBACKS))
    .execute(connection)
    .await?;
    Ok(())
}

/// Returns the hosts to which more than `limit` callbacks are pending.
pub(super) async fn backlogged(
    connection: &mut PgConnection,
    hosts: &[Box<str>],
    limit: u32,
) -> Result<Vec<Box<str>>, PostgresFailure> {
    let rows = sqlx::query(
        "SELECT host FROM unnest($1::text[]) AS asked (host) \
         WHERE EXISTS (SELECT FROM callback WHERE callback.host = asked.host OFFSET $2)",
    )
    .bind(hosts.iter().map(|host| &**host).collect::<Vec<&str>>())
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| Ok(row.try_get::<String, _>("host")?.into())).collect()
}
