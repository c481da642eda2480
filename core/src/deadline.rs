//! The decision deadline: the age of a message, the calls that still fit, and the age at which it is shed.

use core::fmt;
use core::time::Duration;

use crate::time::UnixMillis;

/// Largest difference between two clocks at which the producer's timestamp is still used.
const MAX_CLOCK_SKEW: Duration = Duration::from_secs(1);

/// The age of a message and the consistency of the timestamps it was computed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageAge {
    /// The age at the time of measurement; later ages are derived from it by a monotonic clock.
    pub value: Duration,
    /// The consistency of the timestamps.
    pub timestamps: TimestampCheck,
}

/// The result of comparing a message's timestamps with each other and with the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampCheck {
    /// The timestamps agree.
    Consistent,
    /// The producer's and the engine's timestamps differ by more than a second; the engine's was used.
    Skewed,
    /// The timestamp lies in the future; the age counts as zero.
    Future,
}

impl MessageAge {
    /// Computes the age of a message at `now` from the producer's timestamp, or from the engine's if the two differ.
    #[must_use]
    pub fn measure(now: UnixMillis, accepted_at: UnixMillis, enqueued_at: Option<UnixMillis>) -> Self {
        let (start, mut timestamps) = match enqueued_at {
            Some(enqueued_at)
                if accepted_at.since(enqueued_at).max(enqueued_at.since(accepted_at)) > MAX_CLOCK_SKEW =>
            {
                (enqueued_at, TimestampCheck::Skewed)
            }
            _ => (accepted_at, TimestampCheck::Consistent),
        };
        if start > now {
            timestamps = TimestampCheck::Future;
        }
        Self { value: now.since(start), timestamps }
    }
}

/// The time limits of a decision.
///
/// ```
/// use std::time::Duration;
///
/// use chargegate_core::{DecisionRules, DecisionStep};
///
/// let call_timeout = Duration::from_secs(2);
/// let rules = DecisionRules::new(Duration::from_secs(10), call_timeout, Duration::from_millis(500))?;
///
/// // A new message is put to the authorization service; one that is older than 7.5 s is decided without a call,
/// // since a call of 2 s and the commit of 0.5 s would end after the deadline.
/// assert_eq!(rules.next_step(Duration::from_secs(1)), DecisionStep::Call { timeout: call_timeout });
/// assert_eq!(rules.shed_at(), Duration::from_millis(7500));
/// assert_eq!(rules.next_step(Duration::from_secs(8)), DecisionStep::Shed);
/// # Ok::<(), chargegate_core::DecisionRulesError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecisionRules {
    deadline: Duration,
    call_timeout: Duration,
    commit_margin: Duration,
}

/// The step that follows for a message of a given age.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecisionStep {
    /// Call the authorization service.
    Call {
        /// Timeout of the complete call.
        timeout: Duration,
    },
    /// Decide without a (further) call: one that starts now could end too late to count.
    Shed,
}

impl DecisionRules {
    /// Default commit margin: enough for a commit on a busy machine.
    pub const COMMIT_MARGIN: Duration = Duration::from_millis(500);

    /// Creates rules under which a decision is committed within `deadline` of the acceptance, one call takes at most
    /// `call_timeout`, and `commit_margin` is reserved for the commit.
    ///
    /// # Errors
    /// [`DecisionRulesError`] if no call fits.
    pub const fn new(
        deadline: Duration,
        call_timeout: Duration,
        commit_margin: Duration,
    ) -> Result<Self, DecisionRulesError> {
        if call_timeout.is_zero() || deadline.as_nanos() <= call_timeout.as_nanos() + commit_margin.as_nanos()
        {
            return Err(DecisionRulesError);
        }
        Ok(Self { deadline, call_timeout, commit_margin })
    }

    /// Returns the age by which a decision is committed.
    #[must_use]
    pub const fn deadline(&self) -> Duration {
        self.deadline
    }

    /// Returns the time-out of one call.
    #[must_use]
    pub const fn call_timeout(&self) -> Duration {
        self.call_timeout
    }

    /// Returns the age after which no call starts. Without this margin, calls that have no time left would waste the
    /// capacity of the service just when it is scarce.
    #[must_use]
    pub const fn shed_at(&self) -> Duration {
        self.deadline.saturating_sub(self.call_timeout).saturating_sub(self.commit_margin)
    }

    /// Returns the step for a message of `age`: a call starts only if a complete one fits before the margin.
    #[must_use]
    pub fn next_step(&self, age: Duration) -> DecisionStep {
        if age <= self.shed_at() {
            DecisionStep::Call { timeout: self.call_timeout }
        } else {
            DecisionStep::Shed
        }
    }

    /// Returns the time that a message of `age` may still wait for a slot before its call must start.
    #[must_use]
    pub const fn max_slot_wait(&self, age: Duration) -> Duration {
        self.shed_at().saturating_sub(age)
    }

    /// Returns `true` if a decision committed at `age` is late.
    #[must_use]
    pub fn is_late(&self, age: Duration) -> bool {
        age > self.deadline
    }
}

/// The error for a deadline that leaves no time for a call and the commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecisionRulesError;

impl fmt::Display for DecisionRulesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the decision deadline must be longer than the call timeout, above zero, and the commit margin together")
    }
}

impl core::error::Error for DecisionRulesError {}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_call_starts_only_while_it_fits_before_the_margin() {
        let rules = DecisionRules::new(ms(10_000), ms(2000), ms(500)).unwrap();
        assert_eq!(rules.shed_at(), ms(7500));
        for (age, expected) in [
            (0, DecisionStep::Call { timeout: ms(2000) }),
            (7500, DecisionStep::Call { timeout: ms(2000) }),
            (7501, DecisionStep::Shed),
            (20_000, DecisionStep::Shed),
        ] {
            assert_eq!(rules.next_step(ms(age)), expected, "{age}");
        }
        assert_eq!((rules.max_slot_wait(ms(500)), rules.max_slot_wait(ms(9000))), (ms(7000), ms(0)));
        assert_eq!((rules.is_late(ms(10_000)), rules.is_late(ms(10_001))), (false, true));
    }

    #[test]
    fn rules_that_leave_no_time_for_a_call_are_refused() {
        assert!(DecisionRules::new(ms(2501), ms(2000), ms(500)).is_ok());
        assert_eq!(DecisionRules::new(ms(2500), ms(2000), ms(500)), Err(DecisionRulesError));
        assert_eq!(DecisionRules::new(ms(2500), ms(0), ms(500)), Err(DecisionRulesError));
    }

    #[track_caller]
    fn check(accepted: u64, enqueued: Option<u64>, expected: (u64, TimestampCheck)) {
        let age = MessageAge::measure(UnixMillis(100_000), UnixMillis(accepted), enqueued.map(UnixMillis));
        assert_eq!((age.value, age.timestamps), (ms(expected.0), expected.1), "{accepted} {enqueued:?}");
    }

    #[test]
    fn the_engines_timestamp_is_used_if_the_clocks_differ() {
        check(99_000, None, (1000, TimestampCheck::Consistent));
        check(99_000, Some(100_000), (1000, TimestampCheck::Consistent));
        check(98_999, Some(100_000), (0, TimestampCheck::Skewed));
        check(100_500, Some(99_000), (1000, TimestampCheck::Skewed));
        check(101_000, None, (0, TimestampCheck::Future));
        check(0, Some(101_000), (0, TimestampCheck::Future));
    }
}
