//! The `Retry-After` header.

use std::time::Duration;

use http::HeaderMap;
use http::header::RETRY_AFTER;

/// Returns the seconds of a `Retry-After` header (RFC 9110 section 10.2.3), saturating. The date form is ignored: the
/// caller's own backoff applies.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.as_bytes();
    if value.is_empty() {
        return None;
    }
    let seconds = value.iter().try_fold(0_u64, |seconds, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        Some(seconds.saturating_mul(10).saturating_add(digit))
    })?;
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: &str, seconds: Option<u64>) {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, value.parse().unwrap());
        assert_eq!(retry_after(&headers), seconds.map(Duration::from_secs), "{value}");
    }

    #[test]
    fn seconds_saturate_and_dates_are_ignored() {
        check("0", Some(0));
        check("120", Some(120));
        check("99999999999999999999999999999999999", Some(u64::MAX));
        check("-1", None);
        check("1.5", None);
        check("", None);
        check("Fri, 31 Dec 1999 23:59:59 GMT", None);
    }
}
