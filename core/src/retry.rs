//! When a callback is tried again, and when it is given up.

use core::num::NonZeroU32;
use core::time::Duration;

/// What one attempt to deliver a callback came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// The receiver answered; `retry_after` is what its header asked for, if anything.
    Answered {
        /// The HTTP status.
        status: u16,
        /// The wait the receiver asked for.
        retry_after: Option<Duration>,
    },
    /// The address is one that is never called.
    Blocked,
    /// There was no answer: refused, cut, unresolved, or too slow.
    Failed,
}

/// What follows an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextAttempt {
    /// The callback has arrived.
    Delivered,
    /// Try again after this wait.
    Retry {
        /// The wait.
        after: Duration,
    },
    /// Put it with the dead letters.
    GiveUp(GiveUpReason),
}

/// Why a callback is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GiveUpReason {
    /// The receiver answered 410 Gone.
    Gone,
    /// The address is one that is never called.
    Blocked,
    /// The attempts are used up.
    Attempts,
    /// The time is used up.
    Time,
}

impl GiveUpReason {
    /// The name in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Blocked => "blocked_address",
            Self::Attempts => "attempts_used_up",
            Self::Time => "time_used_up",
        }
    }
}

/// Exponential waits with full jitter, within a number of attempts and a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// The longest first wait; the longest wait doubles with each attempt. With full jitter the mean is half.
    pub base: Duration,
    /// No wait is longer, whatever a receiver asks for.
    pub cap: Duration,
    /// Attempts there are at most.
    pub max_attempts: NonZeroU32,
    /// No attempt begins later than this after the decision.
    pub give_up_after: Duration,
}

impl Default for RetryPolicy {
    /// The first wait is about 0.5 s and the longest an hour; 60 attempts within 24 hours.
    fn default() -> Self {
        Self {
            base: Duration::from_secs(1),
            cap: Duration::from_hours(1),
            max_attempts: const { NonZeroU32::new(60).unwrap() },
            give_up_after: Duration::from_hours(24),
        }
    }
}

impl RetryPolicy {
    /// What follows the attempt numbered `attempt`, `age` after the decision, with `jitter` drawn evenly from all
    /// of `u32`.
    #[must_use]
    pub fn next_attempt(
        &self,
        outcome: AttemptOutcome,
        attempt: NonZeroU32,
        age: Duration,
        jitter: u32,
    ) -> NextAttempt {
        let asked = match outcome {
            AttemptOutcome::Answered { status: 200..=299, .. } => return NextAttempt::Delivered,
            AttemptOutcome::Answered { status: 410, .. } => return NextAttempt::GiveUp(GiveUpReason::Gone),
            AttemptOutcome::Blocked => return NextAttempt::GiveUp(GiveUpReason::Blocked),
            AttemptOutcome::Answered { retry_after, .. } => retry_after.unwrap_or_default(),
            AttemptOutcome::Failed => Duration::ZERO,
        };
        if attempt >= self.max_attempts {
            return NextAttempt::GiveUp(GiveUpReason::Attempts);
        }
        let after = self.wait(attempt, jitter).max(asked).min(self.cap);
        if age.saturating_add(after) > self.give_up_after {
            return NextAttempt::GiveUp(GiveUpReason::Time);
        }
        NextAttempt::Retry { after }
    }

    /// "Full jitter": even between zero and the doubling bound, which spreads a crowd best.
    fn wait(&self, attempt: NonZeroU32, jitter: u32) -> Duration {
        full_jitter(self.base, attempt.get() - 1, self.cap, jitter)
    }
}

/// A wait drawn evenly between zero and `base` doubled `doublings` times, at most `cap`.
#[must_use]
pub fn full_jitter(base: Duration, doublings: u32, cap: Duration, jitter: u32) -> Duration {
    let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
    let bound = base.saturating_mul(factor).min(cap);
    let nanos = bound.as_nanos() * u128::from(jitter) / u128::from(u32::MAX);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HALF: u32 = u32::MAX / 2 + 1;

    fn attempt(n: u32) -> NonZeroU32 {
        NonZeroU32::new(n).unwrap()
    }

    fn answered(status: u16) -> AttemptOutcome {
        AttemptOutcome::Answered { status, retry_after: None }
    }

    #[track_caller]
    fn check(outcome: AttemptOutcome, n: u32, age_s: u64, expected: NextAttempt) {
        let found =
            RetryPolicy::default().next_attempt(outcome, attempt(n), Duration::from_secs(age_s), HALF);
        let rounded = match found {
            NextAttempt::Retry { after } => {
                NextAttempt::Retry { after: Duration::from_millis(u64::try_from(after.as_millis()).unwrap()) }
            }
            other => other,
        };
        assert_eq!(rounded, expected, "{outcome:?} {n} {age_s}");
    }

    fn retry(ms: u64) -> NextAttempt {
        NextAttempt::Retry { after: Duration::from_millis(ms) }
    }

    #[test]
    fn only_2xx_is_delivered_and_410_gives_up() {
        for status in [200, 201, 204, 299] {
            check(answered(status), 1, 0, NextAttempt::Delivered);
        }
        for status in [0, 199, 300, 301, 302, 307, 308, 400, 401, 404, 408, 409, 411, 429, 500, 503, 599, 999]
        {
            check(answered(status), 1, 0, retry(500));
        }
        check(answered(410), 1, 0, NextAttempt::GiveUp(GiveUpReason::Gone));
        check(AttemptOutcome::Blocked, 1, 0, NextAttempt::GiveUp(GiveUpReason::Blocked));
        check(AttemptOutcome::Failed, 1, 0, retry(500));
    }

    #[test]
    fn waits_double_up_to_the_cap_and_end() {
        check(AttemptOutcome::Failed, 2, 0, retry(1000));
        check(AttemptOutcome::Failed, 12, 0, retry(1_024_000));
        check(AttemptOutcome::Failed, 13, 0, retry(1_800_000));
        check(AttemptOutcome::Failed, 59, 0, retry(1_800_000));
        check(AttemptOutcome::Failed, 60, 0, NextAttempt::GiveUp(GiveUpReason::Attempts));
        check(AttemptOutcome::Failed, 13, 84_599, retry(1_800_000));
        check(AttemptOutcome::Failed, 13, 84_601, NextAttempt::GiveUp(GiveUpReason::Time));
        check(answered(200), 60, 99_999, NextAttempt::Delivered);
    }

    #[test]
    fn a_receiver_may_ask_for_a_longer_wait_up_to_the_cap() {
        let asking = |retry_after| AttemptOutcome::Answered { status: 503, retry_after: Some(retry_after) };
        check(asking(Duration::from_secs(30)), 1, 0, retry(30_000));
        check(asking(Duration::from_millis(1)), 1, 0, retry(500));
        check(asking(Duration::MAX), 1, 0, retry(3_600_000));
    }

    proptest! {
        #[test]
        fn no_wait_exceeds_the_cap_or_the_time(n in 1..u32::MAX, age: Duration, asked: Option<Duration>, jitter: u32) {
            let policy = RetryPolicy::default();
            let outcome = AttemptOutcome::Answered { status: 500, retry_after: asked };
            if let NextAttempt::Retry { after } = policy.next_attempt(outcome, attempt(n), age, jitter) {
                prop_assert!(after <= policy.cap && age + after <= policy.give_up_after);
            }
        }
    }
}
