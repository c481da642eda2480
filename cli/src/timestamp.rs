//! Points in time as people read them.

use std::fmt;
use std::time::{Duration, SystemTime};

use chargegate_core::{UnixMillis, UtcDateTime};

/// Displays a time in RFC 3339, in UTC, to the millisecond.
pub(crate) struct UtcTimestamp(pub(crate) UnixMillis);

impl fmt::Display for UtcTimestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.utc_date_time().fmt(f)
    }
}

/// Displays the time of day of a time, in UTC, to the millisecond.
pub(crate) struct UtcTimeOfDay(pub(crate) UnixMillis);

impl fmt::Display for UtcTimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let UtcDateTime { hour, minute, second, millisecond, .. } = self.0.utc_date_time();
        write!(f, "{hour:02}:{minute:02}:{second:02}.{millisecond:03}Z")
    }
}

/// Converts the system's time; a time before 1970 becomes 1970.
pub(crate) fn unix_millis(time: SystemTime) -> UnixMillis {
    UnixMillis::default().plus(time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_padded_with_zeros() {
        let check =
            |millis, expected: &str| assert_eq!(UtcTimestamp(UnixMillis(millis)).to_string(), expected);
        check(0, "1970-01-01T00:00:00.000Z");
        check(951_827_445_007, "2000-02-29T12:30:45.007Z");
    }
}
