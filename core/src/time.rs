//! Timestamps in milliseconds since 1970, the form in which they travel.

use core::time::Duration;

/// A point in time, in milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
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

    /// Reads a date of HTTP in its current form, like `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 section 5.6.7).
    #[must_use]
    pub fn from_http_date(text: &str) -> Option<Self> {
        const MONTHS: [&str; 12] =
            ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let (_, rest) = text.split_once(", ")?;
        let mut words = rest.strip_suffix(" GMT")?.split([' ', ':']);
        let day = digits(words.next()?, 2, 1, 31)?;
        let name = words.next()?;
        let month = (1..).zip(MONTHS).find_map(|(month, known)| (name == known).then_some(month))?;
        let days = days(digits(words.next()?, 4, 1970, 9999)?, month, day);
        let hours = days * 24 + digits(words.next()?, 2, 0, 23)?;
        let minutes = hours * 60 + digits(words.next()?, 2, 0, 59)?;
        let seconds = minutes * 60 + digits(words.next()?, 2, 0, 60)?;
        words.next().is_none().then_some(Self(seconds * 1000))
    }
}

/// The number that so many digits stand for, if it is from `least` to `most`.
fn digits(text: &str, count: usize, least: u64, most: u64) -> Option<u64> {
    let are_digits = text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| are_digits)?;
    (least..=most).contains(&number).then_some(number)
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

/// How many days after 1970-01-01 a Gregorian date is: what [`date`] turns round.
const fn days(year: u64, month: u64, day: u64) -> u64 {
    let year = if month > 2 { year } else { year - 1 };
    let in_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    365 * year + year / 4 - year / 100 + year / 400 + in_year - 719_468
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

    #[test]
    fn what_is_no_date_of_http_is_none() {
        let good = "Sun, 06 Nov 1994 08:49:37 GMT";
        assert_eq!(UnixMillis::from_http_date(good), Some(UnixMillis(784_111_777_000)));
        for (from, to) in [
            ("06", "6"),
            ("06", "00"),
            ("06", "32"),
            ("06", "+6"),
            ("Nov", "nov"),
            ("1994", "1969"),
            ("1994", "94"),
            ("08", "24"),
            ("49", "60"),
            ("37", "61"),
            ("37", "37:00"),
            (":37", ""),
            (" GMT", ""),
            ("GMT", "CET"),
            ("Sun, ", ""),
        ] {
            let text = good.replacen(from, to, 1);
            assert_eq!(UnixMillis::from_http_date(&text), None, "{text}");
        }
        assert_eq!(UnixMillis::from_http_date(""), None);
    }

    proptest! {
        #[test]
        fn a_date_of_http_reads_back(seconds in 0..253_402_300_800_u64) {
            let text = httpdate::fmt_http_date(std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
            prop_assert_eq!(UnixMillis::from_http_date(&text), Some(UnixMillis(seconds * 1000)));
        }
    }
}
