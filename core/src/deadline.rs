//! When a message is decided: its age, the calls that still fit, and the moment it is shed.

use core::fmt;
use core::time::Duration;

use crate::time::UnixMillis;

/// Clocks may differ by this much before a message's own time is doubted.
const SKEW: Duration = Duration::from_secs(1);

/// How old a message is, and what was odd about its times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageAge {
    /// The age when it was measured; from then on a monotonic clock counts.
    pub value: Duration,
    /// What was odd.
    pub timestamps: TimestampCheck,
}

/// What was odd about a message's times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampCheck {
    /// Nothing.
    Consistent,
    /// The producer's time and the engine's differ by more than a second, and the engine's was taken.
    Skewed,
    /// The time lies in the future, and the age was taken for zero.
    Future,
}

impl MessageAge {
    /// The age of a message at `now`, by its producer's time or, where the engine knows better, the engine's.
    #[must_use]
    pub fn measure(now: UnixMillis, accepted_at: UnixMillis, enqueued_at: Option<UnixMillis>) -> Self {
        let (start, mut timestamps) = match enqueued_at {
            Some(enqueued_at)
                if accepted_at.since(enqueued_at).max(enqueued_at.since(accepted_at)) > SKEW =>
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

/// The times a decision keeps to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecisionRules {
    deadline: Duration,
    call_timeout: Duration,
    commit_margin: Duration,
}

/// What to do with a message of some age.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecisionStep {
    /// Ask the authorization service, for no longer than this.
    Call {
        /// The timeout of the whole call.
        timeout: Duration,
    },
    /// Decide without asking (again): a call begun now could end too late to count.
    Shed,
}

impl DecisionRules {
    /// A decision is committed by `deadline` after the request was accepted; one call may take `call_timeout`, and
    /// `commit_margin` is kept free for the commit.
    ///
    /// # Errors
    /// [`DecisionRulesError`] when no call would fit.
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

    /// The age by which a decision is committed.
    #[must_use]
    pub const fn deadline(&self) -> Duration {
        self.deadline
    }

    /// The age from which no call is begun any more: without this margin, calls begun with no time left waste the
    /// service's capacity just when it is short.
    #[must_use]
    pub const fn shed_at(&self) -> Duration {
        self.deadline.saturating_sub(self.call_timeout).saturating_sub(self.commit_margin)
    }

    /// What to do at `age`: calls begin only while a whole one fits before the margin.
    #[must_use]
    pub fn next_step(&self, age: Duration) -> DecisionStep {
        if age <= self.shed_at() {
            DecisionStep::Call { timeout: self.call_timeout }
        } else {
            DecisionStep::Shed
        }
    }

    /// How long a message of `age` may still wait for its call to begin.
    #[must_use]
    pub const fn max_slot_wait(&self, age: Duration) -> Duration {
        self.shed_at().saturating_sub(age)
    }

    /// Whether a decision committed at `age` is late.
    #[must_use]
    pub fn is_late(&self, age: Duration) -> bool {
        age > self.deadline
    }
}

/// The deadline leaves no room for a call and the commit.
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
    fn a_call_begins_only_while_it_fits_before_the_margin() {
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
    fn rules_that_leave_no_room_for_a_call_are_refused() {
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
    fn the_engines_time_is_taken_where_clocks_differ() {
        check(99_000, None, (1000, TimestampCheck::Consistent));
        check(99_000, Some(100_000), (1000, TimestampCheck::Consistent));
        check(98_999, Some(100_000), (0, TimestampCheck::Skewed));
        check(100_500, Some(99_000), (1000, TimestampCheck::Skewed));
        check(101_000, None, (0, TimestampCheck::Future));
        check(0, Some(101_000), (0, TimestampCheck::Future));
    }
}
