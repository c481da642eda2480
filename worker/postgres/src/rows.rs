//! Conversions between domain values and columns: times, ids, counts.

use chargegate_core::{RequestId, UnixMillis};
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use uuid::Uuid;

pub(super) fn millis(at: UnixMillis) -> i64 {
    i64::try_from(at.0).unwrap_or(i64::MAX)
}

pub(super) fn duration(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX).min(millis(UnixMillis::MAX))
}

pub(super) fn uuid(id: &RequestId) -> Uuid {
    Uuid::from_bytes(*id.as_bytes())
}

pub(super) fn request_id(row: &PgRow) -> Result<RequestId, sqlx::Error> {
    row.try_get::<Uuid, _>("request_id").map(|id| RequestId::from_bytes(*id.as_bytes()))
}

pub(super) fn moment(row: &PgRow, column: &'static str) -> Result<UnixMillis, sqlx::Error> {
    count(row, column).map(UnixMillis)
}

pub(super) fn count(row: &PgRow, column: &'static str) -> Result<u64, sqlx::Error> {
    row.try_get::<i64, _>(column).map(|number| u64::try_from(number).unwrap_or_default())
}
