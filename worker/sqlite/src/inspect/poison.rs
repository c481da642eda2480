//! Poison messages, masked.

use chargegate_storage::StoreError;
use chargegate_storage::inspect::PageCursor;
use chargegate_storage::operate::{ForgottenToken, MaskedBody, PoisonEntry, PoisonPage, quoted};
use chargegate_storage::queue::MessageKey;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::SqliteInspector;
use crate::keys::{StoredKey, moment};
use crate::store::read_failure;

impl SqliteInspector {
    pub(super) async fn read_poison(
        &self,
        limit: u32,
        cursor: Option<&PageCursor>,
    ) -> Result<PoisonPage, StoreError> {
        let before = cursor.map(PageCursor::position).transpose()?.map_or(i64::MAX, |(number, _)| number);
        let rows = sqlx::query(
            "SELECT rowid, message_key, found_at, reason, body FROM poison WHERE rowid < ?1 \
             ORDER BY rowid DESC LIMIT ?2",
        )
        .bind(before)
        .bind(i64::from(limit))
        .fetch_all(&self.readers)
        .await
        .map_err(read_failure)?;
        let full = rows.len() == usize::try_from(limit).unwrap_or(usize::MAX);
        let last = rows.last().filter(|_| full).map(|row| row.try_get("rowid")).transpose();
        let next = last.map_err(read_failure)?.map(|rowid| PageCursor::after(rowid, ""));
        let messages = rows.iter().map(entry).collect::<Result<_, _>>().map_err(read_failure)?;
        Ok(PoisonPage { messages, next })
    }

    pub(super) async fn read_poison_message(&self, id: &str) -> Result<Option<PoisonEntry>, sqlx::Error> {
        let row =
            sqlx::query("SELECT message_key, found_at, reason, body FROM poison WHERE message_key = ?1")
                .bind(StoredKey::from(&MessageKey::from(id.to_owned())))
                .fetch_optional(&self.readers)
                .await?;
        row.as_ref().map(entry).transpose()
    }

    /// Returns the keys of the messages that contain a token.
    pub(super) async fn find_poison(&self, token: &ForgottenToken) -> Result<Vec<String>, sqlx::Error> {
        let keys: Vec<StoredKey> = sqlx::query_scalar(
            "SELECT message_key FROM poison WHERE instr(body, CAST(?1 AS BLOB)) > 0 \
             AND (?2 IS NULL OR instr(body, CAST(?2 AS BLOB)) > 0)",
        )
        .bind(quoted(&token.driver_token))
        .bind(token.station_id.as_deref().map(quoted))
        .fetch_all(&self.readers)
        .await?;
        Ok(keys.iter().map(ToString::to_string).collect())
    }
}

fn entry(row: &SqliteRow) -> Result<PoisonEntry, sqlx::Error> {
    let key = row.try_get::<StoredKey, _>("message_key")?.to_string();
    let body: &[u8] = row.try_get("body")?;
    Ok(PoisonEntry {
        id: key.clone(),
        message_key: key,
        found_at: moment(row, "found_at")?,
        reason: row.try_get("reason")?,
        bytes: u64::try_from(body.len()).unwrap_or(u64::MAX),
        body: MaskedBody::new(body),
    })
}
