//! The time as it travels: milliseconds since 1970.

use core::time::Duration;

/// A moment, in whole milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// The latest moment a timestamp may name: 2^53 - 1 ms, which every JSON reader holds exactly and which
    /// leaves room to add to (RFC 8259 section 6).
    pub const MAX: Self = Self((1 << 53) - 1);

    /// The time from `earlier` to `self`, zero when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// The moment `delay` later, rounded down to a millisecond; at most [`UnixMillis::MAX`].
    #[must_use]
    pub fn plus(self, delay: Duration) -> Self {
        let delay = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(delay)).min(Self::MAX)
    }

    /// The moment `delay` earlier, not before 1970.
    #[must_use]
    pub fn minus(self, delay: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX)))
    }

    /// The moment in UTC.
    #[must_use]
    pub const fn date_time(self) -> DateTime {
        let seconds = self.0 / 1000;
        let (year, month, day) = date(seconds / 86_400);
        DateTime {
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

/// A moment by the Gregorian calendar and the clock, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it all")]
pub struct DateTime {
    pub year: u64,
    pub month: u64,
    pub day: u64,
    pub hour: u64,
    pub minute: u64,
    pub second: u64,
    pub millisecond: u64,
}

/// The Gregorian date so many days after 1970-01-01. Years are counted from March, so that the leap day is the last
/// day of its year, in periods of 400 years, which all have the same number of days.
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
    use super::*;

    #[track_caller]
    fn check(millis: u64, date: [u64; 3], time: [u64; 4]) {
        let DateTime { year, month, day, hour, minute, second, millisecond } = UnixMillis(millis).date_time();
        assert_eq!(([year, month, day], [hour, minute, second, millisecond]), (date, time));
    }

    #[test]
    fn dates_have_their_leap_days() {
        check(0, [1970, 1, 1], [0, 0, 0, 0]);
        check(951_827_445_007, [2000, 2, 29], [12, 30, 45, 7]);
        check(1_796_083_199_999, [2026, 11, 30], [23, 59, 59, 999]);
        check(4_107_542_399_000, [2100, 2, 28], [23, 59, 59, 0]);
        check(4_107_542_400_000, [2100, 3, 1], [0, 0, 0, 0]);
        // No number is too large.
        assert_eq!(UnixMillis(u64::MAX).date_time().hour, 14);
    }
}
