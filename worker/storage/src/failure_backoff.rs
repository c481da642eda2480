//! Backoff and rate-limited warnings for a failing dependency.

use std::time::Duration;

use chargegate_core::full_jitter;
use tokio::time::Instant;

use crate::effects::Effects;

/// Minimum interval between two warnings of one failing dependency.
const WARN_EVERY: Duration = Duration::from_mins(1);

/// A series of failures of one dependency.
#[derive(Debug, Default)]
pub struct FailureBackoff {
    failures: u32,
    /// The time at which the last failure was counted.
    counted: Option<Instant>,
    next_warning: Option<Instant>,
}

impl FailureBackoff {
    /// Returns whether to log a warning now: once per minute.
    pub fn should_warn(&mut self) -> bool {
        let now = Instant::now();
        let due = self.next_warning.is_none_or(|next| next <= now);
        if due {
            self.next_warning = Some(now + WARN_EVERY);
        }
        due
    }

    /// Counts a failure and returns the jittered delay before the next attempt; delays grow up to `cap`.
    pub fn next_delay(&mut self, base: Duration, cap: Duration, effects: &Effects) -> Duration {
        self.next_delay_since(Instant::now(), base, cap, effects)
    }

    /// Counts the failure of a call that began at `begun` and returns the jittered delay before the next attempt.
    ///
    /// Concurrent calls fail for the same reason: calls that began before a counted failure are not counted again.
    pub fn next_delay_since(
        &mut self,
        begun: Instant,
        base: Duration,
        cap: Duration,
        effects: &Effects,
    ) -> Duration {
        if self.counted.is_none_or(|counted| begun >= counted) {
            self.failures = self.failures.saturating_add(1);
            self.counted = Some(Instant::now());
        }
        full_jitter(base, self.failures.saturating_sub(1), cap, effects.random.jitter())
    }

    /// Ends the series after a success. Returns whether there was a failure.
    pub fn reset(&mut self) -> bool {
        std::mem::take(self).failures > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_lasting_failure_is_warned_about_once_per_minute() {
        let mut backoff = FailureBackoff::default();
        assert!(backoff.should_warn());
        let moment = Duration::from_millis(1);
        tokio::time::advance(WARN_EVERY.saturating_sub(moment)).await;
        assert!(!backoff.should_warn());
        tokio::time::advance(moment).await;
        assert!(backoff.should_warn() && !backoff.should_warn());
        backoff.reset();
        assert!(backoff.should_warn());
    }

    #[tokio::test(start_paused = true)]
    async fn concurrent_failures_count_once() {
        let (mut backoff, effects) = (FailureBackoff::default(), crate::testing::effects());
        let (base, cap) = (Duration::from_millis(100), Duration::from_secs(5));
        for round in 1..=2 {
            let begun = Instant::now();
            for _ in 0..16 {
                tokio::time::advance(Duration::from_millis(1)).await;
                let wait = backoff.next_delay_since(begun, base, cap, &effects);
                assert!(wait <= base * round, "{wait:?}");
            }
            assert_eq!(backoff.failures, round);
        }
        let begun = Instant::now();
        assert!(backoff.reset(), "one succeeded");
        assert!(backoff.next_delay_since(begun, base, cap, &effects) <= base);
    }

    #[test]
    fn delays_grow_until_a_success() {
        let (mut backoff, effects) = (FailureBackoff::default(), crate::testing::effects());
        let (base, cap) = (Duration::from_millis(100), Duration::from_secs(5));
        assert!(!backoff.reset());
        assert!(backoff.next_delay(base, cap, &effects) <= base);
        let longest = (0..40).map(|_| backoff.next_delay(base, cap, &effects)).max();
        assert!(longest > Some(base * 10) && longest <= Some(cap), "{longest:?}");
        assert!(backoff.reset() && !backoff.reset());
        assert!(backoff.next_delay(base, cap, &effects) <= base);
    }
}
