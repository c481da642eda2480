//! Poison messages, masked.

use chargegate_storage::inspect::PageCursor;
use chargegate_storage::operate::{ForgottenToken, MaskedBody, PoisonEntry, PoisonPage, quoted};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row as _};

use crate::failure::PostgresFailure;
use crate::rows::moment;

/// Length of the number sign and the digits of the digest at the end of an id.
const DIGEST_CHARS: usize = 17;

/// A page before the position $1, $2.
const PAGE: &str = "SELECT * FROM ( \
        SELECT recorded_at, message_key || '#' || left(encode(digest, 'hex'), 16) AS id, message_key, found_at, reason, \
        body FROM poison WHERE discarded_at IS NULL) AS poison \
    WHERE recorded_at <= $1 AND (recorded_at, id COLLATE \"C\") < ($1, $2) \
    ORDER BY recorded_at DESC, id COLLATE \"C\" DESC LIMIT $3";
const ONE: &str = "SELECT $1 AS id, message_key, found_at, reason, body FROM poison \
    WHERE message_key = $2 AND discarded_at IS NULL AND message_key || '#' || left(encode(digest, 'hex'), 16) = $1";

pub(super) async fn list(
    connection: &mut PgConnection,
    limit: u32,
    (number, id): (i64, &str),
) -> Result<PoisonPage, PostgresFailure> {
    let rows = sqlx::query(PAGE).bind(number).bind(id).bind(i64::from(limit)).fetch_all(connection).await?;
    let messages: Vec<PoisonEntry> = rows.iter().map(entry).collect::<Result<_, _>>()?;
    let full = rows.len() == usize::try_from(limit).unwrap_or(usize::MAX);
    let next = match (rows.last(), messages.last()) {
        (Some(row), Some(last)) if full => Some(PageCursor::after(row.try_get("recorded_at")?, &last.id)),
        _ => None,
    };
    Ok(PoisonPage { messages, next })
}

pub(super) async fn one(
    connection: &mut PgConnection,
    id: &str,
) -> Result<Option<PoisonEntry>, PostgresFailure> {
    // No text in the database has a zero character.
    if id.contains('\0') {
        return Ok(None);
    }
    let key = id.len().checked_sub(DIGEST_CHARS).and_then(|end| id.get(..end)).unwrap_or_default();
    let row = sqlx::query(ONE).bind(id).bind(key).fetch_optional(connection).await?;
    Ok(row.as_ref().map(entry).transpose()?)
}

/// Returns the ids of the messages that contain a token.
pub(super) async fn with_token(
    connection: &mut PgConnection,
    token: &ForgottenToken,
) -> Result<Vec<String>, PostgresFailure> {
    let ids = sqlx::query_scalar(
        "SELECT message_key || '#' || left(encode(digest, 'hex'), 16) FROM poison \
         WHERE position($1 IN body) > 0 AND ($2::bytea IS NULL OR position($2 IN body) > 0)",
    )
    .bind(quoted(&token.driver_token).into_bytes())
    .bind(token.station_id.as_deref().map(|station| quoted(station).into_bytes()))
    .fetch_all(connection)
    .await?;
    Ok(ids)
}

fn entry(row: &PgRow) -> Result<PoisonEntry, sqlx::Error> {
    let body: &[u8] = row.try_get("body")?;
    Ok(PoisonEntry {
        id: row.try_get("id")?,
        message_key: row.try_get("message_key")?,
        found_at: moment(row, "found_at")?,
        reason: row.try_get("reason")?,
        bytes: u64::try_from(body.len()).unwrap_or(u64::MAX),
        body: MaskedBody::new(body),
    })
}
