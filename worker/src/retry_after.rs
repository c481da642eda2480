//! The `Retry-After` header of a response.

use std::time::{Duration, UNIX_EPOCH};

use chargegate_core::{UnixMillis, parse_retry_after};

/// Returns the wait that a `Retry-After` header asks for at the time `now`, as seconds or as a date (RFC 9110 section
/// 10.2.3). A date in the past is no wait; any other value is ignored.
pub(crate) fn parse(value: &[u8], now: UnixMillis) -> Option<Duration> {
    let value = value.trim_ascii();
    parse_retry_after(value).or_else(|| {
        let date = httpdate::parse_http_date(std::str::from_utf8(value).ok()?).ok()?;
        let since_epoch = date.duration_since(UNIX_EPOCH).unwrap_or_default();
        Some(since_epoch.saturating_sub(Duration::from_millis(now.0)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: &str, seconds: Option<u64>) {
        // 1994-11-06T08:49:37Z.
        let now = UnixMillis(784_111_777_000);
        let found = parse(value.as_bytes(), now);
        assert_eq!(found, seconds.map(Duration::from_secs), "{value}");
    }

    #[test]
    fn a_wait_is_seconds_or_a_date() {
        check("0", Some(0));
        check("120", Some(120));
        check("99999999999999999999999999", Some(u64::MAX));
        check("Sun, 06 Nov 1994 08:49:47 GMT", Some(10));
        check("Sunday, 06-Nov-94 08:49:47 GMT", Some(10));
        check("Sun, 06 Nov 1994 08:49:36 GMT", Some(0));
        check("Fri, 31 Dec 9999 23:59:59 GMT", Some(252_618_189_022));
        check("", None);
        check("-1", None);
        check("soon", None);
    }
}
