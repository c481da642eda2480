//! Moments as people read them.

use std::fmt;

use chargegate_core::UnixMillis;

/// A moment in RFC 3339, UTC, to the millisecond.
pub(crate) struct Timestamp(pub(crate) UnixMillis);

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let UnixMillis(millis) = self.0;
        let seconds = millis / 1000;
        let (year, month, day) = date(seconds / 86_400);
        let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", millis % 1000)
    }
}

/// The Gregorian date so many days after 1970-01-01. Years are counted from March, so that the leap day is the last
/// day of its year, in periods of 400 years, which all have the same number of days.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (period, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (period * 400 + year + next, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_have_their_leap_days() {
        let check = |millis, expected: &str| assert_eq!(Timestamp(UnixMillis(millis)).to_string(), expected);
        check(0, "1970-01-01T00:00:00.000Z");
        check(951_827_445_007, "2000-02-29T12:30:45.007Z");
        check(1_796_083_199_999, "2026-11-30T23:59:59.999Z");
        check(4_107_542_399_000, "2100-02-28T23:59:59.000Z");
        check(4_107_542_400_000, "2100-03-01T00:00:00.000Z");
    }
}
