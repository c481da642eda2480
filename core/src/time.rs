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
}
