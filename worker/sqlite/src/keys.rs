//! Representation of times, message keys and request ids in the file.

use std::fmt::{self, Display, Write as _};

use chargegate_core::{RequestId, UnixMillis};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, Sqlite};

use chargegate_storage::queue::MessageKey;

pub(super) fn millis(at: UnixMillis) -> i64 {
    i64::try_from(at.0).unwrap_or(i64::MAX)
}

pub(super) fn moment(row: &SqliteRow, column: &'static str) -> Result<UnixMillis, sqlx::Error> {
    Ok(UnixMillis(count(row, column)?))
}

pub(super) fn count(row: &SqliteRow, column: &'static str) -> Result<u64, sqlx::Error> {
    row.try_get::<i64, _>(column).map(|number| u64::try_from(number).unwrap_or_default())
}

pub(super) fn request_id(row: &SqliteRow) -> Result<RequestId, sqlx::Error> {
    let bytes: &[u8] = row.try_get("request_id")?;
    let bytes = bytes.try_into().map_err(|_| sqlx::Error::Decode("a request id has 16 bytes".into()))?;
    Ok(RequestId::from_bytes(bytes))
}

/// Returns the sequence number in a key of this queue, or `None` for the key of another engine.
pub(super) fn sequence(key: &MessageKey) -> Option<i64> {
    let number: i64 = key.as_str().parse().ok()?;
    // Only the canonical form: "+7" and "07" are other engines' keys.
    (number > 0 && number.to_string() == key.as_str()).then_some(number)
}

/// A message key as stored in the file: a number if it belongs to this queue.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum StoredKey {
    Number(i64),
    Text(String),
}

impl From<&MessageKey> for StoredKey {
    fn from(key: &MessageKey) -> Self {
        sequence(key).map_or_else(|| Self::Text(key.as_str().to_owned()), Self::Number)
    }
}

impl Display for StoredKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => Display::fmt(number, f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl sqlx::Type<Sqlite> for StoredKey {
    fn type_info() -> sqlx::sqlite::SqliteTypeInfo {
        <str as sqlx::Type<Sqlite>>::type_info()
    }

    fn compatible(_: &sqlx::sqlite::SqliteTypeInfo) -> bool {
        true
    }
}

impl sqlx::Encode<'_, Sqlite> for StoredKey {
    fn encode_by_ref(
        &self,
        buffer: &mut <Sqlite as sqlx::Database>::ArgumentBuffer,
    ) -> Result<sqlx::encode::IsNull, sqlx::error::BoxDynError> {
        match self {
            Self::Number(number) => sqlx::Encode::<Sqlite>::encode_by_ref(number, buffer),
            Self::Text(text) => sqlx::Encode::<Sqlite>::encode_by_ref(text, buffer),
        }
    }
}

impl sqlx::Decode<'_, Sqlite> for StoredKey {
    fn decode(value: sqlx::sqlite::SqliteValueRef<'_>) -> Result<Self, sqlx::error::BoxDynError> {
        use sqlx::{TypeInfo as _, ValueRef as _};
        if value.type_info().name() == "INTEGER" {
            <i64 as sqlx::Decode<Sqlite>>::decode(value).map(Self::Number)
        } else {
            <String as sqlx::Decode<Sqlite>>::decode(value).map(Self::Text)
        }
    }
}

/// Formats numbers as a JSON array for `json_each`.
pub(super) fn numbers(numbers: impl IntoIterator<Item = i64>) -> String {
    list(numbers, "")
}

/// Formats request ids in the form 8-4-4-4-12 as a JSON array for `unhex(value, '-')`.
pub(super) fn ids<'a>(ids: impl IntoIterator<Item = &'a RequestId>) -> String {
    list(ids, "\"")
}

fn list(items: impl IntoIterator<Item = impl Display>, quote: &str) -> String {
    let mut json = String::from("[");
    for item in items {
        let comma = if json.len() > 1 { "," } else { "" };
        let _ = write!(json, "{comma}{quote}{item}{quote}");
    }
    json.push(']');
    json
}
