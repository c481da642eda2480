//! Moments as people read them.

use std::fmt;

use chargegate_core::{UnixMillis, UtcDateTime};

/// A moment in RFC 3339, UTC, to the millisecond.
pub(crate) struct UtcTimestamp(pub(crate) UnixMillis);

impl fmt::Display for UtcTimestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let UtcDateTime { year, month, day, hour, minute, second, millisecond } = self.0.utc_date_time();
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millisecond:03}Z")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_has_its_digits() {
        let check =
            |millis, expected: &str| assert_eq!(UtcTimestamp(UnixMillis(millis)).to_string(), expected);
        check(0, "1970-01-01T00:00:00.000Z");
        check(951_827_445_007, "2000-02-29T12:30:45.007Z");
    }
}
