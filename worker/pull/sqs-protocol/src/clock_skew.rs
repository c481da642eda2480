//! The difference between the clocks of this machine and of the service.

use core::time::Duration;

use chargegate_core::UnixMillis;

/// Skew below which a signature cannot be invalid for its time: the service accepts one for at least 5 minutes.
const TOLERATED_SKEW: Duration = Duration::from_mins(4);

/// Difference between the clocks of this machine and of the service. At least one of its parts is zero; both are if only
/// the fact is known that the clocks are too far apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockSkew {
    /// Lead of this machine's clock.
    pub ahead: Duration,
    /// Lag of this machine's clock.
    pub behind: Duration,
}

impl ClockSkew {
    /// Returns the skew if it exceeds the tolerance of signatures. `now` is the time of this machine, `service_now` that
    /// of the service's response.
    #[must_use]
    pub fn beyond_tolerance(now: UnixMillis, service_now: UnixMillis) -> Option<Self> {
        let skew = Self { ahead: now.since(service_now), behind: service_now.since(now) };
        (skew.ahead.max(skew.behind) > TOLERATED_SKEW).then_some(skew)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_minutes_are_tolerated_in_both_directions() {
        let base = UnixMillis(1_000_000_000);
        let tolerated = base.plus(TOLERATED_SKEW);
        assert_eq!(ClockSkew::beyond_tolerance(tolerated, base), None);
        assert_eq!(ClockSkew::beyond_tolerance(base, tolerated), None);
        let beyond = base.plus(TOLERATED_SKEW + Duration::from_millis(1));
        let skew = ClockSkew::beyond_tolerance(beyond, base).unwrap();
        assert_eq!((skew.ahead, skew.behind), (TOLERATED_SKEW + Duration::from_millis(1), Duration::ZERO));
        let skew = ClockSkew::beyond_tolerance(base, beyond).unwrap();
        assert_eq!((skew.ahead, skew.behind), (Duration::ZERO, TOLERATED_SKEW + Duration::from_millis(1)));
    }
}
