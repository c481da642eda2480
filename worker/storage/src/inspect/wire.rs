//! Forms of values in JSON.

use std::time::Duration;

use chargegate_core::UnixMillis;
use serde::{Serialize as _, Serializer};

/// Serializes a time in RFC 3339.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
pub(crate) fn time<S: Serializer>(at: &UnixMillis, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&at.utc_date_time())
}

/// Serializes a time in RFC 3339, or null.
#[expect(clippy::ref_option, reason = "the signature that serde calls")]
pub(crate) fn optional_time<S: Serializer>(
    at: &Option<UnixMillis>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    at.map(|at| at.utc_date_time().to_string()).serialize(serializer)
}

/// Serializes a duration in milliseconds.
pub(crate) fn milliseconds<S: Serializer>(took: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    u64::try_from(took.as_millis()).unwrap_or(u64::MAX).serialize(serializer)
}
