//! Retries of callbacks: the wait before the next attempt, and the reasons to give up.

use core::num::NonZeroU32;
use core::time::Duration;

/// Shortest time between the end of a callback and its repetition for a repeated request.
pub const CALLBACK_RESEND_INTERVAL: Duration = Duration::from_mins(1);

/// The outcome of one attempt to deliver a callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// The receiver answered.
    Answered {
        /// The HTTP status.
        status: u16,
        /// The wait that the receiver asked for in `Retry-After`, if any.
        retry_after: Option<Duration>,
    },
    /// The policy forbids the destination.
    Blocked,
    /// The receiver did not answer: the connection was refused or cut off, the name did not resolve, or time ran out.
    Failed,
}

/// The consequence of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextAttempt {
    /// The callback is delivered.
    Delivered,
    /// Try again after a wait.
    Retry {
        /// The wait before the next attempt.
        after: Duration,
    },
    /// Make the callback a dead letter.
    GiveUp(GiveUpReason),
}

/// The reason why a callback became a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GiveUpReason {
    /// The receiver answered 410 Gone.
    Gone,
    /// The policy forbids the destination.
    Blocked,
    /// The attempts are used up.
    Attempts,
    /// The time is used up.
    Time,
    /// Too many callbacks to its host were waiting already.
    Backlog,
}

impl GiveUpReason {
    /// Returns the name in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Blocked => "blocked_address",
            Self::Attempts => "attempts_used_up",
            Self::Time => "time_used_up",
            Self::Backlog => "host_backlog",
        }
    }
}

/// A schedule of retries: exponential backoff with full jitter, limited in attempts and in time.
///
/// ```
/// use std::num::NonZeroU32;
/// use std::time::Duration;
///
/// use chargegate_core::{AttemptOutcome, GiveUpReason, NextAttempt, RetryPolicy};
///
/// let policy = RetryPolicy::default();
/// let first = NonZeroU32::MIN;
/// let answer = |status| AttemptOutcome::Answered { status, retry_after: None };
/// // The caller draws the jitter; this one is the upper bound.
/// let next = |outcome| policy.next_attempt(outcome, first, Duration::ZERO, u32::MAX);
///
/// assert_eq!(next(answer(204)), NextAttempt::Delivered);
/// assert_eq!(next(answer(503)), NextAttempt::Retry { after: policy.base });
/// assert_eq!(next(answer(410)), NextAttempt::GiveUp(GiveUpReason::Gone));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Upper bound of the first wait; it doubles with each attempt. With full jitter the mean wait is half of it.
    pub base: Duration,
    /// Upper bound of all waits, including those that a receiver asks for.
    pub cap: Duration,
    /// Largest number of attempts.
    pub max_attempts: NonZeroU32,
    /// Age of the decision after which no attempt starts.
    pub give_up_after: Duration,
}

impl Default for RetryPolicy {
    /// Returns a policy of 60 attempts within 24 hours, with a mean first wait of 0.5 s and a longest wait of an hour.
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
    /// Returns the consequence of attempt number `attempt`, made at an `age` of the decision; `jitter` must be uniformly
    /// distributed over `u32`.
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

    /// "Full jitter", uniform between zero and the doubling bound, spreads many clients best.
    fn wait(&self, attempt: NonZeroU32, jitter: u32) -> Duration {
        full_jitter(self.base, attempt.get() - 1, self.cap, jitter)
    }
}

/// Returns a wait between zero and `base` doubled `doublings` times, but at most `cap`; uniform if `jitter` is.
#[must_use]
pub fn full_jitter(base: Duration, doublings: u32, cap: Duration, jitter: u32) -> Duration {
    let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
    let bound = base.saturating_mul(factor).min(cap);
    let nanos = bound.as_nanos() * u128::from(jitter) / u128::from(u32::MAX);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
