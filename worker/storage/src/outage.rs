//! How an outage is sat out, and how often it is spoken of.

use std::time::Duration;

use chargegate_core::full_jitter;
use tokio::time::Instant;

use crate::effects::Effects;

/// How often it is said that something still does not work, at most.
const WARN_EVERY: Duration = Duration::from_mins(1);

/// Failures one after the other.
#[derive(Debug, Default)]
pub struct Outage {
    failures: u32,
    /// When the last of them was counted.
    counted: Option<Instant>,
    next_warning: Option<Instant>,
}

impl Outage {
    /// Whether it is time to tell the operator of a failure.
    pub fn take_warning(&mut self) -> bool {
        let now = Instant::now();
        let due = self.next_warning.is_none_or(|next| next <= now);
        if due {
            self.next_warning = Some(now + WARN_EVERY);
        }
        due
    }

    /// The wait after one more failure: longer each time, up to `cap`.
    pub fn next_wait(&mut self, base: Duration, cap: Duration, effects: &Effects) -> Duration {
        self.next_wait_of(Instant::now(), base, cap, effects)
    }

    /// The wait after a failure of a call begun at `begun`. Calls at the same time fail for one reason: those begun
    /// before a failure was counted do not count once more.
    pub fn next_wait_of(
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

    /// It works; says whether that is news.
    pub fn end(&mut self) -> bool {
        std::mem::take(self).failures > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_failure_that_lasts_is_told_of_once_a_minute() {
        let mut outage = Outage::default();
        assert!(outage.take_warning());
        let moment = Duration::from_millis(1);
        tokio::time::advance(WARN_EVERY.saturating_sub(moment)).await;
        assert!(!outage.take_warning());
        tokio::time::advance(moment).await;
        assert!(outage.take_warning() && !outage.take_warning());
        outage.end();
        assert!(outage.take_warning());
    }

    #[tokio::test(start_paused = true)]
    async fn calls_that_fail_at_the_same_time_are_one_failure() {
        let (mut outage, effects) = (Outage::default(), crate::testing::effects());
        let (base, cap) = (Duration::from_millis(100), Duration::from_secs(5));
        for round in 1..=2 {
            let begun = Instant::now();
            for _ in 0..16 {
                tokio::time::advance(Duration::from_millis(1)).await;
                let wait = outage.next_wait_of(begun, base, cap, &effects);
                assert!(wait <= base * round, "{wait:?}");
            }
            assert_eq!(outage.failures, round);
        }
        let begun = Instant::now();
        assert!(outage.end(), "one succeeded");
        assert!(outage.next_wait_of(begun, base, cap, &effects) <= base);
    }

    #[test]
    fn waits_grow_until_it_works_again() {
        let (mut outage, effects) = (Outage::default(), crate::testing::effects());
        let (base, cap) = (Duration::from_millis(100), Duration::from_secs(5));
        assert!(!outage.end());
        assert!(outage.next_wait(base, cap, &effects) <= base);
        let longest = (0..40).map(|_| outage.next_wait(base, cap, &effects)).max();
        assert!(longest > Some(base * 10) && longest <= Some(cap), "{longest:?}");
        assert!(outage.end() && !outage.end());
        assert!(outage.next_wait(base, cap, &effects) <= base);
    }
}
