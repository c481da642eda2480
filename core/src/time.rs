//! Timestamps in milliseconds since 1970, the form in which they travel.

use core::fmt;
use core::time::Duration;

/// A point in time, in milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// Latest valid timestamp: 2^53 - 1 ms, which every JSON parser represents exactly (RFC 8259 section 6) and to which
    /// durations can be added without overflow.
    pub const MAX: Self = Self((1 << 53) - 1);

    /// Returns the time from `earlier` to `self`, or zero if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// Returns the time `delay` later, rounded down to a millisecond; at most [`UnixMillis::MAX`].
    #[must_use]
    pub fn plus(self, delay: Duration) -> Self {
        let delay = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(delay)).min(Self::MAX)
    }

    /// Returns the time `delay` earlier, but not before 1970.
    #[must_use]
    pub fn minus(self, delay: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX)))
    }

    /// Converts to date and time of day in UTC.
    #[must_use]
    pub const fn utc_date_time(self) -> UtcDateTime {
        let seconds = self.0 / 1000;
        let (year, month, day) = date(seconds / 86_400);
        UtcDateTime {
            year,
            month,
            day,
            hour: seconds / 3600 % 24,
            minute: seconds / 60 % 60,
            second: seconds % 60,
            millisecond: self.0 % 1000,
        }
    }
}

/// A date of the Gregorian calendar and a time of day, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are self-explanatory")]
pub struct UtcDateTime {
    pub year: u64,
    pub month: u64,
    pub day: u64,
    pub hour: u64,
    pub minute: u64,
    pub second: u64,
    pub millisecond: u64,
}

/// Displays the time in RFC 3339, to the millisecond.
impl fmt::Display for UtcDateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { year, month, day, hour, minute, second, millisecond } = self;
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millisecond:03}Z")
    }
}

/// Converts a number of days since 1970-01-01 to year, month and day. Years are counted from March, so that the leap
/// day is the last day of its year, in periods of 400 years, which all have the same number of days.
const fn date(days: u64) -> (u64, u64, u64) {
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
    extern crate std;

    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(millis: u64, date: [u64; 3], time: [u64; 4]) {
        let UtcDateTime { year, month, day, hour, minute, second, millisecond } =
            UnixMillis(millis).utc_date_time();
        assert_eq!(([year, month, day], [hour, minute, second, millisecond]), (date, time));
    }

    #[test]
    fn leap_days_are_counted() {
        check(0, [1970, 1, 1], [0, 0, 0, 0]);
        check(951_827_445_007, [2000, 2, 29], [12, 30, 45, 7]);
        check(1_796_083_199_999, [2026, 11, 30], [23, 59, 59, 999]);
        check(4_107_542_399_000, [2100, 2, 28], [23, 59, 59, 0]);
        check(4_107_542_400_000, [2100, 3, 1], [0, 0, 0, 0]);
        // The conversion accepts every number.
        assert_eq!(UnixMillis(u64::MAX).utc_date_time().hour, 14);
    }

    proptest! {
        #[test]
        fn the_conversion_agrees_with_the_httpdate_crate(seconds in 0..253_402_300_800_u64) {
            let UtcDateTime { year, month, day, hour, minute, second, .. } = UnixMillis(seconds * 1000).utc_date_time();
            let names = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
            let month = names[usize::try_from(month).unwrap() - 1];
            let found = std::format!("{day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT");
            let time = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            let expected = httpdate::fmt_http_date(time);
            prop_assert_eq!(expected.split_once(", ").map(|(_weekday, rest)| rest), Some(found.as_str()));
        }
    }
}
