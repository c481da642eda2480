//! The `Retry-After` header.

use core::time::Duration;

/// Parses the value of a `Retry-After` header in seconds (RFC 9110 section 10.2.3), saturating.
///
/// Returns `None` for any other value. The date form is ignored: the caller's own backoff applies.
#[must_use]
pub fn parse_retry_after(value: &[u8]) -> Option<Duration> {
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
        assert_eq!(parse_retry_after(value.as_bytes()), seconds.map(Duration::from_secs), "{value}");
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
